// SPDX-License-Identifier: Apache-2.0
//
// CPU time of three kinds of work on the simulated device: matrices, scalar instructions, and pipe operations that are
// as small as they get.  tests/bench/cycle_model.py compares it with that of a model that counts no cycles.
#include "bench.h"
#include "npu.h"
#include "npu_ops.h"

namespace npu::bench {
namespace {

constexpr int kSamples = 7;

// The least of the samples: what disturbs them only adds.
Row CpuTime(const char* name, const std::function<void()>& work) {
  double least = 0;
  for (int i = 0; i < kSamples + 1; i++) {  // the first one warms up
    const double start = CpuSeconds();
    work();
    BENCH_CHECK(npuStreamSynchronize(nullptr));
    const double spent = (CpuSeconds() - start) * 1e3;
    if (i == 1 || (i > 1 && spent < least)) least = spent;
  }
  return {.name = name, .value = least, .unit = "ms", .larger_is_better = false, .note = "CPU time"};
}

struct LoopArgs {
  uint64_t rounds;
  void* data;
};

}  // namespace

void BenchCpuTime(Rows* rows) {
  constexpr uint32_t kSize = 512, kProducts = 4;
  npuModule_t module;
  void *a, *b, *d;
  BENCH_CHECK(npuModuleLoad(&module, KernelFile().c_str()));
  for (void** p : {&a, &b, &d}) {
    BENCH_CHECK(npuMalloc(p, size_t{kSize} * kSize * sizeof(float)));
    BENCH_CHECK(npuMemset(*p, 0, size_t{kSize} * kSize * sizeof(float)));
  }
  const npuOpsMatmulDesc desc{.m = kSize, .n = kSize, .k = kSize};
  rows->push_back(CpuTime("cpu_time_matmul", [&] {
    for (uint32_t i = 0; i < kProducts; i++) BENCH_CHECK(npuOpsMatmul(&desc, a, b, nullptr, d, nullptr));
  }));
  const auto loop = [&](const char* name, const char* kernel, uint64_t rounds) {
    npuFunction_t function;
    BENCH_CHECK(npuModuleGetFunction(&function, module, kernel));
    const LoopArgs args{rounds, a};
    rows->push_back(CpuTime(name, [&] {
      BENCH_CHECK(npuLaunchKernel(function, {1, 1, 1}, &args, sizeof args, nullptr));
    }));
  };
  loop("cpu_time_integer", "bench_count", 3'000'000);
  loop("cpu_time_f32", "bench_float", 1'000'000);
  loop("cpu_time_small_operations", "bench_small", 50'000);
  for (void* p : {a, b, d}) BENCH_CHECK(npuFree(p));
  BENCH_CHECK(npuModuleUnload(module));
}

}  // namespace npu::bench
