/* SPDX-License-Identifier: GPL-2.0 */
/* A context (one per open file) and its queues. */
#ifndef NPU_CTX_H
#define NPU_CTX_H

#include <linux/eventfd.h>

#include "npu_bo.h"
#include "npu_vm.h"

/**
 * struct npu_ctx - context
 * @ndev: the device
 * @file: the open file
 * @id: number on the device
 * @node: in npu_device.ctx_list
 * @wq: whoever waits for a fence of this context, or for a queue's fault
 * @armed: vectors that a sleeper has asked for since they last came; atomic bits
 * @spin_ns: how long a wait looks before it sleeps; any waiter writes it, see npu_wait.c
 * @vm: address space
 * @bounds: bounds table, device memory
 * @faults: fault ring, host memory
 * @fault_seen: records plus drops already signalled; guarded by npu_device.ctx_lock
 * @eventfd: signalled when a record was written, or NULL
 * @queues: number -> struct npu_queue; changed under npu_file.lock
 * @num_queues: entries of @queues; guarded by npu_file.lock
 * @past_cycles: what destroyed queues have cost, and all before the last reset
 * @shown_lock: guards @shown_cycles and @shown_ns; innermost
 * @shown_cycles: what fdinfo has shown last
 * @shown_ns: the same in nanoseconds
 * @sync_lock: guards @fences and @import_list; taken in interrupts, inside npu_device.ctx_lock
 * @fences: positions of queues that others wait for
 * @num_fences: entries of @fences; guarded by @sync_lock
 * @sync_watch: looks at @fences when no interrupt does
 * @import_list: fences of others that queues wait for
 * @imports: how many; @wq is woken at 0
 * @desc: its descriptor on the device, for a reset
 * @lost: its device memory was lost with the device; under npu_recovery.lock
 * @in_flight: work of it may run; under npu_recovery.lock held for writing, see npu_evict.c
 * @resets_guilty: device resets that a queue of it made necessary
 * @resets_innocent: queues of it that others' resets have touched
 */
struct npu_ctx {
	struct npu_device *ndev;
	struct npu_file *file;
	u32 id;
	struct list_head node;
	wait_queue_head_t wq;
	DECLARE_BITMAP(armed, NPU_NUM_VECTORS);
	u32 spin_ns;
	struct npu_vm *vm;
	struct npu_bo *bounds;
	struct npu_bo *faults;
	u64 fault_seen;
	struct eventfd_ctx *eventfd;
	struct xarray queues;
	u32 num_queues;
	atomic64_t past_cycles;
	spinlock_t shown_lock; /* guards shown_cycles and shown_ns */
	u64 shown_cycles;
	u64 shown_ns;
	spinlock_t sync_lock; /* guards fences and import_list */
	struct list_head fences;
	u32 num_fences;
	struct delayed_work sync_watch;
	struct list_head import_list;
	atomic_t imports;
	struct npu_ctx_desc desc;
	bool lost;
	bool in_flight;
	atomic_t resets_guilty;
	atomic_t resets_innocent;
};

/**
 * struct npu_queue - user-mode queue
 * @kref: one for the file, one for each call that waits on it
 * @ctx: owner
 * @id: number on the device and handle in the file
 * @ring: device memory
 * @status: one page of host memory, written by the device
 * @doorbell: its page of BAR0
 * @desc: its descriptor on the device, for a reset
 * @fence_context: its timeline, for positions that are exported
 * @rptr: read index at the last reset; under npu_recovery.lock
 * @wptr: write index at the last reset; under npu_recovery.lock
 * @clean: it stood behind a packet at the last reset; under npu_recovery.lock
 * @parked: it stands faulted since before a reset, so the device knows it as an empty, suspended
 *          queue that only hears its doorbell; changed under npu_file.lock, or npu_recovery.lock
 *          held for writing
 * @unheard: its doorbell could not be read before the last reset; under npu_recovery.lock
 * @life: npu_recovery.life in which the device was told of it, or 0; under npu_recovery.lock,
 *        either way
 * @ending: it is being destroyed; written once
 */
struct npu_queue {
	struct kref kref;
	struct npu_ctx *ctx;
	u32 id;
	struct npu_bo *ring;
	struct npu_bo *status;
	struct npu_bo *doorbell;
	struct npu_queue_desc desc;
	u64 fence_context;
	u64 rptr;
	u64 wptr;
	bool clean;
	bool parked;
	bool unheard;
	u32 life;
	bool ending;
};

/* 0, or -EIO for a context that was lost with device memory; after npu_enter(). */
static inline int npu_ctx_check(struct npu_ctx *ctx)
{
	return READ_ONCE(ctx->lost) ? -EIO : 0;
}

/* npu_ctx.c */
int npu_ioctl_context_init(struct drm_device *drm, void *data, struct drm_file *file);
void npu_ctx_destroy(struct npu_ctx *ctx);
struct npu_ctx_desc __iomem *npu_ctx_desc(struct npu_ctx *ctx);
void npu_ctx_write_desc(struct npu_ctx *ctx);
void npu_ctx_arm(struct npu_ctx *ctx);

/* npu_queue.c */
int npu_ioctl_queue_create(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_queue_destroy(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_queue_resume(struct drm_device *drm, void *data, struct drm_file *file);
void npu_queue_destroy_all(struct npu_ctx *ctx);
struct npu_queue *npu_queue_get(struct npu_ctx *ctx, u32 id);
void npu_queue_put(struct npu_queue *queue);
void npu_queue_mark_dead(struct npu_queue *queue);
bool npu_queue_is_known(struct npu_queue *queue);
u64 npu_queue_doorbell(struct npu_queue *queue);
int npu_queue_restart(struct npu_queue *queue, u64 rptr);
int npu_queue_park(struct npu_queue *queue);

/* npu_replay.c */
void npu_queue_lose(struct npu_queue *queue, u32 kind);

static inline struct npu_queue_status *npu_queue_status(struct npu_queue *queue)
{
	return npu_bo_host_ptr(queue->status, 0);
}

static inline bool npu_queue_is_faulted(struct npu_queue *queue)
{
	return READ_ONCE(npu_queue_status(queue)->state) == NPU_QUEUE_FAULTED;
}

#endif /* NPU_CTX_H */
