// SPDX-License-Identifier: Apache-2.0
//
// Where matrix multiplications stand under the device's roofline, and what the model's rates come to.  All of it is
// counted in device cycles or read from the hardware's device tree: the same numbers on every host.
#include <fmt/format.h>

#include <algorithm>

#include "bench.h"
#include "matmul_types.h"

namespace npu::bench {
namespace {

constexpr MatmulType kTypes[] = {kF32, kF16, kI8};

struct Shape {
  uint32_t m, n, k;
};
// Small and large squares, one and sixteen rows against a large matrix, a short inner product.
constexpr Shape kShapes[] = {{128, 128, 128}, {256, 256, 256},  {512, 512, 512}, {1024, 1024, 1024},
                             {1, 4096, 4096}, {16, 4096, 4096}, {4096, 4096, 64}};

// What one run adds to the counters; every one of them is a 64-bit sum.
npuCounters Cost(const std::function<void()>& run) {
  constexpr size_t kCount = sizeof(npuCounters) / sizeof(uint64_t);
  npuCounters before, after;
  BENCH_CHECK(npuStreamGetCounters(nullptr, &before));
  run();
  BENCH_CHECK(npuStreamSynchronize(nullptr));
  BENCH_CHECK(npuStreamGetCounters(nullptr, &after));
  uint64_t then[kCount], now[kCount];
  memcpy(then, &before, sizeof(before));
  memcpy(now, &after, sizeof(after));
  for (size_t i = 0; i < kCount; i++) now[i] -= then[i];
  memcpy(&after, now, sizeof(after));
  return after;
}

npuCounters Matmul(const MatmulType& type, const Shape& s) {
  const npuOpsMatmulDesc desc{.m = s.m, .n = s.n, .k = s.k, .type = type.type};
  const size_t sizes[] = {size_t{s.m} * s.k * type.bytes, size_t{s.k} * s.n * type.bytes, size_t{s.m} * s.n * 4};
  void* at[3];
  for (int i = 0; i < 3; i++) {
    BENCH_CHECK(npuMalloc(&at[i], sizes[i]));
    BENCH_CHECK(npuMemset(at[i], 0, sizes[i]));
  }
  BENCH_CHECK(npuStreamSynchronize(nullptr));
  const npuCounters cost = Cost([&] { BENCH_CHECK(npuOpsMatmul(&desc, at[0], at[1], nullptr, at[2], nullptr)); });
  for (void* buffer : at) BENCH_CHECK(npuFree(buffer));
  return cost;
}

void Balance(const npuDeviceProp& prop, const MatmulType& type, Rows* rows) {
  const double macs = double(prop.*type.macs_per_cycle) * prop.cores;
  rows->push_back(
      {.name = fmt::format("roofline_{}_balance", type.name),
       .value = 2 * macs / prop.memoryBytesPerCycle,
       .unit = "op/B",
       .note = fmt::format("{:.0f} MAC a cycle, {:.2f} T operations a second, {} GB/s a direction; {:.0f} B of "
                           "SRAM a MAC",
                           macs, 2 * macs * double(prop.clockHz) / 1e12,
                           double(prop.memoryBytesPerCycle) * double(prop.clockHz) / 1e9,
                           double(prop.sramBytes) * prop.cores / macs)});
}

void Position(const npuDeviceProp& prop, const MatmulType& type, const Shape& s, Rows* rows) {
  const npuCounters c = Matmul(type, s);
  const double peak = double(prop.*type.macs_per_cycle) * prop.cores, bandwidth = prop.memoryBytesPerCycle;
  // Of the bytes that were moved, not of those that had to be: what the operator reads twice counts twice.  The two
  // directions do not share the memory's bandwidth, so the busier one counts.
  const double moved = double(std::max(c.bytesIn, c.bytesOut)), macs = double(c.macs), cycles = double(c.cycles);
  const double intensity = macs / moved, roof = std::min(peak, intensity * bandwidth);
  const double pipes = double(c.coreCycles);
  rows->push_back(
      {.name = fmt::format("roofline_{}_{}x{}x{}", type.name, s.m, s.n, s.k),
       .value = macs / cycles / roof,
       .unit = "1",
       .note = fmt::format("{} cycles, {:.1f} % of the peak; {:.1f} op/B moved: {} bound; matrix pipe busy {:.0f} %, "
                           "waiting {:.0f} %",
                           c.cycles, 100 * macs / cycles / peak, 2 * intensity,
                           intensity < peak / bandwidth ? "memory" : "compute", 100 * double(c.matrixBusy) / pipes,
                           100 * double(c.waitMatrix) / pipes)});
}

}  // namespace

void BenchRoofline(Rows* rows) {
  npuDeviceProp prop;
  BENCH_CHECK(npuGetDeviceProperties(&prop, 0));
  for (const MatmulType& type : kTypes) {
    Balance(prop, type, rows);
    for (const Shape& shape : kShapes) Position(prop, type, shape, rows);
  }
}

}  // namespace npu::bench
