// SPDX-License-Identifier: Apache-2.0
// Device code of npu-bench.
#include <stdint.h>

struct CountArgs {
  uint64_t rounds;
  uint64_t* result;
};

extern "C" void bench_null(const void*) {}

// An integer loop with a dependency chain, as an interpreter's speed is usually quoted: 6 instructions a round.
extern "C" void bench_count(const CountArgs* args) {
  uint64_t a = 1, b = 3;
  for (uint64_t i = 0; i < args->rounds; i++) {
    a += b ^ i;
    b = (b << 1) + a;
  }
  *args->result = a ^ b;
}

// The same in single precision.
struct FloatArgs {
  uint64_t rounds;
  float* result;
};
extern "C" void bench_float(const FloatArgs* args) {
  float a = 1.0f, b = 0.5f, c = 0.25f;
  for (uint64_t i = 0; i < args->rounds; i++) {
    a = a * 0.999f + b;
    b = b * 0.5f + c;
    c = c - a * 0.001f;
  }
  *args->result = a + b + c;
}
