// SPDX-License-Identifier: Apache-2.0
#include "bench.h"
#include "npu.h"

namespace npu::bench {
namespace {

struct LoopArgs {
  uint64_t rounds;
  void* result;
};

double Mips(npuFunction_t function, void* result, uint64_t rounds) {
  std::vector<double> samples;
  for (int i = 0; i < 5; i++) {
    const LoopArgs args{rounds, result};
    npuCounters before, after;
    BENCH_CHECK(npuStreamSynchronize(nullptr));
    BENCH_CHECK(npuStreamGetCounters(nullptr, &before));
    const double start = Seconds();
    BENCH_CHECK(npuLaunchKernel(function, {1, 1, 1}, &args, sizeof args, nullptr));
    BENCH_CHECK(npuStreamSynchronize(nullptr));
    const double seconds = Seconds() - start;
    BENCH_CHECK(npuStreamGetCounters(nullptr, &after));
    samples.push_back(double(after.instructions - before.instructions) / seconds / 1e6);
  }
  return Median(samples);
}

}  // namespace

void BenchScalar(Rows* rows) {
  npuModule_t module;
  npuFunction_t count, real;
  void* result;
  BENCH_CHECK(npuModuleLoad(&module, KernelFile().c_str()));
  BENCH_CHECK(npuModuleGetFunction(&count, module, "bench_count"));
  BENCH_CHECK(npuModuleGetFunction(&real, module, "bench_float"));
  BENCH_CHECK(npuMalloc(&result, sizeof(uint64_t)));
  rows->push_back(
      {.name = "scalar_integer", .value = Mips(count, result, 20'000'000), .unit = "MIPS", .note = "one core"});
  rows->push_back({.name = "scalar_f32", .value = Mips(real, result, 5'000'000), .unit = "MIPS", .note = "one core"});
  BENCH_CHECK(npuFree(result));
  BENCH_CHECK(npuModuleUnload(module));
}

}  // namespace npu::bench
