// SPDX-License-Identifier: Apache-2.0
//
// Null launches.  The round trips go through the hal, one packet at a time, so that it is the device and the driver
// that are measured: from before the packet is written to the moment the fence value is seen.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench.h"
#include "hal/hal.hpp"
#include "npu.h"

namespace npu::bench {
namespace {

constexpr uint64_t kRead = NPU_PTE_READ, kWrite = NPU_PTE_WRITE, kExec = NPU_PTE_EXEC;

// A context with one queue, a kernel that returns at once, and a fence.
class NullLauncher {
 public:
  NullLauncher() {
    auto device = hal::OpenDevice(getenv("NPU_BACKEND") && !strcmp(getenv("NPU_BACKEND"), "drm") ? "drm" : "sim");
    if (!device) Fail(device.error().message);
    device_ = std::move(*device);
    code_ = MakeBuffer(hal::Memory::kDevice, kRead | kExec, 1, 0);
    fence_ = MakeBuffer(hal::Memory::kHost, kRead | kWrite, 2, 1);
    const uint16_t ret = 0x8082;  // c.jr ra
    memcpy(code_->map(), &ret, sizeof ret);
    auto queue = device_->CreateQueue(8, 1, 0);
    if (!queue) Fail(queue.error().message);
    queue_ = std::move(*queue);
  }

  ~NullLauncher() {
    queue_.reset();
    device_->Unbind(device_->info().va_start, 2 * NPU_PAGE_SIZE);
  }

  void Submit() {
    npu_packet packet{};
    packet.type = NPU_PKT_LAUNCH;
    packet.flags = NPU_PKT_F_SIGNAL;
    packet.signal_addr = Pointer(2, 1);
    packet.signal_value = ++value_;
    packet.u.launch.entry = Pointer(1, 0);
    packet.u.launch.args = Pointer(2, 1);
    packet.u.launch.grid[0] = packet.u.launch.grid[1] = packet.u.launch.grid[2] = 1;
    memcpy(&queue_->ring()[(value_ - 1) % queue_->ring_packets()], &packet, sizeof packet);
    queue_->Doorbell(value_);
  }

  void Poll() {
    std::atomic_ref<uint64_t> fence(*static_cast<uint64_t*>(fence_->map()));
    while (fence.load(std::memory_order_acquire) != value_) {
      if (hal::LoadShared(queue_->status()->state) != NPU_QUEUE_OK) Fail("the null kernel's queue faulted");
    }
  }

  void Sleep() {
    const auto error =
        device_->Wait(*fence_, 0, value_, NPU_WAIT_GE, hal::Clock::now() + std::chrono::seconds(10), queue_.get());
    if (error) Fail(error.message);
  }

 private:
  [[noreturn]] static void Fail(const std::string& why) {
    fprintf(stderr, "npu-bench: %s\n", why.c_str());
    exit(1);
  }

  uint64_t Pointer(uint16_t number, uint64_t page) const {
    return NPU_PTR(number, 0, device_->info().va_start + page * NPU_PAGE_SIZE);
  }

  std::unique_ptr<hal::Buffer> MakeBuffer(hal::Memory memory, uint64_t rights, uint16_t number, uint64_t page) {
    auto buffer = device_->CreateBuffer(NPU_PAGE_SIZE, memory);
    if (!buffer) Fail(buffer.error().message);
    const uint64_t va = device_->info().va_start + page * NPU_PAGE_SIZE;
    if (auto error = device_->Bind(**buffer, 0, va, NPU_PAGE_SIZE, rights)) Fail(error.message);
    npu_bounds_entry& entry = device_->bounds()[number];
    entry.base = va;
    entry.size = NPU_PAGE_SIZE;
    std::atomic_ref<uint32_t>(entry.ctl).store(
        (NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT) | NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | NPU_BOUNDS_EXEC,
        std::memory_order_release);
    return std::move(*buffer);
  }

  std::unique_ptr<hal::Device> device_;
  std::unique_ptr<hal::Buffer> code_, fence_;
  std::unique_ptr<hal::Queue> queue_;
  uint64_t value_ = 0;
};

void RoundTrips(Rows* rows) {
  NullLauncher launcher;
  std::vector<double> polled, slept;
  for (int i = 0; i < 2000; i++) {
    const double start = Seconds();
    launcher.Submit();
    launcher.Poll();
    polled.push_back(Seconds() - start);
  }
  for (int i = 0; i < 500; i++) {
    const double start = Seconds();
    launcher.Submit();
    launcher.Sleep();
    slept.push_back(Seconds() - start);
  }
  rows->push_back(
      {.name = "null_launch_polled", .value = Median(polled) * 1e6, .unit = "us", .larger_is_better = false});
  rows->push_back(
      {.name = "null_launch_interrupt", .value = Median(slept) * 1e6, .unit = "us", .larger_is_better = false});
}

void Batched(Rows* rows) {
  npuModule_t module;
  npuFunction_t function;
  npuStream_t stream;
  BENCH_CHECK(npuModuleLoad(&module, KernelFile().c_str()));
  BENCH_CHECK(npuModuleGetFunction(&function, module, "bench_null"));
  BENCH_CHECK(npuStreamCreate(&stream));
  const int kBatch = 256, kRounds = 40;
  std::vector<double> rates;
  uint64_t doorbells = 0, ioctls = 0;
  for (int round = -1; round < kRounds; round++) {  // round -1 warms up: lazy queue, first ring
    uint64_t rung_before, rung_after;
    BENCH_CHECK(npuStreamGetStatistics(stream, nullptr, &rung_before, nullptr));
    const uint64_t ioctls_before = IoctlCount();
    const double start = Seconds();
    BENCH_CHECK(npuStreamBatchBegin(stream));
    for (int i = 0; i < kBatch; i++) BENCH_CHECK(npuLaunchKernel(function, {1, 1, 1}, nullptr, 0, stream));
    BENCH_CHECK(npuStreamBatchEnd(stream));
    const uint64_t ioctls_after = IoctlCount();
    npuError_t state;
    while ((state = npuStreamQuery(stream)) == npuErrorNotReady) {
    }
    BENCH_CHECK(state);
    if (round < 0) continue;
    rates.push_back(kBatch / (Seconds() - start));
    BENCH_CHECK(npuStreamGetStatistics(stream, nullptr, &rung_after, nullptr));
    doorbells += rung_after - rung_before;
    ioctls += ioctls_after - ioctls_before;
  }
  const double launches = double(kBatch) * kRounds;
  rows->push_back({.name = "launches_batched", .value = Median(rates), .unit = "1/s", .note = "256 a batch"});
  rows->push_back(
      {.name = "ioctls_per_launch", .value = double(ioctls) / launches, .unit = "1", .larger_is_better = false});
  rows->push_back({.name = "doorbells_per_launch",
                   .value = double(doorbells) / launches,
                   .unit = "1",
                   .larger_is_better = false,
                   .note = "256 a batch"});
  BENCH_CHECK(npuStreamDestroy(stream));
  BENCH_CHECK(npuModuleUnload(module));
}

}  // namespace

void BenchLatency(Rows* rows) {
  RoundTrips(rows);
  Batched(rows);
}

}  // namespace npu::bench
