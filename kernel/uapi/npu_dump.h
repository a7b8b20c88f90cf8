/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * npu_dump: what the driver writes to a device core dump (/sys/class/devcoredump) when a device fails.
 *
 * A header, then sections until the end: a section header, its bytes, and zeros up to the next multiple of 8.  All
 * numbers are little endian.  A reader skips sections that it does not know.  `npu-smi dump` prints all of it.
 */
#ifndef _UAPI_NPU_DUMP_H_
#define _UAPI_NPU_DUMP_H_

#include "drm.h"

#if defined(__cplusplus)
extern "C" {
#endif

#define NPU_DUMP_MAGIC 0x31504d554455504eull /* "NPUDUMP1" */

/**
 * struct npu_dump_header - begin of a dump
 * @magic: NPU_DUMP_MAGIC
 * @bytes: of the whole dump
 * @queue: number of the queue at fault, or 0xffffffff
 * @flags: NPU_DUMP_TRUNCATED
 * @time_ns: CLOCK_REALTIME of the failure
 */
struct npu_dump_header {
	__u64 magic;
	__u64 bytes;
	__u32 queue;
	__u32 flags;
	__u64 time_ns;
};

#define NPU_DUMP_TRUNCATED (1u << 0) /* sections are missing: no room */

/**
 * enum npu_dump_type - sections
 * @NPU_DUMP_STATE: text, lines of "key: value": reason, versions, state of driver and firmware
 * @NPU_DUMP_REGISTERS: struct npu_dump_register[]
 * @NPU_DUMP_QUEUES: struct npu_dump_queue[]
 * @NPU_DUMP_RING: struct npu_dump_ring and its packets; one section for each queue that is not idle
 * @NPU_DUMP_FAULT: struct npu_fault_record, the last one of the context at fault
 * @NPU_DUMP_LOG: text, the firmware's log; missing when it does not answer
 * @NPU_DUMP_WALK: struct npu_dump_walk: how the address at fault is translated
 * @NPU_DUMP_BUFFERS: struct npu_dump_buffer[]
 */
enum npu_dump_type {
	NPU_DUMP_STATE = 1,
	NPU_DUMP_REGISTERS = 2,
	NPU_DUMP_QUEUES = 3,
	NPU_DUMP_RING = 4,
	NPU_DUMP_FAULT = 5,
	NPU_DUMP_LOG = 6,
	NPU_DUMP_WALK = 7,
	NPU_DUMP_BUFFERS = 8,
};

/**
 * struct npu_dump_section - begin of a section
 * @type: enum npu_dump_type
 * @pad: 0
 * @bytes: that follow
 */
struct npu_dump_section {
	__u32 type;
	__u32 pad;
	__u64 bytes;
};

/**
 * struct npu_dump_register - a register of BAR0
 * @offset: as in npu_regs.h
 * @value: as read
 */
struct npu_dump_register {
	__u32 offset;
	__u32 value;
};

/**
 * struct npu_dump_queue - a queue
 * @queue: number
 * @context: number
 * @pid: of its process
 * @state: enum npu_queue_state
 * @error: enum npu_fault_kind
 * @priority: 0 to 3
 * @ring_log2: log2 of packets in its ring
 * @pad: 0
 * @rptr: packets finished
 * @wptr: packets rung
 * @timeout_ns: its hang limit; 0: the firmware's default
 */
struct npu_dump_queue {
	__u32 queue;
	__u32 context;
	__u32 pid;
	__u32 state;
	__u32 error;
	__u32 priority;
	__u32 ring_log2;
	__u32 pad;
	__u64 rptr;
	__u64 wptr;
	__u64 timeout_ns;
};

/**
 * struct npu_dump_ring - packets around a queue's read index
 * @queue: number
 * @count: struct npu_packet that follow
 * @first: index of the first
 */
struct npu_dump_ring {
	__u32 queue;
	__u32 count;
	__u64 first;
};

/**
 * struct npu_dump_walk - a translation as the page tables in device memory have it
 * @va: untagged device address
 * @context: number
 * @levels: how many entries were read; the walk ended at the last one
 * @entries: NPU_PTE_*
 */
struct npu_dump_walk {
	__u64 va;
	__u32 context;
	__u32 levels;
	__u64 entries[3];
};

#define NPU_DUMP_BUFFER_DEVICE 0
#define NPU_DUMP_BUFFER_HOST 1
#define NPU_DUMP_BUFFER_DOORBELL 2

/**
 * struct npu_dump_buffer - a buffer of the driver
 * @size: bytes
 * @addr: of its first byte: offset in device memory, or bus address
 * @kind: NPU_DUMP_BUFFER_*
 * @internal: 1: a ring, a table or a status page; 0: a process's
 * @name: as its process named it, ends with a zero
 */
struct npu_dump_buffer {
	__u64 size;
	__u64 addr;
	__u32 kind;
	__u32 internal;
	char name[48];
};

#if defined(__cplusplus)
}
#endif

#endif /* _UAPI_NPU_DUMP_H_ */
