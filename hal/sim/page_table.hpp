// SPDX-License-Identifier: Apache-2.0
//
// One address space's page table in simulated device memory (hal/hw/npu_mmu.h).
#pragma once

#include <cstdint>
#include <vector>

#include "hal/hal.hpp"
#include "sim/vram.hpp"

namespace npu::hal::sim {

// Not thread-safe: the owner serialises Map and Unmap.  The device reads the tables at any time, so every entry is
// stored atomically, a table before the entry that leads to it.
class PageTable {
 public:
  explicit PageTable(Vram& vram) : vram_(vram) {}
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;
  // The device must not use the address space any more.
  ~PageTable();

  Error Create();
  uint64_t root() const { return root_; }

  // Maps contiguous physical memory; all arguments are page aligned and va + bytes is inside the address space.
  // flags: NPU_PTE_READ|WRITE|EXEC|HOST.  ENOSPC when no table can be made: no translation has changed then.
  // *replaced: something was mapped there before, so the device may have the old translation cached.
  Error Map(uint64_t va, uint64_t address, uint64_t bytes, uint64_t flags, bool* replaced);
  // Clears the entries; tables stay until the address space ends.  ENOSPC when a large page must be split and cannot.
  Error Unmap(uint64_t va, uint64_t bytes);

 private:
  Result<uint64_t> NewTable();
  // The level-1 or level-2 table below entry, made when there is none (a large page is split).
  Result<uint64_t> Descend(uint64_t* entry, bool split_leaf);
  Error Prepare(uint64_t va, uint64_t bytes, uint64_t address, bool big);
  uint64_t* MidEntry(uint64_t va);

  Vram& vram_;
  uint64_t root_ = 0;
  std::vector<uint64_t> tables_;
};

}  // namespace npu::hal::sim
