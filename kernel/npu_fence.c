// SPDX-License-Identifier: GPL-2.0
/*
 * A queue's position as a fence for other drivers.
 *
 * A fence signals when the queue's read index has come to its position, with an
 * error when the queue faults or ends first, and with ETIMEDOUT when neither has
 * happened by its deadline: whoever waits for a fence must never hang, and what
 * a queue does is up to its process.  The queue itself goes on in that case.
 *
 * The device wakes us as it wakes sleepers: for each store of the read index it
 * looks at the arm word.  So arm, then look.
 */
#include <linux/dma-fence.h>
#include <linux/dma-fence-chain.h>
#include <linux/slab.h>

#include <drm/drm_syncobj.h>

#include "npu_sync.h"

#define NPU_FENCES_PER_FILE 4096
#define NPU_FENCE_MS_DEFAULT 10000
#define NPU_FENCE_MS_MAX 60000
#define NPU_FENCE_LOOK_UP_MS 1000 /* so that a lost interrupt costs time only */

/* On its context's list until it signals; the list holds a reference. */
struct npu_fence {
	struct dma_fence base;
	spinlock_t lock; /* the dma_fence's own */
	struct npu_queue *queue; /* ends all its fences before it goes */
	ktime_t deadline;
	struct list_head node;
};

static const char *npu_fence_driver_name(struct dma_fence *fence)
{
	return NPU_DRIVER_NAME;
}

static const char *npu_fence_timeline_name(struct dma_fence *fence)
{
	return "queue";
}

/* The module stays as long as somebody may call this. */
static void npu_fence_release(struct dma_fence *fence)
{
	dma_fence_free(fence);
	module_put(THIS_MODULE);
}

static const struct dma_fence_ops npu_fence_ops = {
	.use_64bit_seqno = true,
	.get_driver_name = npu_fence_driver_name,
	.get_timeline_name = npu_fence_timeline_name,
	.release = npu_fence_release,
};

/* Has it happened?  1: reached; 0: not yet; or why it never will. */
static int npu_fence_state(struct npu_fence *fence, ktime_t now)
{
	struct npu_queue_status *status = npu_queue_status(fence->queue);
	/* Before the index: a queue that faulted behind the position has reached it. */
	u32 state = smp_load_acquire(&status->state);

	if (READ_ONCE(status->rptr) >= fence->base.seqno)
		return 1;
	/* A queue that is being ended is killed, which is no fault of its own. */
	if (state != NPU_QUEUE_OK && !READ_ONCE(fence->queue->ending))
		return -EIO;
	if (test_bit(NPU_STATE_WEDGED, &fence->queue->ctx->ndev->state))
		return -ENODEV;
	return ktime_compare(now, fence->deadline) >= 0 ? -ETIMEDOUT : 0;
}

/* Takes it from the list; called with sync_lock held. */
static void npu_fence_end(struct npu_fence *fence, int error, struct list_head *ended)
{
	if (error)
		dma_fence_set_error(&fence->base, error);
	fence->queue->ctx->num_fences--;
	list_move_tail(&fence->node, ended);
}

/* Signals outside the lock: a callback may do anything that is right in an interrupt. */
static void npu_fence_signal_all(struct list_head *ended)
{
	struct npu_fence *fence, *next;

	list_for_each_entry_safe(fence, next, ended, node) {
		list_del_init(&fence->node);
		dma_fence_signal(&fence->base);
		dma_fence_put(&fence->base);
	}
}

/**
 * npu_sync_look() - signal the fences of a context that have come true
 * @ctx: context; the device is mapped
 *
 * Any context, interrupts included.
 */
void npu_sync_look(struct npu_ctx *ctx)
{
	struct npu_fence *fence, *next;
	ktime_t now = ktime_get();
	unsigned long flags;
	LIST_HEAD(ended);
	int state;

	spin_lock_irqsave(&ctx->sync_lock, flags);
	if (!list_empty(&ctx->fences)) {
		npu_ctx_arm(ctx);
		list_for_each_entry_safe(fence, next, &ctx->fences, node) {
			state = npu_fence_state(fence, now);
			if (state)
				npu_fence_end(fence, min(state, 0), &ended);
		}
	}
	spin_unlock_irqrestore(&ctx->sync_lock, flags);
	npu_fence_signal_all(&ended);
}

/* A queue ends: nobody will move its read index any more. */
void npu_sync_queue_ended(struct npu_queue *queue)
{
	struct npu_ctx *ctx = queue->ctx;
	struct npu_fence *fence, *next;
	ktime_t now = ktime_get();
	unsigned long flags;
	LIST_HEAD(ended);
	int state;

	spin_lock_irqsave(&ctx->sync_lock, flags);
	list_for_each_entry_safe(fence, next, &ctx->fences, node) {
		if (fence->queue != queue)
			continue;
		state = npu_fence_state(fence, now);
		npu_fence_end(fence, state > 0 ? 0 : -ECANCELED, &ended);
	}
	spin_unlock_irqrestore(&ctx->sync_lock, flags);
	npu_fence_signal_all(&ended);
}

/* Deadlines, and interrupts that were lost. */
static void npu_fence_watch(struct work_struct *work)
{
	struct npu_ctx *ctx = container_of(to_delayed_work(work), struct npu_ctx, sync_watch);
	unsigned long delay = msecs_to_jiffies(NPU_FENCE_LOOK_UP_MS);
	struct npu_fence *fence;
	bool more;
	int idx;

	/* Without a device all queues have been marked as dead, and their fences ended. */
	if (!drm_dev_enter(&ctx->ndev->drm, &idx))
		return;
	npu_sync_look(ctx);
	spin_lock_irq(&ctx->sync_lock);
	more = !list_empty(&ctx->fences);
	list_for_each_entry(fence, &ctx->fences, node) {
		s64 left = ktime_ms_delta(fence->deadline, ktime_get());

		delay = min(delay, msecs_to_jiffies(max(left, 1)));
	}
	spin_unlock_irq(&ctx->sync_lock);
	if (more)
		mod_delayed_work(system_wq, &ctx->sync_watch, delay);
	drm_dev_exit(idx);
}

void npu_fence_init(struct npu_ctx *ctx)
{
	spin_lock_init(&ctx->sync_lock);
	INIT_LIST_HEAD(&ctx->fences);
	INIT_DELAYED_WORK(&ctx->sync_watch, npu_fence_watch);
}

/* All queues have ended, and their fences with them. */
void npu_fence_fini(struct npu_ctx *ctx)
{
	cancel_delayed_work_sync(&ctx->sync_watch);
}

static struct npu_fence *npu_fence_new(struct npu_queue *queue,
				       const struct drm_npu_sync_export *args)
{
	struct npu_fence *fence = kzalloc(sizeof(*fence), GFP_KERNEL_ACCOUNT);
	u32 ms = args->timeout_ms ? args->timeout_ms : NPU_FENCE_MS_DEFAULT;

	if (!fence)
		return NULL;
	__module_get(THIS_MODULE);
	spin_lock_init(&fence->lock);
	fence->queue = queue;
	fence->deadline = ktime_add_ms(ktime_get(), ms);
	INIT_LIST_HEAD(&fence->node);
	/* Positions of a queue are reached in order, so they are the timeline's numbers. */
	dma_fence_init(&fence->base, &npu_fence_ops, &fence->lock, queue->fence_context,
		       args->position);
	return fence;
}

static int npu_fence_check_queue(struct npu_queue *queue, u64 position)
{
	struct drm_device *drm = &queue->ctx->ndev->drm;
	u64 wptr;

	if (READ_ONCE(npu_queue_status(queue)->state) != NPU_QUEUE_OK) {
		drm_dbg(drm, "sync_export: queue %u is faulted\n", queue->id);
		return -EIO;
	}
	wptr = npu_queue_doorbell(queue);
	if (position > wptr) {
		drm_dbg(drm, "sync_export: position %llu, but only %llu has been rung\n", position,
			wptr);
		return -EINVAL;
	}
	return 0;
}

/* Lets the interrupt look at it; the list has a reference of its own. */
static int npu_fence_watch_begin(struct npu_ctx *ctx, struct npu_fence *fence)
{
	bool room;

	spin_lock_irq(&ctx->sync_lock);
	room = ctx->num_fences < NPU_FENCES_PER_FILE;
	if (room) {
		dma_fence_get(&fence->base);
		list_add_tail(&fence->node, &ctx->fences);
		ctx->num_fences++;
	}
	spin_unlock_irq(&ctx->sync_lock);
	if (!room)
		drm_dbg(&ctx->ndev->drm, "sync_export: %u fences are not signalled yet\n",
			NPU_FENCES_PER_FILE);
	return room ? 0 : -ENOSPC;
}

/* Called with npu_file.lock held, so the queue stays. */
static int npu_fence_export(struct npu_ctx *ctx, struct drm_file *file,
			    const struct drm_npu_sync_export *args)
{
	struct npu_queue *queue = xa_load(&ctx->queues, args->queue);
	struct dma_fence_chain *chain = NULL;
	struct drm_syncobj *syncobj;
	struct npu_fence *fence;
	int ret;

	if (!queue) {
		drm_dbg(&ctx->ndev->drm, "sync_export: no queue %u\n", args->queue);
		return -ENOENT;
	}
	ret = npu_fence_check_queue(queue, args->position);
	if (ret)
		return ret;
	syncobj = drm_syncobj_find(file, args->syncobj);
	if (!syncobj) {
		drm_dbg(&ctx->ndev->drm, "sync_export: no syncobj %u\n", args->syncobj);
		return -ENOENT;
	}
	if (args->point)
		chain = dma_fence_chain_alloc();
	fence = npu_fence_new(queue, args);
	if (!fence || (args->point && !chain)) {
		ret = -ENOMEM;
		goto out;
	}

	ret = npu_fence_watch_begin(ctx, fence);
	if (ret)
		goto out;
	if (args->point)
		drm_syncobj_add_point(syncobj, chain, &fence->base, args->point);
	else
		drm_syncobj_replace_fence(syncobj, &fence->base);
	chain = NULL;
	npu_sync_look(ctx);
	mod_delayed_work(system_wq, &ctx->sync_watch, 0);
out:
	dma_fence_chain_free(chain);
	if (fence)
		dma_fence_put(&fence->base);
	drm_syncobj_put(syncobj);
	return ret;
}

int npu_ioctl_sync_export(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_file *nfile = file->driver_priv;
	struct npu_ctx *ctx = npu_file_ctx(nfile);
	struct drm_npu_sync_export *args = data;
	int idx, ret;

	if (args->flags || args->timeout_ms > NPU_FENCE_MS_MAX) {
		drm_dbg(drm, "sync_export: flags must be 0, the timeout at most %u ms\n",
			NPU_FENCE_MS_MAX);
		return -EINVAL;
	}
	if (!ctx) {
		drm_dbg(drm, "sync_export: the file has no context\n");
		return -EINVAL;
	}
	ret = npu_enter(nfile->ndev, &idx);
	if (ret)
		return ret;
	ret = mutex_lock_interruptible(&nfile->lock);
	if (!ret) {
		ret = npu_ctx_check(ctx);
		if (!ret)
			ret = npu_fence_export(ctx, file, args);
		mutex_unlock(&nfile->lock);
	}
	npu_exit(nfile->ndev, idx);
	return ret;
}
