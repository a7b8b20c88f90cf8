// SPDX-License-Identifier: Apache-2.0
//
// A ring of bytes that a stream's packets read or write: room is used again when the packet that used it has ended.
#pragma once

#include <cstdint>
#include <deque>

#include "memory.hpp"

namespace npu::rt {

// Not thread-safe: the owner's lock guards it.
class FencedRing {
 public:
  bool empty() const { return !allocation_; }
  void Adopt(AllocationRef allocation) { allocation_ = std::move(allocation); }
  const AllocationRef& allocation() const { return allocation_; }
  uint64_t size() const { return allocation_ ? allocation_->bytes : 0; }

  // Contiguous room for bytes (a multiple of 16, at most half of the ring) at *offset, if there is any now.
  bool Take(uint64_t bytes, uint64_t* offset) {
    uint64_t start = head_;
    if (start + bytes > size()) start = 0;  // the rest behind head stays unused this time round
    if (!spans_.empty()) {
      uint64_t tail = spans_.front().start;
      // In use: [tail, head) or, wrapped, everything but [head, tail).
      bool wrapped = head_ <= tail;
      if (!wrapped && start < head_ && start + bytes > tail) return false;
      if (wrapped && (start < head_ || start + bytes > tail)) return false;
    }
    head_ = start + bytes;
    spans_.push_back({start, 0});
    *offset = start;
    return true;
  }
  // The room taken last is free when the fence has reached value.
  void Fence(uint64_t value) { spans_.back().value = value; }
  // Gives back the room taken last: its packet was not submitted.
  void Untake() { spans_.pop_back(); }
  // The value that must be reached before more room comes free; 0: none is in use.
  uint64_t Oldest() const { return spans_.empty() ? 0 : spans_.front().value; }
  // The head stays where it is even when all room is free: bytes that the device has delivered lie behind it until the
  // caller has copied them on.
  template <class Ended>
  void Reclaim(Ended ended) {
    while (!spans_.empty() && ended(spans_.front().value)) spans_.pop_front();
  }
  void Clear() {
    spans_.clear();
    head_ = 0;
  }
  char* HostAt(uint64_t offset) const { return allocation_->host + offset; }
  uint64_t PointerAt(uint64_t offset) const { return allocation_->pointer() + offset; }

 private:
  struct Span {
    uint64_t start, value;
  };
  AllocationRef allocation_;
  uint64_t head_ = 0;
  std::deque<Span> spans_;
};

}  // namespace npu::rt
