// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "bench.h"
#include "npu.h"

namespace npu::bench {

void BenchMemory(Rows* rows) {
  const size_t kBytes = size_t{64} << 20;
  void *host, *device;
  BENCH_CHECK(npuMallocHost(&host, kBytes));
  BENCH_CHECK(npuMalloc(&device, kBytes));
  std::vector<uint8_t> plain(kBytes, 1);
  memset(host, 2, kBytes);
  auto copy = [&](void* dst, const void* src) {
    const double start = Seconds();
    BENCH_CHECK(npuMemcpy(dst, src, kBytes, npuMemcpyDefault));
    return double(kBytes) / (Seconds() - start) / 1e9;
  };
  std::vector<double> in, out, peer;
  for (int i = 0; i < 11; i++) {
    in.push_back(copy(device, host));
    out.push_back(copy(host, device));
    const double start = Seconds();
    memcpy(plain.data(), host, kBytes);
    peer.push_back(double(kBytes) / (Seconds() - start) / 1e9);
  }
  rows->push_back(
      {.name = "host_to_device", .value = Median(in), .unit = "GB/s", .peer = "memcpy", .peer_value = Median(peer)});
  rows->push_back(
      {.name = "device_to_host", .value = Median(out), .unit = "GB/s", .peer = "memcpy", .peer_value = Median(peer)});
  BENCH_CHECK(npuFree(device));
  BENCH_CHECK(npuFreeHost(host));
}

}  // namespace npu::bench
