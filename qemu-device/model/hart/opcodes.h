// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// Every operation that the interpreter knows, with its price in the scalar cost model (see cost.h).
#ifndef NPU_MODEL_HART_OPCODES_H_
#define NPU_MODEL_HART_OPCODES_H_

#include <cstdint>

#include "hart/cost.h"

// X(name, cost).  Operations of one instruction each; branch costs are those of a branch not taken.
#define NPU_HART_INT_OPS(X) \
  X(Nop, cost::kAlu)        \
  X(Li, cost::kAlu)         \
  X(Li64, cost::kAlu)       \
  X(Addi, cost::kAlu)       \
  X(Slti, cost::kAlu)       \
  X(Sltiu, cost::kAlu)      \
  X(Xori, cost::kAlu)       \
  X(Ori, cost::kAlu)        \
  X(Andi, cost::kAlu)       \
  X(Slli, cost::kAlu)       \
  X(Srli, cost::kAlu)       \
  X(Srai, cost::kAlu)       \
  X(Addiw, cost::kAlu)      \
  X(Slliw, cost::kAlu)      \
  X(Srliw, cost::kAlu)      \
  X(Sraiw, cost::kAlu)      \
  X(Add, cost::kAlu)        \
  X(Sub, cost::kAlu)        \
  X(Sll, cost::kAlu)        \
  X(Slt, cost::kAlu)        \
  X(Sltu, cost::kAlu)       \
  X(Xor, cost::kAlu)        \
  X(Srl, cost::kAlu)        \
  X(Sra, cost::kAlu)        \
  X(Or, cost::kAlu)         \
  X(And, cost::kAlu)        \
  X(Addw, cost::kAlu)       \
  X(Subw, cost::kAlu)       \
  X(Sllw, cost::kAlu)       \
  X(Srlw, cost::kAlu)       \
  X(Sraw, cost::kAlu)       \
  X(Mul, cost::kMul)        \
  X(Mulh, cost::kMul)       \
  X(Mulhsu, cost::kMul)     \
  X(Mulhu, cost::kMul)      \
  X(Mulw, cost::kMul)       \
  X(Div, cost::kDiv)        \
  X(Divu, cost::kDiv)       \
  X(Rem, cost::kDiv)        \
  X(Remu, cost::kDiv)       \
  X(Divw, cost::kDiv)       \
  X(Divuw, cost::kDiv)      \
  X(Remw, cost::kDiv)       \
  X(Remuw, cost::kDiv)      \
  X(Lb, cost::kMemory)      \
  X(Lh, cost::kMemory)      \
  X(Lw, cost::kMemory)      \
  X(Ld, cost::kMemory)      \
  X(Lbu, cost::kMemory)     \
  X(Lhu, cost::kMemory)     \
  X(Lwu, cost::kMemory)     \
  X(Sb, cost::kMemory)      \
  X(Sh, cost::kMemory)      \
  X(Sw, cost::kMemory)      \
  X(Sd, cost::kMemory)      \
  X(Beq, cost::kBranch)     \
  X(Bne, cost::kBranch)     \
  X(Blt, cost::kBranch)     \
  X(Bge, cost::kBranch)     \
  X(Bltu, cost::kBranch)    \
  X(Bgeu, cost::kBranch)    \
  X(Jal, cost::kJump)       \
  X(Jalr, cost::kJump)      \
  X(Lr, cost::kAtomic)      \
  X(Sc, cost::kAtomic)      \
  X(Amo, cost::kAtomic)

// Floating point whose rounding mode, if it has one, is the dynamic one.  The raw instruction is in Op::imm, for the
// slow path.
#define NPU_HART_FLOAT_OPS(X) \
  X(Flw, cost::kMemory)       \
  X(Fsw, cost::kMemory)       \
  X(FaddS, cost::kFloat)      \
  X(FsubS, cost::kFloat)      \
  X(FmulS, cost::kFloat)      \
  X(FdivS, cost::kFloatDiv)   \
  X(FsqrtS, cost::kFloatDiv)  \
  X(FmaddS, cost::kFloat)     \
  X(FmsubS, cost::kFloat)     \
  X(FnmsubS, cost::kFloat)    \
  X(FnmaddS, cost::kFloat)    \
  X(FcvtWS, cost::kFloat)     \
  X(FcvtLS, cost::kFloat)     \
  X(FcvtSW, cost::kFloat)     \
  X(FcvtSWu, cost::kFloat)    \
  X(FcvtSL, cost::kFloat)     \
  X(FcvtWSRtz, cost::kFloat)  \
  X(FcvtLSRtz, cost::kFloat)  \
  X(FsgnjS, cost::kFloat)     \
  X(FsgnjnS, cost::kFloat)    \
  X(FsgnjxS, cost::kFloat)    \
  X(FminS, cost::kFloat)      \
  X(FmaxS, cost::kFloat)      \
  X(FeqS, cost::kFloat)       \
  X(FltS, cost::kFloat)       \
  X(FleS, cost::kFloat)       \
  X(FmvXW, cost::kFloat)      \
  X(FmvWX, cost::kFloat)      \
  X(FpSoft, cost::kFloat) /* anything else of F: static rounding modes, fclass, unsigned conversions */

// Instructions that end a block and are carried out out of line; the raw instruction is in Op::imm.
#define NPU_HART_SYSTEM_OPS(X) \
  X(FenceI, cost::kSystem)     \
  X(Ecall, cost::kSystem)      \
  X(Ebreak, cost::kSystem)     \
  X(Csr, cost::kSystem)        \
  X(Mret, cost::kSystem)       \
  X(Wfi, cost::kSystem)        \
  X(Custom, cost::kSystem)     \
  X(Illegal, cost::kSystem)

// Made by the block builder only: the end of a block, and pairs of instructions in one step (the second keeps its own
// slot).
#define NPU_HART_PSEUDO_OPS(X) \
  X(End, 0)                    \
  X(AddiBne, 0)                \
  X(AddiBeq, 0)                \
  X(AddiBlt, 0)                \
  X(AddiBltu, 0)               \
  X(AddiwBne, 0)               \
  X(SlliAdd, 0)                \
  X(SlliSrli, 0)               \
  X(AddAdd, 0)                 \
  X(XorXor, 0)                 \
  X(AddiAddi, 0)

#define NPU_HART_OPS(X)  \
  NPU_HART_INT_OPS(X)    \
  NPU_HART_FLOAT_OPS(X)  \
  NPU_HART_SYSTEM_OPS(X) \
  NPU_HART_PSEUDO_OPS(X)

namespace npu::model {

enum class Opc : uint8_t {
#define NPU_HART_ENUM(name, cost) k##name,
  NPU_HART_OPS(NPU_HART_ENUM)
#undef NPU_HART_ENUM
      kCount,
};

}  // namespace npu::model

#endif  // NPU_MODEL_HART_OPCODES_H_
