// SPDX-License-Identifier: Apache-2.0
#include <thread>

#include "rig.hpp"

static void queries_and_deadlines(void**) {
  Kernels kernels;
  npu::Stream stream;
  OK(npuStreamQuery(stream.get()));
  Gate gate(kernels);
  gate.Hold(stream.get());
  EXPECT(npuErrorNotReady, npuStreamQuery(stream.get()));
  EXPECT(npuErrorNotReady, npuStreamSynchronizeFor(stream.get(), 20));
  // An answer, not a failure.
  (void)npuGetLastError();
  EXPECT(npuErrorNotReady, npuStreamQuery(stream.get()));
  assert_int_equal(npuPeekAtLastError(), npuSuccess);
  gate.Open();
  OK(npuStreamSynchronizeFor(stream.get(), 20000));
  OK(npuStreamQuery(stream.get()));
}

static void streams_run_beside_each_other(void**) {
  Kernels kernels;
  npu::Stream held, free;
  npu::Buffer<uint8_t> bytes(1000);
  Gate gate(kernels);
  gate.Hold(held.get());
  OK(npuMemsetAsync(bytes.data(), 4, 1000, free.get()));
  OK(npuStreamSynchronizeFor(free.get(), 20000));
  EXPECT(npuErrorNotReady, npuStreamQuery(held.get()));
  gate.Open();
  held.Synchronize();
}

static void events_order_streams(void**) {
  Kernels kernels;
  npu::Stream first, second;
  npu::Event event;
  npu::Buffer<uint32_t> value(1);
  OK(npuMemset(value.data(), 0, 4));
  Gate gate(kernels);
  gate.Hold(first.get());
  npu::Launch(kernels["step"], {1, 1, 1}, StepArgs{value.data(), 5}, first.get());
  first.Record(event);
  second.Wait(event);
  npu::Launch(kernels["step"], {1, 1, 1}, StepArgs{value.data(), 7}, second.get());
  assert_false(event.Ready());
  EXPECT(npuErrorNotReady, npuStreamSynchronizeFor(second.get(), 20));
  gate.Open();
  second.Synchronize();
  assert_true(event.Ready());
  assert_int_equal(value.Download()[0], 5 * 3 + 7);
}

// Streams in a circle hand a value on; every step must see the one before.
static void a_relay_of_streams(void**) {
  Kernels kernels;
  std::vector<npu::Stream> streams(5);
  std::vector<npu::Event> events(5);
  npu::Buffer<uint32_t> value(1);
  OK(npuMemset(value.data(), 0, 4));
  npuFunction_t step = kernels["step"];
  uint32_t expect = 0;
  for (uint32_t i = 0; i < 500; i++) {
    npu::Stream& stream = streams[i % 5];
    if (i > 0) stream.Wait(events[(i - 1) % 5]);
    npu::Launch(step, {1, 1, 1}, StepArgs{value.data(), i}, stream.get());
    stream.Record(events[i % 5]);
    expect = expect * 3 + i;
  }
  events[499 % 5].Synchronize();
  assert_int_equal(value.Download()[0], expect);
}

static void events_tell_time(void**) {
  Kernels kernels;
  npu::Stream stream, other;
  npu::Event start, end, elsewhere, never;
  float ms = -1;
  EXPECT(npuErrorInvalidValue, npuEventElapsedTime(&ms, start.get(), never.get()));
  stream.Record(start);
  npu::Buffer<int32_t> a(10000);
  npu::Launch(kernels["add"], {4, 1, 1}, AddArgs{a.data(), a.data(), a.data(), 10000}, stream.get());
  stream.Record(end);
  end.Synchronize();
  OK(npuEventElapsedTime(&ms, start.get(), end.get()));
  assert_true(ms > 0 && ms < 60000);
  uint64_t cycles = 0;
  OK(npuEventElapsedCycles(&cycles, start.get(), end.get()));
  assert_int_equal(cycles, stream.Counters().cycles);
  other.Record(elsewhere);
  elsewhere.Synchronize();
  EXPECT(npuErrorInvalidValue, npuEventElapsedCycles(&cycles, start.get(), elsewhere.get()));
  // A record that was never made holds nothing up.
  OK(npuEventSynchronize(never.get()));
  OK(npuEventQuery(never.get()));
  OK(npuStreamWaitEvent(stream.get(), never.get()));
  stream.Synchronize();
}

static void events_outlive_their_stream(void**) {
  npu::Event event;
  {
    npu::Stream stream;
    stream.Record(event);
  }
  event.Synchronize();
  assert_true(event.Ready());
  npu::Stream later;
  later.Wait(event);
  later.Synchronize();
}

static void bad_handles(void**) {
  npuStream_t stream = nullptr;
  npuEvent_t event = nullptr;
  OK(npuStreamCreate(&stream));
  OK(npuEventCreate(&event));
  OK(npuStreamDestroy(stream));
  OK(npuEventDestroy(event));
  EXPECT(npuErrorInvalidHandle, npuStreamSynchronize(stream));
  EXPECT(npuErrorInvalidHandle, npuStreamDestroy(stream));
  EXPECT(npuErrorInvalidHandle, npuStreamDestroy(nullptr));
  EXPECT(npuErrorInvalidHandle, npuEventRecord(event, nullptr));
  EXPECT(npuErrorInvalidHandle, npuEventDestroy(event));
  EXPECT(npuErrorInvalidHandle, npuStreamSynchronize(reinterpret_cast<npuStream_t>(uintptr_t{0x1234})));
  EXPECT(npuErrorInvalidValue, npuStreamCreateWithPriority(&stream, 0, 2));
  EXPECT(npuErrorInvalidValue, npuStreamCreateWithPriority(&stream, 1, 0));
  EXPECT(npuErrorInvalidValue, npuStreamCreate(nullptr));
}

static void devices(void**) {
  int count = 0, device = -1;
  OK(npuGetDeviceCount(&count));
  assert_true(count >= 1);
  EXPECT(npuErrorInvalidDevice, npuSetDevice(count));
  EXPECT(npuErrorInvalidDevice, npuSetDevice(-1));
  OK(npuSetDevice(0));
  OK(npuGetDevice(&device));
  assert_int_equal(device, 0);
  npuDeviceProp prop;
  OK(npuGetDeviceProperties(&prop, 0));
  assert_true(prop.cores >= 1 && prop.totalMemory > 0 && prop.clockHz > 0 && prop.name[0]);
  npuDeviceStatus status;
  OK(npuDeviceGetStatus(&status, 0));
  assert_true(status.memoryFree <= status.memoryTotal && status.clockKhz > 0);
  EXPECT(npuErrorNotPermitted, npuSetBackend("sim"));
}

static void a_reset_takes_everything_back(void**) {
  npuStream_t stream = nullptr;
  npuEvent_t event = nullptr;
  npuModule_t module = nullptr;
  npuFunction_t trap = nullptr;
  void* p = nullptr;
  OK(npuDeviceReset());
  size_t before = 0, after = 0, total = 0;
  OK(npuMemGetInfo(&before, &total));
  OK(npuStreamCreate(&stream));
  OK(npuEventCreate(&event));
  OK(npuModuleLoad(&module, KernelFile("kernels").c_str()));
  OK(npuModuleGetFunction(&trap, module, "trap"));
  OK(npuMalloc(&p, 10 << 20));
  // With a failed stream and a fault that names the module.
  OK(npuEventRecord(event, stream));
  OK(npuLaunchKernel(trap, {1, 1, 1}, nullptr, 0, stream));
  EXPECT(npuErrorKernelTrap, npuStreamSynchronize(stream));
  OK(npuDeviceReset());
  EXPECT(npuErrorInvalidHandle, npuStreamSynchronize(stream));
  EXPECT(npuErrorInvalidHandle, npuEventSynchronize(event));
  EXPECT(npuErrorInvalidHandle, npuModuleUnload(module));
  EXPECT(npuErrorInvalidPointer, npuFree(p));
  OK(npuMemGetInfo(&after, &total));
  assert_int_equal(after, before);
}

// Pageable and pinned copies, kernels and other streams' work, all at once from several threads.
static void pipelines_overlap(void**) {
  Kernels kernels;
  npuFunction_t add = kernels["add"];
  std::vector<std::thread> threads;
  std::vector<int> wrong(3);
  for (size_t t = 0; t < wrong.size(); t++) {
    threads.emplace_back([&, t] {
      try {
        const size_t n = 20000;
        npu::Stream copy, compute;
        npu::Event copied, computed;
        npu::HostBuffer<int32_t> in(n), out(n);
        npu::Buffer<int32_t> a(n), b(n);
        for (int round = 0; round < 5; round++) {
          for (size_t i = 0; i < n; i++) in[i] = static_cast<int32_t>(i * t) + round;
          npu::Check(npuMemcpyAsync(a.data(), in.data(), in.bytes(), npuMemcpyHostToDevice, copy.get()));
          copy.Record(copied);
          compute.Wait(copied);
          npu::Launch(add, {4, 1, 1}, AddArgs{a.data(), a.data(), b.data(), n}, compute.get());
          compute.Record(computed);
          copy.Wait(computed);
          npu::Check(npuMemcpyAsync(out.data(), b.data(), out.bytes(), npuMemcpyDeviceToHost, copy.get()));
          copy.Synchronize();
          for (size_t i = 0; i < n; i++) wrong[t] += out[i] != 2 * in[i];
        }
      } catch (const npu::Exception&) {
        wrong[t] = -1;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (int w : wrong) assert_int_equal(w, 0);
}

const CMUnitTest stream_tests[] = {
    cmocka_unit_test(queries_and_deadlines), cmocka_unit_test(streams_run_beside_each_other),
    cmocka_unit_test(events_order_streams),  cmocka_unit_test(a_relay_of_streams),
    cmocka_unit_test(events_tell_time),      cmocka_unit_test(events_outlive_their_stream),
    cmocka_unit_test(bad_handles),           cmocka_unit_test(devices),
    cmocka_unit_test(pipelines_overlap),     cmocka_unit_test(a_reset_takes_everything_back),
};
const size_t stream_test_count = sizeof(stream_tests) / sizeof(stream_tests[0]);
