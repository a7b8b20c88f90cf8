// SPDX-License-Identifier: Apache-2.0
//
// Timelines: a 64-bit word in host memory that the device moves forward as a stream's packets end.
//
// A word has a buffer number of its own.  When the stream fails, the number is taken back: a packet of another stream
// that waits for the word then faults where it stands instead of waiting for ever (see stream_error.cc).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "hal/hal.hpp"
#include "status.hpp"
#include "va_space.hpp"

namespace npu::rt {

class Memory;
struct Allocation;

enum class FenceState { kPending, kReached, kFailed };

// Thread-safe.
class FenceSlot {
 public:
  // Host memory of the page and the word's place in it; the page outlives the slot.
  FenceSlot(Memory& memory, hal::Buffer& page, uint64_t offset, uint64_t va);
  ~FenceSlot();
  FenceSlot(const FenceSlot&) = delete;
  FenceSlot& operator=(const FenceSlot&) = delete;

  // Publishes the word to the device; needed before the first use and after Fail.
  Status Open();
  // Tagged device address for packets; 0 while it is closed.
  uint64_t pointer() const { return pointer_.load(std::memory_order_acquire); }
  uint64_t value() const { return std::atomic_ref<uint64_t>(*word_).load(std::memory_order_acquire); }
  // Only while the device cannot store to the word.
  void Store(uint64_t value) { std::atomic_ref<uint64_t>(*word_).store(value, std::memory_order_seq_cst); }

  // Values behind reached will never come, for the given reason.  Takes the number back.
  void Fail(uint64_t reached, const Status& why);
  // The failed range ends at last: later values will come again.
  void Mend(uint64_t last);
  // why: filled in for kFailed, may be null.
  FenceState State(uint64_t value, Status* why) const;
  // Reached or failed: the device does not work on it any more.
  // why: the reason when it failed, success when it was reached; may be null.
  bool Ended(uint64_t value, Status* why = nullptr) const { return State(value, why) != FenceState::kPending; }

  hal::Buffer& page() const { return page_; }
  uint64_t offset() const { return offset_; }

 private:
  friend class FencePool;
  struct Failure {
    uint64_t after, last;  // values in (after, last] never came
    Status why;
  };

  Memory& memory_;
  hal::Buffer& page_;
  const uint64_t offset_, va_;
  uint64_t* const word_;
  std::atomic<uint64_t> pointer_{0};
  // Open and Fail one after another; guards number_.  Held while the memory's own lock is taken.
  std::mutex open_mutex_;
  std::shared_ptr<Allocation> number_;
  mutable std::mutex mutex_;  // guards failures_; nothing else is taken under it, since State is asked under other locks
  std::vector<Failure> failures_;
};

// Hands out slots.  A word that is used again goes on from its last value, so that old events stay reached.
class FencePool {
 public:
  FencePool(hal::Device& device, VaSpace& va, Memory& memory) : device_(device), va_(va), memory_(memory) {}
  ~FencePool();
  FencePool(const FencePool&) = delete;
  FencePool& operator=(const FencePool&) = delete;

  // Open.  The slot returns to the pool with its last reference, which must be gone before the pool.
  Status Take(std::shared_ptr<FenceSlot>* slot);

 private:
  struct Page {
    std::unique_ptr<hal::Buffer> buffer;
    uint64_t va = 0;
  };
  struct Place {
    Page* page;
    uint64_t offset;
  };
  Status AddPage();

  hal::Device& device_;
  VaSpace& va_;
  Memory& memory_;
  std::mutex mutex_;  // guards both below
  std::vector<std::unique_ptr<Page>> pages_;
  std::vector<Place> free_;
};

}  // namespace npu::rt
