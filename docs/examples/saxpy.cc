// SPDX-License-Identifier: Apache-2.0
// Loads saxpy_kernel.cc's module, runs it, and checks the result.
#include <cmath>
#include <cstdio>
#include <vector>

#include "npu.h"

namespace {

struct SaxpyArgs {  // as in saxpy_kernel.cc
  const void* x;
  void* y;
  uint32_t n;
  float a;
};

bool Ok(npuError_t error, const char* what) {
  if (error != npuSuccess) fprintf(stderr, "%s: %s\n", what, npuGetLastErrorMessage());
  return error == npuSuccess;
}

}  // namespace

int main(int argc, char** argv) {
  const uint32_t n = 1000003;
  const size_t bytes = n * sizeof(float);
  std::vector<float> x(n), y(n), result(n);
  for (uint32_t i = 0; i < n; i++) x[i] = float(i % 1000), y[i] = float(i % 7);

  npuModule_t module;
  npuFunction_t saxpy;
  npuStream_t stream;
  void *dx, *dy;
  if (!Ok(npuModuleLoad(&module, argc > 1 ? argv[1] : "saxpy.elf"), "load") ||
      !Ok(npuModuleGetFunction(&saxpy, module, "saxpy"), "function") || !Ok(npuStreamCreate(&stream), "stream") ||
      !Ok(npuMallocNamed(&dx, bytes, "x"), "malloc") || !Ok(npuMallocNamed(&dy, bytes, "y"), "malloc"))
    return 1;
  const SaxpyArgs args{dx, dy, n, 2.5f};
  if (!Ok(npuMemcpyAsync(dx, x.data(), bytes, npuMemcpyHostToDevice, stream), "copy in") ||
      !Ok(npuMemcpyAsync(dy, y.data(), bytes, npuMemcpyHostToDevice, stream), "copy in") ||
      !Ok(npuLaunchKernel(saxpy, {4, 1, 1}, &args, sizeof args, stream), "launch") ||
      !Ok(npuMemcpyAsync(result.data(), dy, bytes, npuMemcpyDeviceToHost, stream), "copy out") ||
      !Ok(npuStreamSynchronize(stream), "synchronise"))
    return 1;

  npuCounters counters;
  npuStreamGetCounters(stream, &counters);
  for (uint32_t i = 0; i < n; i++) {
    if (result[i] != std::fma(2.5f, x[i], y[i])) {
      printf("wrong at %u: %g\n", i, result[i]);
      return 1;
    }
  }
  printf("saxpy of %u elements: right, %llu device cycles\n", n, static_cast<unsigned long long>(counters.cycles));
  return 0;
}
