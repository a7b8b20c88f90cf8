# SPDX-License-Identifier: Apache-2.0
# Start and end of the benchmark programs, which run on npu-hart and in qemu-riscv64's user mode alike.  npu-hart starts
# with all registers 0, in machine mode; a user process has a stack.  main returns 0, or the number of what went wrong.
  .section .text.init, "ax"
  .globl _start
_start:
  bnez sp, 1f
  li t0, 0x6000           # the floating-point unit on
  csrs mstatus, t0
1:
  la sp, stack_top
  call main
  slli t1, a0, 1
  ori t1, t1, 1
  la t0, tohost
  sd t1, 0(t0)            # npu-hart ends here
  li a7, 93               # exit
  ecall
2:
  j 2b

  .data
  .balign 8
  .globl tohost
tohost:
  .dword 0

  .bss
  .balign 16
  .skip 16384
stack_top:
