/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * The admin mailbox: how the host talks to the firmware.  Never on a command's way.
 *
 * The host fills struct npu_mbox in device memory at NPU_REG_MBOX_ADDR, with seq one higher than before (not 0), and
 * writes seq to NPU_REG_MBOX_DB.  The firmware copies the request, checks the copy, acts, writes status and the answer, and
 * moves NPU_REG_MBOX_ACK to seq (NPU_EVENT_MBOX).  One command at a time.
 */
#ifndef NPU_ADMIN_H
#define NPU_ADMIN_H

#include "npu_hw_types.h"

#define NPU_ADMIN_PROTOCOL 1u

enum npu_admin_op {
	NPU_ADMIN_HELLO = 1,          /* in: arg[0] = NPU_ADMIN_PROTOCOL, arg[1] = NPU_CONTRACT_VERSION; out: arg[0] = protocol, arg[1] = firmware version, arg[2] = features */
	NPU_ADMIN_CTX_CREATE = 2,     /* arg[0] = context; its descriptor is filled in */
	NPU_ADMIN_CTX_DESTROY = 3,    /* arg[0] = context; fails with BUSY while it has queues */
	NPU_ADMIN_QUEUE_CREATE = 4,   /* arg[0] = queue; its descriptor is filled in; arg[1] = read index and arg[2] = write index to start with (0 for a new queue; after a reset those that it had) */
	NPU_ADMIN_QUEUE_DESTROY = 5,  /* arg[0] = queue; kills what runs; answered when no engine works for it any more */
	NPU_ADMIN_QUEUE_RESUME = 6,   /* arg[0] = queue, arg[1] = NPU_RESUME_*: leave the faulted or the suspended state; EINVAL in any other */
	NPU_ADMIN_QUEUE_SUSPEND = 7,  /* arg[0] = queue, arg[1] = NPU_SUSPEND_*: stop there, and stay off the slots until RESUME with NPU_RESUME_CONTINUE; answered when no engine works for it; EIO when it does not come to that point in NPU_SUSPEND_LIMIT_NS, and the queue then goes on */
	NPU_ADMIN_GET_LOG = 8,        /* out: arg[0] = bytes, text in data[]; arg[0] in = position to read from; out arg[1] = next position */
	NPU_ADMIN_SET_POWER = 9,      /* arg[0] = DVFS level limit (0 lowest) */
	NPU_ADMIN_RETIRE_PAGE = 10,   /* arg[0] = offset in device memory */
	NPU_ADMIN_GET_RETIRED = 11,   /* out: arg[0] = count, u64 offsets in data[] */
	NPU_ADMIN_GET_EVENT = 12,     /* out: arg[0] = 0 none, else enum npu_fw_event; arg[1..3] its values */
	NPU_ADMIN_QUEUE_INFO = 13,    /* arg[0] = queue; out: arg[0] = slot + 1 or 0, arg[1] = enum npu_slot_state (without slot EMPTY, or FAULTED), arg[2] = rptr, arg[3] = wptr */
	NPU_ADMIN_CORE_RESET = 14,    /* arg[0] = bit mask of cores: what runs there is killed and its queues fault with NPU_FAULT_RESET; out: arg[0] = cores that came back */
	NPU_ADMIN_OPS = 15,
};

/* NPU_ADMIN_QUEUE_RESUME, arg[1] */
#define NPU_RESUME_SKIP 0u  /* go on behind the packet at fault (its signal is not stored) */
#define NPU_RESUME_FLUSH 1u /* drop everything up to the doorbell's write index */
#define NPU_RESUME_CONTINUE 2u /* of a suspended queue that has no fault: go on where it stopped */

/* NPU_ADMIN_QUEUE_SUSPEND, arg[1] */
#define NPU_SUSPEND_BLOCK 0u  /* at the next block boundary; a launch keeps its place in the device, and loses it by a reset */
#define NPU_SUSPEND_PACKET 1u /* at the next packet boundary: memory and indices are the whole state */
#define NPU_SUSPEND_LIMIT_NS 500000000ull

enum npu_admin_status {
	NPU_ADMIN_OK = 0,
	NPU_ADMIN_EINVAL = 1,     /* arguments or descriptor malformed */
	NPU_ADMIN_ENOENT = 2,     /* no such context or queue */
	NPU_ADMIN_EEXIST = 3,
	NPU_ADMIN_EBUSY = 4,
	NPU_ADMIN_ENOSPC = 5,
	NPU_ADMIN_EVERSION = 6,   /* protocol or contract does not match */
	NPU_ADMIN_EOPNOTSUPP = 7, /* unknown command */
	NPU_ADMIN_EIO = 8,        /* hardware did not answer in time */
};

enum npu_fw_event {
	NPU_FW_EVENT_NONE = 0,
	NPU_FW_EVENT_QUEUE_FAULT = 1, /* arg[1] = queue, arg[2] = enum npu_fault_kind */
	NPU_FW_EVENT_QUEUE_HANG = 2,  /* arg[1] = queue: killed, its record says TIMEOUT */
	NPU_FW_EVENT_THERMAL = 3,     /* arg[1] = millidegrees, arg[2] = throttle reasons */
	NPU_FW_EVENT_PAGE = 4,        /* arg[1] = offset of a page retired or pending */
	NPU_FW_EVENT_CORE_RESET = 5,  /* arg[1] = mask of cores that the firmware reset because a kill did not end their block, arg[2] = queue */
	NPU_FW_EVENT_DEVICE_HANG = 6, /* arg[1] = mask of cores that a core reset did not bring back, arg[2] = queue: only a reset of the device helps */
	NPU_FW_EVENT_LINK = 7,        /* arg[1] = link errors so far */
};

#define NPU_MBOX_ARGS 6u
#define NPU_MBOX_DATA 3968u
struct npu_mbox {
	uint32_t seq;
	uint32_t op;     /* enum npu_admin_op */
	uint32_t status; /* out: enum npu_admin_status */
	uint32_t detail; /* out: which argument or field (for messages) */
	uint64_t arg[NPU_MBOX_ARGS]; /* in and out */
	uint64_t reserved[8];
	uint8_t data[NPU_MBOX_DATA];
};
NPU_HW_STATIC_ASSERT(sizeof(struct npu_mbox) == 4096, "mailbox");

#endif /* NPU_ADMIN_H */
