// SPDX-License-Identifier: Apache-2.0
//
// RISC-V instructions as numbers, for operators of a few words that a test writes into its code buffer.  See the RISC-V
// Instruction Set Manual, volume I, for the formats.
#ifndef NPU_TESTS_VM_RV_H
#define NPU_TESTS_VM_RV_H

#include <stdint.h>

#include "npu_isa.h"

enum { X0 = 0, RA = 1, T0 = 5, T1 = 6, T2 = 7, A0 = 10, A1 = 11, A2 = 12, T3 = 28, T4 = 29, T5 = 30, T6 = 31 };

static inline uint32_t rv_i(uint32_t opcode, uint32_t funct3, uint32_t rd, uint32_t rs1, int32_t imm) {
  return (uint32_t)imm << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}
static inline uint32_t rv_r(uint32_t opcode, uint32_t funct3, uint32_t funct7, uint32_t rd, uint32_t rs1,
                            uint32_t rs2) {
  return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}

static inline uint32_t rv_ld(uint32_t rd, int32_t offset, uint32_t base) {
  return rv_i(0x03, 3, rd, base, offset);
}
static inline uint32_t rv_addi(uint32_t rd, uint32_t rs, int32_t imm) {
  return rv_i(0x13, 0, rd, rs, imm);
}
static inline uint32_t rv_sd(uint32_t rs, int32_t offset, uint32_t base) {
  return (uint32_t)(offset >> 5 & 0x7f) << 25 | rs << 20 | base << 15 | 3u << 12 | (uint32_t)(offset & 0x1f) << 7 |
         0x23;
}
static inline uint32_t rv_add(uint32_t rd, uint32_t a, uint32_t b) {
  return rv_r(0x33, 0, 0, rd, a, b);
}
static inline uint32_t rv_mul(uint32_t rd, uint32_t a, uint32_t b) {
  return rv_r(0x33, 0, 1, rd, a, b);
}
static inline uint32_t rv_amoadd_d(uint32_t rd, uint32_t value, uint32_t address) {
  return rv_r(0x2f, 3, 0, rd, address, value);
}
// The core's own: issue the descriptor at the address in rs to a pipe; wait for the pipes of the mask in rs.
static inline uint32_t rv_issue(uint32_t pipe, uint32_t rs) {
  return rv_r(NPU_OPCODE_CUSTOM0, NPU_INSN_ISSUE, pipe, X0, rs, X0);
}
static inline uint32_t rv_drain(uint32_t rs) {
  return rv_r(NPU_OPCODE_CUSTOM0, NPU_INSN_BARRIER, 0, X0, rs, X0);
}
// Branch when a != b; offset in bytes from this instruction.
static inline uint32_t rv_bne(uint32_t a, uint32_t b, int32_t offset) {
  const uint32_t o = (uint32_t)offset;
  return (o >> 12 & 1) << 31 | (o >> 5 & 0x3f) << 25 | b << 20 | a << 15 | 1u << 12 | (o >> 1 & 0xf) << 8 |
         (o >> 11 & 1) << 7 | 0x63;
}
static inline uint32_t rv_self(void) {
  return 0x0000006f;  // j .
}
static inline uint32_t rv_ret(void) {
  return 0x00008067;
}

#endif  // NPU_TESTS_VM_RV_H
