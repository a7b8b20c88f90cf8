// SPDX-License-Identifier: GPL-2.0
/*
 * Fences that open a queue's gate.
 *
 * The process puts a wait packet on a word of a host buffer into its ring, and
 * names a fence, the word and a value here.  When the fence signals, the kernel
 * stores the value and kicks the queue's doorbell page, as the process itself
 * would do.  So nothing of the driver is on the launch's way.
 */
#include <linux/dma-fence.h>
#include <linux/slab.h>

#include <drm/drm_syncobj.h>

#include "npu_sync.h"

#define NPU_IMPORTS_PER_FILE 1024

/* On its context's list until its work is done or it is called off. */
struct npu_import {
	struct dma_fence_cb cb;
	struct work_struct work;
	struct npu_ctx *ctx;
	struct dma_fence *fence;
	struct npu_bo *bo;
	u64 offset;
	u64 value;
	u32 queue;
	struct list_head node;
};

static void npu_import_free(struct npu_import *import)
{
	struct npu_ctx *ctx = import->ctx;

	dma_fence_put(import->fence);
	npu_bo_put(import->bo);
	kfree(import);
	/*
	 * Under the lock that npu_import_fini() takes last: with the last one the context may go.
	 */
	spin_lock_irq(&ctx->sync_lock);
	if (atomic_dec_and_test(&ctx->imports))
		wake_up_all(&ctx->wq);
	spin_unlock_irq(&ctx->sync_lock);
}

/* Kicks by the queue's own doorbell; a queue that is gone needs none. */
static void npu_import_kick(struct npu_ctx *ctx, u32 id)
{
	struct npu_queue *queue;
	int idx;

	if (!drm_dev_enter(&ctx->ndev->drm, &idx))
		return;
	/* A queue that is made again after a reset looks at its packet anyway. */
	down_read(&ctx->ndev->recovery.lock);
	xa_lock(&ctx->queues);
	queue = xa_load(&ctx->queues, id);
	if (queue)
		npu_write(ctx->ndev,
			  NPU_DOORBELL_OFFSET + id * NPU_DOORBELL_STRIDE + NPU_DB_KICK, 1);
	xa_unlock(&ctx->queues);
	up_read(&ctx->ndev->recovery.lock);
	drm_dev_exit(idx);
}

static void npu_import_work(struct work_struct *work)
{
	struct npu_import *import = container_of(work, struct npu_import, work);
	struct npu_ctx *ctx = import->ctx;

	WRITE_ONCE(*(u64 *)npu_bo_host_ptr(import->bo, import->offset), import->value);
	/* The value is in memory before the queue looks. */
	mb();
	npu_import_kick(ctx, import->queue);
	spin_lock_irq(&ctx->sync_lock);
	list_del(&import->node);
	spin_unlock_irq(&ctx->sync_lock);
	npu_import_free(import);
}

static void npu_import_signalled(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	struct npu_import *import = container_of(cb, struct npu_import, cb);

	queue_work(system_unbound_wq, &import->work);
}

void npu_import_init(struct npu_ctx *ctx)
{
	INIT_LIST_HEAD(&ctx->import_list);
	atomic_set(&ctx->imports, 0);
}

static struct npu_import *npu_import_call_off(struct npu_ctx *ctx)
{
	struct npu_import *import, *found = NULL;

	spin_lock_irq(&ctx->sync_lock);
	list_for_each_entry(import, &ctx->import_list, node) {
		/* False: its work is queued or running, and will take it from the list. */
		if (dma_fence_remove_callback(import->fence, &import->cb)) {
			list_del(&import->node);
			found = import;
			break;
		}
	}
	spin_unlock_irq(&ctx->sync_lock);
	return found;
}

/* The file is being closed: fences that have not signalled open nothing any more. */
void npu_import_fini(struct npu_ctx *ctx)
{
	struct npu_import *import;

	while ((import = npu_import_call_off(ctx)))
		npu_import_free(import);
	wait_event(ctx->wq, !atomic_read(&ctx->imports));
	spin_lock_irq(&ctx->sync_lock);
	spin_unlock_irq(&ctx->sync_lock);
}

static int npu_import_check_bo(struct npu_ctx *ctx, struct npu_bo *bo, u64 offset)
{
	struct drm_device *drm = &ctx->ndev->drm;

	if (bo->kind != NPU_BO_KIND_HOST || (bo->flags & NPU_BO_INTERNAL)) {
		drm_dbg(drm, "sync_import: the buffer is not in host memory\n");
		return -EINVAL;
	}
	if (!IS_ALIGNED(offset, sizeof(u64)) || offset > bo->base.size - sizeof(u64)) {
		drm_dbg(drm, "sync_import: offset %#llx is unaligned or outside the buffer\n",
			offset);
		return -EINVAL;
	}
	return 0;
}

static int npu_import_start(struct npu_import *import)
{
	struct npu_ctx *ctx = import->ctx;
	int ret;

	INIT_WORK(&import->work, npu_import_work);
	spin_lock_irq(&ctx->sync_lock);
	list_add_tail(&import->node, &ctx->import_list);
	spin_unlock_irq(&ctx->sync_lock);
	ret = dma_fence_add_callback(import->fence, &import->cb, npu_import_signalled);
	/* It has signalled already: the same way. */
	if (ret == -ENOENT)
		queue_work(system_unbound_wq, &import->work);
	return 0;
}

static int npu_import(struct npu_ctx *ctx, struct drm_file *file,
		      const struct drm_npu_sync_import *args, struct npu_bo *bo)
{
	struct npu_import *import;
	int ret;

	ret = npu_import_check_bo(ctx, bo, args->offset);
	if (ret)
		return ret;
	if (!xa_load(&ctx->queues, args->queue)) {
		drm_dbg(&ctx->ndev->drm, "sync_import: no queue %u\n", args->queue);
		return -ENOENT;
	}
	if (atomic_inc_return(&ctx->imports) > NPU_IMPORTS_PER_FILE) {
		drm_dbg(&ctx->ndev->drm, "sync_import: %u fences are waited for already\n",
			NPU_IMPORTS_PER_FILE);
		ret = -ENOSPC;
		goto err_count;
	}
	import = kzalloc(sizeof(*import), GFP_KERNEL_ACCOUNT);
	if (!import) {
		ret = -ENOMEM;
		goto err_count;
	}
	ret = drm_syncobj_find_fence(file, args->syncobj, args->point, 0, &import->fence);
	if (ret) {
		drm_dbg(&ctx->ndev->drm, "sync_import: syncobj %u has no fence at point %llu: %d\n",
			args->syncobj, args->point, ret);
		kfree(import);
		goto err_count;
	}
	import->ctx = ctx;
	import->bo = bo;
	import->offset = args->offset;
	import->value = args->value;
	import->queue = args->queue;
	drm_gem_object_get(&bo->base);
	return npu_import_start(import);

err_count:
	atomic_dec(&ctx->imports);
	return ret;
}

int npu_ioctl_sync_import(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_file *nfile = file->driver_priv;
	struct npu_ctx *ctx = npu_file_ctx(nfile);
	struct drm_npu_sync_import *args = data;
	struct drm_gem_object *obj;
	int idx, ret;

	if (args->flags || args->pad) {
		drm_dbg(drm, "sync_import: flags and padding must be 0\n");
		return -EINVAL;
	}
	if (!ctx) {
		drm_dbg(drm, "sync_import: the file has no context\n");
		return -EINVAL;
	}
	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj) {
		drm_dbg(drm, "sync_import: no handle %u\n", args->handle);
		return -ENOENT;
	}
	ret = npu_enter(nfile->ndev, &idx);
	if (!ret) {
		ret = npu_ctx_check(ctx);
		if (!ret)
			ret = npu_import(ctx, file, args, to_npu_bo(obj));
		npu_exit(nfile->ndev, idx);
	}
	drm_gem_object_put(obj);
	return ret;
}
