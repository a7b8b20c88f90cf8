# SPDX-License-Identifier: Apache-2.0
# Machine mode: every synchronous trap with its cause, value and pc; mret; vectored mode has no effect on them.
#include "check.h"
  .text
  .globl test
test:
  mv s10, ra
  la t0, handler
  ori t0, t0, 1
  csrw mtvec, t0
  csrr t1, mtvec
  sub t1, t1, t0
  expect 1, t1, 0

  # illegal: an instruction of 0
at_illegal:
  .half 0
  .balign 4
  la t0, at_illegal
  sub t0, s2, t0
  expect 2, s1, 2
  expect 3, t0, 0
  expect 4, s3, 0

  # an unknown CSR; mtval is the instruction
at_csr:
  csrr t0, 0x7a5
  expect 5, s1, 2
  lwu t0, at_csr
  sub t0, t0, s3
  expect 6, t0, 0

at_ebreak:
  .option push
  .option norvc
  ebreak
  .option pop
  la t0, at_ebreak
  sub t0, s2, t0
  expect 7, s1, 3
  expect 8, t0, 0

  ecall
  expect 9, s1, 11

  # outside memory: load, store, fetch
  li a1, 0x100000
  li a0, 77
  ld a0, 0(a1)
  expect 10, s1, 5
  expect 11, s3, 0x100000
  expect 12, a0, 77
  sw a0, 1(a1)
  expect 13, s1, 6
  expect 14, s3, 0x100001
  sw a0, 4(a1)
  expect 15, s1, 7
  amoadd.w t1, a0, (a1)
  expect 16, s1, 7

  la s4, after_fetch
  jr a1
after_fetch:
  expect 17, s1, 1
  expect 18, s2, 0x100000

  # interrupts stay off in the handler and come back with mret
  expect 19, s5, 0
  csrr t0, mstatus
  andi t0, t0, 8
  expect 20, t0, 0
  csrsi mstatus, 8
  ecall
  expect 21, s5, 0
  csrr t0, mstatus
  andi t0, t0, 8
  expect 22, t0, 8
  csrci mstatus, 8

  # float off: illegal, and float CSRs too
  li t0, 0x6000
  csrc mstatus, t0
  li s1, 0
  fadd.s f0, f0, f0
  expect 23, s1, 2
  li s1, 0
  flw f0, 0(sp)
  expect 24, s1, 2
  li s1, 0
  csrr t0, fcsr
  expect 25, s1, 2
  li t0, 0x2000
  csrs mstatus, t0
  li s1, 0
  fmv.w.x f1, zero
  expect 26, s1, 0
  mv ra, s10
  verdict

# s1 = mcause, s2 = mepc, s3 = mtval, s5 = mstatus.MIE inside; goes on behind the instruction, or at s4 after a bad fetch.
  .balign 4
handler:
  csrr s1, mcause
  csrr s2, mepc
  csrr s3, mtval
  csrr s5, mstatus
  andi s5, s5, 8
  li t0, 1
  beq s1, t0, 2f
  lhu t0, 0(s2)
  andi t0, t0, 3
  addi t1, s2, 2
  addi t0, t0, -3
  bnez t0, 1f
  addi t1, t1, 2
1:
  csrw mepc, t1
  mret
2:
  csrw mepc, s4
  mret
