/* SPDX-License-Identifier: Apache-2.0 */
/* First instructions and the trap entry.  The boot ROM has cleared SRAM, so .bss is zero. */

	.section .text.start, "ax"
	.globl _start
_start:
	csrw	mie, zero
	csrw	mstatus, zero
	la	sp, __stack_top
	la	t0, trap_entry
	csrw	mtvec, t0
	la	t0, __trap_stack_top
	csrw	mscratch, t0
	call	control_main
	/* control_main does not return; should it, this is a trap. */
	ebreak

	.align	2
/*
 * Only exceptions come here: interrupts stay disabled (mstatus.MIE = 0) and are taken by the main loop.  There is no
 * repair: say what happened, then execute the instruction again without a handler.  The machine sees an unhandled
 * trap with the right cause and pc, and reports the crash to the host.  A trap in here finds mtvec = 0 too.
 */
trap_entry:
	csrw	mtvec, zero
	csrrw	sp, mscratch, sp
	addi	sp, sp, -128
	sd	ra, 0(sp)
	sd	t0, 8(sp)
	sd	t1, 16(sp)
	sd	t2, 24(sp)
	sd	t3, 32(sp)
	sd	t4, 40(sp)
	sd	t5, 48(sp)
	sd	t6, 56(sp)
	sd	a0, 64(sp)
	sd	a1, 72(sp)
	sd	a2, 80(sp)
	sd	a3, 88(sp)
	sd	a4, 96(sp)
	sd	a5, 104(sp)
	sd	a6, 112(sp)
	sd	a7, 120(sp)
	csrr	a0, mcause
	csrr	a1, mepc
	csrr	a2, mtval
	mv	a3, ra
	csrr	a4, mscratch
	call	control_panic
	ld	ra, 0(sp)
	ld	t0, 8(sp)
	ld	t1, 16(sp)
	ld	t2, 24(sp)
	ld	t3, 32(sp)
	ld	t4, 40(sp)
	ld	t5, 48(sp)
	ld	t6, 56(sp)
	ld	a0, 64(sp)
	ld	a1, 72(sp)
	ld	a2, 80(sp)
	ld	a3, 88(sp)
	ld	a4, 96(sp)
	ld	a5, 104(sp)
	ld	a6, 112(sp)
	ld	a7, 120(sp)
	addi	sp, sp, 128
	csrrw	sp, mscratch, sp
	mret
