// SPDX-License-Identifier: Apache-2.0
#include "registry.hpp"

namespace npu::rt {
namespace {

template <class Work>
npuError_t With(npuEvent_t handle, Work work) {
  return Guard([&]() -> Status {
    std::shared_ptr<Event> event;
    NPU_TRY(Registry::Get().Find(handle, &event));
    return work(*event);
  });
}

Status Times(npuEvent_t start, npuEvent_t end, bool same_stream, npu_timestamp* from, npu_timestamp* to) {
  std::shared_ptr<Event> a, b;
  NPU_TRY(Registry::Get().Find(start, &a));
  NPU_TRY(Registry::Get().Find(end, &b));
  return ReadTimes(*a, *b, from, to, same_stream);
}

}  // namespace
}  // namespace npu::rt

using namespace npu::rt;

npuError_t npuEventCreate(npuEvent_t* event) {
  return Guard([&]() -> Status {
    if (!event) return Fail(npuErrorInvalidValue, "event is NULL");
    std::shared_ptr<Context> context;
    NPU_TRY(Registry::Get().Current(&context));
    *event = Registry::Get().events.Add(std::make_shared<Event>(context));
    return {};
  });
}

npuError_t npuEventDestroy(npuEvent_t event) {
  return Guard([&]() -> Status {
    if (Registry::Get().events.Remove(event)) return {};
    return Fail(npuErrorInvalidHandle, "{} is no event (any more)", static_cast<void*>(event));
  });
}

npuError_t npuEventRecord(npuEvent_t event, npuStream_t stream) {
  return With(event, [&](Event& e) -> Status {
    std::shared_ptr<Stream> s;
    NPU_TRY(Registry::Get().Find(stream, &s));
    return e.RecordIn(s);
  });
}

npuError_t npuEventSynchronize(npuEvent_t event) {
  return With(event, [](Event& e) { return e.Synchronize(); });
}

npuError_t npuEventQuery(npuEvent_t event) {
  return With(event, [](Event& e) { return e.Query(); });
}

npuError_t npuEventElapsedTime(float* milliseconds, npuEvent_t start, npuEvent_t end) {
  return Guard([&]() -> Status {
    if (!milliseconds) return Fail(npuErrorInvalidValue, "milliseconds is NULL");
    npu_timestamp from, to;
    NPU_TRY(Times(start, end, false, &from, &to));
    *milliseconds = static_cast<float>(static_cast<double>(static_cast<int64_t>(to.time_ns - from.time_ns)) * 1e-6);
    return {};
  });
}

npuError_t npuEventElapsedCycles(uint64_t* cycles, npuEvent_t start, npuEvent_t end) {
  return Guard([&]() -> Status {
    if (!cycles) return Fail(npuErrorInvalidValue, "cycles is NULL");
    npu_timestamp from, to;
    NPU_TRY(Times(start, end, true, &from, &to));
    *cycles = to.queue_cycles - from.queue_cycles;
    return {};
  });
}
