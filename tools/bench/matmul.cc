// SPDX-License-Identifier: Apache-2.0
//
// Matrix multiplication through the whole stack (launch, DMA, matrix unit) against the fastest host BLAS, and the share
// of the modelled peak.  Both sides run on one thread a worker: set NPU_SIM_THREADS and OPENBLAS_NUM_THREADS alike.
#include <cblas.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.h>

#include <algorithm>

#include "bench.h"
#include "npu.h"
#include "npu_ops.h"

namespace npu::bench {
namespace {

// The peers are loaded at run time: the guest image has no need of them.
template <class Function>
Function* Symbol(const char* library, const char* name) {
  void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  void* symbol = handle ? dlsym(handle, name) : nullptr;
  if (!symbol) {
    fmt::print(stderr, "npu-bench: matmul needs {} of {} as a peer: {}\n", name, library, dlerror());
    exit(1);
  }
  return reinterpret_cast<Function*>(symbol);
}

struct Ours {
  double gflops = 0;
  double peak_share = 0;
};

double Gflops(uint32_t n, const std::function<void()>& run) {
  run();
  std::vector<double> samples;
  for (int i = 0; i < 5; i++) {
    const double start = Seconds();
    run();
    samples.push_back(2.0 * n * n * n / (Seconds() - start) / 1e9);
  }
  return Median(samples);
}

Ours RunOurs(uint32_t n, const std::vector<float>& a, const std::vector<float>& b) {
  const size_t bytes = size_t{n} * n * sizeof(float);
  void *da, *db, *dd;
  npuDeviceProp prop;
  BENCH_CHECK(npuGetDeviceProperties(&prop, 0));
  BENCH_CHECK(npuMalloc(&da, bytes));
  BENCH_CHECK(npuMalloc(&db, bytes));
  BENCH_CHECK(npuMalloc(&dd, bytes));
  BENCH_CHECK(npuMemcpy(da, a.data(), bytes, npuMemcpyHostToDevice));
  BENCH_CHECK(npuMemcpy(db, b.data(), bytes, npuMemcpyHostToDevice));
  const npuOpsMatmulDesc desc{.m = n, .n = n, .k = n};
  npuCounters before, after;
  Ours ours;
  ours.gflops = Gflops(n, [&] {
    BENCH_CHECK(npuStreamGetCounters(nullptr, &before));
    BENCH_CHECK(npuOpsMatmul(&desc, da, db, nullptr, dd, nullptr));
    BENCH_CHECK(npuStreamSynchronize(nullptr));
    BENCH_CHECK(npuStreamGetCounters(nullptr, &after));
  });
  ours.peak_share =
      double(after.macs - before.macs) / (double(after.coreCycles - before.coreCycles) * double(prop.f32MacsPerCycle));
  BENCH_CHECK(npuFree(da));
  BENCH_CHECK(npuFree(db));
  BENCH_CHECK(npuFree(dd));
  return ours;
}

}  // namespace

void BenchMatmul(Rows* rows) {
  auto* const sgemm = Symbol<decltype(cblas_sgemm)>("libopenblas.so.0", "cblas_sgemm");
  auto* const blas_core = Symbol<decltype(openblas_get_corename)>("libopenblas.so.0", "openblas_get_corename");
  auto* const onednn_sgemm = Symbol<decltype(dnnl_sgemm)>("libdnnl.so.2", "dnnl_sgemm");
  for (const uint32_t n : {256u, 512u, 1024u, 2048u}) {
    std::vector<float> a(size_t{n} * n), b(a.size()), c(a.size());
    for (size_t i = 0; i < a.size(); i++) a[i] = float(i % 13) - 6, b[i] = float(i % 7) - 3;
    const Ours ours = RunOurs(n, a, b);
    const int size = static_cast<int>(n);
    const double blas = Gflops(n, [&] {
      sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, size, size, size, 1, a.data(), size, b.data(), size, 0, c.data(),
            size);
    });
    const double dnnl =
        Gflops(n, [&] { onednn_sgemm('N', 'N', n, n, n, 1, a.data(), n, b.data(), n, 0, c.data(), n); });
    rows->push_back({.name = fmt::format("matmul_f32_{}", n),
                     .value = ours.gflops,
                     .unit = "GFLOP/s",
                     .peer = blas > dnnl ? fmt::format("OpenBLAS {}", blas_core()) : "oneDNN",
                     .peer_value = std::max(blas, dnnl)});
    rows->push_back({.name = fmt::format("matmul_f32_{}_peak_share", n),
                     .value = ours.peak_share,
                     .unit = "1",
                     .note = "of the matrix units' modelled peak, in device cycles"});
  }
}

}  // namespace npu::bench
