# SPDX-License-Identifier: Apache-2.0
# Exact counts: every instruction's cost is known (hart/cost.h, core/timing.h).  The DMA descriptor is at the start of SRAM; a0 is
# a readable buffer.
	.section .entry, "ax"
	.option norvc
	lui	t0, 0x10000		# SRAM: 1
	ld	t1, 0(a0)		# 2 + 40
	addi	t1, t1, 1		# 1
	sd	t1, 256(t0)		# 2, local
	mul	t2, t1, t1		# 3
	.insn r 0x0b, 0, 3, x0, t0, x0	# issue to DMA_IN: 1 + 4
	li	t3, 0x103		# NPU_FLAG(DMA_IN, SCALAR, 1): 1
	.insn r 0x0b, 1, 0, x0, t3, x0	# set_flag in DMA_IN: 1 + 4
	.insn r 0x0b, 2, 0, x0, t3, x0	# the hart waits: 1 + 4, then until the DMA is done
	ret				# 2
