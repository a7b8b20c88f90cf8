// SPDX-License-Identifier: Apache-2.0
#include "random_program.h"

#include <elf.h>

#include <cstddef>
#include <cstring>
#include <random>

namespace npu::test {
namespace {

// Fixed registers: x1 the program's state, x2 = x3 = x8 the middle of its scratch memory, x4 loop counter and link,
// x6 an address.  The rest is random.
constexpr unsigned kState = 1, kScratchReg = 3, kLoop = 4, kAddress = 6;
constexpr int kScratchMiddle = offsetof(ProgramState, scratch) + ProgramState::kScratch / 2;

uint32_t R(uint32_t opcode, uint32_t funct7, uint32_t funct3, uint32_t rd, uint32_t rs1, uint32_t rs2) {
  return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}
uint32_t I(uint32_t opcode, uint32_t funct3, uint32_t rd, uint32_t rs1, int32_t imm) {
  return static_cast<uint32_t>(imm) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}
uint32_t S(uint32_t opcode, uint32_t funct3, uint32_t rs1, uint32_t rs2, int32_t imm) {
  const auto u = static_cast<uint32_t>(imm);
  return ((u >> 5) & 0x7f) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (u & 0x1f) << 7 | opcode;
}
uint32_t U(uint32_t opcode, uint32_t rd, uint32_t imm20) {
  return imm20 << 12 | rd << 7 | opcode;
}
uint32_t B(uint32_t funct3, uint32_t rs1, uint32_t rs2, int32_t offset) {
  const auto u = static_cast<uint32_t>(offset);
  return ((u >> 12) & 1) << 31 | ((u >> 5) & 0x3f) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 |
         ((u >> 1) & 0xf) << 8 | ((u >> 11) & 1) << 7 | 0x63;
}
uint32_t J(uint32_t rd, int32_t offset) {
  const auto u = static_cast<uint32_t>(offset);
  return ((u >> 20) & 1) << 31 | ((u >> 1) & 0x3ff) << 21 | ((u >> 11) & 1) << 20 | ((u >> 12) & 0xff) << 12 | rd << 7 |
         0x6f;
}
uint32_t CsrOp(uint32_t funct3, uint32_t rd, uint32_t rs1, uint32_t csr) {
  return csr << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x73;
}

constexpr uint32_t kSpecialFloats[] = {
    0x00000000, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001, 0xffbfffff, 0x7fffffff,
    0x00000001, 0x80000001, 0x007fffff, 0x00800000, 0x80800000, 0x00800001, 0x7f7fffff, 0xff7fffff, 0x3f800000,
    0xbf800000, 0x3f7fffff, 0x3f000000, 0xbf000000, 0x3fc00000, 0x40200000, 0x4b000001, 0x4effffff, 0x4f000000,
    0xcf000000, 0xcf000001, 0x4f7fffff, 0x4f800000, 0x5effffff, 0x5f000000, 0xdf000000, 0x5f7fffff, 0x5f800000,
    0x34000000, 0x33800000, 0x1a000000, 0x65000000, 0x0b800000, 0xbf7fffff, 0xbeffffff, 0x3effffff};
constexpr uint64_t kSpecialIntegers[] = {0,
                                         1,
                                         2,
                                         ~uint64_t{0},
                                         0x7fffffff,
                                         0x80000000,
                                         0xffffffff,
                                         0xffffffff80000000,
                                         0x7fffffffffffffff,
                                         0x8000000000000000,
                                         0x8000000000000001,
                                         0x100000000,
                                         0xffffff,
                                         0x1000001,
                                         0x7fffff8000000000,
                                         0xffffff7fffffffff};

class Code {
 public:
  size_t size() const { return bytes_.size(); }
  void Put32(uint32_t insn) {
    Put16(static_cast<uint16_t>(insn));
    Put16(static_cast<uint16_t>(insn >> 16));
  }
  void Put16(uint16_t insn) {
    bytes_.push_back(static_cast<uint8_t>(insn));
    bytes_.push_back(static_cast<uint8_t>(insn >> 8));
  }
  void Patch32(size_t at, uint32_t insn) { std::memcpy(bytes_.data() + at, &insn, 4); }
  void JumpTo(uint32_t link, size_t target) {
    Put32(J(link, static_cast<int32_t>(static_cast<int64_t>(target) - static_cast<int64_t>(size()))));
  }
  std::vector<uint8_t>& bytes() { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

// One program.
class Generator {
 public:
  Generator(Code& code, uint64_t seed) : code_(code), random_(seed * 0x9e3779b97f4a7c15u + 1) {}

  void State(ProgramState* state) {
    std::memset(state, 0, sizeof *state);
    for (uint64_t& x : state->x) x = Integer();
    for (uint32_t& f : state->f) f = Float();
    state->fcsr = Pick(5) << 5 | (Pick(2) ? 0 : Pick(32));
    for (uint8_t& b : state->scratch) b = static_cast<uint8_t>(random_());
  }

  void Body() {
    Straight(4 + Pick(16));
    code_.Put32(I(0x13, 0, kLoop, 0, 1 + static_cast<int>(Pick(5))));
    const size_t top = code_.size();
    Straight(4 + Pick(40));
    code_.Put32(I(0x13, 0, kLoop, kLoop, -1));
    const auto back = static_cast<int32_t>(static_cast<int64_t>(top) - static_cast<int64_t>(code_.size()));
    code_.Put32(B(1, kLoop, 0, back));
    Straight(Pick(8));
  }

 private:
  uint32_t Pick(uint32_t n) { return static_cast<uint32_t>(random_() % n); }

  uint64_t Integer() {
    if (Pick(3) == 0) return kSpecialIntegers[Pick(std::size(kSpecialIntegers))];
    const uint64_t v = random_();
    return Pick(2) ? v : static_cast<uint64_t>(static_cast<int64_t>(v) >> Pick(64));
  }

  uint32_t Float() {
    if (Pick(2) == 0) return kSpecialFloats[Pick(std::size(kSpecialFloats))];
    const auto bits = static_cast<uint32_t>(random_());
    if (Pick(3) == 0) return bits;
    const uint32_t exponent = 127 - 14 + Pick(28);  // numbers that meet each other
    return (bits & 0x807fffff) | exponent << 23;
  }

  // A destination that no fixed use forbids; x0 now and then.
  uint32_t Dest() {
    for (;;) {
      const uint32_t r = Pick(32);
      if (r == 0 || r == 5 || r == 7 || r >= 9) return r;
    }
  }
  uint32_t Source() { return Pick(32); }
  uint32_t Rounding() { return Pick(3) ? 7 : Pick(5); }

  void Straight(unsigned count) {
    for (unsigned i = 0; i < count; ++i) One();
  }

  void One() {
    switch (Pick(16)) {
      case 0:
      case 1:
        return Immediate();
      case 2:
      case 3:
        return Register();
      case 4:
        return MulDiv();
      case 5:
        return Memory();
      case 6:
        return Atomic();
      case 7:
      case 8:
        return Compressed();
      case 9:
        return Branch();
      case 10:
        return FloatMisc();
      case 11:
        return FloatConvert();
      case 12:
        return FloatCsr();
      case 13:
        return Pairs();
      default:
        return FloatArithmetic();
    }
  }

  void Immediate() {
    const uint32_t funct3 = Pick(8);
    const bool word = Pick(3) == 0 && (funct3 == 0 || funct3 == 1 || funct3 == 5);
    auto imm = static_cast<int32_t>(Pick(4096)) - 2048;
    if (funct3 == 1 || funct3 == 5) {
      imm = static_cast<int32_t>(Pick(word ? 32 : 64));
      if (funct3 == 5 && Pick(2)) imm |= 0x400;
    }
    if (Pick(12) == 0) return code_.Put32(U(Pick(2) ? 0x37 : 0x17, Dest(), Pick(1 << 20)));
    code_.Put32(I(word ? 0x1b : 0x13, funct3, Dest(), Source(), imm));
  }

  void Register() {
    const uint32_t funct3 = Pick(8);
    const bool word = Pick(3) == 0 && (funct3 == 0 || funct3 == 1 || funct3 == 5);
    const uint32_t funct7 = (funct3 == 0 || funct3 == 5) && Pick(2) ? 0x20 : 0;
    code_.Put32(R(word ? 0x3b : 0x33, funct7, funct3, Dest(), Source(), Source()));
  }

  void MulDiv() {
    static constexpr uint32_t kWord[] = {0, 4, 5, 6, 7};
    if (Pick(2)) return code_.Put32(R(0x3b, 1, kWord[Pick(5)], Dest(), Source(), Source()));
    code_.Put32(R(0x33, 1, Pick(8), Dest(), Source(), Source()));
  }

  // Any alignment, inside the scratch memory.
  int32_t Offset() { return static_cast<int32_t>(Pick(ProgramState::kScratch - 8)) - ProgramState::kScratch / 2; }

  void Memory() {
    switch (Pick(4)) {
      case 0:
        return code_.Put32(S(0x23, Pick(4), kScratchReg, Source(), Offset()));
      case 1:
        if (Pick(2)) return code_.Put32(S(0x27, 2, kScratchReg, Source(), Offset()));
        return code_.Put32(I(0x07, 2, Pick(32), kScratchReg, Offset()));
      default:
        return code_.Put32(I(0x03, Pick(7), Dest(), kScratchReg, Offset()));
    }
  }

  void Atomic() {
    static constexpr uint32_t kOps[] = {0x00, 0x01, 0x04, 0x08, 0x0c, 0x10, 0x14, 0x18, 0x1c};
    const uint32_t funct3 = 2 + Pick(2);
    const uint32_t order = Pick(4);
    code_.Put32(I(0x13, 0, kAddress, kScratchReg, Offset() & ~7));
    if (Pick(3)) {
      return code_.Put32(R(0x2f, kOps[Pick(9)] << 2 | order, funct3, Dest(), kAddress, Source()));
    }
    if (Pick(4)) code_.Put32(R(0x2f, 0x02 << 2 | order, funct3, Dest(), kAddress, 0));
    code_.Put32(R(0x2f, 0x03 << 2 | order, funct3, Dest(), kAddress, Source()));
    code_.Put32(R(0x2f, 0x03 << 2 | order, funct3, Dest(), kAddress, Source()));  // no reservation any more
  }

  // Registers of the three-bit fields: x9 to x15, as x8 is fixed.
  uint32_t Short() { return 1 + Pick(7); }
  uint32_t Full() {
    uint32_t r;
    do r = Dest();
    while (r == 0);
    return r;
  }

  void Compressed() {
    const uint32_t rd = Full(), shift = 1 + Pick(63), six = 1 + Pick(63);
    const uint32_t split = (six >> 5) << 12 | (six & 31) << 2;
    const uint32_t shamt = (shift >> 5) << 12 | (shift & 31) << 2;
    switch (Pick(15)) {
      case 0:
        return C(0x0001 | rd << 7 | split);  // c.addi
      case 1:
        return C(0x2001 | rd << 7 | split);  // c.addiw
      case 2:
        return C(0x4001 | rd << 7 | split);  // c.li
      case 3:
        return C(0x6001 | rd << 7 | split);  // c.lui
      case 4:
        return C(0x8001 | Pick(2) << 10 | Short() << 7 | shamt);  // c.srli, c.srai
      case 5:
        return C(0x8801 | Short() << 7 | split);  // c.andi
      case 6:
        return C(0x8c01 | Short() << 7 | Pick(4) << 5 | Pick(8) << 2);  // c.sub, c.xor, c.or, c.and
      case 7:
        return C(0x9c01 | Short() << 7 | Pick(2) << 5 | Pick(8) << 2);  // c.subw, c.addw
      case 8:
        return C(0x0002 | rd << 7 | shamt);  // c.slli
      case 9:
        return C((Pick(2) ? 0x8002 : 0x9002) | rd << 7 | (1 + Pick(31)) << 2);  // c.mv, c.add
      case 10:
        return C(0x0000 | (1 + Pick(255)) << 5 | Short() << 2);  // c.addi4spn
      case 11:                                                   // c.lw, c.sw from x8
        return C((Pick(2) ? 0x4000u : 0xc000u) | Pick(8) << 10 | Pick(4) << 5 | Short() << 2);
      case 12:  // c.ld, c.sd from x8, offsets below 192
        return C((Pick(2) ? 0x6000u : 0xe000u) | Pick(8) << 10 | Pick(3) << 5 | Short() << 2);
      case 13:  // c.lwsp, c.ldsp with offsets below 128
        return Pick(2) ? C(0x4002 | rd << 7 | Pick(2) << 12 | Pick(8) << 4)
                       : C(0x6002 | rd << 7 | Pick(2) << 12 | Pick(4) << 5);
      default:  // c.swsp, c.sdsp likewise
        return Pick(2) ? C(0xc002 | Pick(16) << 9 | Pick(2) << 7 | Source() << 2)
                       : C(0xe002 | Pick(8) << 10 | Source() << 2);
    }
  }
  void C(uint32_t insn) { code_.Put16(static_cast<uint16_t>(insn)); }

  // Forward over a few instructions: conditional, jal, through a register, or compressed.
  void Branch() {
    static constexpr uint32_t kConditions[] = {0, 1, 4, 5, 6, 7};
    const size_t at = code_.size();
    const uint32_t kind = Pick(5);
    const uint32_t condition = kConditions[Pick(6)], a = Source(), b = Source(), link = Dest();
    code_.Put32(0);
    if (kind == 1) {
      code_.Put32(0);
      code_.Put32(0);
    }
    for (unsigned i = Pick(4); i > 0; --i) NoBranch();
    const auto distance = static_cast<int32_t>(code_.size() - at);
    if (kind == 0) return code_.Patch32(at, J(link, distance));
    if (kind == 1) {
      code_.Patch32(at, U(0x17, kAddress, 0));
      code_.Patch32(at + 4, I(0x13, 0, kAddress, kAddress, distance + 1));  // jalr clears the lowest bit
      return code_.Patch32(at + 8, I(0x67, 0, link, kAddress, 0));
    }
    code_.Patch32(at, B(condition, a, b, distance));
  }
  void NoBranch() {
    switch (Pick(4)) {
      case 0:
        return Immediate();
      case 1:
        return Compressed();
      case 2:
        return FloatArithmetic();
      default:
        return Memory();
    }
  }

  // Sequences that an implementation may join.
  void Pairs() {
    const uint32_t a = Full(), b = Full(), c = Source();
    switch (Pick(6)) {
      case 0:
        code_.Put32(I(0x13, 1, a, c, static_cast<int>(Pick(64))));
        return code_.Put32(R(0x33, 0, 0, b, a, Source()));
      case 1:
        code_.Put32(I(0x13, 1, a, c, 32));
        return code_.Put32(I(0x13, 5, b, a, 32));
      case 2:
        code_.Put32(R(0x33, 0, 0, a, c, Source()));
        return code_.Put32(R(0x33, 0, 0, b, a, a));
      case 3:
        code_.Put32(R(0x33, 0, 4, a, c, Source()));
        return code_.Put32(R(0x33, 0, 4, b, Source(), a));
      case 4:
        code_.Put32(U(0x37, a, Pick(1 << 20)));
        return code_.Put32(I(Pick(2) ? 0x13 : 0x1b, 0, a, a, static_cast<int>(Pick(4096)) - 2048));
      default:
        code_.Put32(I(Pick(2) ? 0x13 : 0x1b, 0, a, a, static_cast<int>(Pick(3)) - 1));
        code_.Put32(B(Pick(2) * 4 + Pick(2), a, Source(), 8));
        return code_.Put32(I(0x13, 0, b, b, 1));
    }
  }

  void FloatArithmetic() {
    static constexpr uint32_t kFunct7[] = {0x00, 0x04, 0x08, 0x0c};
    const uint32_t rd = Pick(32), a = Pick(32), b = Pick(32), c = Pick(32);
    switch (Pick(8)) {
      case 0:
        return code_.Put32(R(0x53, 0x2c, Rounding(), rd, a, 0));
      case 1:
      case 2:
      case 3:
        return code_.Put32(R(0x43 + 4 * Pick(4), c << 2, Rounding(), rd, a, b));
      default:
        return code_.Put32(R(0x53, kFunct7[Pick(4)], Rounding(), rd, a, b));
    }
  }

  void FloatMisc() {
    const uint32_t f = Pick(32), a = Pick(32), b = Pick(32);
    switch (Pick(6)) {
      case 0:
        return code_.Put32(R(0x53, 0x10, Pick(3), f, a, b));
      case 1:
        return code_.Put32(R(0x53, 0x14, Pick(2), f, a, b));
      case 2:
      case 3:
        return code_.Put32(R(0x53, 0x50, Pick(3), Dest(), a, b));
      case 4:
        return code_.Put32(R(0x53, 0x70, Pick(2), Dest(), a, 0));
      default:
        return code_.Put32(R(0x53, 0x78, 0, f, Source(), 0));
    }
  }

  void FloatConvert() {
    if (Pick(2)) return code_.Put32(R(0x53, 0x60, Rounding(), Dest(), Pick(32), Pick(4)));
    code_.Put32(R(0x53, 0x68, Rounding(), Pick(32), Source(), Pick(4)));
  }

  void FloatCsr() {
    switch (Pick(5)) {
      case 0:
      case 1:
        return code_.Put32(CsrOp(5, Dest(), Pick(5), 2));  // fsrmi
      case 2:
        return code_.Put32(CsrOp(5, Dest(), Pick(32), 1));  // fsflagsi
      case 3:
        return code_.Put32(CsrOp(6 + Pick(2), Dest(), Pick(32), 1));  // set or clear flags
      default:
        return code_.Put32(CsrOp(2, Dest(), 0, 1 + Pick(3)));  // read
    }
  }

  Code& code_;
  std::mt19937_64 random_;
};

bool IsLoaded(unsigned r) {
  return r == 5 || r == 7 || r >= 9;
}

// x1 = state; returns through x4.
size_t PutLoadAll(Code& code) {
  const size_t at = code.size();
  for (unsigned r = 0; r < 32; ++r) {
    code.Put32(I(0x07, 2, r, kState, static_cast<int>(offsetof(ProgramState, f) + 4 * r)));
  }
  code.Put32(I(0x03, 3, 5, kState, offsetof(ProgramState, fcsr)));
  code.Put32(CsrOp(1, 0, 5, 3));
  for (const unsigned r : {2u, 3u, 8u}) code.Put32(I(0x13, 0, r, kState, kScratchMiddle));
  code.Put32(I(0x13, 0, kAddress, 0, 0));
  for (unsigned r = 5; r < 32; ++r) {
    if (IsLoaded(r)) code.Put32(I(0x03, 3, r, kState, static_cast<int>(8 * r)));
  }
  code.Put32(I(0x67, 0, 0, kLoop, 0));
  return at;
}

size_t PutStoreAll(Code& code) {
  const size_t at = code.size();
  for (unsigned r = 0; r < 32; ++r) {
    code.Put32(S(0x23, 3, kState, r, static_cast<int>(8 * r)));
    code.Put32(S(0x27, 2, kState, r, static_cast<int>(offsetof(ProgramState, f) + 4 * r)));
  }
  code.Put32(CsrOp(2, 5, 0, 3));
  code.Put32(S(0x23, 3, kState, 5, offsetof(ProgramState, fcsr)));
  code.Put32(I(0x67, 0, 0, kLoop, 0));
  return at;
}

// rd = value, for values below 2^31.
void PutConstant(Code& code, uint32_t rd, uint32_t value) {
  code.Put32(U(0x37, rd, (value + 0x800) >> 12));
  code.Put32(I(0x1b, 0, rd, rd, static_cast<int32_t>(value << 20) >> 20));
}

// write(1, states, bytes) until all is out, then exit(0).
void PutEnd(Code& code, uint32_t states, uint32_t bytes) {
  PutConstant(code, 9, states);
  PutConstant(code, 18, bytes);
  const size_t loop = code.size();
  code.Put32(I(0x13, 0, 10, 0, 1));
  code.Put32(I(0x13, 0, 11, 9, 0));
  code.Put32(I(0x13, 0, 12, 18, 0));
  code.Put32(I(0x13, 0, 17, 0, 64));
  code.Put32(0x73);
  code.Put32(B(4, 10, 0, 16));  // an error: give up with what is there
  code.Put32(R(0x33, 0, 0, 9, 9, 10));
  code.Put32(R(0x33, 0x20, 0, 18, 18, 10));
  code.Put32(B(1, 18, 0, static_cast<int32_t>(static_cast<int64_t>(loop) - static_cast<int64_t>(code.size()))));
  code.Put32(R(0x33, 0, 3, 10, 0, 18));  // status 1 if something is left
  code.Put32(I(0x13, 0, 17, 0, 93));
  code.Put32(0x73);
}

}  // namespace

Batch MakeBatch(uint64_t first_seed, unsigned programs) {
  // The states lie in front, so that their addresses are known while the code is written: entry is a jump over them.
  Batch batch;
  batch.states_offset = 16;
  const size_t states_bytes = programs * sizeof(ProgramState);
  Code code;
  code.bytes().resize(batch.states_offset + states_bytes);
  const size_t load_all = PutLoadAll(code);
  const size_t store_all = PutStoreAll(code);
  code.Patch32(0, J(0, static_cast<int32_t>(code.size())));
  for (unsigned i = 0; i < programs; ++i) {
    const size_t state_at = batch.states_offset + i * sizeof(ProgramState);
    Generator generator(code, first_seed + i);
    ProgramState state;
    generator.State(&state);
    std::memcpy(code.bytes().data() + state_at, &state, sizeof state);
    batch.code_offsets.push_back(code.size());
    PutConstant(code, kState, static_cast<uint32_t>(Batch::kBase + state_at));
    code.JumpTo(kLoop, load_all);
    generator.Body();
    code.JumpTo(kLoop, store_all);
  }
  batch.code_offsets.push_back(code.size());
  PutEnd(code, static_cast<uint32_t>(Batch::kBase + batch.states_offset), static_cast<uint32_t>(states_bytes));
  batch.image = std::move(code.bytes());
  return batch;
}

std::vector<uint8_t> MakeElf(const Batch& batch) {
  constexpr size_t kPage = 4096;
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = EM_RISCV;
  header.e_version = EV_CURRENT;
  header.e_entry = Batch::kBase;
  header.e_phoff = sizeof header;
  header.e_flags = EF_RISCV_RVC | EF_RISCV_FLOAT_ABI_SINGLE;
  header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  Elf64_Phdr segment{};
  segment.p_type = PT_LOAD;
  segment.p_flags = PF_R | PF_W | PF_X;
  segment.p_offset = kPage;
  segment.p_vaddr = segment.p_paddr = Batch::kBase;
  segment.p_filesz = segment.p_memsz = batch.image.size();
  segment.p_align = kPage;
  std::vector<uint8_t> file(kPage + batch.image.size());
  std::memcpy(file.data(), &header, sizeof header);
  std::memcpy(file.data() + sizeof header, &segment, sizeof segment);
  std::memcpy(file.data() + kPage, batch.image.data(), batch.image.size());
  return file;
}

}  // namespace npu::test
