// SPDX-License-Identifier: Apache-2.0
//
// The context's bounds table as the runtime writes it (hal/hw/npu_mmu.h): buffer numbers, generations, the epoch.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "npu_mmu.h"
#include "status.hpp"

namespace npu::rt {

class BoundsTable {
 public:
  // table: NPU_BOUNDS_ENTRIES entries, mapped for as long as this object lives.
  explicit BoundsTable(npu_bounds_entry* table);

  // Publishes [base, base + bytes) under a number that has rested longest.  rights: NPU_BOUNDS_READ|WRITE|EXEC|ATOMIC.
  // TooManyBuffers.
  Status Acquire(uint64_t base, uint64_t bytes, uint32_t rights, uint16_t* number, uint8_t* generation);
  // Every pointer with the number is stale from now on.
  void Release(uint16_t number);

 private:
  void Store(uint16_t number, uint32_t ctl);

  npu_bounds_entry* table_;
  std::mutex mutex_;  // guards all below, and is the only writer's lock of table_
  std::deque<uint16_t> free_;
  std::vector<uint8_t> generations_;  // copies, as the table may be slow to read
  uint32_t epoch_ = 0;
};

}  // namespace npu::rt
