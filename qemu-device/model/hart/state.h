// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// The architectural state of an RV64IMAFC hart, and the small types that a hart and its environment exchange.
#ifndef NPU_MODEL_HART_STATE_H_
#define NPU_MODEL_HART_STATE_H_

#include <atomic>
#include <cstdint>

namespace npu::model {

// Why Hart::Run came back.
enum class Stop {
  kBudget,  // exactly the number of instructions asked for has retired; call Run again to go on
  kEnv,     // the environment asked for it: exit pc reached, or Custom() answered kDoneStop or kRetryStop
  kFault,   // an instruction was refused; HartState::pc names it and nothing of it has happened
  kWfi,     // machine mode only: wfi with nothing pending; pc is behind the wfi
};

// What Env::Custom did with a custom-0 or custom-1 instruction.
enum class Custom {
  kDone,       // executed; go on
  kDoneStop,   // executed; Run returns kEnv with pc behind it
  kRetryStop,  // not executed (blocked); Run returns kEnv with pc at it, and the next Run issues it again
  kFault,  // refused; the environment has recorded a fault: Run returns kFault (machine mode: illegal-instruction trap)
  kIllegal,  // no such instruction: as any other illegal instruction
};

// The read-modify-write operations of the A extension, values of funct5.
enum class AmoOp : uint8_t {
  kAdd = 0x00,
  kSwap = 0x01,
  kXor = 0x04,
  kOr = 0x08,
  kAnd = 0x0c,
  kMin = 0x10,
  kMax = 0x14,
  kMinu = 0x18,
  kMaxu = 0x1c,
};

// The value that an AMO stores: `old` and `value` are taken as `size` (4 or 8) byte numbers.  For environments that
// build their AMO from a compare-and-swap.
uint64_t AmoResult(AmoOp op, unsigned size, uint64_t old, uint64_t value);

// Bits of mip and mie.
inline constexpr uint64_t kMipSoftware = uint64_t{1} << 3;
inline constexpr uint64_t kMipTimer = uint64_t{1} << 7;
inline constexpr uint64_t kMipExternal = uint64_t{1} << 11;

// mcause values that this hart produces (interrupts have bit 63 set and the number of the mip bit).
enum Cause : uint64_t {
  kCauseFetchAccess = 1,
  kCauseIllegal = 2,
  kCauseBreakpoint = 3,
  kCauseLoadMisaligned = 4,
  kCauseLoadAccess = 5,
  kCauseStoreMisaligned = 6,
  kCauseStoreAccess = 7,
  kCauseEcallM = 11,
  kCauseInterrupt = uint64_t{1} << 63,
};

// Registers, public on purpose: the owner of a hart sets arguments and reads results between two calls of Run.  Only
// the thread that is inside Run (or, outside of it, the owner) may touch them; `mip` alone may be changed by any
// thread.
struct HartState {
  static constexpr unsigned kSink = 32;  // x[kSink] swallows writes to x0; its value means nothing

  uint64_t x[33];    // x[0] is always 0
  uint32_t f[32];    // bit patterns of single-precision numbers
  uint32_t fcsr;     // frm in bits 7:5, fflags in bits 4:0
  uint64_t pc;       // all 64 bits, the tag of a device pointer included
  uint64_t instret;  // retired instructions since Reset
  uint64_t cycles;  // modelled cycles since Reset, see cost.h; the environment may add its own (memory latency, stalls)

  // Machine mode; unused where Env::kMachineMode is false.
  uint64_t mstatus;
  uint64_t mie;
  uint64_t mtvec;
  uint64_t mepc;
  uint64_t mcause;
  uint64_t mtval;
  uint64_t mscratch;
  uint64_t mhartid;           // set by the owner after Reset; Reset keeps it
  uint64_t mcycle_offset;     // mcycle = cycles + this, so that software may write mcycle
  uint64_t minstret_offset;   // minstret likewise
  std::atomic<uint64_t> mip;  // kMip*; interrupt lines, driven by the environment from any thread
};

}  // namespace npu::model

#endif  // NPU_MODEL_HART_STATE_H_
