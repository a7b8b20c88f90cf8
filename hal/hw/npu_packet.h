/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * Command packets, rings and queues.
 *
 * A queue is a ring of 64-byte packets in device memory.  The ring is mapped into the process but not into the
 * context's address space, so operators cannot reach it.  The producer writes packets, then the new write index to
 * the queue's doorbell page.  Packets of a queue start and finish in order; queues run beside each other.
 */
#ifndef NPU_PACKET_H
#define NPU_PACKET_H

#include "npu_hw_types.h"

#define NPU_PACKET_BYTES 64u
#define NPU_RING_LOG2_MIN 4u
#define NPU_RING_LOG2_MAX 16u

enum npu_packet_type {
	NPU_PKT_INVALID = 0, /* so that a cleared ring faults instead of running on */
	NPU_PKT_NOP = 1,
	NPU_PKT_LAUNCH = 2,
	NPU_PKT_COPY = 3,
	NPU_PKT_FILL = 4,
	NPU_PKT_WAIT = 5,
	NPU_PKT_SIGNAL = 6,
	NPU_PKT_TIMESTAMP = 7,
	NPU_PKT_COUNTERS = 8,
	NPU_PKT_INDIRECT = 9,
	NPU_PKT_TYPES = 10,
};

/* npu_packet.flags */
#define NPU_PKT_F_SIGNAL 0x01u /* after completion store signal_value (64 bit) at signal_addr */
#define NPU_PKT_F_MASK 0x01u

enum npu_packet_error {
	NPU_PKT_ERR_NONE = 0,
	NPU_PKT_ERR_TYPE = 1,
	NPU_PKT_ERR_FLAGS = 2,
	NPU_PKT_ERR_RESERVED = 3,  /* a reserved field is not zero */
	NPU_PKT_ERR_GRID = 4,      /* a dimension is zero or the product exceeds 2^31 - 1 */
	NPU_PKT_ERR_ARGS = 5,      /* args_bytes over NPU_LAUNCH_ARGS_MAX or not a multiple of 8 */
	NPU_PKT_ERR_COND = 6,
	NPU_PKT_ERR_ALIGN = 7,     /* signal, wait, timestamp or counter address not 8-byte aligned */
	NPU_PKT_ERR_NESTED = 8,    /* an indirect packet in an indirect buffer */
	NPU_PKT_ERR_RANGE = 9,     /* a size or pitch overflows */
};

#define NPU_LAUNCH_ARGS_MAX 4096u

struct npu_pkt_launch {
	uint64_t entry;      /* tagged pointer to the first instruction */
	uint64_t args;       /* tagged pointer, 8-byte aligned; a0 of every block */
	uint32_t grid[3];    /* blocks in x, y, z */
	uint32_t args_bytes; /* readable bytes at args */
	uint32_t reserved[2];
};

/* rows rows of row_bytes; a linear copy has rows = 1 and pitches 0.  The ranges must not overlap. */
struct npu_pkt_copy {
	uint64_t dst;
	uint64_t src;
	uint64_t row_bytes;
	uint32_t rows;
	uint32_t dst_pitch;
	uint32_t src_pitch;
	uint32_t reserved;
};

struct npu_pkt_fill {
	uint64_t dst;
	uint64_t bytes;
	uint64_t pattern;       /* repeated from its lowest byte */
	uint32_t pattern_bytes; /* 1, 2, 4 or 8; bytes must be a multiple of it */
	uint32_t reserved[3];
};

enum npu_wait_cond {
	NPU_WAIT_GE = 0, /* (int64_t)(*addr - value) >= 0: timelines may wrap */
	NPU_WAIT_EQ = 1,
	NPU_WAIT_NE = 2,
};

struct npu_pkt_wait {
	uint64_t addr; /* 8-byte aligned */
	uint64_t value;
	uint32_t cond; /* enum npu_wait_cond */
	uint32_t reserved[5];
};

/* Stores struct npu_timestamp at addr. */
struct npu_pkt_timestamp {
	uint64_t addr;
	uint64_t reserved[4];
};

struct npu_timestamp {
	uint64_t time_ns;      /* NPU_REG_TIME_NS */
	uint64_t queue_cycles; /* npu_counters.cycles of the queue */
};

/* Stores struct npu_counters of the queue at addr. */
struct npu_pkt_counters {
	uint64_t addr;
	uint64_t reserved[4];
};

/* Runs count packets at addr (64-byte aligned) as if they stood here; they may not be INDIRECT. */
struct npu_pkt_indirect {
	uint64_t addr;
	uint32_t count;
	uint32_t reserved;
	uint64_t reserved2[3];
};

struct npu_packet {
	uint8_t type;  /* enum npu_packet_type */
	uint8_t flags; /* NPU_PKT_F_* */
	uint16_t reserved;
	uint32_t tag;  /* the application's; comes back in fault records */
	uint64_t signal_addr;
	uint64_t signal_value;
	union {
		struct npu_pkt_launch launch;
		struct npu_pkt_copy copy;
		struct npu_pkt_fill fill;
		struct npu_pkt_wait wait;
		struct npu_pkt_timestamp timestamp;
		struct npu_pkt_counters counters;
		struct npu_pkt_indirect indirect;
		uint64_t raw[5];
	} u;
};
NPU_HW_STATIC_ASSERT(sizeof(struct npu_packet) == NPU_PACKET_BYTES, "packet");

/*
 * What a queue has cost so far, in modelled device cycles.  A launch counts as if it had the device to itself, so the
 * numbers do not depend on what else runs, on the host, or on the number of host threads.
 */
struct npu_counters {
	uint64_t cycles;          /* launches, copies and fills, one after another */
	uint64_t launches;
	uint64_t blocks;
	uint64_t instructions;    /* retired by the scalar harts */
	uint64_t scalar_cycles;   /* sums over cores from here on */
	uint64_t matrix_busy;
	uint64_t vector_busy;
	uint64_t dma_in_busy;
	uint64_t dma_out_busy;
	uint64_t stall_flag;      /* pipe or hart cycles spent in wait_flag */
	uint64_t stall_queue;     /* hart cycles spent because a pipe's queue was full */
	uint64_t stall_drain;     /* hart cycles spent in pipe barriers and at block end */
	uint64_t macs;            /* multiply-accumulates of the matrix unit, padding not counted */
	uint64_t vector_elements;
	uint64_t bytes_in;        /* into local SRAM by DMA */
	uint64_t bytes_out;
	uint64_t copy_bytes;      /* by copy and fill packets */
	uint64_t core_cycles;     /* sum over launches of cycles x cores used: the denominator of utilisation */
	uint64_t wait_matrix;     /* of stall_flag: what the matrix pipe waited; the hart's part is what these four leave */
	uint64_t wait_vector;
	uint64_t wait_dma_in;
	uint64_t wait_dma_out;
	uint64_t bytes_host;      /* of bytes_in and bytes_out: to or from host memory */
	uint64_t bytes_local;     /* of bytes_in and bytes_out: within SRAM, a peer's included; the rest is device memory's */
};
NPU_HW_STATIC_ASSERT(sizeof(struct npu_counters) == 192, "counters");

/* Queue descriptor: in device memory, owned by the kernel (index = queue number). */
struct npu_queue_desc {
	uint32_t flags;    /* NPU_QUEUE_VALID */
	uint32_t context;
	uint64_t ring_addr; /* offset in device memory, page aligned */
	uint32_t ring_log2; /* packets */
	uint32_t priority;  /* 0 low .. 3 realtime; 1 is normal */
	uint64_t status_addr; /* bus address of struct npu_queue_status, 8-byte aligned; it must not cross a page */
	uint64_t timeout_ns;  /* no progress for so long is a hang; 0: the firmware's default */
	uint64_t reserved[11];
};
NPU_HW_STATIC_ASSERT(sizeof(struct npu_queue_desc) == 128, "queue descriptor");
#define NPU_QUEUE_VALID (1u << 0)
#define NPU_QUEUE_PRIORITIES 4u

enum npu_queue_state {
	NPU_QUEUE_OK = 0,
	NPU_QUEUE_FAULTED = 1, /* stopped at packet rptr; error = enum npu_fault_kind.  Leaving it, the device stores state first */
	NPU_QUEUE_DEAD = 2,    /* destroyed, or lost with the device */
};

/* In host memory, written by the device, mapped read-only into the process. */
struct npu_queue_status {
	uint64_t rptr;  /* packets finished; each store of it wakes sleepers as a fence store does (npu_ctx_desc.irq_arm) */
	uint32_t state; /* enum npu_queue_state; written before rptr stops moving */
	uint32_t error;
	uint64_t fault_seq; /* of the record that tells why */
	uint64_t reserved[5];
	struct npu_counters counters; /* after each packet */
};
NPU_HW_STATIC_ASSERT(sizeof(struct npu_queue_status) == 256, "queue status");

#endif /* NPU_PACKET_H */
