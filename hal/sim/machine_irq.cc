// SPDX-License-Identifier: Apache-2.0
//
// Interrupts of the simulated device, and who they wake.  The callbacks run in the model's threads, without its locks.
#include <unistd.h>

#include <atomic>

#include "sim/machine.hpp"

namespace npu::hal::sim {

uint64_t Line::count() const {
  std::lock_guard lock(mutex_);
  return count_;
}

void Line::Raise() {
  {
    std::lock_guard lock(mutex_);
    count_++;
  }
  changed_.notify_all();
}

void Line::Wait(uint64_t seen, Clock::time_point until) {
  std::unique_lock lock(mutex_);
  auto moved = [&] { return count_ != seen; };
  if (until == Clock::time_point::max()) {
    changed_.wait(lock, moved);
  } else {
    changed_.wait_until(lock, until, moved);
  }
}

void Machine::OnInterrupt(unsigned vector) {
  if (vector >= NPU_NUM_VECTORS) return;
  if (vector == NPU_IRQ_ADMIN || vector == NPU_IRQ_ERROR) {
    uint32_t mine = vector == NPU_IRQ_ADMIN ? NPU_EVENT_ADMIN_BITS : NPU_EVENT_ERROR_BITS;
    uint32_t events = static_cast<uint32_t>(Read32(NPU_REG_EVENTS)) & mine;
    Write32(NPU_REG_EVENTS, events);
    if (events & NPU_EVENT_FAULT) OnError();
    if (events & NPU_EVENT_FW_STATE) WakeAll();
  }
  lines_[vector].Raise();
}

// A fault record was written: tell the context that it belongs to, and let everybody who waits look at his queue.
void Machine::OnError() {
  {
    std::lock_guard lock(numbers_mutex_);
    for (FaultListener& listener : listeners_) {
      if (!listener.ring) continue;
      // The device stores both counters; they only grow.
      auto& ring = const_cast<npu_fault_ring&>(*listener.ring);
      uint64_t now = std::atomic_ref<uint64_t>(ring.written).load(std::memory_order_acquire) +
                     std::atomic_ref<uint64_t>(ring.dropped).load(std::memory_order_acquire);
      if (now == listener.seen) continue;
      listener.seen = now;
      uint64_t one = 1;
      // A full eventfd counter is readable already, which is all the listener needs.
      [[maybe_unused]] ssize_t n = write(listener.fd, &one, sizeof(one));
    }
  }
  WakeAll();
}

void Machine::WakeAll() {
  for (Line& line : lines_) line.Raise();
}

}  // namespace npu::hal::sim
