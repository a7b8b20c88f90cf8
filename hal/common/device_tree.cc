// SPDX-License-Identifier: Apache-2.0
#include "common/device_tree.hpp"

#include <libfdt.h>

#include <cstring>

#include "common/error.hpp"
#include "npu_dt.h"

namespace npu::hal {
namespace {

constexpr uint32_t kTreeVersion = 17;

class Tree {
 public:
  explicit Tree(const void* blob) : blob_(blob) {}

  // The cells of a property as one big-endian number; exactly `cells` of them must be there.
  Result<uint64_t> Number(const char* path, const char* property, int cells) const {
    int node = fdt_path_offset(blob_, path);
    if (node < 0) return Fail(EINVAL, "hardware device tree: no node {} ({})", path, fdt_strerror(node));
    int length = 0;
    const void* data = fdt_getprop(blob_, node, property, &length);
    if (!data) return Fail(EINVAL, "hardware device tree: node {} has no property {}", path, property);
    if (length != cells * 4) {
      return Fail(EINVAL, "hardware device tree: {}/{} has {} bytes, not {}", path, property, length, cells * 4);
    }
    uint64_t value = 0;
    for (int i = 0; i < cells; i++) {
      fdt32_t cell;
      std::memcpy(&cell, static_cast<const char*>(data) + i * 4, 4);
      value = value << 32 | fdt32_to_cpu(cell);
    }
    return value;
  }

  Error Read(const char* path, const char* property, uint32_t& out) const {
    Result<uint64_t> value = Number(path, property, 1);
    if (value) out = static_cast<uint32_t>(*value);
    return value ? Error{} : value.error();
  }

  Error Read64(const char* path, const char* property, uint64_t& out) const {
    Result<uint64_t> value = Number(path, property, 2);
    if (value) out = *value;
    return value ? Error{} : value.error();
  }

 private:
  const void* blob_;
};

}  // namespace

Error ReadHardwareTree(DeviceInfo& info) {
  const void* blob = info.tree.data();
  if (info.tree.empty()) return Fail(EINVAL, "the device gave no hardware device tree");
  // libfdt's check of the whole tree fails on nodes as they were before version 16 of the format: it follows a null
  // name.  So the header is looked at first.
  if (info.tree.size() < sizeof(fdt_header) || fdt_magic(blob) != FDT_MAGIC || fdt_version(blob) < kTreeVersion) {
    return Fail(EINVAL, "the hardware device tree ({} bytes) is damaged: its header names no version that is known",
                info.tree.size());
  }
  if (int rc = fdt_check_full(blob, info.tree.size())) {
    return Fail(EINVAL, "the hardware device tree ({} bytes) is damaged: {}", info.tree.size(), fdt_strerror(rc));
  }
  if (fdt_node_check_compatible(blob, 0, NPU_DT_COMPATIBLE) != 0) {
    int length = 0;
    const char* other = static_cast<const char*>(fdt_getprop(blob, 0, "compatible", &length));
    return Fail(EINVAL, "the hardware calls itself \"{}\"; this software drives \"{}\" only",
                other && length > 0 ? std::string(other, strnlen(other, length)) : "", NPU_DT_COMPATIBLE);
  }
  int length = 0;
  const char* model = static_cast<const char*>(fdt_getprop(blob, 0, "model", &length));
  if (!model || length <= 0) return Fail(EINVAL, "hardware device tree: node / has no property model");
  info.name.assign(model, strnlen(model, length));

  Tree tree(blob);
  if (Error e = tree.Read64("/memory", "npu,bytes", info.memory_bytes)) return e;
  if (Error e = tree.Read("/queues", "npu,queues", info.queues)) return e;
  if (Error e = tree.Read("/queues", "npu,slots", info.slots)) return e;
  if (Error e = tree.Read("/cores", "npu,count", info.cores)) return e;
  if (Error e = tree.Read("/cores", "npu,sram-bytes", info.sram_bytes)) return e;
  if (Error e = tree.Read64("/cores", "npu,clock-hz", info.clock_hz)) return e;
  if (Error e = tree.Read("/cores/matrix", "npu,f32-macs-per-cycle", info.f32_macs_per_cycle)) return e;
  if (Error e = tree.Read("/cores/matrix", "npu,f16-macs-per-cycle", info.f16_macs_per_cycle)) return e;
  if (Error e = tree.Read("/cores/matrix", "npu,i8-macs-per-cycle", info.i8_macs_per_cycle)) return e;
  if (Error e = tree.Read("/cores/dma", "npu,bytes-per-cycle", info.dma_bytes_per_cycle)) return e;
  return tree.Read("/timing", "npu,memory-bytes-per-cycle", info.memory_bytes_per_cycle);
}

}  // namespace npu::hal
