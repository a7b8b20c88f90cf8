# SPDX-License-Identifier: Apache-2.0
# Fails on purpose, with code 5: for the tool's own tests.
  .text
  .globl test
test:
  li a0, 5
  ret
