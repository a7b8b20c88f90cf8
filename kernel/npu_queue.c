// SPDX-License-Identifier: GPL-2.0
/* User-mode queues.  The kernel makes and ends them; it never sees a packet. */
#include <linux/capability.h>
#include <linux/dma-fence.h>
#include <linux/slab.h>
#include <linux/time64.h>

#include "npu_sync.h"
#include "npu_trace.h"
#include "npu_user.h"

/* An event can be lost when the firmware's ring of them is full, hence the limit on each wait. */
#define NPU_RESUME_WAIT (HZ / 10)
#define NPU_RESUME_TRIES 10

static struct npu_queue_desc __iomem *npu_queue_desc(struct npu_queue *queue)
{
	struct npu_device *ndev = queue->ctx->ndev;
	struct npu_queue_desc __iomem *table = ndev->mem + ndev->queue_table.addr;

	return table + queue->id;
}

static void npu_queue_release(struct kref *kref)
{
	struct npu_queue *queue = container_of(kref, struct npu_queue, kref);

	npu_bo_put(queue->doorbell);
	npu_bo_put(queue->status);
	npu_bo_put(queue->ring);
	kfree(queue);
}

void npu_queue_put(struct npu_queue *queue)
{
	if (queue)
		kref_put(&queue->kref, npu_queue_release);
}

/* The file's queue of that number, with a reference, or NULL. */
struct npu_queue *npu_queue_get(struct npu_ctx *ctx, u32 id)
{
	struct npu_queue *queue;

	xa_lock(&ctx->queues);
	queue = xa_load(&ctx->queues, id);
	if (queue)
		kref_get(&queue->kref);
	xa_unlock(&ctx->queues);
	return queue;
}

/* Shows the process that a queue has ended; the device does not write its status page any more. */
void npu_queue_mark_dead(struct npu_queue *queue)
{
	WRITE_ONCE(npu_queue_status(queue)->state, NPU_QUEUE_DEAD);
	npu_sync_queue_ended(queue);
	wake_up_all(&queue->ctx->wq);
}

static int npu_queue_alloc_memory(struct npu_queue *queue, u32 ring_log2)
{
	struct npu_device *ndev = queue->ctx->ndev;
	struct npu_account *account = queue->ctx->file->account;
	u64 ring_bytes = max_t(u64, (u64)NPU_PACKET_BYTES << ring_log2, PAGE_SIZE);

	queue->ring = npu_bo_new(ndev, NPU_BO_KIND_DEVICE, ring_bytes,
				 NPU_BO_INTERNAL | NPU_BO_CONTIGUOUS, account);
	if (IS_ERR(queue->ring))
		return PTR_ERR(no_free_ptr(queue->ring));
	queue->status = npu_bo_new(ndev, NPU_BO_KIND_HOST, PAGE_SIZE,
				   NPU_BO_INTERNAL | NPU_BO_READONLY, account);
	if (IS_ERR(queue->status))
		return PTR_ERR(no_free_ptr(queue->status));
	queue->doorbell = npu_bo_new_doorbell(ndev, queue->id);
	if (IS_ERR(queue->doorbell))
		return PTR_ERR(no_free_ptr(queue->doorbell));
	return 0;
}

static struct npu_queue *npu_queue_alloc(struct npu_ctx *ctx, u32 ring_log2)
{
	struct npu_queue *queue;
	int ret;

	queue = kzalloc(sizeof(*queue), GFP_KERNEL_ACCOUNT);
	if (!queue)
		return ERR_PTR(-ENOMEM);
	kref_init(&queue->kref);
	queue->ctx = ctx;
	ret = ida_alloc_max(&ctx->ndev->queue_ids, ctx->ndev->num_queues - 1, GFP_KERNEL);
	if (ret < 0) {
		kfree(queue);
		return ERR_PTR(ret);
	}
	queue->id = ret;
	queue->fence_context = dma_fence_context_alloc(1);
	ret = npu_queue_alloc_memory(queue, ring_log2);
	if (ret) {
		ida_free(&ctx->ndev->queue_ids, queue->id);
		npu_queue_put(queue);
		return ERR_PTR(ret);
	}
	return queue;
}

static void npu_queue_unshare(struct npu_queue *queue)
{
	struct npu_file *file = queue->ctx->file;

	npu_bo_unshare(queue->doorbell, file);
	npu_bo_unshare(queue->status, file);
	npu_bo_unshare(queue->ring, file);
}

static int npu_queue_share(struct npu_queue *queue)
{
	struct npu_file *file = queue->ctx->file;
	int ret;

	ret = npu_bo_share(queue->ring, file);
	if (!ret)
		ret = npu_bo_share(queue->status, file);
	if (!ret)
		ret = npu_bo_share(queue->doorbell, file);
	/* Taking away what was not given does nothing. */
	if (ret)
		npu_queue_unshare(queue);
	return ret;
}

static void npu_queue_init_desc(struct npu_queue *queue, const struct drm_npu_queue_create *args)
{
	u64 len;

	queue->desc = (struct npu_queue_desc){
		.flags = NPU_QUEUE_VALID,
		.context = queue->ctx->id,
		.ring_log2 = args->ring_log2,
		.priority = args->priority,
		.timeout_ns = (u64)args->timeout_ms * NSEC_PER_MSEC,
		.ring_addr = npu_bo_addr(queue->ring, 0, &len),
		.status_addr = npu_bo_addr(queue->status, 0, &len),
	};
}

/* Makes the queue on the device, whose status page for it is @status, with these two indices. */
static int npu_queue_tell(struct npu_queue *queue, struct npu_bo *status, u64 rptr, u64 wptr)
{
	struct npu_device *ndev = queue->ctx->ndev;
	u64 args[NPU_MBOX_ARGS] = { queue->id, rptr, wptr };
	struct npu_queue_desc desc = queue->desc;
	u64 len;
	int ret;

	desc.status_addr = npu_bo_addr(status, 0, &len);
	memcpy_toio(npu_queue_desc(queue), &desc, sizeof(desc));
	/* Out of the write-combining buffers before the firmware is told. */
	wmb();
	ret = npu_mbox_call(ndev, NPU_ADMIN_QUEUE_CREATE, args);
	if (!ret)
		queue->life = ndev->recovery.life;
	return ret;
}

/*
 * Whether the device has this queue, and its indices: not after a reset, until
 * the queue has been made again.
 */
bool npu_queue_is_known(struct npu_queue *queue)
{
	return queue->life == queue->ctx->ndev->recovery.life;
}

/* The write index that the device has latched. */
u64 npu_queue_doorbell(struct npu_queue *queue)
{
	return npu_read64(queue->ctx->ndev, NPU_DOORBELL_OFFSET +
			  queue->id * NPU_DOORBELL_STRIDE + NPU_DB_WPTR);
}

/* Makes a queue again that goes on at @rptr; its write index is in @queue. */
int npu_queue_restart(struct npu_queue *queue, u64 rptr)
{
	struct npu_queue_status *status = npu_queue_status(queue);
	int ret;

	WRITE_ONCE(status->rptr, rptr);
	ret = npu_queue_tell(queue, queue->status, rptr, queue->wptr);
	if (!ret)
		queue->parked = false;
	return ret;
}

/*
 * Makes a queue again that stands faulted: empty and suspended, so that its
 * doorbell is heard and nothing runs.  Its own status page keeps what it says.
 */
int npu_queue_park(struct npu_queue *queue)
{
	struct npu_device *ndev = queue->ctx->ndev;
	int ret;

	ret = npu_queue_tell(queue, ndev->scratch, queue->wptr, queue->wptr);
	if (!ret)
		ret = npu_mbox_call2(ndev, NPU_ADMIN_QUEUE_SUSPEND, queue->id, NPU_SUSPEND_PACKET);
	if (!ret)
		queue->parked = true;
	return ret;
}

static void npu_queue_clear_desc(struct npu_queue *queue)
{
	memset_io(npu_queue_desc(queue), 0, sizeof(struct npu_queue_desc));
}

/* Tells the firmware; then the queue belongs to the file. */
static int npu_queue_start(struct npu_queue *queue, const struct drm_npu_queue_create *args)
{
	struct npu_ctx *ctx = queue->ctx;
	int ret;

	ret = npu_queue_share(queue);
	if (ret)
		return ret;
	/* Reserved first, so that nothing can fail once the device knows the queue. */
	ret = xa_reserve(&ctx->queues, queue->id, GFP_KERNEL_ACCOUNT);
	if (ret)
		goto err_share;
	npu_queue_init_desc(queue, args);
	ret = npu_queue_tell(queue, queue->status, 0, 0);
	if (ret)
		goto err_desc;
	xa_store(&ctx->queues, queue->id, queue, GFP_KERNEL_ACCOUNT);
	ctx->num_queues++;
	return 0;

err_desc:
	npu_queue_clear_desc(queue);
	xa_release(&ctx->queues, queue->id);
err_share:
	npu_queue_unshare(queue);
	return ret;
}

/* A device that fails may still use the number; a reset gives it back. */
static void npu_queue_free_id(struct npu_device *ndev, u32 id)
{
	if (npu_is_wedged(ndev))
		set_bit(id, ndev->lost_queue_ids);
	else
		ida_free(&ndev->queue_ids, id);
}

/* Called with npu_file.lock held, or with the file closed. */
static void npu_queue_stop(struct npu_queue *queue)
{
	struct npu_ctx *ctx = queue->ctx;
	struct npu_device *ndev = ctx->ndev;
	int idx, ret = 0;

	WRITE_ONCE(queue->ending, true);
	xa_erase(&ctx->queues, queue->id);
	ctx->num_queues--;
	npu_queue_unshare(queue);
	/* The number may be another process's next: this one must lose the doorbell first. */
	npu_bo_revoke(queue->doorbell);

	if (drm_dev_enter(&ndev->drm, &idx)) {
		if (!ctx->lost)
			ret = npu_mbox_call2(ndev, NPU_ADMIN_QUEUE_DESTROY, queue->id, 0);
		if (ret && !npu_check_alive(ndev))
			npu_wedge(ndev, "the firmware could not end a queue");
		if (!npu_is_wedged(ndev))
			npu_queue_clear_desc(queue);
		drm_dev_exit(idx);
	}
	trace_npu_queue_destroy(ndev, ctx->id, queue->id, queue->desc.priority, ret);
	atomic64_add(READ_ONCE(npu_queue_status(queue)->counters.cycles), &ctx->past_cycles);
	npu_queue_mark_dead(queue);
	npu_user_del_queue(ndev, ctx->file->user);
	npu_queue_free_id(ndev, queue->id);
	npu_queue_put(queue);
}

void npu_queue_destroy_all(struct npu_ctx *ctx)
{
	struct npu_queue *queue;
	unsigned long id;

	xa_for_each(&ctx->queues, id, queue)
		npu_queue_stop(queue);
}

static int npu_queue_check_create(struct npu_device *ndev, const struct drm_npu_queue_create *args)
{
	if (args->flags || args->pad) {
		drm_dbg(&ndev->drm, "queue_create: flags and padding must be 0\n");
		return -EINVAL;
	}
	if (args->ring_log2 < NPU_RING_LOG2_MIN || args->ring_log2 > NPU_RING_LOG2_MAX) {
		drm_dbg(&ndev->drm, "queue_create: ring_log2 %u is not in %u..%u\n",
			args->ring_log2, NPU_RING_LOG2_MIN, NPU_RING_LOG2_MAX);
		return -EINVAL;
	}
	if (args->priority >= NPU_QUEUE_PRIORITIES) {
		drm_dbg(&ndev->drm, "queue_create: no priority %u\n", args->priority);
		return -EINVAL;
	}
	if (args->priority > 1 && !capable(CAP_SYS_NICE)) {
		drm_dbg(&ndev->drm, "queue_create: priority %u needs CAP_SYS_NICE\n",
			args->priority);
		return -EPERM;
	}
	return 0;
}

static int npu_queue_create(struct npu_ctx *ctx, struct drm_npu_queue_create *args)
{
	struct drm_device *drm = &ctx->ndev->drm;
	struct npu_queue *queue;
	int ret;

	if (ctx->num_queues >= NPU_QUEUES_PER_FILE) {
		drm_dbg(drm, "queue_create: the file has %u queues already\n", ctx->num_queues);
		return -ENOSPC;
	}
	ret = npu_user_add_queue(ctx->ndev, ctx->file->user);
	if (ret)
		return ret;
	queue = npu_queue_alloc(ctx, args->ring_log2);
	if (IS_ERR(queue)) {
		npu_user_del_queue(ctx->ndev, ctx->file->user);
		drm_dbg(drm, "queue_create: %pe\n", queue);
		return PTR_ERR(queue);
	}
	ret = npu_queue_start(queue, args);
	trace_npu_queue_create(ctx->ndev, ctx->id, queue->id, args->priority, ret);
	if (ret) {
		drm_dbg(drm, "queue_create: queue %u: %d\n", queue->id, ret);
		npu_user_del_queue(ctx->ndev, ctx->file->user);
		npu_queue_free_id(ctx->ndev, queue->id);
		npu_queue_put(queue);
		return ret;
	}
	args->queue = queue->id;
	args->ring_offset = drm_vma_node_offset_addr(&queue->ring->base.vma_node);
	args->status_offset = drm_vma_node_offset_addr(&queue->status->base.vma_node);
	args->doorbell_offset = drm_vma_node_offset_addr(&queue->doorbell->base.vma_node);
	return 0;
}

/* What the three ioctls have in common: a context, the file's lock, a device that is there. */
static int npu_queue_ioctl(struct drm_device *drm, struct drm_file *file, void *args,
			   int (*call)(struct npu_ctx *ctx, void *args))
{
	struct npu_file *nfile = file->driver_priv;
	struct npu_ctx *ctx = npu_file_ctx(nfile);
	int idx, ret;

	if (!ctx) {
		drm_dbg(drm, "queue: the file has no context\n");
		return -EINVAL;
	}
	ret = npu_enter(nfile->ndev, &idx);
	if (ret)
		return ret;
	ret = mutex_lock_interruptible(&nfile->lock);
	if (!ret) {
		ret = npu_ctx_check(ctx);
		if (!ret)
			ret = call(ctx, args);
		mutex_unlock(&nfile->lock);
	}
	npu_exit(nfile->ndev, idx);
	return ret;
}

static int npu_queue_call_create(struct npu_ctx *ctx, void *args)
{
	return npu_queue_create(ctx, args);
}

int npu_ioctl_queue_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_device *ndev = to_npu_device(drm);
	struct drm_npu_queue_create *args = data;
	int ret = npu_queue_check_create(ndev, args);

	if (ret)
		return ret;
	do {
		ret = npu_queue_ioctl(drm, file, data, npu_queue_call_create);
	} while (npu_evict_retry(ndev, (u64)NPU_PACKET_BYTES << args->ring_log2, &ret));
	return ret;
}

static int npu_queue_call_destroy(struct npu_ctx *ctx, void *data)
{
	struct drm_npu_queue_destroy *args = data;
	struct npu_queue *queue = xa_load(&ctx->queues, args->queue);

	if (!queue) {
		drm_dbg(&ctx->ndev->drm, "queue_destroy: no queue %u\n", args->queue);
		return -ENOENT;
	}
	/* Also when the device does not answer: then a reset ends it there. */
	npu_queue_stop(queue);
	return 0;
}

int npu_ioctl_queue_destroy(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_npu_queue_destroy *args = data;

	if (args->pad) {
		drm_dbg(drm, "queue_destroy: padding must be 0\n");
		return -EINVAL;
	}
	return npu_queue_ioctl(drm, file, data, npu_queue_call_destroy);
}

/*
 * A process can see the fault in the status page before the firmware has heard
 * of it, and then the firmware still answers that the queue is not faulted.  It
 * tells when it knows, so wait for that and ask again.  It is busy with a queue
 * that it is just turning out of its slot.
 *
 * The device shows in the page that the queue goes on when it comes to it, which
 * may be after the answer: who rings again waits for that, or what it rings may
 * still be flushed.
 */
static int npu_queue_resume(struct npu_queue *queue, u32 mode)
{
	struct npu_device *ndev = queue->ctx->ndev;
	int ret, known;

	for (u32 i = 0; i < NPU_RESUME_TRIES; i++) {
		known = atomic_read(&ndev->fw_faults);
		ret = npu_mbox_call2(ndev, NPU_ADMIN_QUEUE_RESUME, queue->id, mode);
		if (ret != -EBUSY && (ret != -EINVAL || !npu_queue_is_faulted(queue)))
			break;
		wait_event_timeout(ndev->fw_wq, atomic_read(&ndev->fw_faults) != known ||
				   npu_check_alive(ndev), NPU_RESUME_WAIT);
	}
	return ret;
}

/* Where a queue goes on that was faulted when the device was reset. */
static u64 npu_queue_resume_index(struct npu_queue *queue, u32 mode)
{
	struct npu_queue_status *status = npu_queue_status(queue);
	u64 rptr = READ_ONCE(status->rptr);

	if (mode == NPU_RESUME_FLUSH)
		return queue->wptr;
	/* At a bad doorbell no packet is at fault. */
	if (mode == NPU_RESUME_CONTINUE || READ_ONCE(status->error) == NPU_FAULT_BAD_DOORBELL)
		return rptr;
	return rptr == queue->wptr ? rptr : rptr + 1;
}

/* More packets than the ring has: the device would refuse to make such a queue. */
static bool npu_queue_rung_nonsense(struct npu_queue *queue, u64 rptr)
{
	return queue->wptr - rptr > 1ull << queue->desc.ring_log2;
}

/* Makes a parked queue again as one that goes on at @rptr.  With the doorbell blocked. */
static int npu_queue_unpark(struct npu_queue *queue, u64 rptr)
{
	struct npu_queue_status *status = npu_queue_status(queue);
	struct npu_device *ndev = queue->ctx->ndev;
	int ret;

	ret = npu_mbox_call2(ndev, NPU_ADMIN_QUEUE_DESTROY, queue->id, 0);
	if (ret)
		return ret;
	queue->life = 0;
	WRITE_ONCE(status->fault_seq, 0);
	WRITE_ONCE(status->error, 0);
	WRITE_ONCE(status->state, NPU_QUEUE_OK);
	if (npu_queue_restart(queue, rptr) && !npu_check_alive(ndev))
		npu_wedge(ndev, "the firmware could not resume a queue");
	/* It has been resumed in any case: what a device that fails does not do, its reset does. */
	return 0;
}

/* The device knows a parked queue as an empty one: it is ended and made again as it should be. */
static int npu_queue_resume_parked(struct npu_queue *queue, u32 mode)
{
	struct npu_device *ndev = queue->ctx->ndev;
	int ret = 0;
	u64 rptr;

	/* No doorbell is rung between its reading and its writing. */
	npu_bo_block(queue->doorbell, true);
	queue->wptr = npu_queue_doorbell(queue);
	rptr = npu_queue_resume_index(queue, mode);
	if (npu_queue_rung_nonsense(queue, rptr)) {
		/* It goes on and faults at once, as a queue does that is not parked. */
		queue->rptr = rptr;
		WRITE_ONCE(npu_queue_status(queue)->rptr, rptr);
		npu_queue_lose(queue, NPU_FAULT_BAD_DOORBELL);
		npu_signal_faults(ndev);
	} else {
		ret = npu_queue_unpark(queue, rptr);
	}
	npu_bo_block(queue->doorbell, false);
	return ret;
}

static int npu_queue_call_resume(struct npu_ctx *ctx, void *data)
{
	struct drm_npu_queue_resume *args = data;
	struct npu_queue *queue = xa_load(&ctx->queues, args->queue);

	if (!queue) {
		drm_dbg(&ctx->ndev->drm, "queue_resume: no queue %u\n", args->queue);
		return -ENOENT;
	}
	if (!npu_queue_is_faulted(queue)) {
		drm_dbg(&ctx->ndev->drm, "queue_resume: queue %u is not faulted\n", args->queue);
		return -EINVAL;
	}
	if (args->mode == NPU_RESUME_CONTINUE &&
	    READ_ONCE(npu_queue_status(queue)->error) != NPU_FAULT_RESET) {
		drm_dbg(&ctx->ndev->drm, "queue_resume: the packet of queue %u is at fault\n",
			args->queue);
		return -EINVAL;
	}
	if (queue->parked)
		return npu_queue_resume_parked(queue, args->mode);
	return npu_queue_resume(queue, args->mode);
}

int npu_ioctl_queue_resume(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_npu_queue_resume *args = data;

	if (args->mode > NPU_RESUME_CONTINUE) {
		drm_dbg(drm, "queue_resume: unknown mode %u\n", args->mode);
		return -EINVAL;
	}
	return npu_queue_ioctl(drm, file, data, npu_queue_call_resume);
}
