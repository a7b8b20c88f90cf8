// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Doorbells: the only part of the data plane that the host's threads (vCPUs) run through.  No locks; a ring is a store,
// a bit and at most one wake-up.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "npu_regs.h"

namespace npu::model {

class StateReader;
class StateWriter;

class Doorbells {
 public:
  enum class Outcome {
    kIgnored,  // the queue is dead or does not exist
    kSlot,     // the queue has a slot: its ready bit is set, wake a worker
    kMarked,   // the queue has no slot: its mark is set, tell the firmware
  };
  explicit Doorbells(uint32_t queues) : queues_(queues) { Reset(); }

  // All queues dead, no slot, write index 0.
  void Reset();

  // Any thread.
  Outcome Ring(uint32_t queue, uint64_t wptr);
  // A 4-byte write of the low half: the 64-bit index nearest to the latched one that has this low half.
  Outcome RingLow(uint32_t queue, uint32_t low);
  Outcome RingHigh(uint32_t queue, uint32_t high);
  Outcome Kick(uint32_t queue);

  uint64_t wptr(uint32_t queue) const { return doors_[queue].wptr.load(std::memory_order_acquire); }
  // Dispatcher only (under its lock).  After Attach returns, a ring either was seen by wptr() or sets the slot's bit.
  void Attach(uint32_t queue, uint32_t slot);
  void Detach(uint32_t queue);
  // Ready bits of the slots, taken away.
  uint32_t TakeReady() { return ready_.exchange(0, std::memory_order_seq_cst); }
  bool AnyReady() const { return ready_.load(std::memory_order_seq_cst) != 0; }

  // For the firmware.  Next: a marked queue + 1, its mark taken away; 0: none.
  uint32_t NextMarked();
  void Mark(uint32_t queue);
  void Clear(uint32_t queue);
  // The write index that a queue starts with.  Not while it is heard.
  void SetWptr(uint32_t queue, uint64_t wptr) { doors_[queue].wptr.store(wptr, std::memory_order_seq_cst); }
  // A dead queue loses its mark.
  void SetDead(uint32_t queue, bool dead);
  bool dead(uint32_t queue) const { return doors_[queue].dead.load(std::memory_order_seq_cst); }
  // snapshot.cc.  Only while nobody else is here; slots are attached by the caller of Load.
  void Save(StateWriter& out) const;
  void Load(StateReader& in);
  void Reattach(uint32_t queue, uint32_t slot) { doors_[queue].slot.store(static_cast<int32_t>(slot)); }
  // True while a rung queue waits for a slot: then the firmware wants to hear of slots that fall idle.
  bool AnyStarving() const { return starving_.load(std::memory_order_seq_cst) > 0; }

 private:
  struct Door {
    std::atomic<uint64_t> wptr{0};      // writers: host threads, Clear, SetWptr
    std::atomic<int32_t> slot{-1};      // writer: dispatcher
    std::atomic<bool> dead{true};       // writer: firmware
    std::atomic<bool> starving{false};  // rung without slot and not attached since
  };
  Outcome Notify(uint32_t queue);
  void SetStarving(uint32_t queue, bool on);

  const uint32_t queues_;
  std::array<Door, NPU_MAX_QUEUES> doors_;
  std::array<std::atomic<uint64_t>, NPU_MAX_QUEUES / 64> marks_;
  std::atomic<uint32_t> ready_{0};  // bit a slot
  std::atomic<int32_t> starving_{0};
};

}  // namespace npu::model
