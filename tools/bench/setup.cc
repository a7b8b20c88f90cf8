// SPDX-License-Identifier: Apache-2.0
//
// What a process does before it launches: open, contexts, queues, buffers, mappings.
#include "bench.h"
#include "null_launch.h"

namespace npu::bench {
namespace {

constexpr uint64_t kBytes = 64 << 10;

void Contexts(int rounds, Rows* rows) {
  std::vector<double> made, closed;
  for (int i = -1; i < rounds; i++) {  // round -1 warms up
    const double start = Seconds();
    auto device = OpenDevice();
    auto queue = device->CreateQueue(8, 1, 0);
    if (!queue) Fail(queue.error().message);
    const double ready = Seconds();
    queue->reset();
    device.reset();
    if (i < 0) continue;
    made.push_back(ready - start);
    closed.push_back(Seconds() - ready);
  }
  rows->push_back({.name = "open_context_queue",
                   .value = Median(made) * 1e6,
                   .unit = "us",
                   .larger_is_better = false,
                   .note = "open, context, a queue of 256 packets, mappings"});
  rows->push_back(
      {.name = "close_context_queue", .value = Median(closed) * 1e6, .unit = "us", .larger_is_better = false});
}

void Buffers(hal::Device* device, hal::Memory memory, const char* name, int rounds, Rows* rows) {
  const uint64_t va = device->info().va_start;
  std::vector<double> create, bind, unbind, free;
  for (int i = -1; i < rounds; i++) {
    const double start = Seconds();
    auto buffer = device->CreateBuffer(kBytes, memory);
    if (!buffer) Fail(buffer.error().message);
    const double created = Seconds();
    if (auto error = device->Bind(**buffer, 0, va, kBytes, NPU_PTE_READ | NPU_PTE_WRITE)) Fail(error.message);
    const double bound = Seconds();
    if (auto error = device->Unbind(va, kBytes)) Fail(error.message);
    const double unbound = Seconds();
    buffer->reset();
    if (i < 0) continue;
    free.push_back(Seconds() - unbound);
    create.push_back(created - start);
    bind.push_back(bound - created);
    unbind.push_back(unbound - bound);
  }
  const std::string suffix = std::string("_") + name;
  auto add = [&](const char* what, const std::vector<double>& samples, const char* note) {
    rows->push_back(
        {.name = what + suffix, .value = Median(samples) * 1e6, .unit = "us", .larger_is_better = false, .note = note});
  };
  add("buffer_create", create, "64 KiB, zeroed and mapped");
  add("bind", bind, "64 KiB");
  add("unbind", unbind, "64 KiB, with the wait until no engine uses it");
  add("buffer_free", free, "64 KiB");
}

}  // namespace

void BenchSetup(const Options& options, Rows* rows) {
  // Stays open, so that the device is not started and stopped each time.
  auto device = OpenDevice();
  Contexts(options.quick ? 3 : 50, rows);
  Buffers(device.get(), hal::Memory::kDevice, "device", options.quick ? 3 : 200, rows);
  Buffers(device.get(), hal::Memory::kHost, "host", options.quick ? 3 : 200, rows);
}

}  // namespace npu::bench
