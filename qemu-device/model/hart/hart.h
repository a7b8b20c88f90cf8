// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// A fast and exact RV64IMAFC_Zicsr_Zifencei interpreter, used as the compute cores' scalar hart and as the management
// hart.
//
// What surrounds the hart (memory, custom instructions, CSRs of its own, the end of the program) is a template
// parameter, so that the fast path of a load is inlined into the interpreter.  A user
//   1. writes an environment that satisfies HartEnv,
//   2. includes hart/hart_impl.h in ONE source file that says `template class npu::model::Hart<MyEnv>;`
//      and is compiled with -O3 (CMake: npu_hart_optimize(file.cc ...)),
//   3. includes only this header elsewhere.
#ifndef NPU_MODEL_HART_HART_H_
#define NPU_MODEL_HART_HART_H_

#include <concepts>
#include <cstdint>
#include <memory>

#include "hart/state.h"

namespace npu::model {

class BlockCache;

// What a hart needs of its surroundings.  All calls come from the thread inside Run.
//
// kMachineMode   true: machine-mode CSRs, traps and interrupts exist, and every fault becomes a trap through mtvec.
//                false: a fault ends Run with Stop::kFault.
// kFloat         false: F instructions are illegal (RV64IMAC).
//
// code_epoch()   any number; when it differs from the one seen before, all decoded code is dropped (or, see CodeStands,
//                looked at).  Looked at between
//                basic blocks (at most kMaxBlockInstructions apart), so make it inline and cheap.  fence.i drops
//                decoded code too.
// IsExit(pc)     true: the program ends here: Run returns kEnv with HartState::pc = pc.  Asked only for code not yet
// decoded,
//                so the answer for a pc must not change while code_epoch() stays.
// Code(pc, &n)   must refuse an odd pc (only the owner of the hart can have set one); otherwise host pointer to the
// instruction bytes at pc (2-byte aligned), n >= 2 = how many follow contiguously with the same rights.
//                nullptr: not executable; the environment has recorded the fault.  The bytes are read at once, not
//                kept.
// CodeStands()   optional, together with ForgetCode(): whether all code that Code has handed out since the last
//                ForgetCode would be handed out in the same way again; then a new code_epoch() drops nothing.
//                ForgetCode() is called whenever decoded code has been dropped.  Neither may use floating point.
// Load, Store    size is 1, 2, 4 or 8; any alignment: the environment decides whether misaligned is a fault.  Load's
// result is zero-extended.
//                false: refused, the environment has recorded the fault (not pc: Run returns kFault with HartState::pc
//                at the instruction) and nothing has changed.  In machine mode the hart makes a misaligned trap when va
//                is no multiple of size, and an access fault otherwise. HartState::pc and instret are NOT up to date
//                during Load, Store and the atomics; cycles may be added to. They must not use floating point: the
//                host's rounding mode is the guest's.
// Amo            atomic read-modify-write; *old zero-extended.  size 4 or 8.  LoadReserved/StoreConditional likewise;
// one
//                reservation a hart, kept by the environment.  Same rules as Load and Store.
// Execute        custom-0 and custom-1 instructions (opcodes 0x0b, 0x2b).  rd is written only when the answer is kDone
// or
//                kDoneStop and insn's rd is not 0; *rd is 0 at entry.  pc, instret (this instruction included) and
//                cycles are exact.
// CsrRead        CSRs that the hart does not have itself (all but 0x001-0x003, 0xc00-0xc02 and, in machine mode, the
// machine's).
//                false: illegal instruction.  There are no writable ones.  In machine mode 0xc01 (time) is asked for
//                here first.
// Ecall, Ebreak, Illegal   called only where kMachineMode is false.  Ecall: true = served, go on behind it (registers
// may be changed);
//                false = a fault was recorded.  The other two record a fault.  pc is exact.
template <class Env>
concept HartEnvCommon = requires(Env env, uint64_t u, uint64_t* p, unsigned n, uint32_t insn, AmoOp amo, bool* ok) {
  { Env::kMachineMode } -> std::convertible_to<bool>;
  { Env::kFloat } -> std::convertible_to<bool>;
  { env.code_epoch() } -> std::convertible_to<uint64_t>;
  { env.IsExit(u) } -> std::same_as<bool>;
  { env.Code(u, p) } -> std::same_as<const uint8_t*>;
  { env.Load(u, n, p) } -> std::same_as<bool>;
  { env.Store(u, n, u) } -> std::same_as<bool>;
  { env.Amo(amo, u, n, u, p) } -> std::same_as<bool>;           // op, va, size, value, &old
  { env.LoadReserved(u, n, p) } -> std::same_as<bool>;          // va, size, &out
  { env.StoreConditional(u, n, u, ok) } -> std::same_as<bool>;  // va, size, value, &stored
  { env.Execute(insn, u, u, p) } -> std::same_as<Custom>;       // insn, rs1, rs2, &rd
  { env.CsrRead(n, p) } -> std::same_as<bool>;
};

template <class Env>
concept HartEnvKeepsCode = requires(Env env) {
  { env.CodeStands() } -> std::same_as<bool>;
  { env.ForgetCode() } -> std::same_as<void>;
};

template <class Env>
concept HartEnvTraps = requires(Env env, uint32_t insn) {
  { env.Ecall() } -> std::same_as<bool>;
  { env.Ebreak() } -> std::same_as<void>;
  { env.Illegal(insn) } -> std::same_as<void>;
};

template <class Env>
concept HartEnv = HartEnvCommon<Env> &&(Env::kMachineMode || HartEnvTraps<Env>);

// Whether fused multiply-add uses the host's instruction where there is one.  The results are the same; kNever is for
// tests.
enum class HostFma { kIfAvailable, kNever };

// Not thread-safe: one thread at a time.  Environments are referenced, not owned, and must outlive the hart.
template <class Env>
class Hart : public HartState {
 public:
  explicit Hart(Env& env, HostFma fma = HostFma::kIfAvailable);
  ~Hart();
  Hart(const Hart&) = delete;
  Hart& operator=(const Hart&) = delete;

  // The state after power-on: all registers 0 (mhartid is kept), decoded code dropped, pc as given.
  void Reset(uint64_t new_pc);

  // As Reset, but decoded code is kept (it still obeys code_epoch): for the next block of the same launch, or when the
  // owner knows that the code is what it was.
  void Restart(uint64_t new_pc);

  // Blocks of code decoded so far.
  uint64_t decoded() const;

  // Retires at most max_instructions, and exactly that many when it returns kBudget, less one for every trap and
  // interrupt taken (they use up budget, so that a trap loop ends too, but are not in instret).
  // The calling thread's MXCSR is the guest's inside and is restored before the return and around Execute, Ecall,
  // Ebreak, Illegal, CsrRead, Code and IsExit.
  Stop Run(uint64_t max_instructions);

 private:
  struct Impl;  // defined in hart_impl.h: the interpreter loop and its slow paths
  friend struct Impl;

  Env& env_;
  std::unique_ptr<BlockCache> cache_;
  uint64_t epoch_ = 0;     // code_epoch() that the decoded code belongs to
  uint64_t irq_mask_ = 0;  // mie, or 0 while interrupts are off
  uint32_t fp_gate_ = 0;   // not 0: the host's unit cannot serve (frm has no host mode, or mstatus.FS is off)
};

inline constexpr unsigned kMaxBlockInstructions = 64;

}  // namespace npu::model

#endif  // NPU_MODEL_HART_HART_H_
