# SPDX-License-Identifier: Apache-2.0
# Start and end of the directed programs: `test` returns 0 in a0, or the number of the check that failed.
# Traps that nobody expects end with code 0x700 + mcause.
  .section .text.init, "ax"
  .globl _start
_start:
  la sp, stack_top
  la t0, unexpected
  csrw mtvec, t0
  li t0, 0x6000
  csrs mstatus, t0
  call test
finish:
  slli a0, a0, 1
  ori a0, a0, 1
  la t0, tohost
  sw a0, 0(t0)
0:
  j 0b

  .balign 4
unexpected:
  csrr a0, mcause
  andi a0, a0, 0xff
  addi a0, a0, 0x700
  j finish

  .data
  .balign 8
  .globl tohost
tohost:
  .dword 0

  .bss
  .balign 16
  .skip 16384
stack_top:
