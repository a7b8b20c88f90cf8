// SPDX-License-Identifier: Apache-2.0
// Interrupts and wfi, driven from outside as the management core's device does.
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <thread>

#include "hart/flat_machine.h"

extern "C" {
#include <cmocka.h>
}

namespace {

using npu::model::FlatMachine;
using npu::model::Stop;
using Hart = npu::model::Hart<FlatMachine>;

constexpr uint64_t kBase = 0x80000000;
constexpr uint64_t kHandler = kBase + 0x1000;
constexpr uint64_t kStatusMie = 8, kStatusMpie = 0x80;
constexpr uint32_t kWfi = 0x10500073, kMret = 0x30200073, kJumpToSelf = 0x0000006f;

uint32_t Addi(unsigned rd, unsigned rs1, int imm) {
  return static_cast<uint32_t>(imm) << 20 | rs1 << 15 | rd << 7 | 0x13;
}

struct Bench {
  Bench() : machine(kBase, 65536, kBase + 0x8000), hart(machine) { hart.Reset(kBase); }
  void Put(uint64_t at, std::initializer_list<uint32_t> code) {
    for (const uint32_t insn : code) {
      machine.Store(at, 4, insn);
      at += 4;
    }
  }
  void Enable(uint64_t interrupts, uint64_t mtvec) {
    hart.mie = interrupts;
    hart.mtvec = mtvec;
    hart.mstatus |= kStatusMie;
  }
  FlatMachine machine;
  Hart hart;
};

void WfiSleepsUntilAnInterruptIsPending(void**) {
  Bench b;
  b.Put(kBase, {kWfi, Addi(10, 10, 1), kWfi, kJumpToSelf});
  b.Put(kHandler, {Addi(11, 11, 1), kMret});
  b.Enable(npu::model::kMipExternal, kHandler);
  assert_int_equal(b.hart.Run(100), Stop::kWfi);
  assert_int_equal(b.hart.pc, kBase + 4);
  b.hart.mip.fetch_or(npu::model::kMipExternal);
  assert_int_equal(b.hart.Run(2), Stop::kBudget);  // the interrupt takes one, the handler's first instruction the other
  assert_int_equal(b.hart.mcause, npu::model::kCauseInterrupt | 11);
  assert_int_equal(b.hart.mepc, kBase + 4);
  assert_int_equal(b.hart.instret, 2);
  assert_int_equal(b.hart.mstatus & kStatusMie, 0);
  assert_int_equal(b.hart.mstatus & kStatusMpie, kStatusMpie);
  b.hart.mip.fetch_and(~npu::model::kMipExternal);
  assert_int_equal(b.hart.Run(100), Stop::kWfi);
  assert_int_equal(b.hart.x[10], 1);
  assert_int_equal(b.hart.x[11], 1);
  assert_int_equal(b.hart.mstatus & kStatusMie, kStatusMie);
}

void WfiGoesOnWhileInterruptsAreOff(void**) {
  Bench b;
  b.Put(kBase, {kWfi, Addi(10, 10, 1), kJumpToSelf});
  b.hart.mie = npu::model::kMipTimer;
  b.hart.mip.fetch_or(npu::model::kMipTimer);
  assert_int_equal(b.hart.Run(2), Stop::kBudget);
  assert_int_equal(b.hart.x[10], 1);
}

void MostUrgentFirstAndVectored(void**) {
  Bench b;
  b.Put(kBase, {kJumpToSelf});
  b.Enable(npu::model::kMipExternal | npu::model::kMipTimer | npu::model::kMipSoftware, kHandler | 1);
  b.Put(kHandler + 4 * 11, {kJumpToSelf});
  b.Put(kHandler + 4 * 7, {kJumpToSelf});
  b.hart.mip.fetch_or(npu::model::kMipTimer | npu::model::kMipExternal);
  assert_int_equal(b.hart.Run(10), Stop::kBudget);
  assert_int_equal(b.hart.pc, kHandler + 4 * 11);
  b.hart.mip.fetch_and(~npu::model::kMipExternal);
  b.hart.mstatus |= kStatusMie;
  assert_int_equal(b.hart.Run(10), Stop::kBudget);
  assert_int_equal(b.hart.pc, kHandler + 4 * 7);
  assert_int_equal(b.hart.mcause, npu::model::kCauseInterrupt | 7);
}

void DisabledInterruptsWait(void**) {
  Bench b;
  b.Put(kBase, {kJumpToSelf});
  b.Enable(npu::model::kMipTimer, kHandler);
  b.hart.mip.fetch_or(npu::model::kMipExternal);
  assert_int_equal(b.hart.Run(1000), Stop::kBudget);
  assert_int_equal(b.hart.pc, kBase);
  assert_int_equal(b.hart.instret, 1000);
}

// A thread raises the line while the hart spins in one linked block.
void AnotherThreadInterruptsASpinningHart(void**) {
  Bench b;
  b.Put(kBase, {kJumpToSelf});
  b.Put(kHandler, {kJumpToSelf});
  b.Enable(npu::model::kMipExternal, kHandler);
  std::thread device([&b] { b.hart.mip.fetch_or(npu::model::kMipExternal, std::memory_order_release); });
  while (b.hart.pc == kBase) assert_int_equal(b.hart.Run(1000000), Stop::kBudget);
  device.join();
  assert_int_equal(b.hart.mcause, npu::model::kCauseInterrupt | 11);
  assert_int_equal(b.hart.pc, kHandler);
}

// A trap whose handler cannot be fetched ends the run instead of trapping for ever; one that traps itself uses up
// budget.
void HopelessTraps(void**) {
  Bench b;
  b.Put(kBase, {0});
  assert_int_equal(b.hart.Run(UINT64_MAX), Stop::kFault);
  assert_int_equal(b.hart.mcause, npu::model::kCauseIllegal);
  assert_int_equal(b.hart.mepc, kBase);
  assert_int_equal(b.hart.pc, 0);

  Bench loop;
  loop.Put(kBase, {0});
  loop.hart.mtvec = kBase;
  assert_int_equal(loop.hart.Run(5000), Stop::kBudget);
  assert_int_equal(loop.hart.instret, 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(WfiSleepsUntilAnInterruptIsPending),   cmocka_unit_test(WfiGoesOnWhileInterruptsAreOff),
      cmocka_unit_test(MostUrgentFirstAndVectored),           cmocka_unit_test(DisabledInterruptsWait),
      cmocka_unit_test(AnotherThreadInterruptsASpinningHart), cmocka_unit_test(HopelessTraps),
  };
  return cmocka_run_group_tests_name("hart.machine", tests, nullptr, nullptr);
}
