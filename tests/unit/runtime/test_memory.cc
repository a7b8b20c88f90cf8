// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <random>
#include <thread>

#include "rig.hpp"

static void pointers_carry_their_buffer(void**) {
  void* p = nullptr;
  OK(npuMallocNamed(&p, 1000, "weights"));
  npuPointerAttributes a;
  OK(npuPointerGetAttributes(&a, static_cast<char*>(p) + 10));
  assert_int_equal(a.type, npuMemoryDevice);
  assert_ptr_equal(a.devicePointer, p);
  assert_int_equal(a.bytes, 1000);
  assert_int_equal(a.offset, 10);
  assert_string_equal(a.name, "weights");
  assert_int_equal(reinterpret_cast<uint64_t>(p) >> 48, a.buffer);
  OK(npuSetBufferName(p, "other"));
  OK(npuPointerGetAttributes(&a, p));
  assert_string_equal(a.name, "other");
  OK(npuFree(p));
  EXPECT(npuErrorInvalidPointer, npuPointerGetAttributes(&a, p));
  int on_stack;
  OK(npuPointerGetAttributes(&a, &on_stack));
  assert_int_equal(a.type, npuMemoryUnregistered);
}

static void refuses_bad_frees(void**) {
  void* p = nullptr;
  EXPECT(npuErrorInvalidValue, npuMalloc(&p, 0));
  EXPECT(npuErrorInvalidValue, npuMalloc(nullptr, 16));
  OK(npuFree(nullptr));
  OK(npuMalloc(&p, 256));
  EXPECT(npuErrorInvalidPointer, npuFree(static_cast<char*>(p) + 1));
  EXPECT(npuErrorInvalidPointer, npuFreeHost(p));
  OK(npuFree(p));
  EXPECT(npuErrorInvalidPointer, npuFree(p));
  ExpectMessage("freed already");
  int on_stack;
  EXPECT(npuErrorInvalidPointer, npuFree(&on_stack));
  assert_int_equal(npuGetLastError(), npuErrorInvalidPointer);
  assert_int_equal(npuGetLastError(), npuSuccess);
}

static void memory_runs_out_and_comes_back(void**) {
  size_t free_before = 0, free_after = 0, total = 0;
  OK(npuMemTrim(nullptr));
  OK(npuMemGetInfo(&free_before, &total));
  void* p = nullptr;
  EXPECT(npuErrorOutOfMemory, npuMalloc(&p, total * 2));
  EXPECT(npuErrorOutOfMemory, npuMalloc(&p, SIZE_MAX - 4096));
  std::vector<void*> all;
  npuError_t last = npuSuccess;
  while (all.size() < 64 && (last = npuMalloc(&p, total / 8)) == npuSuccess) all.push_back(p);
  assert_int_equal(last, npuErrorOutOfMemory);
  assert_true(all.size() >= 4);
  for (void* q : all) OK(npuFree(q));
  OK(npuMemTrim(nullptr));
  OK(npuMemGetInfo(&free_after, &total));
  assert_int_equal(free_after, free_before);
}

// Random sizes and orders: no two live allocations overlap, and each keeps its bytes.
static void allocations_do_not_overlap(void**) {
  struct Live {
    char* p;
    size_t bytes;
    uint8_t mark;
  };
  std::mt19937 random(7);
  std::vector<Live> live;
  std::vector<uint8_t> back;
  for (int i = 0; i < 400; i++) {
    if (live.size() > 40 || (!live.empty() && random() % 3 == 0)) {
      size_t at = random() % live.size();
      Live l = live[at];
      live[at] = live.back();
      live.pop_back();
      back.resize(l.bytes);
      OK(npuMemcpy(back.data(), l.p, l.bytes, npuMemcpyDeviceToHost));
      for (uint8_t b : back) assert_int_equal(b, l.mark);
      OK(npuFree(l.p));
      continue;
    }
    size_t bytes = random() % 4 == 0 ? 1 + random() % 100000 : 1 + random() % 700;
    void* p = nullptr;
    OK(npuMalloc(&p, bytes));
    assert_int_equal(reinterpret_cast<uint64_t>(p) % 256, 0);
    OK(npuMemset(p, i & 0xff, bytes));
    live.push_back({static_cast<char*>(p), bytes, static_cast<uint8_t>(i)});
  }
  for (const Live& l : live) OK(npuFree(l.p));
}

static void a_number_rests_before_it_comes_again(void**) {
  std::vector<bool> seen(65536);
  for (int i = 0; i < 2000; i++) {
    void* p = nullptr;
    OK(npuMalloc(&p, 64));
    size_t number = reinterpret_cast<uint64_t>(p) >> 48;
    assert_false(seen[number]);
    seen[number] = true;
    OK(npuFree(p));
  }
}

static void host_memory(void**) {
  void *h = nullptr, *d = nullptr;
  OK(npuMallocHost(&h, 5000));
  std::memset(h, 3, 5000);
  OK(npuHostGetDevicePointer(&d, static_cast<char*>(h) + 100));
  npuPointerAttributes a;
  OK(npuPointerGetAttributes(&a, d));
  assert_int_equal(a.type, npuMemoryHost);
  assert_int_equal(a.offset, 100);
  assert_ptr_equal(a.hostPointer, h);
  OK(npuMemset(d, 9, 50));
  for (int i = 0; i < 5000; i++) assert_int_equal(static_cast<char*>(h)[i], i >= 100 && i < 150 ? 9 : 3);
  EXPECT(npuErrorInvalidPointer, npuFreeHost(static_cast<char*>(h) + 100));
  OK(npuFreeHost(h));
  EXPECT(npuErrorInvalidPointer, npuHostGetDevicePointer(&d, h));
}

static void narrowed_pointers(void**) {
  void *p = nullptr, *part = nullptr, *inner = nullptr;
  OK(npuMallocNamed(&p, 4096, "arena"));
  EXPECT(npuErrorInvalidPointer, npuNarrow(&part, p, 4000, 97));
  EXPECT(npuErrorInvalidValue, npuNarrow(&part, p, 4000, 0));
  OK(npuNarrow(&part, p, 1024, 512));
  OK(npuNarrow(&inner, part, 12, 100));
  OK(npuMemset(part, 1, 512));
  EXPECT(npuErrorInvalidPointer, npuMemset(part, 1, 513));
  EXPECT(npuErrorInvalidPointer, npuMemset(static_cast<char*>(part) - 1, 1, 1));
  EXPECT(npuErrorInvalidPointer, npuFree(part));
  OK(npuNarrowEnd(part));
  // With a part end the parts of it, and with the allocation all of them.
  EXPECT(npuErrorInvalidPointer, npuMemset(inner, 1, 1));
  OK(npuNarrow(&part, p, 0, 16));
  OK(npuFree(p));
  EXPECT(npuErrorInvalidPointer, npuMemset(part, 1, 1));
}

static void frees_in_stream_order(void**) {
  Kernels kernels;
  npu::Stream stream;
  Gate gate(kernels);
  void* p = nullptr;
  OK(npuMallocAsync(&p, 4096, stream.get()));
  gate.Hold(stream.get());
  OK(npuMemsetAsync(p, 1, 4096, stream.get()));
  OK(npuFreeAsync(p, stream.get()));
  EXPECT(npuErrorInvalidPointer, npuFreeAsync(p, stream.get()));
  // Not given to anybody while the stream still works with it.
  void* q = nullptr;
  OK(npuMalloc(&q, 4096));
  assert_int_not_equal(reinterpret_cast<uint64_t>(p) & ((1ull << 40) - 1),
                       reinterpret_cast<uint64_t>(q) & ((1ull << 40) - 1));
  gate.Open();
  stream.Synchronize();
  npuPointerAttributes a;
  EXPECT(npuErrorInvalidPointer, npuPointerGetAttributes(&a, p));
  OK(npuFree(q));
}

static void threads_allocate_side_by_side(void**) {
  std::vector<std::thread> threads;
  std::vector<int> bad(8);
  for (int t = 0; t < 8; t++) {
    threads.emplace_back([t, &bad] {
      for (int i = 0; i < 200; i++) {
        void* p = nullptr;
        if (npuMalloc(&p, static_cast<size_t>(1 + (i * 37 + t) % 5000))) bad[static_cast<size_t>(t)]++;
        if (npuFree(p)) bad[static_cast<size_t>(t)]++;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (int b : bad) assert_int_equal(b, 0);
}

const CMUnitTest memory_tests[] = {
    cmocka_unit_test(pointers_carry_their_buffer),
    cmocka_unit_test(refuses_bad_frees),
    cmocka_unit_test(memory_runs_out_and_comes_back),
    cmocka_unit_test(allocations_do_not_overlap),
    cmocka_unit_test(a_number_rests_before_it_comes_again),
    cmocka_unit_test(host_memory),
    cmocka_unit_test(narrowed_pointers),
    cmocka_unit_test(frees_in_stream_order),
    cmocka_unit_test(threads_allocate_side_by_side),
};
const size_t memory_test_count = sizeof(memory_tests) / sizeof(memory_tests[0]);
