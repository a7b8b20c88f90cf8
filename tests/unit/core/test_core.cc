// SPDX-License-Identifier: Apache-2.0
//
// Whole blocks: programs built by the stock compiler, their results, faults and counters.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

#include "core/timing.h"
#include "ops/intrinsics.h"
#include "ops/poke.h"
#include "suite.h"

namespace {

using namespace npu::model;
using namespace npu::test;

constexpr uint64_t kSram = NPU_LOCAL_SRAM_BASE;

// A world with one core and the program poke.
struct Rig : World {
  Rig() : core(3, platform) {
    code = LoadCode(CORE_TEST_OPS "/poke.bin");
    args = Buffer(sizeof(PokeArgs));
    out = Buffer(256);
    launch.space = space.get();
    launch.entry = code;
    launch.args = args;
    launch.args_bytes = sizeof(PokeArgs);
    launch.cores = 4;
    launch.cores_used = 1;
  }
  void Tell(PokeWhat what, uint64_t a = 0, uint64_t b = 0) {
    const PokeArgs p{static_cast<uint64_t>(what), a, b, out};
    std::memcpy(At(args), &p, sizeof(p));
  }
  Outcome Poke(PokeWhat what, uint64_t a = 0, uint64_t b = 0) {
    Tell(what, a, b);
    core.Begin(launch, 0);
    return core.Run(1000000);
  }
  uint64_t Out(int i = 0) {
    uint64_t v;
    std::memcpy(&v, At(out) + 8 * i, 8);
    return v;
  }
  Core core;
  LaunchContext launch;
  uint64_t code, args, out;
};

// The block faults with this kind; no byte of device, host or local memory changes (the stack is the program's own).
#define FAULTS(rig, expected, ...)                                      \
  do {                                                                  \
    (rig).Tell(__VA_ARGS__);                                            \
    (rig).core.Begin((rig).launch, 0);                                  \
    const Snapshot before = (rig).Save((rig).core.sram());              \
    assert_int_equal((rig).core.Run(1000000), Outcome::kFault);         \
    assert_int_equal((rig).core.fault().kind, expected);                \
    assert_true(before == (rig).Save((rig).core.sram()));               \
    assert_int_equal((rig).core.fault().core, 3);                       \
    assert_int_equal((rig).core.fault().context, 7);                    \
    assert_int_equal((rig).core.fault().kernel, (rig).code);            \
    assert_in_range(NPU_PTR_VA((rig).core.fault().pc), 0, NPU_VA_MASK); \
  } while (0)

void TestScalarMemory(void**) {
  Rig r;
  for (const bool host : {false, true}) {
    const uint64_t p = r.Buffer(8192, host);
    const uint64_t value = 0x1122334455667788;
    assert_int_equal(r.Poke(kPokeStore, p + 4096, value), Outcome::kDone);
    assert_memory_equal(r.At(p + 4096), &value, 8);
    assert_int_equal(r.Poke(kPokeLoad, p + 4096), Outcome::kDone);
    assert_int_equal(r.Out(), value);
    assert_int_equal(r.Poke(kPokeAmoAdd, p + 4096, 0x10), Outcome::kDone);
    assert_int_equal(r.Out(), value & 0xffffffff);
    assert_int_equal(r.Poke(kPokeAmoAdd64, p + 4096, uint64_t{1} << 60), Outcome::kDone);
    assert_int_equal(r.Poke(kPokeReserved, p + 4096, 3), Outcome::kDone);
    uint64_t now;
    std::memcpy(&now, r.At(p + 4096), 8);
    assert_int_equal(now, value + 0x13 + (uint64_t{1} << 60));
  }
  // The right to atomics alone: they work, and nothing else does.
  const uint64_t p = r.Buffer(64, false, NPU_BOUNDS_ATOMIC | NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT);
  uint64_t before, after;
  std::memcpy(&before, r.At(p), 8);
  assert_int_equal(r.Poke(kPokeAmoAdd64, p, 5), Outcome::kDone);
  assert_int_equal(r.Poke(kPokeReserved, p, 2), Outcome::kDone);
  std::memcpy(&after, r.At(p), 8);
  assert_int_equal(after, before + 7);
  assert_int_equal(r.Poke(kPokeLoad, p), Outcome::kFault);
  assert_int_equal(r.core.fault().kind, NPU_FAULT_PERM);
  assert_int_equal(r.Poke(kPokeStore, p, 1), Outcome::kFault);
  assert_int_equal(r.core.fault().kind, NPU_FAULT_PERM);
  const uint64_t read_only = r.Buffer(64, false, NPU_BOUNDS_READ | NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT);
  assert_int_equal(r.Poke(kPokeAmoAdd64, read_only, 5), Outcome::kFault);
  assert_int_equal(r.core.fault().kind, NPU_FAULT_PERM);
  assert_int_equal(r.core.fault().access, NPU_ACCESS_ATOMIC);
  assert_int_equal(r.Poke(kPokeStore, kSram + 64, 99), Outcome::kDone);
  assert_int_equal(r.Poke(kPokeReserved, kSram + 64, 1), Outcome::kDone);
  assert_int_equal(r.core.sram()[64], 100);
}

void TestScalarFaults(void**) {
  Rig r;
  const uint64_t p = r.Buffer(100), neighbour = r.Buffer(100);
  FAULTS(r, NPU_FAULT_NULL, kPokeStore, 8, 1);
  assert_int_equal(r.core.fault().engine, NPU_ENGINE_SCALAR);
  assert_int_equal(r.core.fault().access, NPU_ACCESS_WRITE);
  assert_int_equal(NPU_PTR_BUF(r.core.fault().pc), NPU_PTR_BUF(r.code));
  assert_int_equal(r.core.fault().ra, NPU_LOCAL_EXIT_PC);
  FAULTS(r, NPU_FAULT_NULL, kPokeLoad, 0);
  FAULTS(r, NPU_FAULT_OOB, kPokeStore, p + 96, 1);
  assert_int_equal(r.core.fault().bad_bytes, 4);
  assert_int_equal(r.core.fault().bad_addr, NPU_PTR_VA(p) + 100);
  // First a good access, so that the page is in the translation cache; then the first byte behind.
  assert_int_equal(r.Poke(kPokeStoreByte, p + 99, 1), Outcome::kDone);
  FAULTS(r, NPU_FAULT_OOB, kPokeStoreByte, p + 100, 1);
  FAULTS(r, NPU_FAULT_OOB, kPokeStore, NPU_PTR(NPU_PTR_BUF(p), NPU_PTR_GEN(p), neighbour), 1);
  FAULTS(r, NPU_FAULT_OOB, kPokeAmoAdd, p + 100, 1);
  FAULTS(r, NPU_FAULT_OOB, kPokeReserved, p + 104, 1);
  FAULTS(r, NPU_FAULT_STALE, kPokeStore, p + (uint64_t{1} << NPU_GEN_SHIFT), 1);
  FAULTS(r, NPU_FAULT_UNKNOWN_BUF, kPokeStore, NPU_PTR(5000, 0, NPU_PTR_VA(p)), 1);
  FAULTS(r, NPU_FAULT_MISALIGNED, kPokeMisaligned, p + 2, 1);
  FAULTS(r, NPU_FAULT_MISALIGNED, kPokeMisaligned, kSram + 1, 1);
  FAULTS(r, NPU_FAULT_MISALIGNED, kPokeAmoAdd64, p + 4, 1);
  FAULTS(r, NPU_FAULT_LOCAL_OOB, kPokeStore, kSram + kSramBytes, 1);
  FAULTS(r, NPU_FAULT_LOCAL_OOB, kPokeStore, kSram - 8, 1);
  FAULTS(r, NPU_FAULT_STACK, kPokeStore, NPU_LOCAL_STACK_BASE + NPU_LOCAL_STACK_BYTES, 1);
  FAULTS(r, NPU_FAULT_STACK, kPokeRecurse);
  assert_true(r.core.fault().bad_addr < NPU_LOCAL_STACK_BASE);
  npu_bounds_entry& entry = r.Bounds(static_cast<uint32_t>(NPU_PTR_BUF(p)));
  const uint32_t ctl = entry.ctl;
  // The runtime takes rights away and moves the epoch: what the core has cached does not count any more.
  entry.ctl = ctl & ~NPU_BOUNDS_WRITE;
  ++r.Bounds(0).ctl;
  FAULTS(r, NPU_FAULT_PERM, kPokeStore, p, 1);
  FAULTS(r, NPU_FAULT_PERM, kPokeAmoAdd, p, 1);
  entry.ctl = (ctl & ~NPU_BOUNDS_STATE_MASK) | NPU_BOUNDS_STATE_FREED << NPU_BOUNDS_STATE_SHIFT;
  ++r.Bounds(0).ctl;
  FAULTS(r, NPU_FAULT_STALE, kPokeLoad, p, 1);
  entry.ctl = ctl;
  ++r.Bounds(0).ctl;
  *r.Pte(NPU_PTR_VA(p)) &= ~NPU_PTE_WRITE;
  r.space->InvalidateTranslations();
  FAULTS(r, NPU_FAULT_PAGE_PERM, kPokeStore, p, 1);
  r.Unmap(NPU_PTR_VA(p));
  r.space->InvalidateTranslations();
  FAULTS(r, NPU_FAULT_PAGE, kPokeLoad, p);
  const uint64_t host = r.Buffer(64, true);
  r.bus_error_at = (*r.Pte(NPU_PTR_VA(host)) & NPU_PTE_ADDR_MASK) + 8;
  FAULTS(r, NPU_FAULT_BUS, kPokeLoad, host + 8);
  FAULTS(r, NPU_FAULT_BUS, kPokeStore, host + 8, 1);
  FAULTS(r, NPU_FAULT_BUS, kPokeAmoAdd, host + 8, 1);
}

void TestExecutionFaults(void**) {
  Rig r;
  FAULTS(r, NPU_FAULT_TRAP, kPokeTrap, 1234);
  assert_int_equal(r.core.fault().extra[0], 1234);
  FAULTS(r, NPU_FAULT_TRAP, kPokeEbreak);
  assert_int_equal(r.core.fault().detail, 1);
  FAULTS(r, NPU_FAULT_TRAP, kPokeEcall, 77);
  assert_int_equal(r.core.fault().extra[0], 77);
  FAULTS(r, NPU_FAULT_ILLEGAL, kPokeIllegal);
  FAULTS(r, NPU_FAULT_ILLEGAL, kPokeCustom1);
  assert_int_equal(r.core.fault().extra[0] & 0x7f, NPU_OPCODE_CUSTOM1);
  const uint64_t data = r.Buffer(64);
  FAULTS(r, NPU_FAULT_FETCH, kPokeCall, data);
  assert_int_equal(r.core.fault().detail, NPU_FAULT_PERM);
  assert_int_equal(r.core.fault().pc, data);
  FAULTS(r, NPU_FAULT_FETCH, kPokeCall, kSram);
  FAULTS(r, NPU_FAULT_FETCH, kPokeCall, 0);
  assert_int_equal(r.core.fault().detail, NPU_FAULT_NULL);
  FAULTS(r, NPU_FAULT_BAD_DESC, kPokeBadFlag);
  FAULTS(r, NPU_FAULT_BAD_DESC, kPokeIssue, r.args, NPU_PIPE_VECTOR);
  assert_int_equal(r.core.fault().detail, NPU_DESC_ERR_SPACE);
  assert_int_equal(r.core.fault().engine, NPU_ENGINE_VECTOR);
  FAULTS(r, NPU_FAULT_MISALIGNED, kPokeIssue, kSram + 4, NPU_PIPE_MATRIX);
  FAULTS(r, NPU_FAULT_LOCAL_OOB, kPokeIssue, kSram + kSramBytes - 64, NPU_PIPE_DMA_IN);
  assert_int_equal(r.core.fault().engine, NPU_ENGINE_DMA_IN);
}

void TestDeadlocks(void**) {
  Rig r;
  const uint64_t flag = NPU_FLAG(NPU_PIPE_VECTOR, NPU_PIPE_SCALAR, 3);
  FAULTS(r, NPU_FAULT_DEADLOCK, kPokeHartWait, flag);
  assert_int_equal(r.core.fault().extra[0], flag);
  assert_int_equal(r.core.fault().engine, NPU_ENGINE_SCALAR);
  for (const PokeWhat what : {kPokePipeWait, kPokePipeBarrier, kPokeQueueFull}) {
    FAULTS(r, NPU_FAULT_DEADLOCK, what);
    assert_int_equal(r.core.fault().extra[0], NPU_FLAG(NPU_PIPE_DMA_IN, NPU_PIPE_VECTOR, 5));
    assert_int_equal(r.core.fault().extra[1], 1u << NPU_PIPE_VECTOR);
    assert_int_equal(r.core.fault().engine, NPU_ENGINE_VECTOR);
  }
  // The state of a block that hung does not reach the next one.
  assert_int_equal(r.Poke(kPokeNothing), Outcome::kDone);
}

// An operation waits for its flag and sees what was stored before the flag was set.
void TestHeldOperation(void**) {
  Rig r;
  r.Tell(kPokeHeld, kSram + 512, 0xabcdef);
  npu_vector_desc v{};
  v.op = NPU_V_COPY;
  v.dst_type = v.src_type = NPU_I32;
  v.dst = kSram + 1024;
  v.src[0] = kSram;
  v.rows = 1;
  v.cols = 2;
  r.core.Begin(r.launch, 0);
  std::memcpy(r.core.sram() + 512, &v, sizeof(v));
  assert_int_equal(r.core.Run(100000), Outcome::kDone);
  uint64_t got;
  std::memcpy(&got, r.core.sram() + 1024, 8);
  assert_int_equal(got, 0xabcdef);
  assert_true(r.core.cost().stall_flag > 0);
  // The same with an operand outside: refused when it is released, at the pc that issued it.
  v.dst = kSram + kSramBytes - 4;
  r.core.Begin(r.launch, 0);
  std::memcpy(r.core.sram() + 512, &v, sizeof(v));
  assert_int_equal(r.core.Run(100000), Outcome::kFault);
  assert_int_equal(r.core.fault().kind, NPU_FAULT_LOCAL_OOB);
  assert_int_equal(r.core.fault().engine, NPU_ENGINE_VECTOR);
  assert_int_equal(r.core.fault().bad_bytes, 4);
}

void TestLocalBounds(void**) {
  Rig r;
  const uint64_t rights = uint64_t{3} << 32;
  assert_int_equal(r.Poke(kPokeLocalSet, kSram + 128, rights | 64), Outcome::kDone);
  assert_int_equal(NPU_PTR_BUF(r.Out()), NPU_BUF_LOCAL_FIRST);
  assert_int_equal(NPU_PTR_VA(r.Out()), kSram + 128);
  FAULTS(r, NPU_FAULT_LOCAL_OOB, kPokeLocalSet, kSram + kSramBytes - 8, rights | 9);
  FAULTS(r, NPU_FAULT_LOCAL_OOB, kPokeLocalSet, r.args, rights | 8);
  FAULTS(r, NPU_FAULT_UNKNOWN_BUF, kPokeLocalClear, NPU_PTR(NPU_BUF_LOCAL_FIRST + 9, 0, kSram));
  FAULTS(r, NPU_FAULT_UNKNOWN_BUF, kPokeStore, NPU_PTR(NPU_BUF_LOCAL_FIRST + 9, 0, kSram), 1);
}

void TestCsrs(void**) {
  Rig r;
  r.launch.grid[0] = 3, r.launch.grid[1] = 4, r.launch.grid[2] = 5;
  r.Tell(kPokeCsrs);
  r.core.Begin(r.launch, 1 + 3 * (2 + 4 * 3));
  assert_int_equal(r.core.Run(100000), Outcome::kDone);
  const uint64_t want[] = {1, 2, 3, 3, 4, 5, 43, 60, 3, 4, kSram, kSramBytes, sizeof(PokeArgs)};
  for (int i = 0; i < 13; ++i) assert_int_equal(r.Out(i), want[i]);
}

void TestGridBarrier(void**) {
  Rig r;
  Core other(1, r.platform);
  r.launch.grid[0] = r.launch.cores_used = 2;
  r.Tell(kPokeGrid, 0, 21);
  r.core.Begin(r.launch, 0);
  other.Begin(r.launch, 1);
  for (int round = 0; round < 2; ++round) {
    assert_int_equal(r.core.Run(100000), Outcome::kGridBarrier);
    assert_int_equal(other.Run(100000), Outcome::kGridBarrier);
    const uint64_t clock = std::max(r.core.barrier_cycles(), other.barrier_cycles());
    r.core.ReleaseBarrier(clock);
    other.ReleaseBarrier(clock);
  }
  assert_int_equal(r.core.Run(100000), Outcome::kDone);
  assert_int_equal(other.Run(100000), Outcome::kDone);
  assert_int_equal(r.Out(0), 42);
  assert_int_equal(r.Out(1), 42);
  r.core.Begin(r.launch, 0);
  assert_int_equal(r.core.Run(100000), Outcome::kGridBarrier);
  r.core.FailBarrier();
  assert_int_equal(r.core.Run(100000), Outcome::kFault);
  assert_int_equal(r.core.fault().kind, NPU_FAULT_DEADLOCK);
  assert_int_equal(r.core.fault().extra[2], kDeadlockGridBarrier);
  r.launch.grid[0] = 5;  // more than the device has cores
  r.core.Begin(r.launch, 0);
  assert_int_equal(r.core.Run(100000), Outcome::kFault);
  assert_int_equal(r.core.fault().kind, NPU_FAULT_DEADLOCK);
}

void TestExactCounters(void**) {
  World w;
  Core core(0, w.platform);
  LaunchContext launch;
  launch.space = w.space.get();
  launch.entry = w.LoadCode(CORE_TEST_OPS "/count.bin");
  launch.args = w.Buffer(4096);
  launch.cores = 4;
  launch.cores_used = 4;
  core.Begin(launch, 0);
  npu_dma_desc d{};
  d.op = NPU_DMA_COPY;
  d.dst = kSram + 4096;
  d.src = launch.args;
  d.count[0] = 4096;
  std::memcpy(core.sram(), &d, sizeof(d));
  assert_int_equal(core.Run(1000), Outcome::kDone);
  const npu_counters& c = core.cost();
  assert_int_equal(c.instructions, 10);
  assert_int_equal(c.scalar_cycles, 1 + 42 + 1 + 2 + 3 + 5 + 1 + 5 + 5 + 2);
  // Issued at 54; 24 + 2 + 4096 / 32 in the pipe, then the latency; the hart goes on at that time and returns.
  const uint64_t busy = 24 + 2 + 128, issued = 54, done = issued + busy + 200;
  assert_int_equal(c.dma_in_busy, busy);
  assert_int_equal(c.stall_flag, done - (issued + 1 + 5 + 5));
  assert_int_equal(c.cycles, done + 2);
  assert_int_equal(c.bytes_in, 4096);
  assert_int_equal(c.bytes_host + c.bytes_local, 0);
  // Only the hart waited.
  assert_int_equal(c.wait_matrix + c.wait_vector + c.wait_dma_in + c.wait_dma_out, 0);
  assert_int_equal(c.blocks, 1);
  assert_int_equal(c.matrix_busy + c.vector_busy + c.dma_out_busy + c.stall_queue + c.stall_drain + c.macs, 0);
  assert_memory_equal(core.sram() + 4096, w.At(launch.args), 4096);
}

struct TileArgs {
  uint64_t a, b, d, m, n, k;
};

// Result and counters of a tile do not depend on slices or on the SIMD level.
void TestTile(void**) {
  World w;
  Random random(11);
  Core core(0, w.platform);
  const uint32_t m = 50, n = 70, k = 90;
  const uint64_t a = w.Buffer(m * k * 4), b = w.Buffer(k * n * 4, true), d = w.Buffer(m * n * 4);
  std::vector<float> fa(m * k), fb(k * n), want(m * n);
  for (float& x : fa) x = random.Float();
  for (float& x : fb) x = random.Float();
  for (uint32_t i = 0; i < m; ++i)
    for (uint32_t j = 0; j < n; ++j) {
      float acc = 0;
      for (uint32_t p = 0; p < k; ++p) acc = std::fma(fa[i * k + p], fb[p * n + j], acc);
      want[i * n + j] = acc > 0 ? acc : 0;
    }
  std::memcpy(w.At(a), fa.data(), fa.size() * 4);
  std::memcpy(w.At(b), fb.data(), fb.size() * 4);
  LaunchContext launch;
  launch.space = w.space.get();
  launch.entry = w.LoadCode(CORE_TEST_OPS "/tile.bin");
  launch.args = w.Buffer(sizeof(TileArgs));
  const TileArgs args{a, b, d, m, n, k};
  std::memcpy(w.At(launch.args), &args, sizeof(args));
  npu_counters first{};
  for (const char* level : SimdLevels()) {
    for (const uint64_t slice : std::initializer_list<uint64_t>{1000000, 1, 7, 64}) {
      assert_true(SelectSimd(level, nullptr));
      std::memset(w.At(d), 0xee, m * n * 4);
      core.Begin(launch, 0);
      Outcome outcome;
      while ((outcome = core.Run(slice)) == Outcome::kBudget) {
      }
      assert_int_equal(outcome, Outcome::kDone);
      assert_memory_equal(w.At(d), want.data(), want.size() * 4);
      if (!first.cycles) first = core.cost();
      assert_memory_equal(&first, &core.cost(), sizeof(first));
    }
  }
  SelectSimd(nullptr, nullptr);
  assert_int_equal(first.macs, m * n * k);
  assert_int_equal(first.matrix_busy, 4 * 5 * 90 + 32);
  assert_int_equal(first.vector_busy, 16 + (m * n + 63) / 64);
  assert_int_equal(first.bytes_in, (m * k + k * n) * 4);
  assert_int_equal(first.bytes_out, m * n * 4);
  assert_int_equal(first.bytes_host, k * n * 4);
  assert_int_equal(first.bytes_local, 0);
  // The chain of flags: each pipe waits at least for the one before it, and the hart for none.
  assert_int_equal(first.wait_dma_in, 0);
  assert_true(first.wait_matrix > 0 && first.wait_vector >= first.matrix_busy);
  assert_true(first.wait_dma_out >= first.matrix_busy + first.vector_busy);
  assert_int_equal(first.stall_flag, first.wait_matrix + first.wait_vector + first.wait_dma_out);
  assert_true(first.cycles > first.matrix_busy + first.vector_busy);
  // The output one element too small: the last pipe operation is refused, its whole footprint unwritten.
  w.Bounds(static_cast<uint32_t>(NPU_PTR_BUF(d))).size -= 4;
  ++w.Bounds(0).ctl;
  std::memset(w.At(d), 0xee, m * n * 4);
  const Snapshot before = w.Save();
  core.Begin(launch, 0);
  assert_int_equal(core.Run(1000000), Outcome::kFault);
  assert_true(before == w.Save());
  assert_int_equal(core.fault().kind, NPU_FAULT_OOB);
  assert_int_equal(core.fault().engine, NPU_ENGINE_DMA_OUT);
  assert_int_equal(core.fault().operand, 0);
  assert_int_equal(core.fault().bad_bytes, 4);
  assert_int_equal(NPU_PTR_BUF(core.fault().pc), NPU_PTR_BUF(launch.entry));
}

// Another context never sees what a block left; the same one does.
void TestScrub(void**) {
  Rig r;
  assert_int_equal(r.Poke(kPokeStore, kSram + 4096, 0x1234), Outcome::kDone);
  assert_int_equal(r.Poke(kPokeNothing), Outcome::kDone);
  assert_int_equal(r.core.sram()[4096], 0x34);
  AddressSpace second(r.platform, 8, r.ctx);
  r.launch.space = &second;
  r.core.Begin(r.launch, 0);
  assert_int_equal(r.core.sram()[4096], 0xcd);
  for (uint64_t i = 0; i < NPU_LOCAL_STACK_BYTES; ++i) assert_int_equal(r.core.stack()[i], 0xcd);
}

void TestAbortAndBudget(void**) {
  Rig r;
  const uint64_t p = r.Buffer(64);
  uint64_t value;
  std::memcpy(&value, r.At(p), 8);
  r.Tell(kPokeSpin, p, value);
  r.core.Begin(r.launch, 0);
  assert_int_equal(r.core.Run(100000), Outcome::kBudget);
  assert_int_equal(r.core.cost().instructions, 100000);
  std::thread killer([&] {
    while (!r.core.live_pc()) std::this_thread::yield();
    r.core.RequestAbort();
  });
  assert_int_equal(r.core.Run(UINT64_MAX), Outcome::kAborted);
  killer.join();
  assert_int_equal(r.core.fault().kind, NPU_FAULT_NONE);
  assert_int_equal(NPU_PTR_BUF(r.core.fault().pc), NPU_PTR_BUF(r.code));
  assert_int_equal(r.Poke(kPokeNothing), Outcome::kDone);
}

// A program of few instructions may have the pipes do work for minutes; the core comes up for air all the same, at the
// same places every time, and that changes nothing.
void TestLargeOperations(void**) {
  constexpr uint64_t kOps = 12;
  Rig r;
  npu_dma_desc d{};  // the largest fill there is: all of SRAM but the descriptor's page, 64 times
  d.op = NPU_DMA_FILL;
  d.dst = kSram + NPU_PAGE_SIZE;
  d.count[0] = kSramBytes - NPU_PAGE_SIZE;
  d.count[1] = 64;
  d.value = 0x01020304;
  r.Tell(kPokeIssueMany, kSram, kOps << 3 | NPU_PIPE_DMA_IN);
  uint64_t first = 0;
  for (int round = 0; round < 2; ++round) {
    r.core.Begin(r.launch, 0);
    std::memcpy(r.core.sram(), &d, sizeof(d));
    assert_int_equal(r.core.Run(kQuiesceInstructions), Outcome::kBudget);
    const uint64_t instructions = r.core.cost().instructions;
    assert_in_range(instructions, 1, 100);
    if (round) assert_int_equal(instructions, first);
    first = instructions;
    // A request is seen at that place.
    if (round) r.core.RequestAbort();
    assert_int_equal(r.core.Run(UINT64_MAX), round ? Outcome::kAborted : Outcome::kDone);
    if (!round) assert_int_equal(r.core.cost().bytes_local, kOps * d.count[0] * d.count[1]);
  }
}

// Long pipe work is told as progress while its block goes on, but not without end.
void TestProgress(void**) {
  Rig r;
  npu_dma_desc d{};
  d.op = NPU_DMA_FILL;
  d.dst = kSram + NPU_PAGE_SIZE;
  d.count[0] = 4;
  d.count[1] = 1u << 19;  // short rows: each operation is kQuiesceWork and a little more
  constexpr uint64_t kMost = kProgressWork / kQuiesceWork;
  for (const uint64_t operations : {uint64_t{5}, kMost + 20}) {
    std::atomic<uint64_t> progress{100};
    r.Tell(kPokeIssueMany, kSram, operations << 3 | NPU_PIPE_DMA_IN);
    r.core.Begin(r.launch, 0);
    std::memcpy(r.core.sram(), &d, sizeof(d));
    assert_int_equal(r.core.Run(UINT64_MAX, &progress), Outcome::kDone);
    assert_int_equal(progress.load() - 100, std::min(operations, kMost));
  }
  // Instructions are no progress.
  std::atomic<uint64_t> progress{100};
  const uint64_t p = r.Buffer(64);
  uint64_t value;
  std::memcpy(&value, r.At(p), 8);
  r.Tell(kPokeSpin, p, value);
  r.core.Begin(r.launch, 0);
  assert_int_equal(r.core.Run(10 * kQuiesceInstructions, &progress), Outcome::kBudget);
  assert_int_equal(progress.load(), 100);
}

// Page tables change under a running core: after the acknowledgement the old page is never touched again.
void TestShootdown(void**) {
  Rig r;
  const uint64_t p = r.Buffer(NPU_PAGE_SIZE), spare = r.Buffer(NPU_PAGE_SIZE);
  const uint64_t value = 0x5555;
  std::memcpy(r.At(p), &value, 8);
  std::memcpy(r.At(spare), &value, 8);
  uint64_t* pte = r.Pte(NPU_PTR_VA(p));
  uint8_t* pages[2] = {r.At(p), r.At(spare)};
  const uint64_t ptes[2] = {*pte, *r.Pte(NPU_PTR_VA(spare))};
  r.Tell(kPokeSpin, p, value);
  r.core.Begin(r.launch, 0);
  std::atomic<bool> ended{false};
  Outcome outcome = Outcome::kBudget;
  std::thread runner([&] {
    outcome = r.core.Run(UINT64_MAX);
    ended = true;
  });
  for (int i = 1; i < 200; ++i) {
    __atomic_store_n(pte, ptes[i % 2], __ATOMIC_RELEASE);
    r.space->InvalidateTranslations();
    const uint64_t seen = r.core.quiesce().Snapshot();
    while (!r.core.quiesce().Passed(seen)) std::this_thread::yield();
    const uint64_t poison = 0xdead;
    __atomic_store_n(reinterpret_cast<uint64_t*>(pages[1 - i % 2]), poison, __ATOMIC_SEQ_CST);
    const uint64_t again = r.core.quiesce().Snapshot();
    while (!r.core.quiesce().Passed(again)) std::this_thread::yield();
    __atomic_store_n(reinterpret_cast<uint64_t*>(pages[1 - i % 2]), value, __ATOMIC_SEQ_CST);
    assert_false(ended.load());
  }
  r.core.RequestAbort();
  runner.join();
  assert_int_equal(outcome, Outcome::kAborted);  // it would be kDone if the program had seen a poisoned page
  // An idle core has always passed.
  assert_true(r.core.quiesce().Passed(r.core.quiesce().Snapshot()));
}

// A window closes when its block ends, when its core begins another launch, and when its core is reset.
void TestPeerWindowsClose(void**) {
  Rig r;
  Core other(4, r.platform);
  r.launch.grid[0] = r.launch.cores_used = 2;
  r.launch.peers = std::make_shared<PeerWindows>(2);
  npu_dma_desc d{};
  d.op = NPU_DMA_COPY;
  d.dst = kSram;
  d.src = NPU_LOCAL_PEER_BASE + NPU_LOCAL_PEER_STRIDE;
  d.count[0] = 64;
  LaunchContext alone = r.launch;
  alone.grid[0] = alone.cores_used = 1;
  alone.peers.reset();
  const auto reach = [&] {
    r.core.Begin(r.launch, 0);
    std::memcpy(r.core.sram() + 0x1000, &d, sizeof(d));
    r.Tell(kPokeIssue, kSram + 0x1000, NPU_PIPE_DMA_IN);
    return r.core.Run(1000000);
  };
  const auto open = [&] {
    other.Begin(r.launch, 1);
    other.ReleaseBarrier(0);
    assert_int_equal(reach(), Outcome::kDone);
  };
  const auto closed = [&] {
    assert_int_equal(reach(), Outcome::kFault);
    assert_int_equal(r.core.fault().kind, NPU_FAULT_LOCAL_OOB);
  };
  closed();
  open();
  r.Tell(kPokeNothing);
  assert_int_equal(other.Run(1000), Outcome::kDone);
  closed();
  open();
  r.Tell(kPokeTrap);
  assert_int_equal(other.Run(1000), Outcome::kFault);
  closed();
  open();
  other.RequestAbort();
  assert_int_equal(other.Run(1000), Outcome::kAborted);
  closed();
  open();
  other.Begin(alone, 0);
  closed();
  open();
  other.Reset();
  closed();
}

// What an operator's author writes, against plain loops.
void TestIntrinsics(void**) {
  World w;
  Core core(0, w.platform);
  const uint64_t x = w.Buffer(kRows * kCols * 4), out = w.Buffer(sizeof(IntrinsicsResult));
  const uint64_t args = w.Buffer(sizeof(IntrinsicsArgs));
  LaunchContext launch;
  launch.space = w.space.get();
  launch.entry = w.LoadCode(CORE_TEST_OPS "/intrinsics.bin");
  launch.args = args;
  launch.args_bytes = sizeof(IntrinsicsArgs);
  const IntrinsicsArgs a{x, out};
  std::memcpy(w.At(args), &a, sizeof(a));
  IntrinsicsResult want{};
  Random random(31);
  for (int r = 0; r < kRows; ++r) {
    std::vector<std::pair<float, int>> order;
    float sum = 0;
    for (int c = 0; c < kCols; ++c) {
      // Eleven bits of significand, and more that the way toward zero drops.
      const float whole = static_cast<float>(1024 + static_cast<int>(random.Below(1024))) * (c % 2 ? -0.25f : 0.25f);
      const float v = whole + (whole > 0 ? 0.0625f : -0.0625f);
      std::memcpy(w.At(x) + (r * kCols + c) * 4, &v, 4);
      want.half[r][c] = whole;
      want.sums[r][c] = sum += whole;
      order.emplace_back(whole, c);
      want.scattered[r][c] = 7;
      want.rows[kRows - 1 - r][c] = whole;
      want.padded[r][c + 2] = whole;
    }
    want.padded[r][0] = want.padded[r][1] = want.padded[r][kPadded - 1] = 9;
    std::stable_sort(order.begin(), order.end(), [](const auto& p, const auto& q) { return p.first < q.first; });
    for (int c = 0; c < kCols; ++c) want.sorted[r][c] = order[static_cast<size_t>(c)].first;
    std::stable_sort(order.begin(), order.end(), [](const auto& p, const auto& q) { return p.first > q.first; });
    for (int c = 0; c < kBest; ++c) {
      const auto [value, column] = order[static_cast<size_t>(c)];
      want.best[r][c] = want.gathered[r][c] = want.scattered[r][column] = value;
      want.columns[r][c] = column;
    }
  }
  core.Begin(launch, 0);
  assert_int_equal(core.Run(1000000), Outcome::kDone);
  assert_memory_equal(w.At(out), &want, sizeof(want));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(TestScalarMemory),
      cmocka_unit_test(TestScalarFaults),
      cmocka_unit_test(TestExecutionFaults),
      cmocka_unit_test(TestDeadlocks),
      cmocka_unit_test(TestHeldOperation),
      cmocka_unit_test(TestLocalBounds),
      cmocka_unit_test(TestCsrs),
      cmocka_unit_test(TestGridBarrier),
      cmocka_unit_test(TestExactCounters),
      cmocka_unit_test(TestTile),
      cmocka_unit_test(TestScrub),
      cmocka_unit_test(TestAbortAndBudget),
      cmocka_unit_test(TestProgress),
      cmocka_unit_test(TestLargeOperations),
      cmocka_unit_test(TestShootdown),
      cmocka_unit_test(TestIntrinsics),
      cmocka_unit_test(TestPeerWindowsClose),
  };
  return cmocka_run_group_tests_name("core.core", tests, nullptr, nullptr);
}
