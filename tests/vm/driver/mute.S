/* SPDX-License-Identifier: Apache-2.0 */
/* A firmware that says it is ready, and then never answers anything. */
	.equ	MMIO, 0x10000000
	.section .text.start, "ax"
	.globl _start
_start:
	li	s0, MMIO
	li	t0, 0x01000000
	sw	t0, 0x18(s0)		/* NPU_MG_FW_VERSION: 1.0.0 */
	li	t0, 1
	sw	t0, 0x1c(s0)		/* NPU_MG_FW_READY */
sleep:
	wfi
	j	sleep
