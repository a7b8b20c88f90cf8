// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// The interpreter.  Include it only in the source file that instantiates Hart for an environment; see hart.h.
//
// Decoded operations hold the address of the code that runs them (GNU labels as values), so that each operation jumps
// straight to the next.  Instructions and cycles are accounted where a block is left: `left` counts the budget down.
#ifndef NPU_MODEL_HART_HART_IMPL_H_
#define NPU_MODEL_HART_HART_IMPL_H_

#include <algorithm>
#include <cstring>
#include <limits>

#include "hart/block.h"
#include "hart/fp_exec.h"
#include "hart/fp_host.h"
#include "hart/hart.h"
#include "hart/machine.h"
#include "hart/timed.h"

namespace npu::model {

template <class Env>
struct Hart<Env>::Impl {
  // What became of an instruction that was carried out of line.
  struct Outcome {
    bool retired = true;  // false: undo its accounting
    bool stop = false;
    Stop why = Stop::kEnv;
  };

  enum class Fetched { kBlock, kExit, kFault };

  static constexpr bool kMachine = Env::kMachineMode;
  static constexpr bool kFloat = Env::kFloat;
  static constexpr uint32_t kGateRounding = 1;  // bits of fp_gate_
  static constexpr uint32_t kGateOff = 2;

  // The guest's floating-point unit is the host's: entered and left together with the interpreter loop.
  static void EnterGuestFp(Hart* h) {
    if constexpr (!kFloat) return;
    const uint32_t frm = (h->fcsr >> 5) & 7;
    const bool off = kMachine && (h->mstatus & machine::kStatusFs) == 0;
    h->fp_gate_ = (frm > fp::kRup ? kGateRounding : 0) | (off ? kGateOff : 0);
    fp::SetMxcsr(fp::MxcsrOf(frm));
  }
  static void LeaveGuestFp(Hart* h, uint32_t host_mxcsr) {
    if constexpr (!kFloat) return;
    h->fcsr |= fp::FlagsOf(fp::GetMxcsr());
    fp::SetMxcsr(host_mxcsr);
  }

  static uint64_t Sext32(uint64_t v) { return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(v))); }

  // The arithmetic that C++ leaves open.
  static uint64_t Div(uint64_t a, uint64_t b) {
    if (b == 0) return ~uint64_t{0};
    if (b == ~uint64_t{0}) return 0 - a;
    return static_cast<uint64_t>(static_cast<int64_t>(a) / static_cast<int64_t>(b));
  }
  static uint64_t Rem(uint64_t a, uint64_t b) {
    if (b == 0) return a;
    if (b == ~uint64_t{0}) return 0;
    return static_cast<uint64_t>(static_cast<int64_t>(a) % static_cast<int64_t>(b));
  }
  static uint64_t Mulh(uint64_t a, uint64_t b) {
    return static_cast<uint64_t>((static_cast<__int128>(static_cast<int64_t>(a)) * static_cast<int64_t>(b)) >> 64);
  }
  static uint64_t Mulhu(uint64_t a, uint64_t b) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(a) * b) >> 64);
  }
  static uint64_t Mulhsu(uint64_t a, uint64_t b) { return Mulhu(a, b) - (static_cast<int64_t>(a) < 0 ? b : 0); }

  // The instruction at h->pc is refused.  True: a trap was entered, go on; false: the run ends with kFault.
  static bool Refuse(Hart* h, uint64_t cause, uint64_t tval) {
    if constexpr (!kMachine) return false;
    machine::Trap(*h, cause, tval);
    h->irq_mask_ = machine::InterruptMask(*h);
    return true;
  }

  static Outcome Refused(Hart* h, uint64_t cause, uint64_t tval) {
    return {.retired = false, .stop = !Refuse(h, cause, tval), .why = Stop::kFault};
  }

  static Outcome IllegalInsn(Hart* h, uint32_t raw) {
    if constexpr (!kMachine) h->env_.Illegal(raw);
    return Refused(h, kCauseIllegal, raw);
  }

  static uint64_t MemoryCause(bool store, uint64_t va, unsigned size) {
    if ((va & (size - 1)) != 0) return store ? kCauseStoreMisaligned : kCauseLoadMisaligned;
    return store ? kCauseStoreAccess : kCauseLoadAccess;
  }

  static void DropCode(Hart* h) {
    h->cache_->Flush();
    if constexpr (HartEnvKeepsCode<Env>) h->env_.ForgetCode();
  }
  // The epoch has moved.
  static void ReviewCode(Hart* h) {
    if constexpr (HartEnvKeepsCode<Env>)
      if (h->env_.CodeStands()) return;
    DropCode(h);
  }

  // Decodes what lies at h->pc; limit 0: a whole block, kept; otherwise at most so many instructions.
  static Fetched Fetch(Hart* h, unsigned limit, Block** out) {
    Env& env = h->env_;
    const uint64_t pc = h->pc;
    if (env.IsExit(pc)) return Fetched::kExit;
    uint64_t bytes = 0;
    const uint8_t* code = env.Code(pc, &bytes);
    if (code == nullptr) return Fetched::kFault;
    uint16_t low;
    uint8_t joined[4];
    std::memcpy(&low, code, 2);
    if (InsnLength(low) == 4 && bytes < 4) {  // the second half lies elsewhere
      uint64_t more = 0;
      const uint8_t* rest = env.Code(pc + 2, &more);
      if (rest == nullptr) return Fetched::kFault;
      std::memcpy(joined, &low, 2);
      std::memcpy(joined + 2, rest, 2);
      code = joined;
      bytes = 4;
    }
    BlockCache& cache = *h->cache_;
    *out = limit == 0 ? cache.Build(pc, code, bytes) : cache.BuildPartial(pc, code, bytes, limit);
    return Fetched::kBlock;
  }

  static bool FloatIsOn(const Hart* h) { return kFloat && (!kMachine || (h->mstatus & machine::kStatusFs) != 0); }

  static bool ReadCsr(Hart* h, unsigned csr, uint64_t* value) {
    switch (csr) {
      case 0x001:
        *value = h->fcsr & 0x1f;
        return FloatIsOn(h);
      case 0x002:
        *value = (h->fcsr >> 5) & 7;
        return FloatIsOn(h);
      case 0x003:
        *value = h->fcsr & 0xff;
        return FloatIsOn(h);
      case 0xc01:
        if (kMachine && h->env_.CsrRead(csr, value)) return true;
        [[fallthrough]];
      case 0xc00:
        *value = h->cycles + (kMachine ? h->mcycle_offset : 0);
        return true;
      case 0xc02:
        *value = h->instret - 1 + (kMachine ? h->minstret_offset : 0);
        return true;
      default:
        if (kMachine && machine::CsrRead(*h, csr, kFloat, value)) return true;
        return h->env_.CsrRead(csr, value);
    }
  }

  static bool WriteCsr(Hart* h, unsigned csr, uint64_t value) {
    const auto v = static_cast<uint32_t>(value);
    switch (csr) {
      case 0x001:
        h->fcsr = (h->fcsr & ~0x1fu) | (v & 0x1f);
        return true;
      case 0x002:
        h->fcsr = (h->fcsr & 0x1fu) | (v & 7) << 5;
        return true;
      case 0x003:
        h->fcsr = v & 0xff;
        return true;
      default:
        return kMachine && machine::CsrWrite(*h, csr, kFloat, value);
    }
  }

  static Outcome DoCsr(Hart* h, const Op& op) {
    const auto raw = static_cast<uint32_t>(op.imm);
    const unsigned csr = raw >> 20;
    const unsigned kind = (raw >> 12) & 3;  // 1 write, 2 set, 3 clear
    const bool writes = kind == 1 || op.rs1 != 0;
    uint64_t old = 0;
    if (writes && csr >> 10 == 3) return IllegalInsn(h, raw);
    if (!ReadCsr(h, csr, &old)) return IllegalInsn(h, raw);
    const uint64_t operand = (raw & 0x4000) != 0 ? op.rs1 : h->x[op.rs1];
    const uint64_t value = kind == 1 ? operand : kind == 2 ? old | operand : old & ~operand;
    if (writes && !WriteCsr(h, csr, value)) return IllegalInsn(h, raw);
    h->x[op.rd] = old;
    if constexpr (kMachine) h->irq_mask_ = machine::InterruptMask(*h);
    h->pc += 4;
    return {};
  }

  static Outcome DoCustom(Hart* h, const Op& op) {
    const auto raw = static_cast<uint32_t>(op.imm);
    uint64_t rd = 0;
    const Custom done = h->env_.Execute(raw, h->x[op.rs1], h->x[op.rs2], &rd);
    switch (done) {
      case Custom::kDone:
      case Custom::kDoneStop:
        h->x[op.rd] = rd;
        h->pc += 4;
        return {.stop = done == Custom::kDoneStop, .why = Stop::kEnv};
      case Custom::kRetryStop:
        return {.retired = false, .stop = true, .why = Stop::kEnv};
      case Custom::kFault:
        return Refused(h, kCauseIllegal, raw);
      case Custom::kIllegal:
        break;
    }
    return IllegalInsn(h, raw);
  }

  static Outcome DoEcall(Hart* h, const Op& op) {
    (void)op;
    if constexpr (!kMachine) {
      if (h->env_.Ecall()) {
        h->pc += 4;
        return {};
      }
    }
    return Refused(h, kCauseEcallM, 0);
  }

  static Outcome DoEbreak(Hart* h, const Op& op) {
    (void)op;
    if constexpr (!kMachine) h->env_.Ebreak();
    return Refused(h, kCauseBreakpoint, h->pc);
  }

  static Outcome DoMret(Hart* h, const Op& op) {
    if constexpr (!kMachine) return IllegalInsn(h, static_cast<uint32_t>(op.imm));
    machine::Mret(*h);
    h->irq_mask_ = machine::InterruptMask(*h);
    return {};
  }

  static Outcome DoWfi(Hart* h, const Op& op) {
    if constexpr (!kMachine) return IllegalInsn(h, static_cast<uint32_t>(op.imm));
    h->pc += 4;
    const bool pending = (h->mip.load(std::memory_order_acquire) & h->mie) != 0;
    return {.stop = !pending, .why = Stop::kWfi};
  }

  static Outcome DoFenceI(Hart* h, const Op& op) {
    (void)op;
    h->pc += 4;
    DropCode(h);
    return {};
  }

  static Outcome DoIllegal(Hart* h, const Op& op) { return IllegalInsn(h, static_cast<uint32_t>(op.imm)); }

  // With h == nullptr: only tells the addresses of the operations.
  static Stop Loop(Hart* h, uint64_t max_instructions, const void* const** handlers);
};

#define NPU_LIKELY(c) __builtin_expect(!!(c), 1)
#define NPU_UNLIKELY(c) __builtin_expect(!!(c), 0)

// Inside Loop: `s` is the slot in work.
#define OP(name) L_##name:
#define X(field) (h->x[s->op.field])
#define F(field) (h->f[s->op.field])
#define IMM (static_cast<uint64_t>(static_cast<int64_t>(s->op.imm)))
#define DISPATCH() goto * s->op.handler
#define NEXT()  \
  do {          \
    ++s;        \
    DISPATCH(); \
  } while (0)
#define MUST_LOOK_UP()                                                     \
  (left < static_cast<int64_t>(blk->count) || env.code_epoch() != epoch || \
   (kMachine && (h->mip.load(std::memory_order_relaxed) & h->irq_mask_) != 0))
// Goes to block `blk`, whose pc is known to be the right one.
#define ENTER_BLOCK()                               \
  do {                                              \
    if (NPU_UNLIKELY(MUST_LOOK_UP())) goto between; \
    s = blk->code();                                \
    DISPATCH();                                     \
  } while (0)
// Leaves through the link behind s.
#define LEAVE()                                              \
  do {                                                       \
    Link* const out = &s[1].link;                            \
    left -= out->count;                                      \
    AddCycles(&h->cycles, out->cost);                        \
    if (NPU_UNLIKELY(out->target == nullptr)) goto unlinked; \
    blk = out->target;                                       \
    ENTER_BLOCK();                                           \
  } while (0)

template <class Env>
[[gnu::noinline]] Stop Hart<Env>::Impl::Loop(Hart* h, uint64_t max_instructions, const void* const** handlers) {
  static const void* const kHandlers[] = {
#define NPU_HART_LABEL(name, cost) &&L_##name,
      NPU_HART_OPS(NPU_HART_LABEL)
#undef NPU_HART_LABEL
  };
  if (h == nullptr) {
    *handlers = kHandlers;
    return Stop::kBudget;
  }

  Env& env = h->env_;
  BlockCache& cache = *h->cache_;
  int64_t left = static_cast<int64_t>(
      std::min<uint64_t>(max_instructions, static_cast<uint64_t>(std::numeric_limits<int64_t>::max())));
  uint64_t end = h->instret + static_cast<uint64_t>(left);  // instret = end - left
  uint64_t epoch = h->epoch_;
  uint32_t host_mxcsr = 0;
  Block* blk = nullptr;
  Slot* s = nullptr;
  Link* patch = nullptr;  // what led to h->pc and does not know its block yet
  uint64_t fault_va = 0;
  unsigned fault_size = 0;
  bool fault_store = false;
  Outcome outcome;

  if constexpr (kFloat) host_mxcsr = fp::GetMxcsr();
  if constexpr (kMachine) h->irq_mask_ = machine::InterruptMask(*h);
  EnterGuestFp(h);
  goto look_up;

between:  // something wants attention before blk is entered
  h->pc = blk->pc;
  patch = nullptr;
  goto look_up;

unlinked:
  h->pc = blk->pc + static_cast<uint64_t>(static_cast<int64_t>(blk->InfoOf(s).pc_offset)) + IMM;
  patch = &s[1].link;

look_up:  // h->pc is exact
  if (NPU_UNLIKELY(env.code_epoch() != epoch)) {
    epoch = h->epoch_ = env.code_epoch();
    ReviewCode(h);
    patch = nullptr;
  }
  if constexpr (kMachine) {
    if (left > 0 && machine::TakeInterrupt(*h)) {
      h->irq_mask_ = machine::InterruptMask(*h);
      patch = nullptr;
      --left, --end;
    }
  }
  if (left <= 0) {
    outcome.why = Stop::kBudget;
    goto stop;
  }
  blk = cache.Find(h->pc);
  if (blk == nullptr || left < static_cast<int64_t>(blk->count)) goto fetch;
  if (patch != nullptr) patch->target = blk;
  patch = nullptr;
  s = blk->code();
  DISPATCH();

fetch : {
  const uint64_t generation = cache.generation();
  const bool partial = blk != nullptr || left < kMaxBlockInstructions;
  LeaveGuestFp(h, host_mxcsr);
  const Fetched fetched =
      Fetch(h, partial ? static_cast<unsigned>(std::min<int64_t>(left, kMaxBlockInstructions)) : 0, &blk);
  EnterGuestFp(h);
  if (fetched == Fetched::kExit) {
    outcome.why = Stop::kEnv;
    goto stop;
  }
  if (fetched == Fetched::kFault) {
    // A trap handler that cannot be fetched would trap for ever.
    if (h->pc == (h->mtvec & ~uint64_t{3}) || !Refuse(h, kCauseFetchAccess, h->pc)) {
      outcome.why = Stop::kFault;
      goto stop;
    }
    --left, --end;
    patch = nullptr;
    goto look_up;
  }
  if (patch != nullptr && !partial && generation == cache.generation()) patch->target = blk;
  patch = nullptr;
  s = blk->code();
  DISPATCH();
}

refused_access:  // by the environment, in the middle of a block
  AddCycles(&h->cycles, blk->InfoOf(s).cost);
  left -= blk->InfoOf(s).count;
  h->pc = blk->pc + static_cast<uint64_t>(static_cast<int64_t>(blk->InfoOf(s).pc_offset));
  outcome = Refused(h, MemoryCause(fault_store, fault_va, fault_size), fault_va);
  goto not_retired;

refused_float:  // the same for a float instruction; those that keep no raw instruction show 0 in mtval
  AddCycles(&h->cycles, blk->InfoOf(s).cost);
  left -= blk->InfoOf(s).count;
  h->pc = blk->pc + static_cast<uint64_t>(static_cast<int64_t>(blk->InfoOf(s).pc_offset));
  h->instret = end - static_cast<uint64_t>(left);
  LeaveGuestFp(h, host_mxcsr);
  outcome = IllegalInsn(h, s->op.handler == &&L_Flw || s->op.handler == &&L_Fsw ? 0 : static_cast<uint32_t>(s->op.imm));
  EnterGuestFp(h);
  goto not_retired;

not_retired:
  if (outcome.stop) goto stop;
  --left, --end;  // the trap's share of the budget
  patch = nullptr;
  goto look_up;

stop:
  h->instret = end - static_cast<uint64_t>(left);
  LeaveGuestFp(h, host_mxcsr);
  return outcome.why;

#include "hart/ops_float.inc"
#include "hart/ops_integer.inc"
#include "hart/ops_system.inc"
}

#undef LEAVE
#undef ENTER_BLOCK
#undef MUST_LOOK_UP
#undef NEXT
#undef DISPATCH
#undef IMM
#undef F
#undef X
#undef OP
#undef NPU_UNLIKELY
#undef NPU_LIKELY

template <class Env>
Hart<Env>::Hart(Env& env, HostFma fma) : env_(env) {
  static_assert(HartEnv<Env>);
  const void* const* handlers = nullptr;
  Impl::Loop(nullptr, 0, &handlers);
  cache_ = std::make_unique<BlockCache>(handlers, Env::kFloat, fma == HostFma::kIfAvailable && fp::host::HasFma());
  mhartid = 0;
  Reset(0);
}

template <class Env>
Hart<Env>::~Hart() = default;

template <class Env>
void Hart<Env>::Reset(uint64_t new_pc) {
  Restart(new_pc);
  Impl::DropCode(this);
}

template <class Env>
uint64_t Hart<Env>::decoded() const {
  return cache_->built();
}

template <class Env>
void Hart<Env>::Restart(uint64_t new_pc) {
  std::fill(std::begin(x), std::end(x), 0);
  std::fill(std::begin(f), std::end(f), 0);
  fcsr = 0;
  pc = new_pc;
  instret = cycles = 0;
  machine::Reset(*this);
}

template <class Env>
Stop Hart<Env>::Run(uint64_t max_instructions) {
  return Impl::Loop(this, max_instructions, nullptr);
}

}  // namespace npu::model

#endif  // NPU_MODEL_HART_HART_IMPL_H_
