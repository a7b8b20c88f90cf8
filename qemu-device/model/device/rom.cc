// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "device/rom.h"

#include <libfdt.h>

#include <cinttypes>
#include <cstdio>

#include "core/core.h"
#include "core/timing.h"
#include "device/version.h"
#include "npu_dt.h"
#include "npu_hw_types.h"
#include "npu_mgmt.h"
#include "npu_mmu.h"
#include "npu_packet.h"
#include "npu_regs.h"

namespace npu::model {
namespace {

// libfdt's sequential writer; the first failure sticks.
class TreeWriter {
 public:
  explicit TreeWriter(size_t bytes) : blob_(bytes) {
    Note(fdt_create(blob_.data(), static_cast<int>(bytes)));
    Note(fdt_finish_reservemap(blob_.data()));
  }
  void Begin(const char* name) { Note(fdt_begin_node(blob_.data(), name)); }
  void End() { Note(fdt_end_node(blob_.data())); }
  void U32(const char* name, uint32_t value) { Note(fdt_property_u32(blob_.data(), name, value)); }
  void U64(const char* name, uint64_t value) { Note(fdt_property_u64(blob_.data(), name, value)); }
  void String(const char* name, const char* value) { Note(fdt_property_string(blob_.data(), name, value)); }
  void Bytes(const char* name, const void* data, size_t bytes) {
    Note(fdt_property(blob_.data(), name, data, static_cast<int>(bytes)));
  }
  std::vector<uint8_t> Finish(std::string* error) {
    Note(fdt_finish(blob_.data()));
    if (error_) {
      *error = std::string("cannot build the description tree: ") + fdt_strerror(error_);
      return {};
    }
    blob_.resize(fdt_totalsize(blob_.data()));
    return std::move(blob_);
  }

 private:
  void Note(int result) {
    if (result < 0 && !error_) error_ = result;
  }
  std::vector<uint8_t> blob_;
  int error_ = 0;
};

void WriteCores(TreeWriter& tree, const RomFacts& facts) {
  // Element types that the matrix unit takes, as a string list.
  static constexpr char kTypes[] = "f32\0tf32\0f16\0bf16\0f8e4m3\0f8e5m2\0i8\0u8\0i4";
  tree.Begin("cores");
  tree.U32("npu,count", facts.cores);
  tree.String("npu,isa", "rv64imafc_zicsr_zifencei");
  tree.U32("npu,sram-bytes", kSramBytes);
  tree.U32("npu,stack-bytes", NPU_LOCAL_STACK_BYTES);
  tree.U64("npu,clock-hz", facts.clock_hz);
  tree.Begin("matrix");
  tree.U32("npu,rows", kTiming.rows);
  tree.U32("npu,columns", kTiming.columns);
  tree.U32("npu,f32-macs-per-cycle", kTiming.f32_macs_per_cycle);
  tree.U32("npu,tf32-macs-per-cycle", kTiming.tf32_macs_per_cycle);
  tree.U32("npu,f16-macs-per-cycle", kTiming.f16_macs_per_cycle);
  tree.U32("npu,f8-macs-per-cycle", kTiming.f8_macs_per_cycle);
  tree.U32("npu,i8-macs-per-cycle", kTiming.i8_macs_per_cycle);
  tree.U32("npu,i4-macs-per-cycle", kTiming.i4_macs_per_cycle);
  tree.U32("npu,fill-cycles", kTiming.fill_cycles);
  tree.Bytes("npu,dtypes", kTypes, sizeof(kTypes));
  tree.End();
  tree.Begin("vector");
  tree.U32("npu,lanes", kTiming.lanes);
  tree.U32("npu,startup-cycles", kTiming.vector_startup_cycles);
  tree.U32("npu,divide-cost", kTiming.vector_divide_cost);
  tree.U32("npu,function-cost", kTiming.vector_function_cost);
  tree.U32("npu,stochastic-cost", kTiming.vector_stochastic_cost);
  tree.U32("npu,scan-cost", kTiming.vector_scan_cost);
  tree.U32("npu,sort-cost", kTiming.vector_sort_cost);
  tree.U32("npu,gather-cost", kTiming.vector_gather_cost);
  tree.End();
  tree.Begin("dma");
  tree.U32("npu,bytes-per-cycle", kTiming.bytes_per_cycle);
  tree.U32("npu,startup-cycles", kTiming.dma_startup_cycles);
  tree.U32("npu,row-cycles", kTiming.row_cycles);
  tree.U32("npu,peer-latency-cycles", kTiming.peer_latency_cycles);
  tree.End();
  tree.End();
}

void WriteTiming(TreeWriter& tree) {
  tree.Begin("timing");
  tree.U32("npu,memory-bytes-per-cycle", kTiming.memory_bytes_per_cycle);
  tree.U32("npu,memory-latency-cycles", kTiming.memory_latency_cycles);
  tree.U32("npu,scalar-memory-cycles", kTiming.scalar_memory_cycles);
  tree.U32("npu,scalar-host-cycles", kTiming.scalar_host_cycles);
  tree.U32("npu,issue-cycles", kTiming.issue_cycles);
  tree.U32("npu,launch-cycles", kTiming.launch_cycles);
  tree.U32("npu,block-cycles", kTiming.block_cycles);
  tree.U32("npu,copy-bytes-per-cycle", kTiming.copy_bytes_per_cycle);
  tree.U32("npu,copy-startup-cycles", kTiming.copy_startup_cycles);
  tree.End();
}

}  // namespace

std::string UuidText(uint64_t uuid) {
  char text[24];
  std::snprintf(text, sizeof(text), "NPU-%016" PRIx64, uuid);
  return text;
}

std::vector<uint8_t> BuildRom(const RomFacts& facts, std::string* error) {
  TreeWriter tree(16384);
  tree.Begin("");
  tree.String("compatible", NPU_DT_COMPATIBLE);
  tree.String("model", NPU_DT_MODEL);
  tree.U32("npu,hw-version", kHwVersion);
  tree.U32("npu,contract", NPU_CONTRACT_VERSION);
  tree.String("npu,uuid", UuidText(facts.uuid).c_str());
  tree.Begin("memory");
  tree.U64("npu,bytes", facts.memory_bytes);
  tree.End();
  tree.Begin("queues");
  tree.U32("npu,queues", facts.queues);
  tree.U32("npu,slots", NPU_MAX_SLOTS);
  tree.U32("npu,contexts", NPU_MAX_CONTEXTS);
  tree.U32("npu,vectors", NPU_NUM_VECTORS);
  tree.U32("npu,priorities", NPU_QUEUE_PRIORITIES);
  tree.End();
  tree.Begin("management");
  tree.String("npu,isa", "rv64imac_zicsr");
  tree.U32("npu,sram-bytes", NPU_MG_SRAM_BYTES);
  tree.End();
  WriteCores(tree, facts);
  WriteTiming(tree);
  tree.Begin("features");
  for (const char* name : {"npu,bounds", "npu,fault-ring", "npu,counters", "npu,injection", "npu,thermal"})
    tree.Bytes(name, "", 0);
  tree.End();
  tree.End();
  return tree.Finish(error);
}

}  // namespace npu::model
