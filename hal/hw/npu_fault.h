/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * Fault records: what the device writes when it refuses an access or an instruction.
 *
 * Every context has a ring of records in host memory.  The device writes the record, then the header's `written`
 * (release), then raises NPU_EVENT_FAULT.  The reader owns `read`; when the ring is full the device counts in
 * `dropped` instead of overwriting.  A context that is created goes on behind the `written` and `dropped` of its ring.
 */
#ifndef NPU_FAULT_H
#define NPU_FAULT_H

#include "npu_hw_types.h"

enum npu_fault_kind {
	NPU_FAULT_NONE = 0,
	/* memory, by a core or a copy engine */
	NPU_FAULT_NULL = 1,          /* access to the null page */
	NPU_FAULT_OOB = 2,           /* outside the bounds of the buffer that the pointer names */
	NPU_FAULT_STALE = 3,         /* the buffer was freed (generation or state differ): use after free */
	NPU_FAULT_PERM = 4,          /* the bounds entry forbids this kind of access */
	NPU_FAULT_UNKNOWN_BUF = 5,   /* the number was never handed out: a wild pointer */
	NPU_FAULT_PAGE = 6,          /* page-table entry not valid */
	NPU_FAULT_PAGE_PERM = 7,     /* page-table entry forbids it */
	NPU_FAULT_MISALIGNED = 8,
	NPU_FAULT_LOCAL_OOB = 9,     /* outside SRAM, or outside a local buffer */
	NPU_FAULT_STACK = 10,        /* below or above the stack */
	NPU_FAULT_BUS = 11,          /* host memory answered with an error, or bus mastering is off */
	NPU_FAULT_ECC = 12,          /* uncorrectable error at this address */
	/* execution */
	NPU_FAULT_ILLEGAL = 16,      /* illegal instruction or CSR */
	NPU_FAULT_FETCH = 17,        /* instruction fetch outside code */
	NPU_FAULT_BAD_DESC = 18,     /* malformed pipe descriptor; detail = enum npu_desc_error */
	NPU_FAULT_TRAP = 19,         /* the operator stopped itself (npu_trap or ebreak); extra[0] = its code */
	NPU_FAULT_DEADLOCK = 20,     /* a wait_flag or barrier that nothing can release; extra[0] = flags waited for */
	NPU_FAULT_TIMEOUT = 21,      /* no progress for the queue's limit: killed by the firmware */
	NPU_FAULT_RESET = 22,        /* lost by a reset of its core or device that another queue made necessary: not guilty */
	/* queues */
	NPU_FAULT_BAD_PACKET = 24,   /* detail = enum npu_packet_error */
	NPU_FAULT_BAD_DOORBELL = 25, /* write index behind the read index or more than a ring ahead */
	/* debug shadows */
	NPU_FAULT_UNINIT = 32,
	NPU_FAULT_RACE = 33,
	NPU_FAULT_SYNC = 34,
};

enum npu_access {
	NPU_ACCESS_NONE = 0,
	NPU_ACCESS_READ = 1,
	NPU_ACCESS_WRITE = 2,
	NPU_ACCESS_EXEC = 3,
	NPU_ACCESS_ATOMIC = 4,
};

enum npu_engine {
	NPU_ENGINE_NONE = 0,
	NPU_ENGINE_SCALAR = 1,
	NPU_ENGINE_MATRIX = 2,
	NPU_ENGINE_VECTOR = 3,
	NPU_ENGINE_DMA_IN = 4,
	NPU_ENGINE_DMA_OUT = 5,
	NPU_ENGINE_COPY = 6,       /* the device's copy engines: copy and fill packets */
	NPU_ENGINE_DISPATCHER = 7, /* packets, signals, waits */
};

struct npu_fault_record {
	uint64_t seq;       /* 1, 2, ... within the context */
	uint64_t time_ns;   /* NPU_REG_TIME_NS */
	uint32_t context;
	uint32_t queue;
	uint64_t packet;    /* index in the ring, never wrapped */
	uint32_t packet_tag;/* npu_packet.tag */
	uint8_t kind;       /* enum npu_fault_kind */
	uint8_t access;     /* enum npu_access */
	uint8_t engine;     /* enum npu_engine */
	uint8_t packet_type;/* enum npu_packet_type */
	uint32_t block;
	uint16_t core;
	uint16_t detail;
	uint64_t kernel;    /* entry pointer of the launch */
	uint64_t pc;        /* of the instruction, or of the one that issued the pipe operation */
	uint64_t ra;        /* return address and stack pointer of the hart, for a backtrace */
	uint64_t sp;
	uint64_t addr;      /* tagged pointer as used: start of the access (its lowest byte, for strided accesses) */
	uint64_t size;      /* bytes from lowest to highest, the gaps of a strided access included */
	uint64_t bad_addr;  /* untagged address of the first byte refused */
	uint64_t bad_bytes; /* how many bytes of the footprint were refused (gaps not counted) */
	/* the bounds entry as the check saw it; zero where none applies */
	uint64_t buf_base;
	uint64_t buf_size;
	uint32_t buf_ctl;
	uint16_t buf_number;
	uint8_t buf_gen;    /* the pointer's generation */
	uint8_t operand;    /* which operand of a pipe descriptor: 0 dst, 1 src0, 2 src1, 3 src2; 0xff: none */
	/* strided accesses: index of the first bad element in each dimension, innermost first */
	uint32_t bad_index[4];
	uint64_t extra[5];
};
NPU_HW_STATIC_ASSERT(sizeof(struct npu_fault_record) == 192, "fault record");

struct npu_fault_ring {
	uint64_t written; /* device: records written since the context was made */
	uint64_t dropped; /* device */
	uint64_t read;    /* host: records consumed */
	uint64_t reserved[5];
	/* struct npu_fault_record records[fault_entries] follow; record seq is at (seq - 1) % entries */
};
NPU_HW_STATIC_ASSERT(sizeof(struct npu_fault_ring) == 64, "fault ring header");

#endif /* NPU_FAULT_H */
