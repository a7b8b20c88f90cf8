// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "registry.hpp"

static_assert(sizeof(npuCounters) == sizeof(npu_counters));

namespace npu::rt {
namespace {

constexpr int kLeast = 1, kGreatest = -2;

Status CreateStream(npuStream_t* handle, uint32_t flags, int priority) {
  if (!handle) return Fail(npuErrorInvalidValue, "stream is NULL");
  if (flags) return Fail(npuErrorInvalidValue, "stream flags {:#x} do not exist", flags);
  if (priority > kLeast || priority < kGreatest) {
    return Fail(npuErrorInvalidValue, "stream priority {} is outside [{}, {}]", priority, kGreatest, kLeast);
  }
  std::shared_ptr<Context> context;
  NPU_TRY(Registry::Get().Current(&context));
  std::shared_ptr<Stream> stream;
  NPU_TRY(Stream::Create(context, static_cast<uint32_t>(1 - priority), &stream));
  *handle = Registry::Get().streams.Add(stream);
  stream->handle = *handle;
  return {};
}

template <class Work>
npuError_t With(npuStream_t handle, Work work) {
  return Guard([&]() -> Status {
    std::shared_ptr<Stream> stream;
    NPU_TRY(Registry::Get().Find(handle, &stream));
    return work(*stream);
  });
}

}  // namespace
}  // namespace npu::rt

using namespace npu::rt;

npuError_t npuStreamCreate(npuStream_t* stream) {
  return Guard([&] { return CreateStream(stream, 0, 0); });
}

npuError_t npuStreamCreateWithPriority(npuStream_t* stream, uint32_t flags, int priority) {
  return Guard([&] { return CreateStream(stream, flags, priority); });
}

npuError_t npuDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return Guard([&]() -> Status {
    if (least) *least = kLeast;
    if (greatest) *greatest = kGreatest;
    return {};
  });
}

npuError_t npuStreamDestroy(npuStream_t stream) {
  return Guard([&]() -> Status {
    if (!stream) return Fail(npuErrorInvalidHandle, "the default stream cannot be destroyed");
    std::shared_ptr<Stream> s = Registry::Get().streams.Remove(stream);
    if (!s) return Fail(npuErrorInvalidHandle, "{} is no stream (any more)", static_cast<void*>(stream));
    return s->Close(true);
  });
}

npuError_t npuStreamSynchronize(npuStream_t stream) {
  return With(stream, [](Stream& s) { return s.Synchronize(); });
}

npuError_t npuStreamSynchronizeFor(npuStream_t stream, uint32_t timeout_ms) {
  auto deadline = npu::hal::Clock::now() + std::chrono::milliseconds(timeout_ms);
  return With(stream, [&](Stream& s) { return s.Synchronize(deadline); });
}

npuError_t npuStreamQuery(npuStream_t stream) {
  return With(stream, [](Stream& s) { return s.Query(); });
}

npuError_t npuStreamWaitEvent(npuStream_t stream, npuEvent_t event) {
  return With(stream, [&](Stream& s) -> Status {
    std::shared_ptr<Event> e;
    NPU_TRY(Registry::Get().Find(event, &e));
    return WaitEvent(s, *e);
  });
}

npuError_t npuStreamGetError(npuStream_t stream, npuError_t* error) {
  return With(stream, [&](Stream& s) -> Status {
    if (!error) return Fail(npuErrorInvalidValue, "error is NULL");
    Status now = s.Error();
    *error = Finish(now);
    return {};
  });
}

npuError_t npuStreamReset(npuStream_t stream) {
  return With(stream, [](Stream& s) { return s.Reset(); });
}

npuError_t npuStreamGetCounters(npuStream_t stream, npuCounters* counters) {
  return With(stream, [&](Stream& s) -> Status {
    if (!counters) return Fail(npuErrorInvalidValue, "counters is NULL");
    npu_counters now;
    NPU_TRY(s.Counters(&now));
    std::memcpy(counters, &now, sizeof(now));
    return {};
  });
}

npuError_t npuStreamGetStatistics(npuStream_t stream, uint64_t* packets, uint64_t* doorbells, uint64_t* waits) {
  return With(stream, [&](Stream& s) -> Status {
    s.Statistics(packets, doorbells, waits);
    return {};
  });
}

npuError_t npuStreamBatchBegin(npuStream_t stream) {
  return With(stream, [](Stream& s) -> Status {
    s.BatchBegin();
    return {};
  });
}

npuError_t npuStreamBatchEnd(npuStream_t stream) {
  return With(stream, [](Stream& s) { return s.BatchEnd(); });
}
