// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "hart/machine.h"

namespace npu::model {

uint64_t AmoResult(AmoOp op, unsigned size, uint64_t old, uint64_t value) {
  const auto so = size == 4 ? static_cast<int64_t>(static_cast<int32_t>(old)) : static_cast<int64_t>(old);
  const auto sv = size == 4 ? static_cast<int64_t>(static_cast<int32_t>(value)) : static_cast<int64_t>(value);
  const uint64_t mask = size == 4 ? 0xffffffffu : ~uint64_t{0};
  const uint64_t uo = old & mask, uv = value & mask;
  switch (op) {
    case AmoOp::kAdd:
      return (uo + uv) & mask;
    case AmoOp::kSwap:
      return uv;
    case AmoOp::kXor:
      return uo ^ uv;
    case AmoOp::kOr:
      return uo | uv;
    case AmoOp::kAnd:
      return uo & uv;
    case AmoOp::kMin:
      return so < sv ? uo : uv;
    case AmoOp::kMax:
      return so > sv ? uo : uv;
    case AmoOp::kMinu:
      return uo < uv ? uo : uv;
    case AmoOp::kMaxu:
      return uo > uv ? uo : uv;
  }
  return uo;
}

namespace machine {
namespace {

enum CsrNumber : unsigned {
  kMstatus = 0x300,
  kMisa = 0x301,
  kMie = 0x304,
  kMtvec = 0x305,
  kMcountinhibit = 0x320,
  kMhpmevent3 = 0x323,
  kMhpmevent31 = 0x33f,
  kMscratch = 0x340,
  kMepc = 0x341,
  kMcause = 0x342,
  kMtval = 0x343,
  kMip = 0x344,
  kMcycle = 0xb00,
  kMinstret = 0xb02,
  kMhpmcounter3 = 0xb03,
  kMhpmcounter31 = 0xb1f,
  kMvendorid = 0xf11,
  kMarchid = 0xf12,
  kMimpid = 0xf13,
  kMhartid = 0xf14,
  kMconfigptr = 0xf15,
};

constexpr uint64_t kInterrupts = kMipSoftware | kMipTimer | kMipExternal;

constexpr uint64_t Extension(char letter) {
  return uint64_t{1} << (letter - 'A');
}

uint64_t Misa(bool has_float) {
  return uint64_t{2} << 62 | Extension('I') | Extension('M') | Extension('A') | Extension('C') |
         (has_float ? Extension('F') : 0);
}

void WriteStatus(HartState& s, bool has_float, uint64_t value) {
  const uint64_t writable = kStatusMie | kStatusMpie;
  s.mstatus = (value & writable) | kStatusMpp;
  if (has_float && (value & kStatusFs) != 0) s.mstatus |= kStatusFs | kStatusSd;
}

bool IsUnusedCounter(unsigned csr) {
  return csr == kMcountinhibit || (csr >= kMhpmevent3 && csr <= kMhpmevent31) ||
         (csr >= kMhpmcounter3 && csr <= kMhpmcounter31);
}

}  // namespace

void Reset(HartState& s) {
  s.mstatus = kStatusMpp;
  s.mie = s.mtvec = s.mepc = s.mcause = s.mtval = s.mscratch = 0;
  s.mcycle_offset = s.minstret_offset = 0;
  s.mip.store(0, std::memory_order_relaxed);
}

void Trap(HartState& s, uint64_t cause, uint64_t tval) {
  s.mepc = s.pc;
  s.mcause = cause;
  s.mtval = tval;
  const bool enabled = (s.mstatus & kStatusMie) != 0;
  s.mstatus = (s.mstatus & ~(kStatusMie | kStatusMpie)) | (enabled ? kStatusMpie : 0);
  s.pc = s.mtvec & ~uint64_t{3};
  if ((s.mtvec & 1) != 0 && (cause & kCauseInterrupt) != 0) s.pc += 4 * (cause & 63);
}

bool TakeInterrupt(HartState& s) {
  const uint64_t pending = s.mip.load(std::memory_order_acquire) & InterruptMask(s);
  for (const uint64_t bit : {kMipExternal, kMipSoftware, kMipTimer}) {
    if ((pending & bit) == 0) continue;
    Trap(s, kCauseInterrupt | static_cast<uint64_t>(__builtin_ctzll(bit)), 0);
    return true;
  }
  return false;
}

void Mret(HartState& s) {
  const bool enable = (s.mstatus & kStatusMpie) != 0;
  s.mstatus = (s.mstatus & ~kStatusMie) | kStatusMpie | (enable ? kStatusMie : 0);
  s.pc = s.mepc;
}

bool CsrRead(const HartState& s, unsigned csr, bool has_float, uint64_t* value) {
  *value = 0;
  switch (csr) {
    case kMstatus:
      *value = s.mstatus;
      return true;
    case kMisa:
      *value = Misa(has_float);
      return true;
    case kMie:
      *value = s.mie;
      return true;
    case kMtvec:
      *value = s.mtvec;
      return true;
    case kMscratch:
      *value = s.mscratch;
      return true;
    case kMepc:
      *value = s.mepc;
      return true;
    case kMcause:
      *value = s.mcause;
      return true;
    case kMtval:
      *value = s.mtval;
      return true;
    case kMip:
      *value = s.mip.load(std::memory_order_acquire);
      return true;
    case kMcycle:
      *value = s.cycles + s.mcycle_offset;
      return true;
    case kMinstret:
      *value = s.instret - 1 + s.minstret_offset;
      return true;
    case kMhartid:
      *value = s.mhartid;
      return true;
    case kMvendorid:
    case kMarchid:
    case kMimpid:
    case kMconfigptr:
      return true;
    default:
      return IsUnusedCounter(csr);
  }
}

bool CsrWrite(HartState& s, unsigned csr, bool has_float, uint64_t value) {
  switch (csr) {
    case kMstatus:
      WriteStatus(s, has_float, value);
      return true;
    case kMie:
      s.mie = value & kInterrupts;
      return true;
    case kMtvec:
      s.mtvec = value & ~uint64_t{2};
      return true;
    case kMscratch:
      s.mscratch = value;
      return true;
    case kMepc:
      s.mepc = value & ~uint64_t{1};
      return true;
    case kMcause:
      s.mcause = value;
      return true;
    case kMtval:
      s.mtval = value;
      return true;
    case kMcycle:
      s.mcycle_offset = value - s.cycles;
      return true;
    case kMinstret:
      s.minstret_offset = value - s.instret;
      return true;
    case kMisa:  // fixed
    case kMip:   // driven by the environment
      return true;
    default:
      return IsUnusedCounter(csr);
  }
}

}  // namespace machine
}  // namespace npu::model
