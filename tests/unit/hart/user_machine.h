// SPDX-License-Identifier: Apache-2.0
// A hart without machine mode in flat memory: a minimal Linux process, or a bench for single features.
#ifndef NPU_TESTS_UNIT_HART_USER_MACHINE_H_
#define NPU_TESTS_UNIT_HART_USER_MACHINE_H_

#include <cstdint>

#include "hart/flat_memory.h"
#include "hart/hart.h"

namespace npu::test {

// Addresses carry a tag in their top 24 bits, as device pointers do; memory ignores it, but records it.
class UserMachine {
 public:
  static constexpr bool kMachineMode = false;
  static constexpr bool kFloat = true;
  static constexpr uint64_t kAddressMask = (uint64_t{1} << 40) - 1;
  static constexpr uint64_t kExitPc = 0xfff000;

  enum class Refusal { kNone, kFetch, kLoad, kStore, kEcall, kEbreak, kIllegal, kCustom };

  UserMachine(uint64_t base, uint64_t bytes) : memory(base, bytes) {}
  // The hart whose registers system calls use.
  void Attach(model::HartState* state) { hart = state; }

  uint64_t code_epoch() const { return epoch; }
  bool IsExit(uint64_t pc) const { return (pc & kAddressMask) == kExitPc; }
  const uint8_t* Code(uint64_t pc, uint64_t* bytes) {
    const uint8_t* code = memory.Code(pc & kAddressMask, bytes);
    if (code == nullptr) Refuse(Refusal::kFetch, pc);
    // A boundary that instructions may straddle, to test what happens there.
    const uint64_t to_boundary = kCodeSpan - (pc & (kCodeSpan - 1));
    if (code != nullptr && *bytes > to_boundary) *bytes = to_boundary;
    return code;
  }
  bool Load(uint64_t va, unsigned size, uint64_t* out) {
    return memory.Load(va & kAddressMask, size, out) || Refuse(Refusal::kLoad, va);
  }
  bool Store(uint64_t va, unsigned size, uint64_t value) {
    return memory.Store(va & kAddressMask, size, value) || Refuse(Refusal::kStore, va);
  }
  bool Amo(model::AmoOp op, uint64_t va, unsigned size, uint64_t value, uint64_t* old) {
    return memory.Amo(op, va & kAddressMask, size, value, old) || Refuse(Refusal::kStore, va);
  }
  bool LoadReserved(uint64_t va, unsigned size, uint64_t* out) {
    return memory.LoadReserved(va & kAddressMask, size, out) || Refuse(Refusal::kLoad, va);
  }
  bool StoreConditional(uint64_t va, unsigned size, uint64_t value, bool* stored) {
    return memory.StoreConditional(va & kAddressMask, size, value, stored) || Refuse(Refusal::kStore, va);
  }
  model::Custom Execute(uint32_t insn, uint64_t rs1, uint64_t rs2, uint64_t* rd);
  bool CsrRead(unsigned csr, uint64_t* value);
  bool Ecall();
  void Ebreak() { Refuse(Refusal::kEbreak, hart->pc); }
  void Illegal(uint32_t insn) {
    Refuse(Refusal::kIllegal, hart->pc);
    illegal_insn = insn;
  }

  static constexpr uint64_t kCodeSpan = 4096;
  model::FlatMemory memory;
  model::HartState* hart = nullptr;
  uint64_t epoch = 0;

  // What was refused last.
  Refusal refusal = Refusal::kNone;
  uint64_t refused_address = 0;
  uint32_t illegal_insn = 0;

  // System calls.
  bool exited = false;
  uint64_t exit_status = 0;

  // Custom instructions: what Execute answers, and what it saw.
  model::Custom custom_answer = model::Custom::kIllegal;
  uint32_t custom_insn = 0;
  uint64_t custom_rs1 = 0, custom_rs2 = 0, custom_pc = 0, custom_instret = 0, custom_cycles = 0;
  unsigned custom_calls = 0;

 private:
  bool Refuse(Refusal what, uint64_t address) {
    refusal = what;
    refused_address = address;
    return false;
  }
};

}  // namespace npu::test

extern template class npu::model::Hart<npu::test::UserMachine>;

#endif  // NPU_TESTS_UNIT_HART_USER_MACHINE_H_
