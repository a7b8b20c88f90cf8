// SPDX-License-Identifier: Apache-2.0
// What a hart promises to its environment: budgets, stops, faults, custom instructions, tagged addresses, rounding.
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "hart/cost.h"
#include "hart/fp_host.h"
#include "user_machine.h"

extern "C" {
#include <cmocka.h>
}

namespace {

using npu::model::Custom;
using npu::model::Stop;
using npu::test::UserMachine;
using Hart = npu::model::Hart<UserMachine>;
namespace cost = npu::model::cost;

constexpr uint64_t kBase = 0x10000;
constexpr uint64_t kTag = 0x1234560000000000;  // number and generation of a device pointer

// Registers by name.
enum { zero, ra, sp, gp, tp, t0, t1, t2, s0, s1, a0, a1, a2, a3, a4, a5 };

uint32_t Addi(unsigned rd, unsigned rs1, int imm) {
  return static_cast<uint32_t>(imm) << 20 | rs1 << 15 | rd << 7 | 0x13;
}
uint32_t Load64(unsigned rd, unsigned rs1) {
  return rs1 << 15 | 3u << 12 | rd << 7 | 0x03;
}
uint32_t Store64(unsigned rs1, unsigned rs2) {
  return rs2 << 20 | rs1 << 15 | 3u << 12 | 0x23;
}
uint32_t Auipc(unsigned rd, uint32_t imm20) {
  return imm20 << 12 | rd << 7 | 0x17;
}
uint32_t Jalr(unsigned rd, unsigned rs1, int imm) {
  return static_cast<uint32_t>(imm) << 20 | rs1 << 15 | rd << 7 | 0x67;
}
uint32_t CustomInsn(unsigned rd, unsigned rs1, unsigned rs2) {
  return rs2 << 20 | rs1 << 15 | rd << 7 | 0x0b;
}
uint32_t Csrr(unsigned rd, unsigned csr) {
  return csr << 20 | 2u << 12 | rd << 7 | 0x73;
}
uint32_t Fsrm(unsigned rs1) {
  return 2u << 20 | rs1 << 15 | 1u << 12 | 0x73;
}
uint32_t Fadd(unsigned rd, unsigned rs1, unsigned rs2) {
  return rs2 << 20 | rs1 << 15 | 7u << 12 | rd << 7 | 0x53;
}
uint32_t Bne(unsigned rs1, unsigned rs2, int offset) {
  const auto u = static_cast<uint32_t>(offset);
  return ((u >> 12) & 1) << 31 | ((u >> 5) & 0x3f) << 25 | rs2 << 20 | rs1 << 15 | 1u << 12 | ((u >> 1) & 0xf) << 8 |
         ((u >> 11) & 1) << 7 | 0x63;
}
constexpr uint32_t kRet = 0x00008067, kFenceI = 0x0000100f, kEcall = 0x00000073, kEbreak = 0x00100073,
                   kMret = 0x30200073, kWfi = 0x10500073;

struct Bench {
  explicit Bench(std::initializer_list<uint32_t> code) : machine(kBase, 65536), hart(machine) {
    machine.Attach(&hart);
    Put(kBase, code);
    hart.Reset(kBase);
    hart.x[ra] = UserMachine::kExitPc;
  }
  void Put(uint64_t at, std::initializer_list<uint32_t> code) {
    for (const uint32_t insn : code) {
      machine.memory.Store(at, 4, insn);
      at += 4;
    }
  }
  UserMachine machine;
  Hart hart;
};

void BudgetIsExact(void**) {
  // A loop of 4 instructions, 100 times, and the return: 402 with the set-up.
  const std::initializer_list<uint32_t> code = {Addi(t0, zero, 100), Addi(t1, t1, 3),    Addi(t2, t1, 1),
                                                Addi(t0, t0, -1),    Bne(t0, zero, -12), kRet};
  for (uint64_t slice = 1; slice < 12; ++slice) {
    Bench b(code);
    uint64_t done = 0;
    Stop stop;
    while ((stop = b.hart.Run(slice)) == Stop::kBudget) {
      done += slice;
      assert_int_equal(b.hart.instret, done);
    }
    assert_int_equal(stop, Stop::kEnv);
    assert_int_equal(b.hart.instret, 402);
    assert_int_equal(b.hart.pc, UserMachine::kExitPc);
    assert_int_equal(b.hart.x[t1], 300);
    // 301 additions at 1 (the set-up, three in the loop), 99 taken branches, one not taken, and the jump.
    assert_int_equal(b.hart.cycles,
                     301 * cost::kAlu + 99 * (cost::kBranch + cost::kTaken) + cost::kBranch + cost::kJump);
  }
}

void NothingRunsWithoutBudget(void**) {
  Bench b({Addi(t0, zero, 1), kRet});
  assert_int_equal(b.hart.Run(0), Stop::kBudget);
  assert_int_equal(b.hart.pc, kBase);
  assert_int_equal(b.hart.x[t0], 0);
}

void TagStaysInPc(void**) {
  Bench b({Auipc(a0, 1), 0x00c000ef /* jal ra, +12 */, Addi(a5, zero, 1), kRet, Auipc(a1, 0xfffff), Jalr(a2, ra, 1)});
  b.hart.pc = kBase | kTag;
  assert_int_equal(b.hart.Run(5), Stop::kBudget);
  assert_int_equal(b.hart.x[a0], (kBase | kTag) + 0x1000);
  assert_int_equal(b.hart.x[ra], (kBase | kTag) + 8);
  assert_int_equal(b.hart.x[a1], (kBase | kTag) + 16 - 0x1000);
  assert_int_equal(b.hart.x[a2], (kBase | kTag) + 24);
  assert_int_equal(b.hart.x[a5], 1);
  assert_int_equal(b.hart.pc, (kBase | kTag) + 12);
}

void SameAddressOtherTagIsOtherCode(void**) {
  Bench b({Auipc(a0, 0), kRet});
  b.hart.Run(10);
  assert_int_equal(b.hart.x[a0], kBase);
  b.hart.pc = kBase | kTag;
  b.hart.x[ra] = UserMachine::kExitPc;
  b.hart.Run(10);
  assert_int_equal(b.hart.x[a0], kBase | kTag);
}

void RefusedAccessLeavesAllAsItWas(void**) {
  Bench b({Addi(a0, zero, 7), Addi(a1, a1, 1), Load64(a0, a2), Addi(a1, a1, 1), kRet});
  b.hart.x[a2] = 0x5000000;
  assert_int_equal(b.hart.Run(100), Stop::kFault);
  assert_int_equal(b.hart.pc, kBase + 8);
  assert_int_equal(b.hart.instret, 2);
  assert_int_equal(b.hart.cycles, 2 * cost::kAlu);
  assert_int_equal(b.hart.x[a0], 7);
  assert_int_equal(b.hart.x[a1], 1);
  assert_int_equal(b.machine.refusal, UserMachine::Refusal::kLoad);
  assert_int_equal(b.machine.refused_address, 0x5000000);
  // With a good pointer the same instruction goes on where it stopped.
  b.hart.x[a2] = kBase;
  assert_int_equal(b.hart.Run(100), Stop::kEnv);
  assert_int_equal(b.hart.instret, 5);
  assert_int_equal(b.hart.x[a1], 2);
}

void RefusedStore(void**) {
  Bench b({Store64(a2, a0)});
  b.hart.x[a2] = 4;
  assert_int_equal(b.hart.Run(100), Stop::kFault);
  assert_int_equal(b.machine.refusal, UserMachine::Refusal::kStore);
  assert_int_equal(b.hart.pc, kBase);
  assert_int_equal(b.hart.instret, 0);
}

void FetchFaults(void**) {
  Bench b({Jalr(ra, a0, 0)});
  b.hart.x[a0] = kTag | 0x900000;
  assert_int_equal(b.hart.Run(100), Stop::kFault);
  assert_int_equal(b.machine.refusal, UserMachine::Refusal::kFetch);
  assert_int_equal(b.hart.pc, kTag | 0x900000);
  assert_int_equal(b.hart.instret, 1);
  assert_int_equal(b.hart.x[ra], kBase + 4);
}

void InstructionAcrossTwoPieces(void**) {
  Bench b({});
  const uint64_t at = kBase + UserMachine::kCodeSpan - 2;
  b.machine.memory.Store(at, 4, Addi(a0, zero, 55));
  b.machine.memory.Store(at + 4, 4, kRet);
  b.hart.pc = at;
  assert_int_equal(b.hart.Run(100), Stop::kEnv);
  assert_int_equal(b.hart.x[a0], 55);
  assert_int_equal(b.hart.instret, 2);
}

void CustomDone(void**) {
  Bench b({Addi(t0, zero, 1), CustomInsn(a0, a1, a2), CustomInsn(zero, a1, a2), kRet});
  b.machine.custom_answer = Custom::kDone;
  b.hart.x[a1] = 40, b.hart.x[a2] = 2;
  assert_int_equal(b.hart.Run(100), Stop::kEnv);
  assert_int_equal(b.hart.x[a0], 42);
  assert_int_equal(b.hart.x[zero], 0);
  assert_int_equal(b.machine.custom_calls, 2);
  assert_int_equal(b.machine.custom_insn, CustomInsn(zero, a1, a2));
  assert_int_equal(b.machine.custom_pc, kBase + 8);
  assert_int_equal(b.machine.custom_instret, 3);
  assert_int_equal(b.machine.custom_cycles, cost::kAlu + 2 * cost::kSystem);
  assert_int_equal(b.hart.instret, 4);
}

void CustomStopsBehind(void**) {
  Bench b({CustomInsn(a0, a1, a2), kRet});
  b.machine.custom_answer = Custom::kDoneStop;
  b.hart.x[a1] = 5;
  assert_int_equal(b.hart.Run(100), Stop::kEnv);
  assert_int_equal(b.hart.pc, kBase + 4);
  assert_int_equal(b.hart.instret, 1);
  assert_int_equal(b.hart.x[a0], 5);
}

void CustomIsRetried(void**) {
  Bench b({Addi(t0, zero, 1), CustomInsn(a0, a1, a2), kRet});
  b.machine.custom_answer = Custom::kRetryStop;
  for (unsigned i = 1; i <= 3; ++i) {
    assert_int_equal(b.hart.Run(100), Stop::kEnv);
    assert_int_equal(b.hart.pc, kBase + 4);
    assert_int_equal(b.hart.instret, 1);
    assert_int_equal(b.hart.cycles, cost::kAlu);
    assert_int_equal(b.machine.custom_calls, i);
  }
  b.machine.custom_answer = Custom::kDone;
  assert_int_equal(b.hart.Run(100), Stop::kEnv);
  assert_int_equal(b.hart.pc, UserMachine::kExitPc);
  assert_int_equal(b.hart.instret, 3);
}

void CustomFaultAndIllegal(void**) {
  for (const Custom answer : {Custom::kFault, Custom::kIllegal}) {
    Bench b({Addi(t0, zero, 1), CustomInsn(a0, a1, a2), kRet});
    b.machine.custom_answer = answer;
    assert_int_equal(b.hart.Run(100), Stop::kFault);
    assert_int_equal(b.hart.pc, kBase + 4);
    assert_int_equal(b.hart.instret, 1);
    assert_int_equal(b.machine.refusal,
                     answer == Custom::kFault ? UserMachine::Refusal::kCustom : UserMachine::Refusal::kIllegal);
  }
}

void IllegalInstructions(void**) {
  const uint32_t insns[] = {0x00000000,
                            0xffffffff,
                            kMret,
                            kWfi,
                            0x02000033 | 1u << 26,
                            Csrr(a0, 0x300),
                            Csrr(a0, 0xcc1),
                            0xcc0u << 20 | 1u << 12 | 0x73 /* csrw 0xcc0, x0 */,
                            0x00007007 /* no such load */,
                            0x02007053 /* fadd.d */};
  for (const uint32_t insn : insns) {
    Bench b({Addi(t0, zero, 1), insn});
    assert_int_equal(b.hart.Run(100), Stop::kFault);
    assert_int_equal(b.machine.refusal, UserMachine::Refusal::kIllegal);
    assert_int_equal(b.hart.pc, kBase + 4);
    assert_int_equal(b.hart.instret, 1);
    assert_int_equal(b.machine.illegal_insn, (insn & 3) == 3 ? insn : insn & 0xffff);
  }
}

void EcallAndEbreak(void**) {
  Bench b({Addi(17, zero, 64), Addi(a2, zero, 9), kEcall, kEbreak});
  assert_int_equal(b.hart.Run(100), Stop::kFault);
  assert_int_equal(b.machine.refusal, UserMachine::Refusal::kEbreak);
  assert_int_equal(b.hart.pc, kBase + 12);
  assert_int_equal(b.hart.x[a0], 9);
  assert_int_equal(b.hart.instret, 3);
}

void Csrs(void**) {
  Bench b({Csrr(a0, 0xcc0), Csrr(a1, 0xc02), Csrr(a2, 0xc02), Csrr(a3, 0xc00), kRet});
  assert_int_equal(b.hart.Run(100), Stop::kEnv);
  assert_int_equal(b.hart.x[a0], 42);
  assert_int_equal(b.hart.x[a1], 1);
  assert_int_equal(b.hart.x[a2], 2);
  assert_int_equal(b.hart.x[a3], 4 * cost::kSystem);
}

void DecodedCodeIsDroppedOnRequest(void**) {
  Bench b({Addi(a0, zero, 1), kRet});
  const auto again = [&b] {
    b.hart.Restart(kBase);
    b.hart.x[ra] = UserMachine::kExitPc;
    assert_int_equal(b.hart.Run(100), Stop::kEnv);
    return b.hart.x[a0];
  };
  assert_int_equal(again(), 1);
  b.Put(kBase, {Addi(a0, zero, 2)});
  assert_int_equal(again(), 1);  // decoded before: neither fence.i nor epoch asked for a second look
  ++b.machine.epoch;
  assert_int_equal(again(), 2);
  b.Put(kBase, {Addi(a0, zero, 3)});
  b.hart.Reset(kBase);
  assert_int_equal(again(), 3);
}

void FenceIShowsStores(void**) {
  // Stores `addi a0, zero, 9` over the instruction behind fence.i, which was decoded in a first pass.
  Bench b({Store64(a1, a2), kFenceI, Addi(a0, zero, 1), kRet});
  b.hart.x[a1] = kBase + 0x2000;
  assert_int_equal(b.hart.Run(100), Stop::kEnv);
  assert_int_equal(b.hart.x[a0], 1);
  b.hart.Restart(kBase);
  b.hart.x[ra] = UserMachine::kExitPc;
  b.hart.x[a1] = kBase + 8;
  b.hart.x[a2] = Addi(a0, zero, 9) | static_cast<uint64_t>(kRet) << 32;
  assert_int_equal(b.hart.Run(100), Stop::kEnv);
  assert_int_equal(b.hart.x[a0], 9);
}

void HostRoundingIsLeftAlone(void**) {
  Bench b({Fsrm(t0), Fadd(2, 0, 1), CustomInsn(a0, a1, a2), Fadd(3, 0, 1), kRet});
  b.machine.custom_answer = Custom::kDone;
  b.hart.x[t0] = 3;          // up
  b.hart.f[0] = 0x3f800000;  // 1
  b.hart.f[1] = 0x33000000;  // 2^-25
  const uint32_t before = npu::model::fp::GetMxcsr();
  assert_int_equal(b.hart.Run(100), Stop::kEnv);
  assert_int_equal(npu::model::fp::GetMxcsr(), before);
  assert_int_equal(b.hart.f[2], 0x3f800001);
  assert_int_equal(b.hart.f[3], 0x3f800001);
  assert_int_equal(b.hart.fcsr, 3 << 5 | 1);
}

void ReservedRoundingModeIsIllegal(void**) {
  Bench b({Fsrm(t0), Fadd(2, 0, 1), kRet});
  b.hart.x[t0] = 5;
  assert_int_equal(b.hart.Run(100), Stop::kFault);
  assert_int_equal(b.machine.refusal, UserMachine::Refusal::kIllegal);
  assert_int_equal(b.hart.pc, kBase + 4);
  assert_int_equal(b.machine.illegal_insn, Fadd(2, 0, 1));
}

// More code than the decoder keeps: it starts over, and results stay right.
void MoreCodeThanTheCacheHolds(void**) {
  constexpr uint64_t kBytes = 4 << 20;
  UserMachine machine(kBase, kBytes + 64);
  Hart hart(machine);
  machine.Attach(&hart);
  uint64_t at = kBase;
  for (; at < kBase + kBytes; at += 8) {
    machine.memory.Store(at, 4, Addi(a0, a0, 1));
    machine.memory.Store(at + 4, 4, Bne(a0, zero, -4096 + 4100));  // to the next instruction
  }
  machine.memory.Store(at, 4, kRet);
  for (unsigned pass = 0; pass < 2; ++pass) {
    hart.Restart(kBase);
    hart.x[ra] = UserMachine::kExitPc;
    assert_int_equal(hart.Run(UINT64_MAX), Stop::kEnv);
    assert_int_equal(hart.x[a0], kBytes / 8);
    assert_int_equal(hart.instret, kBytes / 4 + 1);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(BudgetIsExact),
      cmocka_unit_test(NothingRunsWithoutBudget),
      cmocka_unit_test(TagStaysInPc),
      cmocka_unit_test(SameAddressOtherTagIsOtherCode),
      cmocka_unit_test(RefusedAccessLeavesAllAsItWas),
      cmocka_unit_test(RefusedStore),
      cmocka_unit_test(FetchFaults),
      cmocka_unit_test(InstructionAcrossTwoPieces),
      cmocka_unit_test(CustomDone),
      cmocka_unit_test(CustomStopsBehind),
      cmocka_unit_test(CustomIsRetried),
      cmocka_unit_test(CustomFaultAndIllegal),
      cmocka_unit_test(IllegalInstructions),
      cmocka_unit_test(EcallAndEbreak),
      cmocka_unit_test(Csrs),
      cmocka_unit_test(DecodedCodeIsDroppedOnRequest),
      cmocka_unit_test(FenceIShowsStores),
      cmocka_unit_test(HostRoundingIsLeftAlone),
      cmocka_unit_test(ReservedRoundingModeIsIllegal),
      cmocka_unit_test(MoreCodeThanTheCacheHolds),
  };
  return cmocka_run_group_tests_name("hart.run", tests, nullptr, nullptr);
}
