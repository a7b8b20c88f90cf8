// SPDX-License-Identifier: Apache-2.0
//
// What the operators' suites share.  They run on the backend that NPU_BACKEND names (auto: the driver if it is there).
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}

#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "npu_ops.h"

#define CHECK_OPS(call) assert_true(OpsPassed((call), #call, __FILE__, __LINE__))
#define CHECK_NPU(call) assert_true(NpuPassed((call), #call, __FILE__, __LINE__))

inline bool Passed(npuError_t e, const char* sentence, const char* call, const char* file, int line) {
  if (e != npuSuccess) {
    std::fprintf(stderr, "%s:%d: %s: %s: %s\n", file, line, call, npuGetErrorName(e), sentence);
  }
  return e == npuSuccess;
}
inline bool OpsPassed(npuError_t e, const char* call, const char* file, int line) {
  return Passed(e, npuOpsGetLastErrorMessage(), call, file, line);
}
inline bool NpuPassed(npuError_t e, const char* call, const char* file, int line) {
  return Passed(e, npuGetLastErrorMessage(), call, file, line);
}

// A device tensor of exactly so many elements: the device's bounds are that tight, so an operator that reads or writes
// one byte too far fails its suite.
template <class T>
class Tensor {
 public:
  explicit Tensor(size_t count) : count_(count) {
    CHECK_NPU(npuMalloc(&p_, count * sizeof(T)));
    CHECK_NPU(npuMemset(p_, 0x5a, count * sizeof(T)));
  }
  explicit Tensor(const std::vector<T>& values) : count_(values.size()) {
    CHECK_NPU(npuMalloc(&p_, count_ * sizeof(T)));
    CHECK_NPU(npuMemcpy(p_, values.data(), count_ * sizeof(T), npuMemcpyHostToDevice));
  }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;
  ~Tensor() { npuFree(p_); }

  void* get() const { return p_; }
  // What the device has there now; waits for the default stream.
  std::vector<T> read() const {
    CHECK_NPU(npuStreamSynchronize(nullptr));
    std::vector<T> values(count_);
    CHECK_NPU(npuMemcpy(values.data(), p_, count_ * sizeof(T), npuMemcpyDeviceToHost));
    return values;
  }

 private:
  void* p_ = nullptr;
  size_t count_;
};

// The same numbers in every run.
inline std::vector<float> Random(size_t count, uint32_t seed, float low = -1.0f, float high = 1.0f) {
  std::mt19937 generator(seed);
  std::vector<float> values(count);
  for (float& v : values) v = low + (high - low) * static_cast<float>(generator() >> 8) * 0x1p-24f;
  return values;
}

// Bit for bit; says where they part.
inline bool SameBits(const std::vector<float>& got, const std::vector<float>& want, const std::string& what) {
  for (size_t i = 0; i < want.size(); ++i) {
    if (std::memcmp(&got[i], &want[i], sizeof(float)) != 0) {
      std::fprintf(stderr, "%s: element %zu of %zu is %a, not %a\n", what.c_str(), i, want.size(), got[i], want[i]);
      return false;
    }
  }
  return got.size() == want.size();
}

// Within a relative error (of at least `floor`).
inline bool Close(const std::vector<float>& got, const std::vector<float>& want, double relative, double floor,
                  const std::string& what) {
  for (size_t i = 0; i < want.size(); ++i) {
    const double allowed = relative * std::max(std::fabs(static_cast<double>(want[i])), floor);
    if (!(std::fabs(static_cast<double>(got[i]) - want[i]) <= allowed)) {
      std::fprintf(stderr, "%s: element %zu of %zu is %g, not %g\n", what.c_str(), i, want.size(), got[i], want[i]);
      return false;
    }
  }
  return got.size() == want.size();
}

// The call is refused with this error and a sentence that has the word.
inline bool Refused(npuError_t got, npuError_t want, const char* word, const char* call) {
  const char* sentence = npuOpsGetLastErrorMessage();
  if (got == want && std::strstr(sentence, word)) return true;
  std::fprintf(stderr, "%s: %s \"%s\", not %s with \"%s\"\n", call, npuGetErrorName(got), sentence,
               npuGetErrorName(want), word);
  return false;
}
#define CHECK_REFUSED(call, error, word) assert_true(Refused((call), (error), (word), #call))

// The stream's counters of what work() queues.
template <class Work>
npuCounters Cost(Work work) {
  npuCounters before, after, cost;
  CHECK_NPU(npuStreamSynchronize(nullptr));
  CHECK_NPU(npuStreamGetCounters(nullptr, &before));
  work();
  CHECK_NPU(npuStreamSynchronize(nullptr));
  CHECK_NPU(npuStreamGetCounters(nullptr, &after));
  const auto* b = reinterpret_cast<const uint64_t*>(&before);
  const auto* a = reinterpret_cast<const uint64_t*>(&after);
  auto* c = reinterpret_cast<uint64_t*>(&cost);
  for (size_t i = 0; i < sizeof cost / sizeof *c; ++i) c[i] = a[i] - b[i];
  return cost;
}
