// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "hart/fp_exec.h"

#include "hart/fp_soft.h"

namespace npu::model {
namespace {

struct Fields {
  uint32_t rd, rs1, rs2, rs3, funct7, funct3;
  explicit Fields(uint32_t i)
      : rd((i >> 7) & 31),
        rs1((i >> 15) & 31),
        rs2((i >> 20) & 31),
        rs3((i >> 27) & 31),
        funct7(i >> 25),
        funct3((i >> 12) & 7) {}
};

void WriteX(HartState& s, uint32_t rd, uint64_t value) {
  s.x[rd == 0 ? HartState::kSink : rd] = value;
}

uint64_t ToInteger(uint32_t which, uint32_t a, uint32_t rm, uint32_t* flags) {
  switch (which) {
    case 0:
      return fp::soft::ToI32(a, rm, flags);
    case 1:
      return fp::soft::ToU32(a, rm, flags);
    case 2:
      return fp::soft::ToI64(a, rm, flags);
    default:
      return fp::soft::ToU64(a, rm, flags);
  }
}

uint32_t FromInteger(uint32_t which, uint64_t v, uint32_t rm, uint32_t* flags) {
  switch (which) {
    case 0:
      return fp::soft::FromI64(static_cast<int32_t>(v), rm, flags);
    case 1:
      return fp::soft::FromU64(static_cast<uint32_t>(v), rm, flags);
    case 2:
      return fp::soft::FromI64(static_cast<int64_t>(v), rm, flags);
    default:
      return fp::soft::FromU64(v, rm, flags);
  }
}

// funct7 of the operations whose funct3 is a rounding mode.
bool Rounds(uint32_t funct7) {
  return funct7 == 0x00 || funct7 == 0x04 || funct7 == 0x08 || funct7 == 0x0c || funct7 == 0x2c || funct7 == 0x60 ||
         funct7 == 0x68;
}

void ExecuteFused(HartState& s, uint32_t opcode, const Fields& i, uint32_t rm, uint32_t* flags) {
  // fmadd 0x43, fmsub 0x47, fnmsub 0x4b, fnmadd 0x4f
  const uint32_t flip_product = opcode == 0x4b || opcode == 0x4f ? fp::kSignBit : 0;
  const uint32_t flip_addend = opcode == 0x47 || opcode == 0x4f ? fp::kSignBit : 0;
  s.f[i.rd] = fp::soft::Fma(s.f[i.rs1] ^ flip_product, s.f[i.rs2], s.f[i.rs3] ^ flip_addend, rm, flags);
}

void ExecuteOpFp(HartState& s, const Fields& i, uint32_t rm, uint32_t* flags) {
  const uint32_t a = s.f[i.rs1];
  const uint32_t b = s.f[i.rs2];
  switch (i.funct7) {
    case 0x00:
      s.f[i.rd] = fp::soft::Add(a, b, rm, flags);
      return;
    case 0x04:
      s.f[i.rd] = fp::soft::Add(a, fp::IsNan(b) ? b : b ^ fp::kSignBit, rm, flags);
      return;
    case 0x08:
      s.f[i.rd] = fp::soft::Mul(a, b, rm, flags);
      return;
    case 0x0c:
      s.f[i.rd] = fp::soft::Div(a, b, rm, flags);
      return;
    case 0x2c:
      s.f[i.rd] = fp::soft::Sqrt(a, rm, flags);
      return;
    case 0x60:
      return WriteX(s, i.rd, ToInteger(i.rs2, a, rm, flags));
    case 0x68:
      s.f[i.rd] = FromInteger(i.rs2, s.x[i.rs1], rm, flags);
      return;
    default:  // 0x70: fclass.s
      return WriteX(s, i.rd, fp::Classify(a));
  }
}

}  // namespace

bool ExecuteFloat(HartState& state, uint32_t raw) {
  const Fields i(raw);
  const uint32_t opcode = raw & 0x7f;
  const bool fused = opcode != 0x53;
  uint32_t rm = i.funct3;
  if (fused || Rounds(i.funct7)) {
    if (rm == 7) rm = (state.fcsr >> 5) & 7;
    if (rm > fp::kRmm) return false;
  }
  uint32_t flags = 0;
  if (fused) {
    ExecuteFused(state, opcode, i, rm, &flags);
  } else {
    ExecuteOpFp(state, i, rm, &flags);
  }
  state.fcsr |= flags;
  return true;
}

}  // namespace npu::model
