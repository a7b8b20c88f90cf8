// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// RV64C: each 16-bit instruction is written out as the 32-bit one that it stands for.
#include <cstdint>

namespace npu::model {

uint32_t ExpandCompressed(uint16_t c);

namespace {

constexpr uint32_t Bits(uint32_t v, unsigned hi, unsigned lo) {
  return (v >> lo) & ((2u << (hi - lo)) - 1);
}
constexpr int32_t SignExtend(uint32_t v, unsigned bits) {
  return static_cast<int32_t>(v << (32 - bits)) >> (32 - bits);
}

// Major opcodes.
enum : uint32_t {
  kLoad = 0x03,
  kOpImm = 0x13,
  kOpImm32 = 0x1b,
  kStore = 0x23,
  kOp = 0x33,
  kLui = 0x37,
  kOp32 = 0x3b,
  kBranch = 0x63,
  kJalr = 0x67,
  kJal = 0x6f,
};

constexpr uint32_t TypeR(uint32_t opcode, uint32_t funct7, uint32_t funct3, uint32_t rd, uint32_t rs1, uint32_t rs2) {
  return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}
constexpr uint32_t TypeI(uint32_t opcode, uint32_t funct3, uint32_t rd, uint32_t rs1, int32_t imm) {
  return static_cast<uint32_t>(imm) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}
constexpr uint32_t TypeS(uint32_t funct3, uint32_t rs1, uint32_t rs2, uint32_t imm) {
  return Bits(imm, 11, 5) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | Bits(imm, 4, 0) << 7 | kStore;
}
constexpr uint32_t TypeB(uint32_t funct3, uint32_t rs1, int32_t offset) {
  const auto o = static_cast<uint32_t>(offset);
  return Bits(o, 12, 12) << 31 | Bits(o, 10, 5) << 25 | rs1 << 15 | funct3 << 12 | Bits(o, 4, 1) << 8 |
         Bits(o, 11, 11) << 7 | kBranch;
}
constexpr uint32_t TypeJ(uint32_t rd, int32_t offset) {
  const auto o = static_cast<uint32_t>(offset);
  return Bits(o, 20, 20) << 31 | Bits(o, 10, 1) << 21 | Bits(o, 11, 11) << 20 | Bits(o, 19, 12) << 12 | rd << 7 | kJal;
}

// The immediates.
uint32_t UimmW(uint32_t c) {
  return Bits(c, 12, 10) << 3 | Bits(c, 6, 6) << 2 | Bits(c, 5, 5) << 6;
}
uint32_t UimmD(uint32_t c) {
  return Bits(c, 12, 10) << 3 | Bits(c, 6, 5) << 6;
}
int32_t Imm6(uint32_t c) {
  return SignExtend(Bits(c, 12, 12) << 5 | Bits(c, 6, 2), 6);
}
uint32_t Shamt(uint32_t c) {
  return Bits(c, 12, 12) << 5 | Bits(c, 6, 2);
}
int32_t JumpOffset(uint32_t c) {
  return SignExtend(Bits(c, 12, 12) << 11 | Bits(c, 11, 11) << 4 | Bits(c, 10, 9) << 8 | Bits(c, 8, 8) << 10 |
                        Bits(c, 7, 7) << 6 | Bits(c, 6, 6) << 7 | Bits(c, 5, 3) << 1 | Bits(c, 2, 2) << 5,
                    12);
}
int32_t BranchOffset(uint32_t c) {
  return SignExtend(
      Bits(c, 12, 12) << 8 | Bits(c, 11, 10) << 3 | Bits(c, 6, 5) << 6 | Bits(c, 4, 3) << 1 | Bits(c, 2, 2) << 5, 9);
}

uint32_t Quadrant0(uint32_t c) {
  const uint32_t rd = 8 + Bits(c, 4, 2);
  const uint32_t rs1 = 8 + Bits(c, 9, 7);
  switch (Bits(c, 15, 13)) {
    case 0: {  // c.addi4spn
      const uint32_t imm = Bits(c, 12, 11) << 4 | Bits(c, 10, 7) << 6 | Bits(c, 6, 6) << 2 | Bits(c, 5, 5) << 3;
      return imm == 0 ? 0 : TypeI(kOpImm, 0, rd, 2, static_cast<int32_t>(imm));
    }
    case 2:  // c.lw
      return TypeI(kLoad, 2, rd, rs1, static_cast<int32_t>(UimmW(c)));
    case 3:  // c.ld
      return TypeI(kLoad, 3, rd, rs1, static_cast<int32_t>(UimmD(c)));
    case 6:  // c.sw
      return TypeS(2, rs1, rd, UimmW(c));
    case 7:  // c.sd
      return TypeS(3, rs1, rd, UimmD(c));
    default:  // c.fld, c.fsd: no D extension
      return 0;
  }
}

uint32_t Arithmetic(uint32_t c) {
  const uint32_t rd = 8 + Bits(c, 9, 7);
  const uint32_t rs2 = 8 + Bits(c, 4, 2);
  switch (Bits(c, 11, 10)) {
    case 0:  // c.srli
      return TypeI(kOpImm, 5, rd, rd, static_cast<int32_t>(Shamt(c)));
    case 1:  // c.srai
      return TypeI(kOpImm, 5, rd, rd, static_cast<int32_t>(0x400 | Shamt(c)));
    case 2:  // c.andi
      return TypeI(kOpImm, 7, rd, rd, Imm6(c));
    default:
      break;
  }
  switch (Bits(c, 12, 12) << 2 | Bits(c, 6, 5)) {
    case 0:
      return TypeR(kOp, 0x20, 0, rd, rd, rs2);  // c.sub
    case 1:
      return TypeR(kOp, 0, 4, rd, rd, rs2);  // c.xor
    case 2:
      return TypeR(kOp, 0, 6, rd, rd, rs2);  // c.or
    case 3:
      return TypeR(kOp, 0, 7, rd, rd, rs2);  // c.and
    case 4:
      return TypeR(kOp32, 0x20, 0, rd, rd, rs2);  // c.subw
    case 5:
      return TypeR(kOp32, 0, 0, rd, rd, rs2);  // c.addw
    default:
      return 0;
  }
}

uint32_t Quadrant1(uint32_t c) {
  const uint32_t rd = Bits(c, 11, 7);
  const uint32_t rs1 = 8 + Bits(c, 9, 7);
  switch (Bits(c, 15, 13)) {
    case 0:  // c.addi, c.nop
      return TypeI(kOpImm, 0, rd, rd, Imm6(c));
    case 1:  // c.addiw
      return rd == 0 ? 0 : TypeI(kOpImm32, 0, rd, rd, Imm6(c));
    case 2:  // c.li
      return TypeI(kOpImm, 0, rd, 0, Imm6(c));
    case 3: {
      if (Shamt(c) == 0) return 0;
      if (rd == 2) {  // c.addi16sp
        const uint32_t imm =
            Bits(c, 12, 12) << 9 | Bits(c, 6, 6) << 4 | Bits(c, 5, 5) << 6 | Bits(c, 4, 3) << 7 | Bits(c, 2, 2) << 5;
        return TypeI(kOpImm, 0, 2, 2, SignExtend(imm, 10));
      }
      return static_cast<uint32_t>(Imm6(c)) << 12 | rd << 7 | kLui;  // c.lui
    }
    case 4:
      return Arithmetic(c);
    case 5:  // c.j
      return TypeJ(0, JumpOffset(c));
    case 6:  // c.beqz
      return TypeB(0, rs1, BranchOffset(c));
    default:  // c.bnez
      return TypeB(1, rs1, BranchOffset(c));
  }
}

uint32_t JumpsAndMoves(uint32_t c) {
  const uint32_t rd = Bits(c, 11, 7);
  const uint32_t rs2 = Bits(c, 6, 2);
  if (Bits(c, 12, 12) == 0) {
    if (rs2 != 0) return TypeR(kOp, 0, 0, rd, 0, rs2);  // c.mv
    return rd == 0 ? 0 : TypeI(kJalr, 0, 0, rd, 0);     // c.jr
  }
  if (rs2 != 0) return TypeR(kOp, 0, 0, rd, rd, rs2);        // c.add
  return rd == 0 ? 0x00100073u : TypeI(kJalr, 0, 1, rd, 0);  // c.ebreak, c.jalr
}

uint32_t Quadrant2(uint32_t c) {
  const uint32_t rd = Bits(c, 11, 7);
  const uint32_t rs2 = Bits(c, 6, 2);
  switch (Bits(c, 15, 13)) {
    case 0:  // c.slli
      return TypeI(kOpImm, 1, rd, rd, static_cast<int32_t>(Shamt(c)));
    case 2: {  // c.lwsp
      const uint32_t imm = Bits(c, 12, 12) << 5 | Bits(c, 6, 4) << 2 | Bits(c, 3, 2) << 6;
      return rd == 0 ? 0 : TypeI(kLoad, 2, rd, 2, static_cast<int32_t>(imm));
    }
    case 3: {  // c.ldsp
      const uint32_t imm = Bits(c, 12, 12) << 5 | Bits(c, 6, 5) << 3 | Bits(c, 4, 2) << 6;
      return rd == 0 ? 0 : TypeI(kLoad, 3, rd, 2, static_cast<int32_t>(imm));
    }
    case 4:
      return JumpsAndMoves(c);
    case 6:  // c.swsp
      return TypeS(2, 2, rs2, Bits(c, 12, 9) << 2 | Bits(c, 8, 7) << 6);
    case 7:  // c.sdsp
      return TypeS(3, 2, rs2, Bits(c, 12, 10) << 3 | Bits(c, 9, 7) << 6);
    default:  // c.fldsp, c.fsdsp
      return 0;
  }
}

}  // namespace

// 0 for reserved encodings and for those of extensions that the hart does not have.
uint32_t ExpandCompressed(uint16_t c) {
  switch (c & 3) {
    case 0:
      return Quadrant0(c);
    case 1:
      return Quadrant1(c);
    default:
      return Quadrant2(c);
  }
}

}  // namespace npu::model
