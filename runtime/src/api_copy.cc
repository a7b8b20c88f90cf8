// SPDX-License-Identifier: Apache-2.0
#include "copy.hpp"
#include "registry.hpp"

namespace npu::rt {
namespace {

enum class Then { kReturn, kWait };

template <class Work>
npuError_t InStream(npuStream_t handle, Then then, Work work) {
  return Guard([&]() -> Status {
    std::shared_ptr<Stream> stream;
    NPU_TRY(Registry::Get().Find(handle, &stream));
    NPU_TRY(work(*stream));
    return then == Then::kWait ? stream->Synchronize() : Status{};
  });
}

}  // namespace
}  // namespace npu::rt

using namespace npu::rt;

npuError_t npuMemcpy(void* dst, const void* src, size_t bytes, npuMemcpyKind kind) {
  CopyJob job{dst, 0, src, 0, bytes, 1, kind};
  return InStream(nullptr, Then::kWait, [&](Stream& s) { return Copy(s, job); });
}

npuError_t npuMemcpyAsync(void* dst, const void* src, size_t bytes, npuMemcpyKind kind, npuStream_t stream) {
  CopyJob job{dst, 0, src, 0, bytes, 1, kind};
  return InStream(stream, Then::kReturn, [&](Stream& s) { return Copy(s, job); });
}

npuError_t npuMemcpy2D(void* dst, size_t dst_pitch, const void* src, size_t src_pitch, size_t width, size_t height,
                       npuMemcpyKind kind) {
  CopyJob job{dst, dst_pitch, src, src_pitch, width, height, kind};
  return InStream(nullptr, Then::kWait, [&](Stream& s) { return Copy(s, job); });
}

npuError_t npuMemcpy2DAsync(void* dst, size_t dst_pitch, const void* src, size_t src_pitch, size_t width, size_t height,
                            npuMemcpyKind kind, npuStream_t stream) {
  CopyJob job{dst, dst_pitch, src, src_pitch, width, height, kind};
  return InStream(stream, Then::kReturn, [&](Stream& s) { return Copy(s, job); });
}

npuError_t npuMemset(void* ptr, int value, size_t bytes) {
  return InStream(nullptr, Then::kWait, [&](Stream& s) { return Fill(s, ptr, static_cast<uint8_t>(value), 1, bytes); });
}

npuError_t npuMemsetAsync(void* ptr, int value, size_t bytes, npuStream_t stream) {
  return InStream(stream, Then::kReturn,
                  [&](Stream& s) { return Fill(s, ptr, static_cast<uint8_t>(value), 1, bytes); });
}

npuError_t npuMemsetD32Async(void* ptr, uint32_t value, size_t count, npuStream_t stream) {
  return InStream(stream, Then::kReturn, [&](Stream& s) -> Status {
    if (count > SIZE_MAX / 4) return Fail(npuErrorInvalidValue, "{} words overflow", count);
    return Fill(s, ptr, value, 4, uint64_t{count} * 4);
  });
}
