// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "device/doorbells.h"

#include <bit>

#include "device/wake.h"

namespace npu::model {

// Host threads may be ringing meanwhile: a flag and the count of flags change together, so that they agree in the end.
void Doorbells::Reset() {
  for (uint32_t queue = 0; queue < doors_.size(); ++queue) {
    Door& door = doors_[queue];
    door.dead.store(true);
    door.slot.store(-1);
    door.wptr.store(0);
    SetStarving(queue, false);
  }
  for (auto& word : marks_) word.store(0);
  ready_.store(0);
}

// The store of the write index (or the caller's store of the awaited value) comes before the load of the slot, and
// Attach stores the slot before it loads the write index: one of the two sees the other.
Doorbells::Outcome Doorbells::Notify(uint32_t queue) {
  int32_t slot = doors_[queue].slot.load(std::memory_order_seq_cst);
  if (slot >= 0) {
    ready_.fetch_or(1u << slot, std::memory_order_seq_cst);
    return Outcome::kSlot;
  }
  Mark(queue);
  // The queue may have been given a slot meanwhile; then the mark is only a hint too many.
  slot = doors_[queue].slot.load(std::memory_order_seq_cst);
  if (slot >= 0) {
    SetStarving(queue, false);
    ready_.fetch_or(1u << slot, std::memory_order_seq_cst);
    return Outcome::kSlot;
  }
  return Outcome::kMarked;
}

Doorbells::Outcome Doorbells::Ring(uint32_t queue, uint64_t wptr) {
  if (queue >= queues_ || dead(queue)) return Outcome::kIgnored;
  doors_[queue].wptr.store(wptr, std::memory_order_seq_cst);
  return Notify(queue);
}

Doorbells::Outcome Doorbells::RingLow(uint32_t queue, uint32_t low) {
  if (queue >= queues_ || dead(queue)) return Outcome::kIgnored;
  uint64_t old = doors_[queue].wptr.load(std::memory_order_relaxed);
  auto step = static_cast<int32_t>(low - static_cast<uint32_t>(old));
  return Ring(queue, old + static_cast<uint64_t>(static_cast<int64_t>(step)));
}

Doorbells::Outcome Doorbells::RingHigh(uint32_t queue, uint32_t high) {
  if (queue >= queues_ || dead(queue)) return Outcome::kIgnored;
  uint64_t low = doors_[queue].wptr.load(std::memory_order_relaxed) & 0xffffffffull;
  return Ring(queue, static_cast<uint64_t>(high) << 32 | low);
}

Doorbells::Outcome Doorbells::Kick(uint32_t queue) {
  if (queue >= queues_ || dead(queue)) return Outcome::kIgnored;
  FullFence();
  int32_t slot = doors_[queue].slot.load(std::memory_order_seq_cst);
  // A queue without slot looks at its wait packet anyway when it gets one; the firmware hears of the kick all the same,
  // because it may have taken the slot away from a waiting queue.
  if (slot < 0) return Notify(queue);
  ready_.fetch_or(1u << slot, std::memory_order_seq_cst);
  return Outcome::kSlot;
}

void Doorbells::Attach(uint32_t queue, uint32_t slot) {
  doors_[queue].slot.store(static_cast<int32_t>(slot), std::memory_order_seq_cst);
  marks_[queue / 64].fetch_and(~(1ull << (queue % 64)), std::memory_order_seq_cst);
  SetStarving(queue, false);
}

void Doorbells::Detach(uint32_t queue) {
  doors_[queue].slot.store(-1, std::memory_order_seq_cst);
}

void Doorbells::SetStarving(uint32_t queue, bool on) {
  if (doors_[queue].starving.exchange(on, std::memory_order_seq_cst) != on) starving_.fetch_add(on ? 1 : -1);
}

void Doorbells::Mark(uint32_t queue) {
  SetStarving(queue, true);
  marks_[queue / 64].fetch_or(1ull << (queue % 64), std::memory_order_seq_cst);
}

void Doorbells::SetDead(uint32_t queue, bool dead) {
  doors_[queue].dead.store(dead, std::memory_order_seq_cst);
  if (!dead) return;
  marks_[queue / 64].fetch_and(~(1ull << (queue % 64)), std::memory_order_seq_cst);
  SetStarving(queue, false);
}

uint32_t Doorbells::NextMarked() {
  for (uint32_t i = 0; i < marks_.size(); ++i) {
    uint64_t word = marks_[i].load(std::memory_order_seq_cst);
    if (!word) continue;
    auto bit = static_cast<uint32_t>(std::countr_zero(word));
    marks_[i].fetch_and(~(1ull << bit), std::memory_order_seq_cst);
    return i * 64 + bit + 1;
  }
  return 0;
}

void Doorbells::Clear(uint32_t queue) {
  doors_[queue].wptr.store(0, std::memory_order_seq_cst);
  marks_[queue / 64].fetch_and(~(1ull << (queue % 64)), std::memory_order_seq_cst);
  SetStarving(queue, false);
}

}  // namespace npu::model
