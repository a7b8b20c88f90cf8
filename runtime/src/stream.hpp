// SPDX-License-Identifier: Apache-2.0
//
// A stream: one hal queue, its timeline, and what it takes to fill the ring.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "fence.hpp"
#include "fenced_ring.hpp"
#include "hal/hal.hpp"
#include "npu_packet.h"
#include "status.hpp"

namespace npu::rt {

class Context;

// Packet n of the queue (from 0) moves the timeline to base + n + 1, so every packet is a point that can be waited for.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  // priority: of the hal, 0 low .. 3 realtime.
  static Status Create(std::shared_ptr<Context> context, uint32_t priority, std::shared_ptr<Stream>* out);
  ~Stream();

  // Puts a packet into the ring and rings, unless a batch is open.  *value: its point on the timeline.
  Status Submit(npu_packet& packet, uint64_t* value);
  // The same for a launch, with a copy of args.
  Status SubmitLaunch(npu_packet& packet, const void* args, size_t bytes);
  // The same for a wait for a point of another stream's timeline.
  Status SubmitWait(std::shared_ptr<FenceSlot> fence, uint64_t value);
  void BatchBegin();
  Status BatchEnd();

  // Waits for a point of this timeline; NotReady at the deadline.  Rings what is not published.
  Status WaitFor(uint64_t value, hal::Clock::time_point deadline);
  Status Synchronize(hal::Clock::time_point deadline = hal::Clock::time_point::max());
  Status Query();
  // The point behind all work given so far.
  uint64_t Last();

  // Looks whether the queue has stopped, and does what must be done then (stream_error.cc).
  void CheckFault();
  void Kick();
  Status Error();
  Status Reset();
  // Ends the queue; the stream cannot be used any more.  wait: for the work first.
  Status Close(bool wait);

  Status Counters(npu_counters* counters);
  void Statistics(uint64_t* packets, uint64_t* doorbells, uint64_t* waits) const;
  // The queue's number, or UINT32_MAX while there is none.
  uint32_t queue_id();
  const std::shared_ptr<FenceSlot>& fence() const { return fence_; }
  Context& context() const { return *context_; }
  const std::shared_ptr<Context>& context_ref() const { return context_; }

  // Room for copies from and to pageable memory.  The holder of staging_mutex uses staging.
  std::mutex staging_mutex;
  FencedRing staging;

  std::atomic<npuStream_t> handle{nullptr};  // for reports; set once

 private:
  struct PendingWait {
    uint64_t packet;
    std::shared_ptr<FenceSlot> fence;
    uint64_t value;
  };

  Stream(std::shared_ptr<Context> context, uint32_t priority) : context_(std::move(context)), priority_(priority) {}
  std::shared_ptr<hal::Queue> queue() const;
  Status Prepare();
  Status EnsureQueue();
  Status MakeRoom();
  Status TakeArgs(uint64_t bytes, uint64_t* offset);
  void Write(npu_packet& packet);
  void Ring();
  Status WaitLocked(uint64_t value);
  // Waits without touching the stream's lock; EIO means that the queue has stopped.
  hal::Error Sleep(uint64_t value, hal::Clock::time_point deadline);
  bool Spin(uint64_t value);
  void CheckFaultLocked();
  bool HealWait(hal::Queue& queue, uint64_t packet);
  Status FaultStatus(hal::Queue& queue, uint64_t packet);
  void Fail(uint64_t reached, const Status& why);

  const std::shared_ptr<Context> context_;
  const uint32_t priority_;
  std::shared_ptr<FenceSlot> fence_;  // set at creation

  mutable std::mutex
      queue_mutex_;  // guards queue_ alone, so that others can kick a stream that waits with its lock held
  std::shared_ptr<hal::Queue> queue_;

  std::mutex mutex_;  // guards all below; the ring's producer holds it
  bool closed_ = false;
  uint64_t base_ = 0, wptr_ = 0, rung_ = 0;
  uint32_t batch_ = 0;
  Status error_;
  // Points of the timeline up to here belong to before the last Reset: nobody waits for them in this stream any more.
  uint64_t forgotten_ = 0;
  FencedRing args_;
  std::deque<PendingWait> waits_;

  // Written under mutex_ or by waiters; read by anybody.
  std::atomic<uint64_t> doorbells_{0}, sleeps_{0}, packets_{0};
  std::atomic<uint32_t> spin_ns_;
};

}  // namespace npu::rt
