// SPDX-License-Identifier: Apache-2.0
//
// A compute core in a small world: half a MiB of device memory, a page of host memory, two buffers and one page of
// code. Everything is as at first after Reset.  Device and host memory end where a sanitizer notices.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/core.h"

namespace fuzz {

inline constexpr uint64_t kVram = 512u << 10;
// Device memory: tables, code, then the pages of the data buffer with strangers' pages before, between and behind them.
inline constexpr uint64_t kRoot = 0x2000, kMid = 0x4000, kLeaf = 0x5000, kBounds = 0x8000, kCode = 0x10000,
                          kData = 0x20000;
inline constexpr uint64_t kCodeVa = 0x40000000, kDataVa = 0x40010000, kHostVa = 0x40020000;
inline constexpr uint64_t kCodeBytes = 4096, kDataPages = 4, kDataBytes = kDataPages * 4096 - 100, kHostBytes = 4096;
inline constexpr uint64_t kBus = 0x100000000ull;

inline constexpr uint64_t kCodePtr = NPU_PTR(1, 3, kCodeVa), kDataPtr = NPU_PTR(2, 5, kDataVa),
                          kHostPtr = NPU_PTR(3, 7, kHostVa), kFreedPtr = NPU_PTR(4, 1, kDataVa);

struct Result {
  npu::model::Outcome outcome;
  npu_fault_record fault;
  npu_counters cost;
};

class CoreBench {
 public:
  CoreBench();
  void Reset();
  uint8_t* code() { return vram_.data() + kCode; }
  uint8_t* data(uint64_t offset) { return vram_.data() + kData + offset / 4096 * 8192 + offset % 4096; }
  npu::model::Core& core() { return *core_; }

  // Starts block 0 of a launch of blocks blocks; the core's SRAM may then be filled.
  void Begin(uint32_t blocks = 1);
  // To its end or for `slices` slices, then it is aborted.  Barriers of all blocks open at once.
  Result Finish(unsigned slices);
  // Nothing has been written outside of what the context may write.
  void CheckUntouched() const;
  // All memory that the block may write, SRAM included: kept aside, and compared with what was kept.
  void Keep();
  bool SameAsKept() const;
  // For the model.
  uint8_t* HostAt(uint64_t bus, uint64_t bytes);

 private:
  std::vector<uint8_t> vram_, host_, first_vram_;
  std::vector<uint8_t> neighbour_;  // SRAM of the core that runs block 1
  std::vector<uint8_t> kept_vram_, kept_host_, kept_sram_, kept_neighbour_;
  npu_model_host_ops ops_{};
  npu::model::Platform platform_;
  npu::model::LaunchContext launch_;
  std::unique_ptr<npu::model::AddressSpace> space_;
  std::unique_ptr<npu::model::Core> core_;
};

}  // namespace fuzz
