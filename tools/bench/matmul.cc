// SPDX-License-Identifier: Apache-2.0
//
// Matrix multiplication through the whole stack (launch, DMA, checks, matrix unit, cycle model) against the fastest
// host libraries, and the share of the modelled peak.  Both sides have the same number of threads (--threads) and the
// same operands, plain and row-major; their samples alternate, so that a change of the machine's mood meets both.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "bench.h"
#include "matmul_peers.h"
#include "matmul_types.h"

namespace npu::bench {
namespace {

constexpr MatmulType kTypes[] = {kF32, kBF16, kI8};

// Small integers in every type, which all of them hold exactly.
std::vector<uint8_t> Operand(const MatmulType& type, uint32_t n, uint32_t period) {
  std::vector<uint8_t> bytes(size_t{n} * n * type.bytes);
  for (size_t i = 0; i < size_t{n} * n; i++) {
    const int value = static_cast<int>(i % period) - static_cast<int>(period / 2);
    const float as_float = static_cast<float>(value);
    uint32_t bits;
    memcpy(&bits, &as_float, 4);
    if (type.bytes == 2) bits >>= 16;
    if (type.bytes == 1) bits = static_cast<uint8_t>(value);
    memcpy(&bytes[i * type.bytes], &bits, type.bytes);
  }
  return bytes;
}

// Device copies of the operands, and the operator on them.
class Ours {
 public:
  Ours(const MatmulType& type, uint32_t n, const std::vector<uint8_t>& a, const std::vector<uint8_t>& b)
      : desc_{.m = n, .n = n, .k = n, .type = type.type} {
    BENCH_CHECK(npuMalloc(&a_, a.size()));
    BENCH_CHECK(npuMalloc(&b_, b.size()));
    BENCH_CHECK(npuMalloc(&d_, size_t{n} * n * 4));
    BENCH_CHECK(npuMemcpy(a_, a.data(), a.size(), npuMemcpyHostToDevice));
    BENCH_CHECK(npuMemcpy(b_, b.data(), b.size(), npuMemcpyHostToDevice));
  }
  ~Ours() {
    for (void* p : {a_, b_, d_}) BENCH_CHECK(npuFree(p));
  }
  Ours(const Ours&) = delete;
  Ours& operator=(const Ours&) = delete;

  void Run() {
    BENCH_CHECK(npuOpsMatmul(&desc_, a_, b_, nullptr, d_, nullptr));
    BENCH_CHECK(npuStreamSynchronize(nullptr));
  }
  // Of one run.
  double PeakShare(const MatmulType& type) {
    npuDeviceProp prop;
    npuCounters before, after;
    BENCH_CHECK(npuGetDeviceProperties(&prop, 0));
    BENCH_CHECK(npuStreamGetCounters(nullptr, &before));
    Run();
    BENCH_CHECK(npuStreamGetCounters(nullptr, &after));
    return double(after.macs - before.macs) /
           (double(after.coreCycles - before.coreCycles) * double(prop.*type.macs_per_cycle));
  }
  // What both sides computed must be the same, or the comparison is of nothing.
  void Verify(const void* theirs, const std::string& peer) {
    std::vector<uint8_t> ours(size_t{desc_.m} * desc_.n * 4);
    BENCH_CHECK(npuMemcpy(ours.data(), d_, ours.size(), npuMemcpyDeviceToHost));
    if (memcmp(ours.data(), theirs, ours.size()) == 0) return;
    fmt::print(stderr, "npu-bench: matmul: {} and the device have different results\n", peer);
    exit(1);
  }

 private:
  npuOpsMatmulDesc desc_;
  void *a_ = nullptr, *b_ = nullptr, *d_ = nullptr;
};

// Medians of runs, in seconds.
struct Times {
  std::vector<double> wall, cpu;
  void Add(const std::function<void()>& run) {
    const double start = Seconds(), cpu_start = CpuSeconds();
    run();
    cpu.push_back(CpuSeconds() - cpu_start);
    wall.push_back(Seconds() - start);
  }
};

// Ours and the fastest peer's, in turn.
Row Measure(const MatmulType& type, uint32_t n, const std::string& name, Ours* ours, const std::vector<Peer>& peers) {
  Times times;
  std::vector<Times> theirs(peers.size());
  for (int i = 0; i < (n > 2048 ? 3 : 7); i++) {
    times.Add([&] { ours->Run(); });
    for (size_t p = 0; p < peers.size(); p++) theirs[p].Add(peers[p].run);
  }
  const double operations = 2.0 * n * n * n / 1e9;
  Row row{.name = name, .value = operations / Median(times.wall), .unit = type.unit};
  row.cpu_seconds = Median(times.cpu);
  for (size_t p = 0; p < peers.size(); p++) {
    const double rate = operations / Median(theirs[p].wall), cpu_ratio = Median(theirs[p].cpu) / row.cpu_seconds;
    if (rate > row.peer_value) row.peer = peers[p].name, row.peer_value = rate;
    // Less is worse for us: the peer that takes the least CPU time.
    if (!p || cpu_ratio < row.cpu_ratio) row.cpu_ratio = cpu_ratio;
  }
  return row;
}

void MeasureAndShare(const MatmulType& type, uint32_t n, const std::string& suffix, bool share, Rows* rows) {
  const auto a = Operand(type, n, 13), b = Operand(type, n, 7);
  std::vector<uint8_t> c(size_t{n} * n * 4);
  Ours ours(type, n, a, b);
  const std::vector<Peer> peers = MatmulPeers(type.name, n, a.data(), b.data(), c.data());
  ours.Run();
  for (const Peer& peer : peers) {
    peer.run();
    ours.Verify(c.data(), peer.name);
  }
  rows->push_back(Measure(type, n, fmt::format("matmul_{}_{}{}", type.name, n, suffix), &ours, peers));
  if (!share) return;
  rows->push_back({.name = rows->back().name + "_peak_share",
                   .value = ours.PeakShare(type),
                   .unit = "1",
                   .note = "of the matrix units' modelled peak, in device cycles"});
}

// "" for one thread.
std::string Suffix() {
  const char* threads = getenv("NPU_SIM_THREADS");
  return threads && std::string(threads) != "1" ? fmt::format("_threads{}", threads) : "";
}

}  // namespace

void BenchMatmul(Rows* rows) {
  const std::string suffix = Suffix();
  for (const MatmulType& type : kTypes) {
    for (const uint32_t n : {256u, 512u, 1024u, 2048u, 4096u}) {
      size_t free = 0, total = 0;
      BENCH_CHECK(npuMemGetInfo(&free, &total));
      const size_t need = size_t{n} * n * (2 * type.bytes + 4);
      if (need > free - free / 8) {
        fmt::print(stderr, "npu-bench: matmul_{}_{} is left out: it needs {} MiB of device memory, {} are free\n",
                   type.name, n, need >> 20, free >> 20);
        continue;
      }
      if (suffix.empty() || n >= 1024) MeasureAndShare(type, n, suffix, suffix.empty(), rows);
    }
  }
}

void BenchScaling(Rows* rows) {
  for (const MatmulType& type : kTypes) MeasureAndShare(type, 2048, Suffix(), false, rows);
}

}  // namespace npu::bench
