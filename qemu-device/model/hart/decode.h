// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// One RV64IMAFC instruction, taken apart.
#ifndef NPU_MODEL_HART_DECODE_H_
#define NPU_MODEL_HART_DECODE_H_

#include <cstdint>

#include "hart/opcodes.h"

namespace npu::model {

struct Insn {
  Opc opc = Opc::kIllegal;
  uint8_t length = 4;  // bytes: 2 or 4
  // Integer destination registers are HartState::kSink where the instruction says x0; float ones are as they are.
  uint8_t rd = 0;
  uint8_t rs1 = 0;
  uint8_t rs2 = 0;
  uint8_t rs3 = 0;   // fused multiply-add; Lr, Sc, Amo: access size in bytes
  int32_t imm = 0;   // immediate; the raw instruction for float and system operations; funct5 for Amo
  uint32_t raw = 0;  // 16 bits for a compressed instruction
};

// How long the instruction is that starts with these 16 bits.
constexpr unsigned InsnLength(uint16_t low) {
  return (low & 3) == 3 ? 4 : 2;
}

// `raw` holds 16 bits for a compressed instruction.  Unknown and reserved encodings give Opc::kIllegal.
Insn Decode(uint32_t raw, bool has_float);

}  // namespace npu::model

#endif  // NPU_MODEL_HART_DECODE_H_
