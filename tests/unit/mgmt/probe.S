/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A firmware for the tests of the management core: NPU_MG_MBOX_DB, which the test sets, says what it does.
 *   1  handshake, then load from address 0 with no trap handler
 *   2  no handshake, sleep
 *   3  handshake, then spin without a heartbeat
 *   4  handshake, then a trap handler whose first instruction traps
 *   5  count the NVRAM's second word up, say so on the console, handshake, sleep
 *   6  a one-byte access to a register
 *   7  sleep until a timer 30 ms ahead, handshake, sleep
 *   8  handshake, jump to a wild address with a handler outside SRAM
 *   9  handshake, sleep with the mailbox interrupt enabled; for each, count the heartbeat up
 */
	.equ	MMIO, 0x10000000
	.section .text.start, "ax"
	.globl _start
_start:
	la	sp, __stack_top
	li	s0, MMIO
	lw	s1, 0x38(s0)
	li	t0, 1
	beq	s1, t0, crash
	li	t0, 2
	beq	s1, t0, sleep
	li	t0, 3
	beq	s1, t0, spin
	li	t0, 4
	beq	s1, t0, loop
	li	t0, 5
	beq	s1, t0, nvram
	li	t0, 6
	beq	s1, t0, narrow
	li	t0, 7
	beq	s1, t0, timer
	li	t0, 8
	beq	s1, t0, wild
	li	t0, 9
	beq	s1, t0, echo
	ebreak

ready:
	li	t0, 1
	sw	t0, 0x1c(s0)
	ret
sleep:
	wfi
	j	sleep
crash:
	call	ready
	.globl probe_crash
probe_crash:
	ld	t0, 0(zero)
	j	sleep
spin:
	call	ready
1:	j	1b
loop:
	call	ready
	la	t0, bad_handler
	csrw	mtvec, t0
	ecall
	.align	2
bad_handler:
	.word	0
nvram:
	li	t1, 0x4000
	add	t1, s0, t1
	ld	t0, 8(t1)
	addi	t0, t0, 1
	sd	t0, 8(t1)
	addi	t0, t0, '0'
	sw	t0, 0x24(s0)
	li	t0, '!'
	sw	t0, 0x24(s0)
	li	t0, '\n'
	sw	t0, 0x24(s0)
	call	ready
	j	sleep
narrow:
	lb	t0, 0x20(s0)
	j	sleep
timer:
	li	t0, 0x80
	csrw	mie, t0
	ld	t0, 0x08(s0)
	li	t1, 30000000
	add	t0, t0, t1
	sd	t0, 0x10(s0)
	wfi
	li	t0, -1
	sd	t0, 0x10(s0)
	call	ready
	j	sleep
wild:
	call	ready
	li	t0, 0x5000
	csrw	mtvec, t0
	li	t0, 0x1234
	jr	t0
echo:
	call	ready
	li	t0, 0x800
	csrw	mie, t0
	li	t0, 1
	sw	t0, 0x04(s0)
1:	wfi
	lw	t0, 0x00(s0)
	beqz	t0, 1b
	sw	t0, 0x00(s0)
	lw	t0, 0x20(s0)
	addi	t0, t0, 1
	sw	t0, 0x20(s0)
	j	1b
