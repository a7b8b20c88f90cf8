# SPDX-License-Identifier: Apache-2.0
# Control flow that a block decoder could get wrong: calls through memory, a table of jumps, loops in loops, code that
# rewrites itself behind fence.i, jumps into the middle of what was decoded as one block.
#include "check.h"
  .text
  .globl test
test:
  mv s10, ra
  # a table of jumps, each entry many times
  la s2, table
  li s3, 0
  li s4, 0
1:
  andi t0, s4, 3
  slli t0, t0, 3
  add t0, t0, s2
  ld t0, 0(t0)
  jalr t0
  addi s4, s4, 1
  li t1, 1000
  bne s4, t1, 1b
  expect 1, s3, 1111 * 250

  # the same register as source and link
  la t0, link_same
  jalr t0, t0, 0
after_link:
  la t1, after_link
  sub t0, s5, t1
  expect 2, t0, 0

  # nested loops with a forward exit
  li s3, 0
  li t0, 50
2:
  li t1, 40
3:
  addi s3, s3, 1
  li t2, 39
  beq s3, zero, 4f
  addi t1, t1, -1
  bne t1, zero, 3b
4:
  addi t0, t0, -1
  bnez t0, 2b
  expect 3, s3, 2000

  # into the middle of straight code
  li s3, 0
  li s4, 3
5:
  la t0, middle
  li t1, 4
  mul t1, t1, s4
  add t0, t0, t1
  jr t0
  .option push
  .option norvc
middle:
  addi s3, s3, 1
  addi s3, s3, 10
  addi s3, s3, 100
  addi s3, s3, 1000
  .option pop
  addi s4, s4, -1
  bgez s4, 5b
  expect 4, s3, 4321

  # self-modifying
  la t0, patched
  lw t1, patch
  li s4, 2
6:
  fence.i
patched:
  .option push
  .option norvc
  addi s3, zero, 1
  .option pop
  sw t1, 0(t0)
  addi s4, s4, -1
  bnez s4, 6b
  expect 5, s3, 7

  # recursion: 2^10 calls
  li a0, 10
  call twice
  expect 6, a0, 1024

  # compare with the extremes
  li t0, -0x8000000000000000
  li t1, 1
  li s3, 0
  blt t0, t1, 7f
  li s3, 1
7:
  bltu t1, t0, 8f
  li s3, 2
8:
  bge t1, t0, 1f
  li s3, 3
1:
  bgeu t0, t1, 2f
  li s3, 4
2:
  expect 7, s3, 0
  mv ra, s10
  verdict

twice:
  beqz a0, 1f
  addi sp, sp, -32
  sd ra, 0(sp)
  sd s1, 8(sp)
  sd s2, 16(sp)
  addi s1, a0, -1
  mv a0, s1
  call twice
  mv s2, a0
  mv a0, s1
  call twice
  add a0, a0, s2
  ld ra, 0(sp)
  ld s1, 8(sp)
  ld s2, 16(sp)
  addi sp, sp, 32
  ret
1:
  li a0, 1
  ret

link_same:
  mv s5, t0
  jr t0

f0_:
  addi s3, s3, 1
  ret
f1_:
  addi s3, s3, 10
  ret
f2_:
  addi s3, s3, 100
  ret
f3_:
  addi s3, s3, 1000
  ret

  .option push
  .option norvc
patch:
  addi s3, zero, 7
  .option pop

  .data
  .balign 8
table:
  .dword f0_, f1_, f2_, f3_
