// SPDX-License-Identifier: Apache-2.0
//
// Submission and waiting.  What happens when the device stops the queue is in stream_error.cc.
#include "stream.hpp"

#include <cerrno>
#include <cstring>

#include "context.hpp"

namespace npu::rt {
namespace {

constexpr uint32_t kRingLog2 = 10;
constexpr uint64_t kArgsBytes = 128 << 10;
// A launch's round trip is shorter than going to sleep and waking, so a waiter looks for a moment first.
constexpr uint32_t kSpinMinNs = 2000, kSpinMaxNs = 20000;

void Relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace

Status Stream::Create(std::shared_ptr<Context> context, uint32_t priority, std::shared_ptr<Stream>* out) {
  std::shared_ptr<Stream> stream(new Stream(std::move(context), priority));
  stream->spin_ns_ = kSpinMaxNs;
  NPU_TRY(stream->context_->fences().Take(&stream->fence_));
  stream->base_ = stream->fence_->value();
  // Priorities need rights, and it is the creation that should say so.
  if (priority > 1) {
    std::lock_guard lock(stream->mutex_);
    NPU_TRY(stream->EnsureQueue());
  }
  NPU_TRY(stream->context_->AddStream(stream));
  *out = std::move(stream);
  return {};
}

Stream::~Stream() {
  (void)Close(false);
}

std::shared_ptr<hal::Queue> Stream::queue() const {
  std::lock_guard lock(queue_mutex_);
  return queue_;
}

uint32_t Stream::queue_id() {
  std::shared_ptr<hal::Queue> q = queue();
  return q ? q->id() : UINT32_MAX;
}

Status Stream::EnsureQueue() {
  if (closed_) return npu::rt::Fail(npuErrorInvalidHandle, "the stream was destroyed");
  if (queue_) return {};
  auto made = context_->device().CreateQueue(kRingLog2, priority_, 0);
  if (!made) return FromHal(made.error(), "cannot make a queue for the stream");
  std::lock_guard lock(queue_mutex_);
  queue_ = std::move(*made);
  return {};
}

// What every submission does first: the stream must be whole.
Status Stream::Prepare() {
  NPU_TRY(EnsureQueue());
  if (error_.ok() && hal::LoadShared(queue_->status()->state) != NPU_QUEUE_OK) CheckFaultLocked();
  return error_;
}

// The ring holds ring_packets packets that have not ended.
Status Stream::MakeRoom() {
  uint64_t size = queue_->ring_packets();
  if (wptr_ < size) return {};
  uint64_t needed = base_ + wptr_ - size + 1;
  if (fence_->value() >= needed) return {};
  return WaitLocked(needed);
}

void Stream::Write(npu_packet& packet) {
  packet.flags |= NPU_PKT_F_SIGNAL;
  packet.tag = static_cast<uint32_t>(wptr_);
  packet.signal_addr = fence_->pointer();
  packet.signal_value = base_ + wptr_ + 1;
  std::memcpy(queue_->ring() + wptr_ % queue_->ring_packets(), &packet, sizeof(packet));
  wptr_++;
  packets_.fetch_add(1, std::memory_order_relaxed);
  if (batch_ == 0) Ring();
}

void Stream::Ring() {
  if (rung_ == wptr_ || !queue_) return;
  queue_->Doorbell(wptr_);
  rung_ = wptr_;
  doorbells_.fetch_add(1, std::memory_order_relaxed);
}

Status Stream::Submit(npu_packet& packet, uint64_t* value) {
  std::lock_guard lock(mutex_);
  NPU_TRY(Prepare());
  NPU_TRY(MakeRoom());
  Write(packet);
  if (value) *value = base_ + wptr_;
  return {};
}

Status Stream::TakeArgs(uint64_t bytes, uint64_t* offset) {
  if (args_.empty()) {
    AllocationRef ring;
    NPU_TRY(context_->memory().Allocate(hal::Memory::kDevice, kArgsBytes, NPU_BOUNDS_READ, Owner::kInternal,
                                        "(runtime: kernel arguments)", &ring));
    args_.Adopt(std::move(ring));
  }
  args_.Reclaim([&](uint64_t value) { return fence_->value() >= value; });
  while (!args_.Take(bytes, offset)) {
    NPU_TRY(WaitLocked(args_.Oldest()));
    args_.Reclaim([&](uint64_t value) { return fence_->value() >= value; });
  }
  return {};
}

Status Stream::SubmitLaunch(npu_packet& packet, const void* args, size_t bytes) {
  std::lock_guard lock(mutex_);
  NPU_TRY(Prepare());
  NPU_TRY(MakeRoom());
  uint64_t whole = (bytes + 7) / 8 * 8;
  uint64_t offset = 0;
  // Also a launch without arguments gets a valid pointer.
  NPU_TRY(TakeArgs((whole + 63) / 64 * 64 + (whole == 0 ? 64 : 0), &offset));
  char* copy = args_.HostAt(offset);
  if (bytes) std::memcpy(copy, args, bytes);
  std::memset(copy + bytes, 0, whole - bytes);
  packet.u.launch.args = args_.PointerAt(offset);
  packet.u.launch.args_bytes = static_cast<uint32_t>(whole);
  args_.Fence(base_ + wptr_ + 1);
  Write(packet);
  return {};
}

Status Stream::SubmitWait(std::shared_ptr<FenceSlot> fence, uint64_t value) {
  std::lock_guard lock(mutex_);
  NPU_TRY(Prepare());
  NPU_TRY(MakeRoom());
  // The order of the two looks matters: a failing stream notes the failure before it closes the pointer.
  uint64_t pointer = fence->pointer();
  FenceState state = fence->State(value, nullptr);
  if (state == FenceState::kReached) return {};
  npu_packet packet = {};
  packet.type = NPU_PKT_WAIT;
  // The null pointer stops this stream in its turn, but not before the work that it has already.
  packet.u.wait.addr = state == FenceState::kFailed ? 0 : pointer;
  packet.u.wait.value = value;
  packet.u.wait.cond = NPU_WAIT_GE;
  while (!waits_.empty() && fence_->value() > base_ + waits_.front().packet) waits_.pop_front();
  waits_.push_back({wptr_, std::move(fence), value});
  Write(packet);
  return {};
}

void Stream::BatchBegin() {
  std::lock_guard lock(mutex_);
  batch_++;
}

Status Stream::BatchEnd() {
  std::lock_guard lock(mutex_);
  if (batch_ == 0) return npu::rt::Fail(npuErrorInvalidValue, "no batch is open on the stream");
  if (--batch_ == 0) Ring();
  return {};
}

bool Stream::Spin(uint64_t value) {
  uint32_t budget = spin_ns_.load(std::memory_order_relaxed);
  auto end = hal::Clock::now() + std::chrono::nanoseconds(budget);
  do {
    for (int i = 0; i < 16; i++) {
      if (fence_->value() >= value) {
        spin_ns_.store(std::min(kSpinMaxNs, budget * 2), std::memory_order_relaxed);
        return true;
      }
      Relax();
    }
  } while (hal::Clock::now() < end);
  // Long work: the next waiter goes to sleep sooner.
  spin_ns_.store(std::max(kSpinMinNs, budget / 2), std::memory_order_relaxed);
  return false;
}

hal::Error Stream::Sleep(uint64_t value, hal::Clock::time_point deadline) {
  if (fence_->value() >= value || Spin(value)) return {};
  sleeps_.fetch_add(1, std::memory_order_relaxed);
  std::shared_ptr<hal::Queue> q = queue();
  return context_->device().Wait(fence_->page(), fence_->offset(), value, NPU_WAIT_GE, deadline, q.get());
}

// The caller holds mutex_: for waits that a submission cannot do without.
Status Stream::WaitLocked(uint64_t value) {
  Ring();
  for (;;) {
    Status result;
    if (fence_->Ended(value, &result)) return result;
    hal::Error e = Sleep(value, hal::Clock::time_point::max());
    if (e.code == EIO) {
      CheckFaultLocked();
      if (!error_.ok()) return error_;
    } else if (e && e.code != ETIME) {
      return FromHal(e, "waiting for the stream");
    }
  }
}

Status Stream::WaitFor(uint64_t value, hal::Clock::time_point deadline) {
  {
    std::lock_guard lock(mutex_);
    Ring();
  }
  for (;;) {
    Status result;
    if (fence_->Ended(value, &result)) return result;
    hal::Error e = Sleep(value, deadline);
    if (e.code == ETIME) {
      // The last look decides, as it may have come or failed at the same moment.
      if (!fence_->Ended(value)) return npu::rt::Fail(npuErrorNotReady, "work is still under way at the deadline");
    } else if (e.code == EIO) {
      CheckFault();
    } else if (e) {
      return FromHal(e, "waiting for the stream");
    }
  }
}

Status Stream::Synchronize(hal::Clock::time_point deadline) {
  uint64_t target;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return npu::rt::Fail(npuErrorInvalidHandle, "the stream was destroyed");
    if (!error_.ok()) return error_;
    target = base_ + wptr_;
    if (target == forgotten_) return {};  // nothing since Reset, which left nothing under way
  }
  NPU_TRY(WaitFor(target, deadline));
  context_->memory().Collect();
  return {};
}

Status Stream::Query() {
  CheckFault();
  std::lock_guard lock(mutex_);
  if (!error_.ok()) return error_;
  Ring();
  if (fence_->value() >= base_ + wptr_) return {};
  return npu::rt::Fail(npuErrorNotReady, "work is still under way");
}

uint64_t Stream::Last() {
  std::lock_guard lock(mutex_);
  return base_ + wptr_;
}

Status Stream::Counters(npu_counters* counters) {
  std::shared_ptr<hal::Queue> q = queue();
  std::memset(counters, 0, sizeof(*counters));
  if (!q) return {};
  const volatile npu_queue_status* status = q->status();
  const volatile uint64_t* from = reinterpret_cast<const volatile uint64_t*>(&status->counters);
  uint64_t* to = reinterpret_cast<uint64_t*>(counters);
  // The device updates them packet by packet: a read index that has not moved means that they belong together.
  uint64_t before, after;
  do {
    before = hal::LoadShared(status->rptr);
    for (size_t i = 0; i < sizeof(*counters) / 8; i++) to[i] = hal::LoadShared(from[i]);
    after = hal::LoadShared(status->rptr);
  } while (before != after);
  return {};
}

void Stream::Statistics(uint64_t* packets, uint64_t* doorbells, uint64_t* waits) const {
  if (packets) *packets = packets_.load(std::memory_order_relaxed);
  if (doorbells) *doorbells = doorbells_.load(std::memory_order_relaxed);
  if (waits) *waits = sleeps_.load(std::memory_order_relaxed);
}

}  // namespace npu::rt
