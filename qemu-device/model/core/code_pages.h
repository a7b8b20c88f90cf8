// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// What a core's decoded code was made of.  Decoding is a sizeable part of a small launch, and one launch is mostly
// followed by another of the same operator; so decoded code outlives a launch as long as fetching it again would find
// the same bytes with the same rights, which is looked up and compared before each launch.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/address_space.h"

namespace npu::model {

// Not thread-safe: belongs to the thread that runs the core.
class CodePages {
 public:
  // Nothing is decoded (any more).
  void Forget() {
    pages_.clear();
    complete_ = true;
  }

  // Code is decoded from memory that cannot be compared later: it does not stand.
  void NoteOther() { complete_ = false; }

  // Code is decoded from [pc, pc + bytes), which lies in `page` of device memory and in the buffer `bounds`.
  void Note(uint64_t pc, uint64_t bytes, const BoundsView& bounds, const PageView& page);

  // Whether fetching in `space` would find all of it as it was.
  bool Stand(const AddressSpace& space) const;

 private:
  // More pages than an operator has: comparing them must not take longer than decoding.
  static constexpr size_t kMost = 8;
  // The part of a small page that the buffer owns.
  struct Page {
    uint64_t pc = 0;  // tagged, of its first byte
    uint64_t bytes = 0;
    BoundsView bounds;
    uint64_t page_va = 0, page_bytes = 0;
    std::unique_ptr<uint8_t[]> copy;
  };
  bool NotePage(uint64_t pc, uint64_t bytes, const BoundsView& bounds, const PageView& page);

  std::vector<Page> pages_;
  bool complete_ = true;
};

}  // namespace npu::model
