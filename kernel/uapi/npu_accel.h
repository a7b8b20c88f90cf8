/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * npu_accel: user interface of the NPU accel driver.
 *
 * One open file of /dev/accel/accelN is one context: one device address space, one bounds table, one fault ring.
 * Handles, queues and addresses belong to the file.  Unknown flags and non-zero padding give EINVAL.  A call that fails
 * has changed nothing; members marked "out" are ignored on the way in.  Calls may come from any thread.
 *
 * All calls but DRM_IOCTL_NPU_GET_INFO and DRM_IOCTL_NPU_CONTEXT_INIT need a context, and give EINVAL without.  ENODEV:
 * the device is gone, or given up.  EAGAIN: it is about to be reset; call again, as drmIoctl() does by itself.
 *
 * Everything is mapped with MAP_SHARED and without PROT_EXEC, from the offsets given here; they are good in this file
 * only.  Ring, status page, doorbell, fault ring and bounds table are not inherited by fork().
 */
#ifndef _UAPI_NPU_ACCEL_H_
#define _UAPI_NPU_ACCEL_H_

#include "drm.h"

#if defined(__cplusplus)
extern "C" {
#endif

#define NPU_DRIVER_MAJOR 1
#define NPU_DRIVER_MINOR 0

#define DRM_NPU_GET_INFO 0x00
#define DRM_NPU_CONTEXT_INIT 0x01
#define DRM_NPU_BO_CREATE 0x02
#define DRM_NPU_BO_MMAP 0x03
#define DRM_NPU_VM_BIND 0x04
#define DRM_NPU_QUEUE_CREATE 0x05
#define DRM_NPU_QUEUE_DESTROY 0x06
#define DRM_NPU_QUEUE_RESUME 0x07
#define DRM_NPU_WAIT 0x08
#define DRM_NPU_BO_NAME 0x09
#define DRM_NPU_BO_USERPTR 0x0a
#define DRM_NPU_SYNC_EXPORT 0x10
#define DRM_NPU_SYNC_IMPORT 0x11

/**
 * enum drm_npu_info - what DRM_IOCTL_NPU_GET_INFO answers
 * @DRM_NPU_INFO_DEVICE: struct drm_npu_info_device
 * @DRM_NPU_INFO_TREE: the hardware's flattened device tree, as many bytes as it has
 * @DRM_NPU_INFO_MEMORY: struct drm_npu_info_memory
 */
enum drm_npu_info {
	DRM_NPU_INFO_DEVICE = 0,
	DRM_NPU_INFO_TREE = 1,
	DRM_NPU_INFO_MEMORY = 2,
};

/**
 * struct drm_npu_info_device - answer to DRM_NPU_INFO_DEVICE
 * @hw_version: NPU_REG_HW_VERSION
 * @contract_version: NPU_REG_CONTRACT_VERSION
 * @fw_version: NPU_REG_FW_VERSION
 * @num_cores: compute cores
 * @num_queues: queues the device has
 * @num_slots: queues that run at once
 * @va_start: first device virtual address that may be bound
 * @va_end: one past the last
 * @uuid: unit identity
 * @sram_bytes: local SRAM of a core
 * @pad: 0
 */
struct drm_npu_info_device {
	__u32 hw_version;
	__u32 contract_version;
	__u32 fw_version;
	__u32 num_cores;
	__u32 num_queues;
	__u32 num_slots;
	__u64 va_start;
	__u64 va_end;
	__u64 uuid;
	__u32 sram_bytes;
	__u32 pad;
};

/**
 * struct drm_npu_info_memory - answer to DRM_NPU_INFO_MEMORY
 * @device_total: bytes of device memory
 * @device_free: bytes of it not allocated now
 * @context_device: bytes of it allocated by this file
 * @context_host: bytes of host memory allocated by this file
 */
struct drm_npu_info_memory {
	__u64 device_total;
	__u64 device_free;
	__u64 context_device;
	__u64 context_host;
};

/**
 * struct drm_npu_get_info - query
 * @query: &enum drm_npu_info
 * @size: in: bytes at @data, or 0 to ask; out: bytes that the answer has.  At most the in size is copied
 * @data: user pointer
 *
 * EINVAL: unknown query.  EFAULT: @data.
 */
struct drm_npu_get_info {
	__u32 query;
	__u32 size;
	__u64 data;
};

/**
 * struct drm_npu_context_init - make the file's context; once per file, before anything else
 * @flags: 0
 * @fault_entries: records in the fault ring: a power of two, 8..4096
 * @fault_eventfd: eventfd that is signalled when a record is written, or -1
 * @pad: 0
 * @context_id: out: the device's number of this context
 * @fault_bytes: out: size of the fault ring mapping
 * @fault_offset: out: mmap offset of the fault ring (struct npu_fault_ring), read and write
 * @bounds_offset: out: mmap offset of the bounds table, read and write
 * @bounds_bytes: out: NPU_BOUNDS_TABLE_BYTES
 *
 * EDQUOT: the user has as many contexts on the device as the module parameter user_contexts allows.
 * EEXIST: the file has one already.  ENOTCONN: the firmware does not run; the attribute fw_error in sysfs says why.
 * ENOSPC: no context number or not enough device memory left.  EINVAL, EBADF: @fault_eventfd is no eventfd, not open.
 */
struct drm_npu_context_init {
	__u32 flags;
	__u32 fault_entries;
	__s32 fault_eventfd;
	__u32 pad;
	__u32 context_id;
	__u32 fault_bytes;
	__u64 fault_offset;
	__u64 bounds_offset;
	__u64 bounds_bytes;
};

#define DRM_NPU_BO_DEVICE (1u << 0) /* device memory, mapped write-combined */
#define DRM_NPU_BO_HOST (1u << 1)   /* host memory, mapped cached, coherent */

/**
 * struct drm_npu_bo_create - make a buffer, filled with zeros
 * @size: bytes, rounded up to pages; out: the rounded size
 * @flags: exactly one of DRM_NPU_BO_DEVICE and DRM_NPU_BO_HOST
 * @handle: out
 *
 * Device memory that is idle may be moved to host memory while others need the room; addresses and contents stay.
 *
 * ENOSPC: not enough device memory, and nothing more of it can be moved, or the file has twice as much already as the
 * device.  ENOMEM: not enough host memory.
 */
struct drm_npu_bo_create {
	__u64 size;
	__u32 flags;
	__u32 handle;
};

/**
 * struct drm_npu_bo_mmap - where to mmap() a buffer
 * @handle: of the buffer
 * @pad: 0
 * @offset: out: offset for mmap()
 *
 * The mapping keeps the buffer alive.  ENOENT: no such handle.  EINVAL: a buffer of the process's own memory.
 */
struct drm_npu_bo_mmap {
	__u32 handle;
	__u32 pad;
	__u64 offset;
};

#define DRM_NPU_NAME_BYTES 48u

/**
 * struct drm_npu_bo_name - say what a buffer is for
 * @handle: of the buffer
 * @pad: 0
 * @name: printable ASCII, padded with zeros, of which there is one at least; all zeros take the name away
 *
 * Shown to developers, in debugfs and in dumps; names need not differ.  A buffer that several files share has one name.
 *
 * EINVAL: @name.  ENOENT: no such handle.
 */
struct drm_npu_bo_name {
	__u32 handle;
	__u32 pad;
	char name[DRM_NPU_NAME_BYTES];
};

#define DRM_NPU_USERPTR_READONLY (1u << 0) /* the device may only read */

/**
 * struct drm_npu_bo_userptr - make a buffer of the process's own memory
 * @addr: of the first byte in the process, page-aligned
 * @size: bytes, whole pages
 * @flags: 0 or DRM_NPU_USERPTR_READONLY, which read-only memory needs
 * @handle: out
 *
 * The pages are pinned as long as the buffer lives, which is as long as it has a handle or is bound: the device goes on
 * using the same pages when the process unmaps or remaps the range meanwhile.  They count as locked memory of the
 * process.  It cannot be mapped, exported, or used in DRM_IOCTL_NPU_SYNC_IMPORT.
 *
 * EINVAL: @addr or @size is unaligned, or not below the end of user memory.  EFAULT: nothing is mapped somewhere in the
 * range, or it is read-only, or may not be pinned for long, as device memory and files on disk.  EPERM: RLIMIT_MEMLOCK is
 * 0.  ENOMEM: more than RLIMIT_MEMLOCK would be pinned (CAP_IPC_LOCK: no limit), or no memory.  EOPNOTSUPP: the device
 * cannot reach these pages itself.
 */
struct drm_npu_bo_userptr {
	__u64 addr;
	__u64 size;
	__u32 flags;
	__u32 handle;
};

#define DRM_NPU_VM_MAP 0
#define DRM_NPU_VM_UNMAP 1

#define DRM_NPU_VM_READ (1u << 0)
#define DRM_NPU_VM_WRITE (1u << 1)
#define DRM_NPU_VM_EXEC (1u << 2)
#define DRM_NPU_VM_SPARSE (1u << 3)

/**
 * struct drm_npu_vm_bind - map a range of a buffer at a device virtual address, or take a range away
 * @op: DRM_NPU_VM_MAP or DRM_NPU_VM_UNMAP
 * @flags: for MAP: DRM_NPU_VM_READ and any of WRITE, EXEC, or DRM_NPU_VM_READ and SPARSE; for UNMAP 0
 * @handle: for MAP: the buffer; for UNMAP and SPARSE 0
 * @pad: 0
 * @offset: for MAP: first byte of the buffer; for UNMAP and SPARSE 0
 * @va: untagged device virtual address
 * @size: bytes; @offset, @va and @size are multiples of the page size
 *
 * MAP replaces what was mapped in the range.  MAP and UNMAP return when no engine can use the old translation any more.
 * The buffer lives as long as it is mapped.  A SPARSE range has no buffer: loads from it give zeros, stores fault
 * (NPU_FAULT_PAGE_PERM); buffers are mapped into it, and it can be mapped over them again.
 *
 * EINVAL: the range is outside the buffer or the address space.  ENOENT: no such handle.  ENOSPC, ENOMEM: no memory for
 * page tables.  EACCES: WRITE on a buffer made with DRM_NPU_USERPTR_READONLY.
 */
struct drm_npu_vm_bind {
	__u32 op;
	__u32 flags;
	__u32 handle;
	__u32 pad;
	__u64 offset;
	__u64 va;
	__u64 size;
};

/**
 * struct drm_npu_queue_create - make a queue
 * @ring_log2: log2 of packets in the ring, NPU_RING_LOG2_MIN..NPU_RING_LOG2_MAX
 * @priority: 0 low, 1 normal, 2 high, 3 realtime; 2 and 3 need CAP_SYS_NICE
 * @flags: 0
 * @queue: out: the queue's number on the device, its handle in this file
 * @timeout_ms: no progress for so long is a hang; 0: the firmware's default
 * @pad: 0
 * @ring_offset: out: mmap offset of the ring, read and write, 64 << ring_log2 bytes
 * @status_offset: out: mmap offset of struct npu_queue_status, one page, read only
 * @doorbell_offset: out: mmap offset of the doorbell page, write
 *
 * EDQUOT: the user has as many queues on the device as the module parameter user_queues allows.
 * EPERM: @priority needs CAP_SYS_NICE.  ENOSPC: the file has 64 queues, or the device no number or memory left.
 */
struct drm_npu_queue_create {
	__u32 ring_log2;
	__u32 priority;
	__u32 flags;
	__u32 queue;
	__u32 timeout_ms;
	__u32 pad;
	__u64 ring_offset;
	__u64 status_offset;
	__u64 doorbell_offset;
};

/**
 * struct drm_npu_queue_destroy - end a queue; what runs is killed
 * @queue: handle
 * @pad: 0
 *
 * The doorbell's mappings give SIGBUS from here on; ring and status page stay as long as they are mapped, and the status
 * says NPU_QUEUE_DEAD.  Sleepers on the queue get EIO.  ENOENT: no such queue.
 */
struct drm_npu_queue_destroy {
	__u32 queue;
	__u32 pad;
};

/**
 * struct drm_npu_queue_resume - let a faulted queue go on
 * @queue: handle
 * @mode: NPU_RESUME_SKIP; NPU_RESUME_FLUSH; or after NPU_FAULT_RESET also NPU_RESUME_CONTINUE: the packet again
 *
 * The call returns when the firmware has taken the order.  The device carries it out and then writes NPU_QUEUE_OK to the
 * status page, perhaps later: until then DRM_NPU_WAIT with this queue may still give EIO, and NPU_RESUME_FLUSH also drops
 * packets that are rung meanwhile.  So wait for that state before ringing or waiting.
 *
 * EINVAL when the queue is not faulted, or may not try its packet again.  ENOENT: no such queue.  EBUSY: other blocks of
 * its packet still run after a second.
 */
struct drm_npu_queue_resume {
	__u32 queue;
	__u32 mode;
};

/**
 * struct drm_npu_wait - sleep until a 64-bit value in a buffer meets a condition
 * @handle: of a host or device buffer
 * @cond: NPU_WAIT_GE, NPU_WAIT_EQ or NPU_WAIT_NE
 * @offset: of the value, 8-byte aligned
 * @value: to compare with
 * @timeout_ns: absolute, CLOCK_MONOTONIC; 0 asks without sleeping
 * @queue: handle of a queue whose fault ends the wait with EIO, or 0xffffffff
 * @pad: 0
 *
 * A value that is there is reported even when the queue has faulted since.  A deadline in the past asks without sleeping.
 *
 * ETIME on timeout; EIO when @queue is faulted or dead; ENODEV when the device is gone; ERESTARTSYS is restarted.
 * EINVAL: @offset is unaligned or outside the buffer.  ENOENT: no such handle or queue.
 */
struct drm_npu_wait {
	__u32 handle;
	__u32 cond;
	__u64 offset;
	__u64 value;
	__s64 timeout_ns;
	__u32 queue;
	__u32 pad;
};

/**
 * struct drm_npu_sync_export - make a queue's position a fence of a DRM syncobj
 * @queue: handle
 * @syncobj: handle of the syncobj, from DRM_IOCTL_SYNCOBJ_CREATE on this file
 * @position: write index that has been rung: the fence signals when so many packets are finished
 * @point: of the syncobj's timeline; 0 for a syncobj without timeline, whose fence is replaced
 * @timeout_ms: bound on the fence's time, at most 60000; 0: 10000
 * @flags: 0
 *
 * The fence signals with the error EIO when the queue faults before @position, with ECANCELED when it is destroyed, with
 * ENODEV when the device is given up, and with ETIMEDOUT when @timeout_ms is over; the queue goes on in that case.
 *
 * EINVAL: @position has not been rung yet, so that nothing says it ever ends.  EIO: the queue is faulted.  ENOENT: no
 * such queue or syncobj.  ENOSPC: 4096 fences of the file have not signalled yet.
 */
struct drm_npu_sync_export {
	__u32 queue;
	__u32 syncobj;
	__u64 position;
	__u64 point;
	__u32 timeout_ms;
	__u32 flags;
};

/**
 * struct drm_npu_sync_import - store a value and kick a queue when a fence signals
 * @syncobj: handle of a syncobj
 * @handle: of a host buffer
 * @point: of the syncobj's timeline; 0 for a syncobj without
 * @offset: in the buffer, 8-byte aligned
 * @value: stored there, 64 bits, when the fence signals, with or without error
 * @queue: handle of the queue whose NPU_DB_KICK is written then; its ring holds a wait packet on that word
 * @flags: 0
 * @pad: 0
 *
 * Closing the file calls it off.
 *
 * EINVAL: the syncobj has no fence at @point yet; or the buffer is not in host memory, or @offset is unaligned or outside.
 * ENOENT: no such syncobj, handle or queue.  ENOSPC: 1024 fences of the file are waited for already.
 */
struct drm_npu_sync_import {
	__u32 syncobj;
	__u32 handle;
	__u64 point;
	__u64 offset;
	__u64 value;
	__u32 queue;
	__u32 flags;
	__u64 pad;
};

#define DRM_IOCTL_NPU_GET_INFO DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_GET_INFO, struct drm_npu_get_info)
#define DRM_IOCTL_NPU_CONTEXT_INIT DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_CONTEXT_INIT, struct drm_npu_context_init)
#define DRM_IOCTL_NPU_BO_CREATE DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_BO_CREATE, struct drm_npu_bo_create)
#define DRM_IOCTL_NPU_BO_MMAP DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_BO_MMAP, struct drm_npu_bo_mmap)
#define DRM_IOCTL_NPU_VM_BIND DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_VM_BIND, struct drm_npu_vm_bind)
#define DRM_IOCTL_NPU_QUEUE_CREATE DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_QUEUE_CREATE, struct drm_npu_queue_create)
#define DRM_IOCTL_NPU_QUEUE_DESTROY DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_QUEUE_DESTROY, struct drm_npu_queue_destroy)
#define DRM_IOCTL_NPU_QUEUE_RESUME DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_QUEUE_RESUME, struct drm_npu_queue_resume)
#define DRM_IOCTL_NPU_WAIT DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_WAIT, struct drm_npu_wait)
#define DRM_IOCTL_NPU_BO_NAME DRM_IOW(DRM_COMMAND_BASE + DRM_NPU_BO_NAME, struct drm_npu_bo_name)
#define DRM_IOCTL_NPU_BO_USERPTR DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_BO_USERPTR, struct drm_npu_bo_userptr)

#define DRM_IOCTL_NPU_SYNC_EXPORT DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_SYNC_EXPORT, struct drm_npu_sync_export)
#define DRM_IOCTL_NPU_SYNC_IMPORT DRM_IOWR(DRM_COMMAND_BASE + DRM_NPU_SYNC_IMPORT, struct drm_npu_sync_import)

#if defined(__cplusplus)
}
#endif

#endif /* _UAPI_NPU_ACCEL_H_ */
