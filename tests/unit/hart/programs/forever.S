# SPDX-License-Identifier: Apache-2.0
# Never ends: for the tool's own tests.
  .text
  .globl test
test:
  j test
