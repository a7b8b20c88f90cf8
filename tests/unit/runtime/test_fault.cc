// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "rig.hpp"

static npuFault LastFault() {
  npuFault fault, next;
  OK(npuGetFault(0, &fault));
  for (uint64_t i = 1; npuGetFault(i, &next) == npuSuccess; i++) fault = next;
  return fault;
}

static int forget_faults(void**) {
  OK(npuClearFaults());
  return 0;
}

// Two neighbours in memory: one 4-byte word behind the first begins the second.
struct Neighbours {
  npu::Buffer<int32_t> meant{64, "meant"}, victim{64, "victim"};
  int64_t apart;  // in words, from meant's base to victim's
  Neighbours() {
    OK(npuMemset(meant.data(), 0, meant.bytes()));
    OK(npuMemset(victim.data(), 0x55, victim.bytes()));
    constexpr uint64_t va = (1ull << 40) - 1;
    apart = (static_cast<int64_t>(reinterpret_cast<uint64_t>(victim.data()) & va) -
             static_cast<int64_t>(reinterpret_cast<uint64_t>(meant.data()) & va)) /
            4;
  }
  void ExpectVictimUnchanged() const {
    for (int32_t w : victim.Download()) assert_int_equal(w, 0x55555555);
  }
};

static void a_stomp_is_stopped_and_reported(void**) {
  Kernels kernels;
  Neighbours n;
  npu::Stream bad, good;
  npu::Launch(kernels["poke"], {1, 1, 1}, PokeArgs{n.meant.data(), n.apart + 3, 1}, bad.get());
  EXPECT(npuErrorMemoryFault, npuStreamSynchronize(bad.get()));
  ExpectMessage("poke");
  ExpectMessage("meant");
  ExpectMessage("victim");
  n.ExpectVictimUnchanged();

  npuFault f = LastFault();
  assert_int_equal(f.error, npuErrorMemoryFault);
  assert_string_equal(f.verdict, "out-of-bounds write");
  assert_string_equal(f.kernel, "poke");
  assert_string_equal(f.function, "poke");
  assert_non_null(std::strstr(f.file, "kernels.cc"));
  assert_int_equal(f.line, kPokeLine);
  assert_string_equal(f.packetType, "launch");
  assert_int_equal(f.packet, 0);
  assert_ptr_equal(f.stream, bad.get());
  assert_string_equal(f.access, "write");
  assert_string_equal(f.pipe, "scalar");
  assert_int_equal(f.bytes, 4);
  assert_int_equal(f.badBytes, 4);
  assert_true(f.buffer.known && f.buffer.live);
  assert_string_equal(f.buffer.name, "meant");
  assert_int_equal(f.buffer.bytes, 256);
  assert_int_equal(f.buffer.distance, n.apart >= 64 ? (n.apart + 3 - 64) * 4 : (n.apart + 3) * 4);
  assert_true(f.victim.known);
  assert_string_equal(f.victim.name, "victim");
  assert_int_equal(f.victim.distance, 12);

  // The other stream works on; this one after a reset.
  npu::Launch(kernels["poke"], {1, 1, 1}, PokeArgs{n.meant.data(), 1, 8}, good.get());
  good.Synchronize();
  EXPECT(npuErrorMemoryFault, npuLaunchKernel(kernels["nothing"], {1, 1, 1}, nullptr, 0, bad.get()));
  bad.Reset();
  npu::Launch(kernels["poke"], {1, 1, 1}, PokeArgs{n.meant.data(), 2, 9}, bad.get());
  bad.Synchronize();
  assert_int_equal(n.meant.Download()[1], 8);
  assert_int_equal(n.meant.Download()[2], 9);
}

static void distances_are_signed(void**) {
  Kernels kernels;
  npu::Buffer<int32_t> buffer(25, "small");
  struct Case {
    int64_t index;
    int64_t distance;
  };
  for (Case c : {Case{-1, -4}, Case{-3, -12}, Case{25, 0}, Case{27, 8}}) {
    npu::Stream stream;
    npu::Launch(kernels["poke"], {1, 1, 1}, PokeArgs{buffer.data(), c.index, 1}, stream.get());
    EXPECT(npuErrorMemoryFault, npuStreamSynchronize(stream.get()));
    assert_int_equal(LastFault().buffer.distance, c.distance);
    stream.Reset();
  }
}

static void reads_are_checked_too(void**) {
  Kernels kernels;
  npu::Buffer<int32_t> from(16, "from"), out(1);
  npu::Stream stream;
  npu::Launch(kernels["peek"], {1, 1, 1}, PeekArgs{from.data(), 16, out.data()}, stream.get());
  EXPECT(npuErrorMemoryFault, npuStreamSynchronize(stream.get()));
  assert_string_equal(LastFault().verdict, "out-of-bounds read");
  stream.Reset();
}

static void stale_pointers_are_caught(void**) {
  Kernels kernels;
  npu::Stream stream;
  void* p = nullptr;
  OK(npuMallocNamed(&p, 64, "gone"));
  OK(npuFree(p));
  // Even when the memory has a new owner.
  npu::Buffer<int32_t> heir(16, "heir");
  OK(npuMemset(heir.data(), 0x22, 64));
  npu::Launch(kernels["poke"], {1, 1, 1}, PokeArgs{static_cast<int32_t*>(p), 0, 1}, stream.get());
  EXPECT(npuErrorMemoryFault, npuStreamSynchronize(stream.get()));
  npuFault f = LastFault();
  assert_string_equal(f.verdict, "use after free");
  assert_string_equal(f.buffer.name, "gone");
  assert_false(f.buffer.live);
  assert_string_equal(f.victim.name, "heir");
  for (int32_t w : heir.Download()) assert_int_equal(w, 0x22222222);
  stream.Reset();
}

static void narrowed_pointers_are_checked(void**) {
  Kernels kernels;
  npu::Stream stream;
  npu::Buffer<int32_t> arena(1024, "arena");
  OK(npuMemset(arena.data(), 0, arena.bytes()));
  void* part = nullptr;
  OK(npuNarrow(&part, arena.data(), 256, 128));
  npu::Launch(kernels["poke"], {1, 1, 1}, PokeArgs{static_cast<int32_t*>(part), 31, 4}, stream.get());
  stream.Synchronize();
  npu::Launch(kernels["poke"], {1, 1, 1}, PokeArgs{static_cast<int32_t*>(part), 32, 5}, stream.get());
  EXPECT(npuErrorMemoryFault, npuStreamSynchronize(stream.get()));
  assert_string_equal(LastFault().victim.name, "arena");
  std::vector<int32_t> words = arena.Download();
  assert_int_equal(words[64 + 31], 4);
  assert_int_equal(words[64 + 32], 0);
  stream.Reset();
}

static void kernels_stop_themselves(void**) {
  Kernels kernels;
  npu::Stream stream;
  OK(npuLaunchKernel(kernels["trap"], {1, 1, 1}, nullptr, 0, stream.get()));
  EXPECT(npuErrorKernelTrap, npuStreamSynchronize(stream.get()));
  npuError_t error = npuSuccess;
  OK(npuStreamGetError(stream.get(), &error));
  assert_int_equal(error, npuErrorKernelTrap);
  EXPECT(npuErrorKernelTrap, npuStreamQuery(stream.get()));
  stream.Reset();
  OK(npuStreamGetError(stream.get(), &error));
  assert_int_equal(error, npuSuccess);
  OK(npuStreamQuery(stream.get()));
}

static void waiters_of_a_failed_stream_end(void**) {
  Kernels kernels;
  npu::Stream a, b, c;
  npu::Event before, after, of_b;
  npu::Buffer<int32_t> value(4);
  OK(npuMemset(value.data(), 0, 16));
  Gate gate(kernels);
  a.Record(before);
  gate.Hold(a.get());
  OK(npuLaunchKernel(kernels["trap"], {1, 1, 1}, nullptr, 0, a.get()));
  a.Record(after);
  // b does some work, then waits for what a will never do; c waits for b.
  b.Wait(before);
  npu::Launch(kernels["poke"], {1, 1, 1}, PokeArgs{value.data(), 0, 1}, b.get());
  b.Wait(after);
  npu::Launch(kernels["poke"], {1, 1, 1}, PokeArgs{value.data(), 1, 2}, b.get());
  b.Record(of_b);
  c.Wait(of_b);
  npu::Launch(kernels["poke"], {1, 1, 1}, PokeArgs{value.data(), 2, 3}, c.get());
  gate.Open();
  EXPECT(npuErrorUpstream, npuStreamSynchronize(c.get()));
  EXPECT(npuErrorUpstream, npuStreamSynchronize(b.get()));
  EXPECT(npuErrorKernelTrap, npuStreamSynchronize(a.get()));
  OK(npuEventSynchronize(before.get()));
  EXPECT(npuErrorKernelTrap, npuEventSynchronize(after.get()));
  EXPECT(npuErrorUpstream, npuEventQuery(of_b.get()));
  assert_int_equal(value.Download()[0], 1);
  assert_int_equal(value.Download()[1], 0);
  assert_int_equal(value.Download()[2], 0);
  // Only the cause is a fault; the others are its consequences.
  uint64_t kept = 0;
  npuFault f;
  while (npuGetFault(kept, &f) == npuSuccess) kept++;
  assert_int_equal(kept, 1);
  // Waiting for it afterwards fails as well, and does not hang.
  npu::Stream late;
  late.Wait(after);
  EXPECT(npuErrorUpstream, npuStreamSynchronize(late.get()));
  for (npu::Stream* s : {&a, &b, &c, &late}) {
    s->Reset();
    npu::Launch(kernels["poke"], {1, 1, 1}, PokeArgs{value.data(), 3, 4}, s->get());
    s->Synchronize();
  }
  EXPECT(npuErrorKernelTrap, npuEventSynchronize(after.get()));
}

// Points that were reached before the failure stay reached, also for streams that wait for them later.
static void earlier_records_stay_good(void**) {
  Kernels kernels;
  npu::Stream a, b;
  npu::Event early;
  Gate gate(kernels);
  a.Record(early);
  a.Synchronize();
  gate.Hold(b.get());
  b.Wait(early);
  // b's block has core 0, so the failing one must be on another.
  OK(npuLaunchKernel(kernels["trap_beside"], {2, 1, 1}, nullptr, 0, a.get()));
  EXPECT(npuErrorKernelTrap, npuStreamSynchronize(a.get()));
  b.Wait(early);
  gate.Open();
  b.Synchronize();
  a.Reset();
}

// The wait is in b's ring when a fails, but b comes to it only afterwards; the point had been reached before the
// failure.
static void a_reached_point_does_not_fail_a_late_waiter(void**) {
  Kernels kernels;
  npu::Stream a, b;
  npu::Event early, of_b;
  npu::Buffer<int32_t> value(1);
  OK(npuMemset(value.data(), 0, 4));
  Gate gate(kernels);
  gate.Hold(b.get());
  OK(npuStreamBatchBegin(a.get()));
  a.Record(early);
  assert_false(early.Ready());
  b.Wait(early);
  b.Record(of_b);
  npu::Launch(kernels["poke"], {1, 1, 1}, PokeArgs{value.data(), 0, 7}, b.get());
  OK(npuLaunchKernel(kernels["trap_beside"], {2, 1, 1}, nullptr, 0, a.get()));
  OK(npuStreamBatchEnd(a.get()));
  EXPECT(npuErrorKernelTrap, npuStreamSynchronize(a.get()));
  gate.Open();
  b.Synchronize();
  of_b.Synchronize();
  assert_int_equal(value.Download()[0], 7);
  uint64_t kept = 0;
  npuFault f;
  while (npuGetFault(kept, &f) == npuSuccess) kept++;
  assert_int_equal(kept, 1);
  a.Reset();
}

static void reports_for_people_and_tools(void**) {
  Kernels kernels;
  Neighbours n;
  npu::Stream stream;
  npu::Launch(kernels["poke"], {1, 1, 1}, PokeArgs{n.meant.data(), n.apart, 1}, stream.get());
  EXPECT(npuErrorMemoryFault, npuStreamSynchronize(stream.get()));
  stream.Reset();
  for (npuReportFormat format : {npuReportText, npuReportJson}) {
    size_t bytes = 0;
    OK(npuGetFaultReport(format, nullptr, &bytes));
    assert_true(bytes > 100);
    std::vector<char> text(bytes);
    OK(npuGetFaultReport(format, text.data(), &bytes));
    assert_int_equal(std::strlen(text.data()) + 1, bytes);
    for (const char* part : {"poke", "kernels.cc", "meant", "victim", "out-of-bounds write"}) {
      if (!std::strstr(text.data(), part)) fail_msg("the report does not name %s:\n%s", part, text.data());
    }
    char little[10];
    size_t room = sizeof(little);
    OK(npuGetFaultReport(format, little, &room));
    assert_int_equal(std::strlen(little), 9);
    assert_int_equal(room, bytes);
  }
  OK(npuClearFaults());
  npuFault f;
  EXPECT(npuErrorInvalidValue, npuGetFault(0, &f));
}

static void without_line_tables(void**) {
  npu::Module module(KernelFile("no-lines"));
  npu::Stream stream;
  npu::Buffer<int32_t> buffer(4);
  npu::Launch(module.Function("poke"), {1, 1, 1}, PokeArgs{buffer.data(), 4, 1}, stream.get());
  EXPECT(npuErrorMemoryFault, npuStreamSynchronize(stream.get()));
  npuFault f = LastFault();
  assert_string_equal(f.kernel, "poke");
  assert_string_equal(f.file, "");
  assert_int_equal(f.line, 0);
  stream.Reset();
}

// More faults than the log keeps, and streams that recover each time.
static void a_stream_recovers_again_and_again(void**) {
  Kernels kernels;
  npu::Stream stream;
  npu::Buffer<int32_t> buffer(4);
  OK(npuMemset(buffer.data(), 0, 16));
  npuFunction_t poke = kernels["poke"];
  for (int i = 1; i <= 50; i++) {
    npu::Launch(poke, {1, 1, 1}, PokeArgs{buffer.data(), 0, i}, stream.get());
    npu::Launch(poke, {1, 1, 1}, PokeArgs{buffer.data(), 4, i}, stream.get());
    // Submitting may already be refused, or the work is dropped.
    npuError_t e = npuLaunchKernel(poke, {1, 1, 1}, "0123456701234567", 16, stream.get());
    assert_true(e == npuSuccess || e == npuErrorMemoryFault);
    EXPECT(npuErrorMemoryFault, npuStreamSynchronize(stream.get()));
    stream.Reset();
    int32_t got = 0;
    OK(npuMemcpyAsync(&got, buffer.data(), 4, npuMemcpyDeviceToHost, stream.get()));
    assert_int_equal(got, i);
  }
}

const CMUnitTest fault_tests[] = {
    cmocka_unit_test_setup(a_stomp_is_stopped_and_reported, forget_faults),
    cmocka_unit_test_setup(distances_are_signed, forget_faults),
    cmocka_unit_test_setup(reads_are_checked_too, forget_faults),
    cmocka_unit_test_setup(stale_pointers_are_caught, forget_faults),
    cmocka_unit_test_setup(narrowed_pointers_are_checked, forget_faults),
    cmocka_unit_test_setup(kernels_stop_themselves, forget_faults),
    cmocka_unit_test_setup(waiters_of_a_failed_stream_end, forget_faults),
    cmocka_unit_test_setup(earlier_records_stay_good, forget_faults),
    cmocka_unit_test_setup(a_reached_point_does_not_fail_a_late_waiter, forget_faults),
    cmocka_unit_test_setup(reports_for_people_and_tools, forget_faults),
    cmocka_unit_test_setup(without_line_tables, forget_faults),
    cmocka_unit_test_setup(a_stream_recovers_again_and_again, forget_faults),
};
const size_t fault_test_count = sizeof(fault_tests) / sizeof(fault_tests[0]);
