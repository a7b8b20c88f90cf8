// SPDX-License-Identifier: Apache-2.0
// Device code of npu-bench.
#include <stdint.h>

#include "npu_device.h"

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

// As much work for the pipes' queues, flags and clocks as there can be in little arithmetic: 16 numbers a time from
// device memory through the vector unit and back.
struct SmallArgs {
  uint64_t rounds;
  float* data;
};
extern "C" void bench_small(const SmallArgs* args) {
  using namespace npu;
  constexpr uint32_t kCount = 16;
  Sram sram;
  float* const x[2] = {sram.alloc<float>(kCount), sram.alloc<float>(kCount)};
  float* const y[2] = {sram.alloc<float>(kCount), sram.alloc<float>(kCount)};
  Channel<kDmaIn, kVector> in;
  Channel<kVector, kDmaOut> out;
  for (uint64_t i = 0; i < args->rounds; i++) {
    in.acquire();
    dma_in(dma(x[in.index()], args->data, kCount * sizeof(float)));
    in.publish();
    in.receive();
    out.acquire();
    vec<float>(NPU_V_FMA, y[out.index()], 1, kCount, 0)
        .operand(0, x[in.taken()], 0)
        .constant(1, 0.5f)
        .constant(2, 1.0f)
        .issue();
    in.release();
    out.publish();
    out.receive();
    dma_out(dma(args->data, y[out.taken()], kCount * sizeof(float)));
    out.release();
  }
  in.drain();
  out.drain();
}
