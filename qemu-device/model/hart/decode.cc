// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "hart/decode.h"

#include "hart/state.h"

namespace npu::model {
namespace {

constexpr uint32_t Bits(uint32_t v, unsigned hi, unsigned lo) {
  return (v >> lo) & ((2u << (hi - lo)) - 1);
}
constexpr int32_t SignExtend(uint32_t v, unsigned bits) {
  return static_cast<int32_t>(v << (32 - bits)) >> (32 - bits);
}
constexpr uint8_t Sink(uint32_t rd) {
  return static_cast<uint8_t>(rd == 0 ? HartState::kSink : rd);
}

int32_t ImmI(uint32_t i) {
  return SignExtend(i >> 20, 12);
}
int32_t ImmS(uint32_t i) {
  return SignExtend(Bits(i, 31, 25) << 5 | Bits(i, 11, 7), 12);
}
int32_t ImmB(uint32_t i) {
  return SignExtend(Bits(i, 31, 31) << 12 | Bits(i, 7, 7) << 11 | Bits(i, 30, 25) << 5 | Bits(i, 11, 8) << 1, 13);
}
int32_t ImmJ(uint32_t i) {
  return SignExtend(Bits(i, 31, 31) << 20 | Bits(i, 19, 12) << 12 | Bits(i, 20, 20) << 11 | Bits(i, 30, 21) << 1, 21);
}

// An integer operation whose only effect is its result: nothing to do when that goes to x0.
void SetAlu(Insn& d, Opc opc, uint32_t rd) {
  d.opc = rd == 0 ? Opc::kNop : opc;
  d.rd = Sink(rd);
}

void DecodeOpImm(Insn& d, uint32_t i) {
  static constexpr Opc kOps[8] = {Opc::kAddi, Opc::kSlli, Opc::kSlti, Opc::kSltiu,
                                  Opc::kXori, Opc::kSrli, Opc::kOri,  Opc::kAndi};
  const uint32_t funct3 = Bits(i, 14, 12);
  Opc opc = kOps[funct3];
  d.imm = ImmI(i);
  if (funct3 == 1 || funct3 == 5) {
    d.imm = static_cast<int32_t>(Bits(i, 25, 20));
    const uint32_t funct6 = Bits(i, 31, 26);
    if (funct6 == 0x10 && funct3 == 5) {
      opc = Opc::kSrai;
    } else if (funct6 != 0) {
      return;
    }
  }
  if (opc == Opc::kAddi && d.rs1 == 0) opc = Opc::kLi;
  SetAlu(d, opc, Bits(i, 11, 7));
}

void DecodeOpImm32(Insn& d, uint32_t i) {
  const uint32_t funct7 = Bits(i, 31, 25);
  d.imm = static_cast<int32_t>(Bits(i, 24, 20));
  switch (Bits(i, 14, 12)) {
    case 0:
      d.imm = ImmI(i);
      return SetAlu(d, Opc::kAddiw, Bits(i, 11, 7));
    case 1:
      if (funct7 == 0) SetAlu(d, Opc::kSlliw, Bits(i, 11, 7));
      return;
    case 5:
      if (funct7 == 0) SetAlu(d, Opc::kSrliw, Bits(i, 11, 7));
      if (funct7 == 0x20) SetAlu(d, Opc::kSraiw, Bits(i, 11, 7));
      return;
    default:
      return;
  }
}

void DecodeOp(Insn& d, uint32_t i) {
  static constexpr Opc kBase[8] = {Opc::kAdd, Opc::kSll, Opc::kSlt, Opc::kSltu,
                                   Opc::kXor, Opc::kSrl, Opc::kOr,  Opc::kAnd};
  static constexpr Opc kMulDiv[8] = {Opc::kMul, Opc::kMulh, Opc::kMulhsu, Opc::kMulhu,
                                     Opc::kDiv, Opc::kDivu, Opc::kRem,    Opc::kRemu};
  const uint32_t funct3 = Bits(i, 14, 12);
  const uint32_t rd = Bits(i, 11, 7);
  switch (Bits(i, 31, 25)) {
    case 0x00:
      return SetAlu(d, kBase[funct3], rd);
    case 0x01:
      return SetAlu(d, kMulDiv[funct3], rd);
    case 0x20:
      if (funct3 == 0) SetAlu(d, Opc::kSub, rd);
      if (funct3 == 5) SetAlu(d, Opc::kSra, rd);
      return;
    default:
      return;
  }
}

void DecodeOp32(Insn& d, uint32_t i) {
  const uint32_t rd = Bits(i, 11, 7);
  switch (Bits(i, 31, 25) << 3 | Bits(i, 14, 12)) {
    case 0x00 << 3 | 0:
      return SetAlu(d, Opc::kAddw, rd);
    case 0x20 << 3 | 0:
      return SetAlu(d, Opc::kSubw, rd);
    case 0x00 << 3 | 1:
      return SetAlu(d, Opc::kSllw, rd);
    case 0x00 << 3 | 5:
      return SetAlu(d, Opc::kSrlw, rd);
    case 0x20 << 3 | 5:
      return SetAlu(d, Opc::kSraw, rd);
    case 0x01 << 3 | 0:
      return SetAlu(d, Opc::kMulw, rd);
    case 0x01 << 3 | 4:
      return SetAlu(d, Opc::kDivw, rd);
    case 0x01 << 3 | 5:
      return SetAlu(d, Opc::kDivuw, rd);
    case 0x01 << 3 | 6:
      return SetAlu(d, Opc::kRemw, rd);
    case 0x01 << 3 | 7:
      return SetAlu(d, Opc::kRemuw, rd);
    default:
      return;
  }
}

void DecodeLoad(Insn& d, uint32_t i) {
  static constexpr Opc kOps[8] = {Opc::kLb,  Opc::kLh,  Opc::kLw,  Opc::kLd,
                                  Opc::kLbu, Opc::kLhu, Opc::kLwu, Opc::kIllegal};
  d.opc = kOps[Bits(i, 14, 12)];
  d.rd = Sink(Bits(i, 11, 7));
  d.imm = ImmI(i);
}

void DecodeStore(Insn& d, uint32_t i) {
  static constexpr Opc kOps[4] = {Opc::kSb, Opc::kSh, Opc::kSw, Opc::kSd};
  const uint32_t funct3 = Bits(i, 14, 12);
  if (funct3 < 4) d.opc = kOps[funct3];
  d.imm = ImmS(i);
}

void DecodeBranch(Insn& d, uint32_t i) {
  static constexpr Opc kOps[8] = {Opc::kBeq, Opc::kBne, Opc::kIllegal, Opc::kIllegal,
                                  Opc::kBlt, Opc::kBge, Opc::kBltu,    Opc::kBgeu};
  d.opc = kOps[Bits(i, 14, 12)];
  d.imm = ImmB(i);
}

void DecodeAmo(Insn& d, uint32_t i) {
  const uint32_t funct3 = Bits(i, 14, 12);
  const uint32_t funct5 = Bits(i, 31, 27);
  if (funct3 != 2 && funct3 != 3) return;
  d.rs3 = funct3 == 2 ? 4 : 8;
  d.rd = Sink(Bits(i, 11, 7));
  d.imm = static_cast<int32_t>(funct5);
  switch (funct5) {
    case 0x02:
      if (d.rs2 == 0) d.opc = Opc::kLr;
      return;
    case 0x03:
      d.opc = Opc::kSc;
      return;
    case 0x00:
    case 0x01:
    case 0x04:
    case 0x08:
    case 0x0c:
    case 0x10:
    case 0x14:
    case 0x18:
    case 0x1c:
      d.opc = Opc::kAmo;
      return;
    default:
      return;
  }
}

void DecodeSystem(Insn& d, uint32_t i) {
  const uint32_t funct3 = Bits(i, 14, 12);
  if (funct3 == 4) return;
  if (funct3 != 0) {
    d.opc = Opc::kCsr;
    d.rd = Sink(Bits(i, 11, 7));
    return;
  }
  switch (i) {
    case 0x00000073:
      d.opc = Opc::kEcall;
      return;
    case 0x00100073:
      d.opc = Opc::kEbreak;
      return;
    case 0x30200073:
      d.opc = Opc::kMret;
      return;
    case 0x10500073:
      d.opc = Opc::kWfi;
      return;
    default:
      return;
  }
}

// Dynamic rounding runs on the host's unit; static rounding is left to the software path; 5 and 6 are reserved.
Opc ByRounding(uint32_t rm, Opc dynamic) {
  if (rm == 7) return dynamic;
  return rm <= 4 ? Opc::kFpSoft : Opc::kIllegal;
}

Opc ToIntegerOp(uint32_t which, uint32_t rm) {
  if (rm == 1 && which == 0) return Opc::kFcvtWSRtz;
  if (rm == 1 && which == 2) return Opc::kFcvtLSRtz;
  return ByRounding(rm, which == 0 ? Opc::kFcvtWS : which == 2 ? Opc::kFcvtLS : Opc::kFpSoft);
}

Opc FromIntegerOp(uint32_t which, uint32_t rm) {
  static constexpr Opc kOps[4] = {Opc::kFcvtSW, Opc::kFcvtSWu, Opc::kFcvtSL, Opc::kFpSoft};
  return ByRounding(rm, kOps[which]);
}

void DecodeOpFp(Insn& d, uint32_t i) {
  static constexpr Opc kSign[3] = {Opc::kFsgnjS, Opc::kFsgnjnS, Opc::kFsgnjxS};
  static constexpr Opc kCompare[3] = {Opc::kFleS, Opc::kFltS, Opc::kFeqS};
  const uint32_t rm = Bits(i, 14, 12);
  const uint32_t rd = Bits(i, 11, 7);
  d.rd = static_cast<uint8_t>(rd);
  switch (Bits(i, 31, 25)) {
    case 0x00:
      d.opc = ByRounding(rm, Opc::kFaddS);
      return;
    case 0x04:
      d.opc = ByRounding(rm, Opc::kFsubS);
      return;
    case 0x08:
      d.opc = ByRounding(rm, Opc::kFmulS);
      return;
    case 0x0c:
      d.opc = ByRounding(rm, Opc::kFdivS);
      return;
    case 0x2c:
      if (d.rs2 == 0) d.opc = ByRounding(rm, Opc::kFsqrtS);
      return;
    case 0x10:
      if (rm < 3) d.opc = kSign[rm];
      return;
    case 0x14:
      if (rm < 2) d.opc = rm == 0 ? Opc::kFminS : Opc::kFmaxS;
      return;
    case 0x50:
      if (rm < 3) d.opc = kCompare[rm];
      d.rd = Sink(rd);
      return;
    case 0x60:
      if (d.rs2 < 4) d.opc = ToIntegerOp(d.rs2, rm);
      d.rd = Sink(rd);
      return;
    case 0x68:
      if (d.rs2 < 4) d.opc = FromIntegerOp(d.rs2, rm);
      return;
    case 0x70:
      if (d.rs2 == 0 && rm < 2) d.opc = rm == 0 ? Opc::kFmvXW : Opc::kFpSoft;
      d.rd = Sink(rd);
      return;
    case 0x78:
      if (d.rs2 == 0 && rm == 0) d.opc = Opc::kFmvWX;
      return;
    default:
      return;
  }
}

void DecodeFloat(Insn& d, uint32_t i) {
  static constexpr Opc kFused[4] = {Opc::kFmaddS, Opc::kFmsubS, Opc::kFnmsubS, Opc::kFnmaddS};
  const uint32_t opcode = Bits(i, 6, 2);
  d.rd = static_cast<uint8_t>(Bits(i, 11, 7));
  d.imm = static_cast<int32_t>(i);
  switch (opcode) {
    case 0x01:
      if (Bits(i, 14, 12) == 2) d.opc = Opc::kFlw;
      d.imm = ImmI(i);
      return;
    case 0x09:
      if (Bits(i, 14, 12) == 2) d.opc = Opc::kFsw;
      d.imm = ImmS(i);
      return;
    case 0x10:
    case 0x11:
    case 0x12:
    case 0x13:
      if (Bits(i, 26, 25) != 0) return;
      d.rs3 = static_cast<uint8_t>(Bits(i, 31, 27));
      d.opc = ByRounding(Bits(i, 14, 12), kFused[opcode - 0x10]);
      return;
    default:
      return DecodeOpFp(d, i);
  }
}

void DecodeMajor(Insn& d, uint32_t i, bool has_float) {
  const uint32_t rd = Bits(i, 11, 7);
  const uint32_t funct3 = Bits(i, 14, 12);
  switch (Bits(i, 6, 2)) {
    case 0x00:
      return DecodeLoad(d, i);
    case 0x02:
    case 0x0a:
      d.opc = Opc::kCustom;
      d.rd = Sink(rd);
      return;
    case 0x03:
      if (funct3 == 0) d.opc = Opc::kNop;  // fence: the interpreter is sequentially consistent with itself
      if (funct3 == 1) d.opc = Opc::kFenceI;
      return;
    case 0x04:
      return DecodeOpImm(d, i);
    case 0x05:  // auipc: the block builder adds pc
      d.imm = static_cast<int32_t>(i & 0xfffff000u);
      return SetAlu(d, Opc::kLi64, rd);
    case 0x06:
      return DecodeOpImm32(d, i);
    case 0x08:
      return DecodeStore(d, i);
    case 0x0b:
      return DecodeAmo(d, i);
    case 0x0c:
      return DecodeOp(d, i);
    case 0x0d:
      d.imm = static_cast<int32_t>(i & 0xfffff000u);
      return SetAlu(d, Opc::kLi, rd);
    case 0x0e:
      return DecodeOp32(d, i);
    case 0x18:
      return DecodeBranch(d, i);
    case 0x19:
      if (funct3 == 0) d.opc = Opc::kJalr;
      d.rd = Sink(rd);
      d.imm = ImmI(i);
      return;
    case 0x1b:
      d.opc = Opc::kJal;
      d.rd = Sink(rd);
      d.imm = ImmJ(i);
      return;
    case 0x1c:
      return DecodeSystem(d, i);
    case 0x01:
    case 0x09:
    case 0x10:
    case 0x11:
    case 0x12:
    case 0x13:
    case 0x14:
      if (has_float) DecodeFloat(d, i);
      return;
    default:
      return;
  }
}

// Operations whose Op::imm is the raw instruction.
bool WantsRaw(Opc opc) {
  return opc == Opc::kIllegal || opc == Opc::kCustom || opc == Opc::kCsr || opc == Opc::kEcall || opc == Opc::kEbreak ||
         opc == Opc::kMret || opc == Opc::kWfi || opc == Opc::kFenceI;
}

}  // namespace

uint32_t ExpandCompressed(uint16_t c);  // compressed.cc

Insn Decode(uint32_t raw, bool has_float) {
  Insn d;
  uint32_t i = raw;
  d.length = static_cast<uint8_t>(InsnLength(static_cast<uint16_t>(raw)));
  if (d.length == 2) {
    raw &= 0xffff;
    i = ExpandCompressed(static_cast<uint16_t>(raw));
  }
  d.raw = raw;
  d.rs1 = static_cast<uint8_t>(Bits(i, 19, 15));
  d.rs2 = static_cast<uint8_t>(Bits(i, 24, 20));
  if (i != 0) DecodeMajor(d, i, has_float);
  if (WantsRaw(d.opc)) d.imm = static_cast<int32_t>(raw);
  return d;
}

}  // namespace npu::model
