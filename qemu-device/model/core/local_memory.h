// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// A core's own memory: SRAM, stack, and the bounds table that operators make for parts of SRAM.
#pragma once

#include <cstdint>
#include <memory>

#include "core/core.h"
#include "core/large_pages.h"
#include "core/memory.h"

namespace npu::model {

// One thread at a time.
class LocalMemory {
 public:
  LocalMemory();

  uint8_t* sram() { return sram_.get(); }
  uint8_t* stack() { return stack_.get(); }
  // Whose errors SRAM may have: those of this core.  Before use; nullptr: none.
  void Attach(Ecc* ecc, uint32_t core) { ecc_ = ecc, core_ = core; }
  bool Flawed() const;

  // SRAM and stack as after power-on.
  void Scrub();
  // All entries of the bounds table never used; the first generation is 0 again.
  void ResetTable();

  // Number 0 or one of the local table's.
  static bool IsLocal(uint64_t ptr) {
    const uint64_t number = NPU_PTR_BUF(ptr);
    return number < NPU_BUF_FIRST || number >= NPU_BUF_LOCAL_FIRST;
  }
  // An untagged pointer into (or near) the stack.
  static bool IsStack(uint64_t ptr);

  // Checks the whole box.  The host address of its element (0, 0, 0, 0), or nullptr with *fault filled.
  uint8_t* Resolve(const Box& box, npu_access access, FaultInfo* fault);

  // NPU_LOCAL_SET: [ptr, ptr + bytes) of SRAM; ptr may be tagged itself, then the new entry must lie in the old one.
  // rights: bit 0 read, bit 1 write.  *tagged = 0 when no entry is free.
  bool Set(uint64_t ptr, uint32_t bytes, unsigned rights, uint64_t* tagged, FaultInfo* fault);
  // NPU_LOCAL_CLEAR.  The entry goes to the end of the line, so that a stale pointer is recognised for long.
  bool Clear(uint64_t ptr, FaultInfo* fault);

 private:
  struct Entry {
    uint64_t base;
    uint64_t size;
    uint32_t ctl;  // as npu_bounds_entry::ctl
  };
  uint8_t Kind(uint64_t ptr, npu_access access, Entry* entry) const;
  bool Readable(const Box& box, npu_access access, const Entry& entry, FaultInfo* fault) const;

  Ecc* ecc_ = nullptr;
  uint32_t core_ = 0;

  LargePages<uint8_t> sram_;
  std::unique_ptr<uint8_t[]> stack_;
  Entry table_[NPU_LOCAL_ENTRIES];
  uint16_t free_[NPU_LOCAL_ENTRIES];  // ring of free entries, oldest first
  uint32_t free_head_ = 0;
  uint32_t free_count_ = 0;
};

}  // namespace npu::model
