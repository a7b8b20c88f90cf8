// SPDX-License-Identifier: Apache-2.0
#include <thread>

#include "rig.hpp"

static void adds_vectors(void**) {
  Kernels kernels;
  const size_t n = 1003;
  std::vector<int32_t> a(n), b(n);
  for (size_t i = 0; i < n; i++) a[i] = static_cast<int32_t>(i * i), b[i] = static_cast<int32_t>(7 - i);
  npu::Buffer<int32_t> da(n), db(n), out(n);
  da.Upload(a);
  db.Upload(b);
  for (npuDim3 grid : {npuDim3{1, 1, 1}, npuDim3{16, 1, 1}, npuDim3{2, 3, 5}}) {
    OK(npuMemset(out.data(), 0xff, out.bytes()));
    npu::Launch(kernels["add"], grid, AddArgs{da.data(), db.data(), out.data(), n}, nullptr);
    OK(npuStreamSynchronize(nullptr));
    std::vector<int32_t> got = out.Download();
    for (size_t i = 0; i < n; i++) assert_int_equal(got[i], a[i] + b[i]);
  }
}

static void refuses_bad_launches(void**) {
  Kernels kernels;
  npuFunction_t f = kernels["nothing"];
  std::vector<char> args(5000);
  EXPECT(npuErrorInvalidGrid, npuLaunchKernel(f, {0, 1, 1}, nullptr, 0, nullptr));
  EXPECT(npuErrorInvalidGrid, npuLaunchKernel(f, {1, 1, 0}, nullptr, 0, nullptr));
  EXPECT(npuErrorInvalidGrid, npuLaunchKernel(f, {65536, 65536, 1}, nullptr, 0, nullptr));
  EXPECT(npuErrorInvalidGrid, npuLaunchKernel(f, {UINT32_MAX, UINT32_MAX, UINT32_MAX}, nullptr, 0, nullptr));
  EXPECT(npuErrorTooManyArguments, npuLaunchKernel(f, {1, 1, 1}, args.data(), 4097, nullptr));
  ExpectMessage("too many arguments");
  EXPECT(npuErrorInvalidValue, npuLaunchKernel(f, {1, 1, 1}, nullptr, 8, nullptr));
  EXPECT(npuErrorInvalidHandle, npuLaunchKernel(nullptr, {1, 1, 1}, nullptr, 0, nullptr));
  EXPECT(npuErrorInvalidHandle,
         npuLaunchKernel(reinterpret_cast<npuFunction_t>(kernels.module.get()), {1, 1, 1}, nullptr, 0, nullptr));
  npuDeviceProp prop;
  OK(npuGetDeviceProperties(&prop, 0));
  OK(npuLaunchKernel(f, {1, 1, 1}, args.data(), prop.maxArgsBytes, nullptr));
  OK(npuLaunchKernel(f, {1, 1, 1}, args.data(), 3, nullptr));
  OK(npuStreamSynchronize(nullptr));
}

// More launches than the ring of packets and the ring of arguments hold.
static void many_launches_in_order(void**) {
  Kernels kernels;
  npu::Stream stream;
  npu::Buffer<uint32_t> value(1);
  OK(npuMemset(value.data(), 0, 4));
  uint32_t expect = 0;
  npuFunction_t step = kernels["step"];
  for (uint32_t i = 0; i < 5000; i++) {
    npu::Launch(step, {1, 1, 1}, StepArgs{value.data(), i}, stream.get());
    expect = expect * 3 + i;
  }
  stream.Synchronize();
  assert_int_equal(value.Download()[0], expect);
  assert_int_equal(stream.Counters().launches, 5000);
}

static void a_batch_rings_once(void**) {
  Kernels kernels;
  npu::Stream stream;
  npuFunction_t f = kernels["nothing"];
  uint64_t packets[2], doorbells[2];
  OK(npuStreamGetStatistics(stream.get(), &packets[0], &doorbells[0], nullptr));
  {
    npu::Batch batch(stream.get());
    for (int i = 0; i < 100; i++) OK(npuLaunchKernel(f, {1, 1, 1}, nullptr, 0, stream.get()));
  }
  OK(npuStreamGetStatistics(stream.get(), &packets[1], &doorbells[1], nullptr));
  assert_int_equal(packets[1] - packets[0], 100);
  assert_int_equal(doorbells[1] - doorbells[0], 1);
  stream.Synchronize();
  EXPECT(npuErrorInvalidValue, npuStreamBatchEnd(stream.get()));
  // A wait inside a batch does not wait for a doorbell that never comes.
  OK(npuStreamBatchBegin(stream.get()));
  OK(npuLaunchKernel(f, {1, 1, 1}, nullptr, 0, stream.get()));
  stream.Synchronize();
  OK(npuStreamBatchEnd(stream.get()));
}

static void counters_repeat(void**) {
  Kernels kernels;
  npu::Buffer<int32_t> a(4096), out(4096);
  OK(npuMemset(a.data(), 1, a.bytes()));
  npuCounters costs[2];
  for (int round = 0; round < 2; round++) {
    npu::Stream stream;
    npu::Launch(kernels["add"], {8, 1, 1}, AddArgs{a.data(), a.data(), out.data(), 4096}, stream.get());
    stream.Synchronize();
    costs[round] = stream.Counters();
    assert_int_equal(costs[round].blocks, 8);
  }
  assert_true(costs[0].cycles > 0 && costs[0].instructions > 4096);
  assert_memory_equal(&costs[0], &costs[1], sizeof(npuCounters));
}

static void threads_launch_side_by_side(void**) {
  Kernels kernels;
  npuFunction_t step = kernels["step"];
  std::vector<std::thread> threads;
  std::vector<int> wrong(6);
  for (size_t t = 0; t < wrong.size(); t++) {
    threads.emplace_back([&, t] {
      try {
        npu::Stream stream;
        npu::Buffer<uint32_t> value(1);
        npu::Check(npuMemsetAsync(value.data(), 0, 4, stream.get()));
        uint32_t expect = 0;
        for (uint32_t i = 0; i < 300; i++) {
          npu::Launch(step, {1, 1, 1}, StepArgs{value.data(), i + static_cast<uint32_t>(t)}, stream.get());
          expect = expect * 3 + i + static_cast<uint32_t>(t);
          if (i % 50 == 0) stream.Synchronize();
        }
        uint32_t got = 0;
        npu::Check(npuMemcpyAsync(&got, value.data(), 4, npuMemcpyDeviceToHost, stream.get()));
        wrong[t] = got != expect;
      } catch (const npu::Exception&) {
        wrong[t] = 2;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (int w : wrong) assert_int_equal(w, 0);
}

// One stream, many threads: every launch runs once.
static void threads_share_a_stream(void**) {
  Kernels kernels;
  npu::Stream stream;
  npu::Buffer<uint32_t> value(1);
  OK(npuMemset(value.data(), 0, 4));
  npuFunction_t f = kernels["nothing"];
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (size_t t = 0; t < wrong.size(); t++) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; i++) wrong[t] += npuLaunchKernel(f, {1, 1, 1}, nullptr, 0, stream.get()) != npuSuccess;
      wrong[t] += npuStreamSynchronize(stream.get()) != npuSuccess;
    });
  }
  for (std::thread& t : threads) t.join();
  for (int w : wrong) assert_int_equal(w, 0);
  stream.Synchronize();
  assert_int_equal(stream.Counters().launches, 2000);
}

const CMUnitTest launch_tests[] = {
    cmocka_unit_test(adds_vectors),           cmocka_unit_test(refuses_bad_launches),
    cmocka_unit_test(many_launches_in_order), cmocka_unit_test(a_batch_rings_once),
    cmocka_unit_test(counters_repeat),        cmocka_unit_test(threads_launch_side_by_side),
    cmocka_unit_test(threads_share_a_stream),
};
const size_t launch_test_count = sizeof(launch_tests) / sizeof(launch_tests[0]);
