// SPDX-License-Identifier: Apache-2.0
#include "event.hpp"

namespace npu::rt {

Record::~Record() {
  if (fence) stream->context().timestamps().Return(time, fence, value);
}

Status Event::RecordIn(const std::shared_ptr<Stream>& stream) {
  if (&stream->context() != context_.get()) {
    return Fail(npuErrorInvalidHandle, "event and stream are of different devices ({} and {})", context_->index(),
                stream->context().index());
  }
  auto record = std::make_shared<Record>();
  record->stream = stream;
  Timestamp time;
  NPU_TRY(context_->timestamps().Take(&time));
  npu_packet packet = {};
  packet.type = NPU_PKT_TIMESTAMP;
  packet.u.timestamp.addr = time.pointer;
  Status s = stream->Submit(packet, &record->value);
  if (!s.ok()) {
    context_->timestamps().Return(time, stream->fence(), 0);
    return s;
  }
  record->time = time;
  record->fence = stream->fence();
  std::lock_guard lock(mutex_);
  last_ = std::move(record);
  return {};
}

std::shared_ptr<Record> Event::Last() const {
  std::lock_guard lock(mutex_);
  return last_;
}

Status Event::Synchronize() const {
  std::shared_ptr<Record> record = Last();
  return record ? record->stream->WaitFor(record->value, hal::Clock::time_point::max()) : Status{};
}

Status Event::Query() const {
  std::shared_ptr<Record> record = Last();
  if (!record) return {};
  record->stream->CheckFault();
  Status why;
  switch (record->fence->State(record->value, &why)) {
    case FenceState::kReached:
      return {};
    case FenceState::kFailed:
      return why;
    default:
      return Fail(npuErrorNotReady, "the event is not reached yet");
  }
}

Status WaitEvent(Stream& stream, const Event& event) {
  std::shared_ptr<Record> record = event.Last();
  // A stream's own work is in order anyway.
  if (!record || record->stream.get() == &stream) return {};
  if (&event.context() != &stream.context()) {
    return Fail(npuErrorNotSupported,
                "stream and event are of different devices ({} and {}): wait with npuEventSynchronize",
                stream.context().index(), event.context().index());
  }
  return stream.SubmitWait(record->fence, record->value);
}

Status ReadTimes(const Event& start, const Event& end, npu_timestamp* from, npu_timestamp* to, bool same_stream) {
  std::shared_ptr<Record> a = start.Last(), b = end.Last();
  if (!a || !b) return Fail(npuErrorInvalidValue, "the {} event was never recorded", a ? "second" : "first");
  if (&start.context() != &end.context()) return Fail(npuErrorInvalidValue, "the events are of different devices");
  if (same_stream && a->stream != b->stream) {
    return Fail(npuErrorInvalidValue, "device cycles are counted per stream, but the events are of two streams");
  }
  NPU_TRY(start.Query());
  NPU_TRY(end.Query());
  *from = *a->time.host;
  *to = *b->time.host;
  return {};
}

}  // namespace npu::rt
