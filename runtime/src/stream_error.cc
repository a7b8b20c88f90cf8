// SPDX-License-Identifier: Apache-2.0
//
// A stream whose queue the device has stopped: finding out why, telling the streams that wait for it, and starting
// again.
//
// The failing stream's timeline is closed: its buffer number is taken back.  A wait packet of another stream that names
// it is then refused by the device, and that stream stops in its turn, exactly at the packet: its work before the wait
// has run, its work behind it has not.  When such a wait was for a point that had been reached before the failure, it
// is harmless: HealWait finishes it on the device's behalf and the stream goes on.
#include <cerrno>

#include "context.hpp"
#include "fault_text.hpp"
#include "npu_admin.h"
#include "stream.hpp"

namespace npu::rt {

void Stream::Kick() {
  if (std::shared_ptr<hal::Queue> q = queue()) q->Kick();
}

void Stream::CheckFault() {
  std::shared_ptr<hal::Queue> q = queue();
  if (!q || hal::LoadShared(q->status()->state) == NPU_QUEUE_OK) return;
  std::lock_guard lock(mutex_);
  CheckFaultLocked();
}

void Stream::CheckFaultLocked() {
  if (!queue_ || !error_.ok()) return;
  const volatile npu_queue_status* status = queue_->status();
  uint32_t state = hal::LoadShared(status->state);
  if (state == NPU_QUEUE_OK) return;
  std::atomic_thread_fence(std::memory_order_acquire);
  uint64_t packet = hal::LoadShared(status->rptr);
  if (state == NPU_QUEUE_FAULTED && HealWait(*queue_, packet)) return;
  Status why;
  if (state == NPU_QUEUE_DEAD) {
    why = npu::rt::Fail(npuErrorDeviceLost, "the stream's queue {} is lost with the device", queue_->id());
  } else {
    why = FaultStatus(*queue_, packet);
  }
  Fail(base_ + packet, why);
}

// True: the queue stood at a wait packet of ours that was satisfied in truth, and goes on behind it.
bool Stream::HealWait(hal::Queue& queue, uint64_t packet) {
  while (!waits_.empty() && waits_.front().packet < packet) waits_.pop_front();
  if (waits_.empty() || waits_.front().packet != packet) return false;
  if (waits_.front().fence->State(waits_.front().value, nullptr) != FenceState::kReached) return false;
  context_->faults().Drain();
  // The skipped packet's own signal is not stored by the device.  The queue stands, so nobody else writes the word.
  fence_->Store(base_ + packet + 1);
  waits_.pop_front();
  if (queue.Resume(NPU_RESUME_SKIP)) return false;
  context_->KickOthers(this);
  return true;
}

Status Stream::FaultStatus(hal::Queue& queue, uint64_t packet) {
  context_->faults().Drain();
  if (!waits_.empty() && waits_.front().packet == packet) {
    Status upstream;
    if (waits_.front().fence->State(waits_.front().value, &upstream) == FenceState::kFailed) {
      return npu::rt::Fail(npuErrorUpstream, "packet {} waited for an event whose stream failed: {}", packet,
                           upstream.message);
    }
  }
  uint32_t kind = hal::LoadShared(queue.status()->error);
  npuFault fault;
  if (context_->faults().Find(hal::LoadShared(queue.status()->fault_seq), queue.id(), &fault)) {
    return Status{fault.error, FaultSentence(fault)};
  }
  return npu::rt::Fail(FaultError(kind), "packet {} of queue {}: {} (its record was dropped: the fault ring was full)",
                       packet, queue.id(), FaultKindText(kind));
}

// Caller holds mutex_.  reached: the last point of the timeline that the work got to.
void Stream::Fail(uint64_t reached, const Status& why) {
  error_ = why;
  fence_->Fail(reached, why);
  context_->KickOthers(this);
}

Status Stream::Error() {
  CheckFault();
  std::lock_guard lock(mutex_);
  return error_;
}

Status Stream::Reset() {
  CheckFault();
  std::lock_guard lock(mutex_);
  if (closed_) return npu::rt::Fail(npuErrorInvalidHandle, "the stream was destroyed");
  if (error_.ok()) return {};
  if (queue_) {
    Ring();  // so that the flush takes what a batch has not published yet
    uint32_t state = hal::LoadShared(queue_->status()->state);
    if (state == NPU_QUEUE_DEAD) {
      std::lock_guard guard(queue_mutex_);
      queue_.reset();
    } else if (state == NPU_QUEUE_FAULTED) {
      if (hal::Error e = queue_->Resume(NPU_RESUME_FLUSH)) return FromHal(e, "cannot reset the stream");
    }
  }
  fence_->Mend(base_ + wptr_);
  fence_->Store(base_ + wptr_);
  forgotten_ = base_ + wptr_;
  if (!queue_) {
    base_ += wptr_;
    wptr_ = rung_ = 0;
  }
  NPU_TRY(fence_->Open());
  waits_.clear();
  args_.Clear();
  error_ = {};
  return {};
}

Status Stream::Close(bool wait) {
  Status result;
  if (wait) result = Synchronize();
  std::lock_guard lock(mutex_);
  if (closed_) return result;
  closed_ = true;
  bool ran = queue_ != nullptr;
  {
    std::lock_guard guard(queue_mutex_);
    queue_.reset();
  }
  if (!fence_) return result;
  // Work that was killed never came; whoever waits for it learns it.
  if (ran && fence_->State(base_ + wptr_, nullptr) == FenceState::kPending) {
    fence_->Fail(fence_->value(), npu::rt::Fail(npuErrorUpstream, "the stream was destroyed with work in it"));
    context_->KickOthers(this);
  }
  fence_->Mend(base_ + wptr_);
  fence_->Store(base_ + wptr_);
  if (!args_.empty()) context_->memory().Release(args_.allocation());
  if (!staging.empty()) context_->memory().Release(staging.allocation());
  return result;
}

}  // namespace npu::rt
