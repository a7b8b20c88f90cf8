// SPDX-License-Identifier: Apache-2.0
//
// What the fuzz targets share: reading structured values out of the fuzzer's bytes, and checks that stay in every
// build.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace fuzz {

// Hands out the input from its start; zeros when it is used up.
class Input {
 public:
  Input(const uint8_t* data, size_t bytes) : at_(data), left_(bytes) {}

  bool empty() const { return left_ == 0; }
  size_t left() const { return left_; }

  template <class T>
  T Take() {
    T value{};
    Bytes(&value, sizeof(value));
    return value;
  }
  // 0 .. n - 1
  uint32_t Below(uint32_t n) { return (n > 256 ? Take<uint32_t>() : Take<uint8_t>()) % n; }

  // Returns how many bytes there were; the rest of `to` is not touched.
  size_t Bytes(void* to, size_t bytes) {
    const size_t n = bytes < left_ ? bytes : left_;
    if (n) std::memcpy(to, at_, n);
    at_ += n;
    left_ -= n;
    return n;
  }

 private:
  const uint8_t* at_;
  size_t left_;
};

[[noreturn]] inline void Broken(const char* what, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
  std::abort();
}

// With FUZZ_SHOW in the environment: what became of the input ("" for success), to see whether a seed is accepted.
inline void Show(const char* refusal) {
  static const bool show = std::getenv("FUZZ_SHOW") != nullptr;
  if (show) std::fprintf(stderr, "%s\n", *refusal ? refusal : "accepted");
}

}  // namespace fuzz

#define FUZZ_CHECK(condition) ((condition) ? void() : fuzz::Broken(#condition, __FILE__, __LINE__))
