// SPDX-License-Identifier: Apache-2.0
#include "drm/drm_device.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xf86drm.h>

#include <cerrno>
#include <cstring>

#include "common/backends.hpp"
#include "common/device_tree.hpp"
#include "common/error.hpp"

namespace npu::hal::drm {
namespace {

constexpr uint32_t kFaultEntries = 1024;

// Absolute CLOCK_MONOTONIC nanoseconds, which is what steady_clock counts on Linux.
int64_t Deadline(Clock::time_point t) {
  if (t == Clock::time_point::max()) return INT64_MAX;
  int64_t ns = std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch()).count();
  return ns > 0 ? ns : 0;
}

class DrmDevice : public Device {
 public:
  explicit DrmDevice(std::shared_ptr<File> file) : file_(std::move(file)) {}
  ~DrmDevice() override {
    if (bounds_) munmap(bounds_, bounds_bytes_);
    if (faults_) munmap(faults_, fault_bytes_);
    if (fault_fd_ >= 0) close(fault_fd_);
  }

  Error Setup() {
    if (Error e = CheckDriver()) return e;
    if (Error e = ReadInfo()) return e;
    return InitContext();
  }

  Result<DeviceStatus> Status() override;
  Result<std::unique_ptr<Buffer>> CreateBuffer(uint64_t bytes, Memory memory) override {
    return DrmBuffer::Create(file_, bytes, memory);
  }
  Error Bind(Buffer& buffer, uint64_t offset, uint64_t va, uint64_t bytes, uint64_t rights) override;
  Error Unbind(uint64_t va, uint64_t bytes) override;
  Result<std::unique_ptr<Queue>> CreateQueue(uint32_t ring_log2, uint32_t priority, uint32_t timeout_ms) override {
    return DrmQueue::Create(file_, ring_log2, priority, timeout_ms);
  }
  Error Wait(Buffer& buffer, uint64_t offset, uint64_t value, uint32_t cond, Clock::time_point deadline,
             Queue* queue) override;

 private:
  Error CheckDriver();
  Error ReadInfo();
  Error InitContext();
  Error Query(uint32_t query, void* data, uint32_t size, const char* what) const;

  std::shared_ptr<File> file_;
  uint64_t bounds_bytes_ = 0, fault_bytes_ = 0;
};

Error DrmDevice::CheckDriver() {
  std::unique_ptr<drmVersion, void (*)(drmVersionPtr)> version(drmGetVersion(file_->fd()), drmFreeVersion);
  if (!version) return Fail(ENODEV, "{} is no DRM device", file_->node());
  std::string name(version->name, static_cast<size_t>(version->name_len));
  if (name != "npu") return Fail(ENODEV, "{} belongs to the driver \"{}\", not to \"npu\"", file_->node(), name);
  if (version->version_major != NPU_DRIVER_MAJOR) {
    return Fail(EPROTO, "{}: the driver speaks interface {}.{}, this library {}.{}: install matching versions",
                file_->node(), version->version_major, version->version_minor, NPU_DRIVER_MAJOR, NPU_DRIVER_MINOR);
  }
  return {};
}

Error DrmDevice::Query(uint32_t query, void* data, uint32_t size, const char* what) const {
  drm_npu_get_info get = {};
  get.query = query;
  get.size = size;
  get.data = reinterpret_cast<uint64_t>(data);
  if (int rc = file_->Ioctl(DRM_IOCTL_NPU_GET_INFO, &get)) {
    return Fail(rc, "{}: the driver does not tell the {}: {}", file_->node(), what, ErrnoText(rc));
  }
  if (get.size < size) return Fail(EPROTO, "{}: the {} has {} bytes, not {}", file_->node(), what, get.size, size);
  return {};
}

Error DrmDevice::ReadInfo() {
  drm_npu_info_device device = {};
  if (Error e = Query(DRM_NPU_INFO_DEVICE, &device, sizeof(device), "device description")) return e;
  drm_npu_get_info ask = {};
  ask.query = DRM_NPU_INFO_TREE;
  if (int rc = file_->Ioctl(DRM_IOCTL_NPU_GET_INFO, &ask)) {
    return Fail(rc, "{}: the driver does not tell the size of the device tree: {}", file_->node(), ErrnoText(rc));
  }
  info_.tree.resize(ask.size);
  if (ask.size) {
    if (Error e = Query(DRM_NPU_INFO_TREE, info_.tree.data(), ask.size, "hardware device tree")) return e;
  }
  if (Error e = ReadHardwareTree(info_)) return e;
  info_.backend = "drm";
  info_.node = file_->node();
  info_.bdf = NodeBdf(file_->node());
  info_.uuid = device.uuid;
  info_.hw_version = device.hw_version;
  info_.contract_version = device.contract_version;
  info_.fw_version = device.fw_version;
  info_.cores = device.num_cores;
  info_.queues = device.num_queues;
  info_.slots = device.num_slots;
  info_.sram_bytes = device.sram_bytes;
  info_.va_start = device.va_start;
  info_.va_end = device.va_end;
  if (info_.contract_version >> 16 != NPU_CONTRACT_MAJOR) {
    return Fail(EPROTO, "{} speaks contract {}.{}, this library {}.{}: install matching versions", file_->node(),
                info_.contract_version >> 16, info_.contract_version & 0xffff, NPU_CONTRACT_MAJOR, NPU_CONTRACT_MINOR);
  }
  return {};
}

Error DrmDevice::InitContext() {
  fault_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fault_fd_ < 0) return Fail(errno, "no eventfd for faults: {}", ErrnoText(errno));
  drm_npu_context_init init = {};
  init.fault_entries = kFaultEntries;
  init.fault_eventfd = fault_fd_;
  if (int rc = file_->Ioctl(DRM_IOCTL_NPU_CONTEXT_INIT, &init)) {
    return Fail(rc, "{}: no context on the device: {}", file_->node(), ErrnoText(rc));
  }
  context_id_ = init.context_id;
  fault_entries_ = kFaultEntries;
  bounds_bytes_ = init.bounds_bytes;
  fault_bytes_ = init.fault_bytes;
  uint64_t need = sizeof(npu_fault_ring) + uint64_t{kFaultEntries} * sizeof(npu_fault_record);
  if (bounds_bytes_ < NPU_BOUNDS_TABLE_BYTES || fault_bytes_ < need) {
    return Fail(EPROTO, "{}: the driver's bounds table ({} bytes) or fault ring ({} bytes) is too small", file_->node(),
                bounds_bytes_, fault_bytes_);
  }
  bounds_ = static_cast<npu_bounds_entry*>(file_->Map(init.bounds_offset, bounds_bytes_, PROT_READ | PROT_WRITE));
  if (!bounds_) return Fail(errno, "{}: cannot map the bounds table: {}", file_->node(), ErrnoText(errno));
  faults_ = static_cast<npu_fault_ring*>(file_->Map(init.fault_offset, fault_bytes_, PROT_READ | PROT_WRITE));
  if (!faults_) return Fail(errno, "{}: cannot map the fault ring: {}", file_->node(), ErrnoText(errno));
  return {};
}

Error DrmDevice::Bind(Buffer& buffer, uint64_t offset, uint64_t va, uint64_t bytes, uint64_t rights) {
  drm_npu_vm_bind bind = {};
  bind.op = DRM_NPU_VM_MAP;
  if (rights & NPU_PTE_READ) bind.flags |= DRM_NPU_VM_READ;
  if (rights & NPU_PTE_WRITE) bind.flags |= DRM_NPU_VM_WRITE;
  if (rights & NPU_PTE_EXEC) bind.flags |= DRM_NPU_VM_EXEC;
  if (rights & ~uint64_t{NPU_PTE_READ | NPU_PTE_WRITE | NPU_PTE_EXEC}) {
    return Fail(EINVAL, "rights {:#x} are not READ with or without WRITE and EXEC", rights);
  }
  bind.handle = static_cast<DrmBuffer&>(buffer).handle();
  bind.offset = offset;
  bind.va = va;
  bind.size = bytes;
  int rc = file_->Ioctl(DRM_IOCTL_NPU_VM_BIND, &bind);
  if (rc) return Fail(rc, "{}: cannot map {:#x} bytes at {:#x}: {}", file_->node(), bytes, va, ErrnoText(rc));
  return {};
}

Error DrmDevice::Unbind(uint64_t va, uint64_t bytes) {
  drm_npu_vm_bind bind = {};
  bind.op = DRM_NPU_VM_UNMAP;
  bind.va = va;
  bind.size = bytes;
  int rc = file_->Ioctl(DRM_IOCTL_NPU_VM_BIND, &bind);
  if (rc) return Fail(rc, "{}: cannot unmap {:#x} bytes at {:#x}: {}", file_->node(), bytes, va, ErrnoText(rc));
  return {};
}

Error DrmDevice::Wait(Buffer& buffer, uint64_t offset, uint64_t value, uint32_t cond, Clock::time_point deadline,
                      Queue* queue) {
  drm_npu_wait wait = {};
  wait.handle = static_cast<DrmBuffer&>(buffer).handle();
  wait.cond = cond;
  wait.offset = offset;
  wait.value = value;
  wait.timeout_ns = Deadline(deadline);
  wait.queue = queue ? queue->id() : UINT32_MAX;
  int rc = file_->Ioctl(DRM_IOCTL_NPU_WAIT, &wait);
  if (rc) return Fail(rc, "{}: wait for a fence: {}", file_->node(), ErrnoText(rc));
  return {};
}

Result<DeviceStatus> DrmDevice::Status() {
  DeviceStatus s;
  struct {
    const char* name;
    int64_t value;
  } attributes[] = {{"health", 0},    {"temp_mc", 0},   {"power_mw", 0},
                    {"energy_uj", 0}, {"clock_khz", 0}, {"util_permille", 0}};
  for (auto& a : attributes) {
    Result<int64_t> value = ReadAttribute(info_.bdf, a.name);
    if (!value) return value.error();
    a.value = *value;
  }
  s.health = static_cast<uint32_t>(attributes[0].value);
  s.temperature_mc = static_cast<int32_t>(attributes[1].value);
  s.power_mw = static_cast<uint32_t>(attributes[2].value);
  s.energy_uj = static_cast<uint64_t>(attributes[3].value);
  s.clock_khz = static_cast<uint32_t>(attributes[4].value);
  s.utilisation_permille = static_cast<uint32_t>(attributes[5].value);
  drm_npu_info_memory memory = {};
  if (Error e = Query(DRM_NPU_INFO_MEMORY, &memory, sizeof(memory), "memory in use")) return e;
  s.memory_total = memory.device_total;
  s.memory_free = memory.device_free;
  return s;
}

}  // namespace

File::~File() {
  close(fd_);
}

int File::Ioctl(unsigned long request, void* argument) const {
  return drmIoctl(fd_, request, argument) ? errno : 0;
}

void* File::Map(uint64_t offset, uint64_t bytes, int protection) const {
  void* p = mmap(nullptr, bytes, protection, MAP_SHARED, fd_, static_cast<off_t>(offset));
  return p == MAP_FAILED ? nullptr : p;
}

Result<std::unique_ptr<Device>> Open(const std::string& node) {
  int fd = open(node.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    int code = errno;
    return Fail(code, "cannot open {}: {}{}", node, ErrnoText(code),
                code == EACCES ? "; your user must be in the group that owns the node (see ls -l)" : "");
  }
  auto file = std::make_shared<File>(fd, node);
  auto device = std::make_unique<DrmDevice>(std::move(file));
  if (Error e = device->Setup()) return e;
  return std::unique_ptr<Device>(std::move(device));
}

}  // namespace npu::hal::drm
