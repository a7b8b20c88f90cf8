# SPDX-License-Identifier: Apache-2.0
# Counters, fixed registers and what of them can be written.
#include "check.h"
  .text
  .globl test
test:
  csrr t0, minstret
  csrr t1, minstret
  sub t0, t1, t0
  expect 1, t0, 1
  li t0, 1000
  csrw minstret, t0
  csrr t1, minstret
  expect 2, t1, 1000
  csrr t1, instret
  addi t1, t1, -1000
  sltiu t1, t1, 16
  expect 3, t1, 1
  csrw mcycle, zero
  csrr t1, mcycle
  expect 4, t1, 1
  csrr t0, cycle
  csrr t1, time
  sltu t0, t0, t1
  expect 5, t0, 1

  csrr t0, mhartid
  expect 6, t0, 0
  csrr t0, misa
  li t1, 0x8000000000001125 & 0x7fffffffffffffff
  expect 7, t1, 0x1125
  slli t0, t0, 2
  srli t0, t0, 2
  expect 8, t0, 0x1125
  csrw misa, zero
  csrr t0, misa
  srli t0, t0, 62
  expect 9, t0, 2

  li t0, -1
  csrw mstatus, t0
  csrr t0, mstatus
  li t1, 0x8000000000007888
  sub t0, t0, t1
  expect 10, t0, 0
  csrci mstatus, 8
  csrw mepc, t0
  li t0, 0x80000123
  csrw mepc, t0
  csrr t0, mepc
  expect 11, t0, 0x80000122
  li t0, -1
  csrw mie, t0
  csrr t0, mie
  expect 12, t0, 0x888
  csrw mie, zero
  csrw mip, t0
  csrr t0, mip
  expect 13, t0, 0
  csrr t0, mhpmcounter3
  expect 14, t0, 0

  # csrrs and csrrc with x0 only read; with the immediate forms too
  csrwi mscratch, 21
  csrrci t0, mscratch, 5
  expect 15, t0, 21
  csrrsi t0, mscratch, 2
  expect 16, t0, 16
  csrr t0, mscratch
  expect 17, t0, 18
  csrr t0, 0xf11
  expect 18, t0, 0
  verdict
