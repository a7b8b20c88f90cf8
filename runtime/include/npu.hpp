// SPDX-License-Identifier: Apache-2.0
//
// libnpu for C++: owners for the handles of npu.h, and exceptions instead of codes.  Header only.
//
// Owners are movable, not copyable; a moved-from owner may only be destroyed or assigned to.  Thread safety, ordering
// and errors are those of the C functions.  Destructors never throw: an error found there stays the thread's last
// error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "npu.h"

namespace npu {

// A failed call: its code, and as what() its sentence.
class Exception : public std::runtime_error {
 public:
  Exception(npuError_t code, const std::string& message) : std::runtime_error(message), code_(code) {}
  npuError_t code() const { return code_; }

 private:
  npuError_t code_;
};

// Throws Exception for every code but npuSuccess.
inline void Check(npuError_t code) {
  if (code == npuSuccess) return;
  std::string message = npuGetErrorName(code);
  const char* sentence = code == npuErrorNotReady ? npuGetErrorString(code) : npuGetLastErrorMessage();
  throw Exception(code, message + ": " + sentence);
}

class Event {
 public:
  Event() { Check(npuEventCreate(&handle_)); }
  ~Event() {
    if (handle_) npuEventDestroy(handle_);
  }
  Event(Event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  npuEvent_t get() const { return handle_; }
  void Synchronize() const { Check(npuEventSynchronize(handle_)); }
  // False while it is under way; throws when it will never come.
  bool Ready() const {
    npuError_t e = npuEventQuery(handle_);
    if (e != npuErrorNotReady) Check(e);
    return e == npuSuccess;
  }

 private:
  npuEvent_t handle_ = nullptr;
};

inline float ElapsedMilliseconds(const Event& start, const Event& end) {
  float ms = 0;
  Check(npuEventElapsedTime(&ms, start.get(), end.get()));
  return ms;
}

class Stream {
 public:
  // 0 normal, 1 low, -1 high, -2 realtime.
  explicit Stream(int priority = 0) { Check(npuStreamCreateWithPriority(&handle_, 0, priority)); }
  ~Stream() {
    if (handle_) npuStreamDestroy(handle_);
  }
  Stream(Stream&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  npuStream_t get() const { return handle_; }
  void Synchronize() const { Check(npuStreamSynchronize(handle_)); }
  bool Ready() const {
    npuError_t e = npuStreamQuery(handle_);
    if (e != npuErrorNotReady) Check(e);
    return e == npuSuccess;
  }
  void Record(Event& event) const { Check(npuEventRecord(event.get(), handle_)); }
  void Wait(const Event& event) const { Check(npuStreamWaitEvent(handle_, event.get())); }
  void Reset() const { Check(npuStreamReset(handle_)); }
  npuCounters Counters() const {
    npuCounters counters;
    Check(npuStreamGetCounters(handle_, &counters));
    return counters;
  }

 private:
  npuStream_t handle_ = nullptr;
};

// Packets submitted during its life become visible to the device together.
class Batch {
 public:
  explicit Batch(npuStream_t stream) : stream_(stream) { Check(npuStreamBatchBegin(stream_)); }
  ~Batch() { npuStreamBatchEnd(stream_); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

 private:
  npuStream_t stream_;
};

// What device and pinned host memory have in common: one owner, count elements, freed with `free`.
template <class T, npuError_t (*free)(void*)>
class Elements {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Elements() = default;
  Elements(Elements&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  Elements& operator=(Elements&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~Elements() {
    if (data_) free(data_);
  }
  size_t size() const { return count_; }
  size_t bytes() const { return count_ * sizeof(T); }

 protected:
  // allocate(&pointer, bytes) gives the memory.
  template <class Allocate>
  Elements(size_t count, Allocate allocate) : count_(count) {
    if (count > SIZE_MAX / sizeof(T)) throw Exception(npuErrorInvalidValue, "the size of a buffer overflows");
    void* p = nullptr;
    Check(allocate(&p, count * sizeof(T)));
    data_ = static_cast<T*>(p);
  }
  T* data_ = nullptr;
  size_t count_ = 0;
};

// Device memory for count elements.
template <class T>
class Buffer : public Elements<T, npuFree> {
  using Base = Elements<T, npuFree>;

 public:
  Buffer() = default;
  explicit Buffer(size_t count, const char* name = nullptr)
      : Base(count, [name](void** p, size_t bytes) { return npuMallocNamed(p, bytes, name); }) {}
  // A device pointer: never dereference it on the host.
  T* data() const { return Base::data_; }
  // The first `count` elements; both wait until the bytes are there.
  void Upload(const T* from, size_t count) const {
    Check(npuMemcpy(data(), from, count * sizeof(T), npuMemcpyHostToDevice));
  }
  void Upload(const std::vector<T>& from) const { Upload(from.data(), from.size()); }
  void Download(T* to, size_t count) const { Check(npuMemcpy(to, data(), count * sizeof(T), npuMemcpyDeviceToHost)); }
  std::vector<T> Download() const {
    std::vector<T> to(Base::count_);
    Download(to.data(), Base::count_);
    return to;
  }
};

// Pinned host memory for count elements.
template <class T>
class HostBuffer : public Elements<T, npuFreeHost> {
  using Base = Elements<T, npuFreeHost>;

 public:
  HostBuffer() = default;
  explicit HostBuffer(size_t count) : Base(count, npuMallocHost) {}
  T* data() const { return Base::data_; }
  T& operator[](size_t i) const { return Base::data_[i]; }
  T* begin() const { return Base::data_; }
  T* end() const { return Base::data_ + Base::count_; }
};

class Module {
 public:
  explicit Module(const std::string& file) { Check(npuModuleLoad(&handle_, file.c_str())); }
  ~Module() {
    if (handle_) npuModuleUnload(handle_);
  }
  Module(Module&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Module& operator=(Module&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  npuModule_t get() const { return handle_; }
  // Valid as long as the module.
  npuFunction_t Function(const std::string& name) const {
    npuFunction_t function = nullptr;
    Check(npuModuleGetFunction(&function, handle_, name.c_str()));
    return function;
  }

 private:
  npuModule_t handle_ = nullptr;
};

// args is copied; its layout must be that of the kernel's argument struct.
template <class Args>
void Launch(npuFunction_t function, npuDim3 grid, const Args& args, npuStream_t stream) {
  static_assert(std::is_trivially_copyable_v<Args>);
  Check(npuLaunchKernel(function, grid, &args, sizeof(args), stream));
}

}  // namespace npu
