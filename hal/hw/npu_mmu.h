/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * Device pointers, page tables, bounds tables and context descriptors.
 *
 * A device pointer is 64 bits:
 *
 *   63            48 47       40 39                                   0
 *   +---------------+-----------+-------------------------------------+
 *   | buffer number | generation|        device virtual address       |
 *   +---------------+-----------+-------------------------------------+
 *
 * Number 0 is the core's local map (NPU_LOCAL_*), not device memory.
 * Numbers NPU_BUF_LOCAL_FIRST.. name entries of the core's own local bounds
 * table; all others index the context's bounds table.
 */
#ifndef NPU_MMU_H
#define NPU_MMU_H

#include "npu_hw_types.h"

#define NPU_VA_BITS 40
#define NPU_VA_MASK ((1ull << NPU_VA_BITS) - 1)
#define NPU_GEN_SHIFT 40
#define NPU_GEN_MASK 0xffull
#define NPU_BUF_SHIFT 48
#define NPU_BUF_MASK 0xffffull
#define NPU_TAG_SHIFT 40 /* number and generation together */

#define NPU_PTR_VA(p) ((p) & NPU_VA_MASK)
#define NPU_PTR_GEN(p) (((p) >> NPU_GEN_SHIFT) & NPU_GEN_MASK)
#define NPU_PTR_BUF(p) (((p) >> NPU_BUF_SHIFT) & NPU_BUF_MASK)
#define NPU_PTR(buf, gen, va) \
	(((uint64_t)(buf) << NPU_BUF_SHIFT) | (((uint64_t)(gen) & NPU_GEN_MASK) << NPU_GEN_SHIFT) | \
	 ((uint64_t)(va) & NPU_VA_MASK))

/*
 * Page tables live in device memory: three levels of 8-byte entries, page size 4 KiB.
 * Level 0 (root): 1024 entries, VA bits 39:30; level 1: 512 entries, bits 29:21; level 2: 512 entries, bits 20:12.
 * A level-1 entry with NPU_PTE_LEAF maps 2 MiB (its address must be 2 MiB aligned).
 * Root and level 1/2 tables are addressed by their offset in device memory, 4 KiB aligned.
 */
#define NPU_PAGE_SHIFT 12
#define NPU_PAGE_SIZE 4096u
#define NPU_BIG_PAGE_SIZE 0x200000u
#define NPU_PT_ROOT_ENTRIES 1024u
#define NPU_PT_ENTRIES 512u
#define NPU_PT_ROOT_SHIFT 30
#define NPU_PT_MID_SHIFT 21

#define NPU_PTE_VALID (1ull << 0)
#define NPU_PTE_READ (1ull << 1)
#define NPU_PTE_WRITE (1ull << 2)
#define NPU_PTE_EXEC (1ull << 3)
#define NPU_PTE_HOST (1ull << 4) /* address is a bus address; otherwise an offset in device memory */
#define NPU_PTE_LEAF (1ull << 5) /* in level 1 only */
#define NPU_PTE_ADDR_MASK 0x000ffffffffff000ull

/*
 * Bounds table: one per context, in device memory, written by the runtime through its mapping (no ioctl),
 * and not mapped in the context's own address space, so operators cannot reach it.
 *
 * Publishing an entry: write base and size, then ctl with release order.  Taking it back: write ctl first.  The device
 * reads ctl (acquire), base, size, then ctl again, and treats a change as an access that came too late.
 * Entry 0 is the header: its ctl is an epoch that the runtime increments (release) after every change that takes rights
 * away (free, narrower size or permission); engines drop what they have cached when it moves.
 */
struct npu_bounds_entry {
	uint64_t base; /* device virtual address, untagged */
	uint64_t size; /* bytes as asked for, not rounded */
	uint32_t ctl;  /* NPU_BOUNDS_* */
	uint32_t reserved;
	uint64_t cookie; /* the runtime's; the device does not read it */
};
NPU_HW_STATIC_ASSERT(sizeof(struct npu_bounds_entry) == 32, "bounds entry");

#define NPU_BOUNDS_GEN_MASK 0xffu
#define NPU_BOUNDS_READ (1u << 8)
#define NPU_BOUNDS_WRITE (1u << 9)
#define NPU_BOUNDS_EXEC (1u << 10)
#define NPU_BOUNDS_ATOMIC (1u << 11)
#define NPU_BOUNDS_STATE_SHIFT 12
#define NPU_BOUNDS_STATE_MASK (0xfu << NPU_BOUNDS_STATE_SHIFT)
#define NPU_BOUNDS_STATE_UNUSED 0u /* never handed out */
#define NPU_BOUNDS_STATE_LIVE 1u
#define NPU_BOUNDS_STATE_FREED 2u  /* resting; base and size are those of the last owner */
#define NPU_BOUNDS_STATE(ctl) (((ctl) & NPU_BOUNDS_STATE_MASK) >> NPU_BOUNDS_STATE_SHIFT)

#define NPU_BOUNDS_ENTRIES 65536u
#define NPU_BOUNDS_TABLE_BYTES (NPU_BOUNDS_ENTRIES * 32u)
#define NPU_BUF_FIRST 1u
#define NPU_BUF_LOCAL_FIRST 0xff00u /* this and above: the core's local bounds table */
#define NPU_LOCAL_ENTRIES 256u

/*
 * The local map of a core (pointers with number 0).  Everything else in it faults; the first page is the null page.
 * The stack grows down from NPU_LOCAL_STACK_BASE + stack size; below it lies nothing.
 */
#define NPU_LOCAL_NULL_BYTES 0x10000ull
#define NPU_LOCAL_EXIT_PC 0x0000000000fff000ull /* a kernel returns here; fetching it ends the block */
#define NPU_LOCAL_SRAM_BASE 0x10000000ull
#define NPU_LOCAL_STACK_BASE 0x20000000ull
#define NPU_LOCAL_STACK_BYTES 0x10000ull

/* Context descriptor: in device memory, owned by the kernel (index = context number). */
struct npu_ctx_desc {
	uint32_t flags; /* NPU_CTX_VALID */
	uint32_t irq_vector;     /* MSI-X vector for fences */
	uint64_t pt_root;        /* offset in device memory; 8 KiB */
	uint64_t bounds_addr;    /* offset in device memory; 0: no bounds table, every tagged access faults */
	uint32_t bounds_entries;
	/*
	 * Set by the kernel before it sleeps on a fence value: to 1, or to the vector that it wants (from NPU_IRQ_FENCE0),
	 * so that the interrupt goes to the processor that sleeps.  After every fence store the device does a full barrier,
	 * exchanges this word with 0 and, if it was not 0, raises that vector; for 1 and what is no such vector irq_vector.
	 * So a polled launch makes no interrupt.
	 */
	uint32_t irq_arm;
	uint64_t fault_ring;     /* bus address of struct npu_fault_ring, page aligned; 0: records are counted as dropped */
	uint32_t fault_entries;  /* power of two */
	uint32_t pid;            /* for reports */
	uint64_t reserved[10];
};
NPU_HW_STATIC_ASSERT(sizeof(struct npu_ctx_desc) == 128, "context descriptor");
#define NPU_CTX_VALID (1u << 0)

#endif /* NPU_MMU_H */
