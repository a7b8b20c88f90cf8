// SPDX-License-Identifier: GPL-2.0
/* Contexts: one per open file. */
#include <linux/log2.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "npu_sync.h"
#include "npu_user.h"

#define NPU_FAULT_ENTRIES_MIN 8
#define NPU_FAULT_ENTRIES_MAX 4096

struct npu_ctx_desc __iomem *npu_ctx_desc(struct npu_ctx *ctx)
{
	struct npu_ctx_desc __iomem *table = ctx->ndev->mem + ctx->ndev->ctx_table.addr;

	return table + ctx->id;
}

static u64 npu_ctx_fault_bytes(u32 entries)
{
	return PAGE_ALIGN(sizeof(struct npu_fault_ring) +
			  (u64)entries * sizeof(struct npu_fault_record));
}

/* A context may only be made while the firmware runs, and keeps it from being reloaded. */
static int npu_ctx_reserve(struct npu_device *ndev)
{
	int ret;

	mutex_lock(&ndev->fw_lock);
	ret = npu_check_alive(ndev);
	if (!ret && !ndev->fw_ready) {
		drm_dbg(&ndev->drm, "context_init: no firmware: %s\n",
			ndev->fw_reason ? ndev->fw_reason : "not loaded");
		ret = -ENOTCONN;
	}
	if (!ret)
		atomic_inc(&ndev->num_open);
	mutex_unlock(&ndev->fw_lock);
	return ret;
}

static int npu_ctx_alloc_memory(struct npu_ctx *ctx, u32 fault_entries)
{
	struct npu_device *ndev = ctx->ndev;
	struct npu_account *account = ctx->file->account;

	ctx->vm = npu_vm_create(ndev, ctx->id);
	if (IS_ERR(ctx->vm))
		return PTR_ERR(no_free_ptr(ctx->vm));
	ctx->vm->ctx = ctx;
	ctx->bounds = npu_bo_new(ndev, NPU_BO_KIND_DEVICE, NPU_BOUNDS_TABLE_BYTES,
				 NPU_BO_INTERNAL | NPU_BO_CONTIGUOUS, account);
	if (IS_ERR(ctx->bounds))
		return PTR_ERR(no_free_ptr(ctx->bounds));
	ctx->faults = npu_bo_new(ndev, NPU_BO_KIND_HOST,
				 roundup_pow_of_two(npu_ctx_fault_bytes(fault_entries)),
				 NPU_BO_INTERNAL | NPU_BO_CONTIGUOUS, account);
	if (IS_ERR(ctx->faults))
		return PTR_ERR(no_free_ptr(ctx->faults));
	return 0;
}

static int npu_ctx_share_memory(struct npu_ctx *ctx)
{
	int ret = npu_bo_share(ctx->bounds, ctx->file);

	if (ret)
		return ret;
	ret = npu_bo_share(ctx->faults, ctx->file);
	if (ret)
		npu_bo_unshare(ctx->bounds, ctx->file);
	return ret;
}

static void npu_ctx_init_desc(struct npu_ctx *ctx, u32 fault_entries)
{
	u64 len;

	ctx->desc = (struct npu_ctx_desc){
		.flags = NPU_CTX_VALID,
		.irq_vector = npu_irq_fence_vector(ctx->ndev, ctx->id),
		.pt_root = ctx->vm->root->mem.addr,
		.bounds_entries = NPU_BOUNDS_ENTRIES,
		.fault_entries = fault_entries,
		.pid = task_tgid_nr(current),
		.bounds_addr = npu_bo_addr(ctx->bounds, 0, &len),
		.fault_ring = npu_bo_addr(ctx->faults, 0, &len),
	};
}

void npu_ctx_write_desc(struct npu_ctx *ctx)
{
	memcpy_toio(npu_ctx_desc(ctx), &ctx->desc, sizeof(ctx->desc));
	/* Out of the write-combining buffers before the firmware is told. */
	wmb();
}

/*
 * The next store of a fence or read index makes an interrupt, for this CPU.  Look at the values
 * afterwards.
 */
void npu_ctx_arm(struct npu_ctx *ctx)
{
	u32 vector = npu_irq_local_vector(ctx->ndev);

	/* Before the device can see the word, which writel() takes care of. */
	set_bit(vector, ctx->armed);
	writel(vector, &npu_ctx_desc(ctx)->irq_arm);
	/* The arm word is in memory before a value is read; pairs with the device's barrier. */
	mb();
}

static void npu_ctx_list_add(struct npu_ctx *ctx)
{
	mutex_lock(&ctx->ndev->open_lock);
	spin_lock_irq(&ctx->ndev->ctx_lock);
	list_add_tail(&ctx->node, &ctx->ndev->ctx_list);
	spin_unlock_irq(&ctx->ndev->ctx_lock);
	mutex_unlock(&ctx->ndev->open_lock);
}

static void npu_ctx_list_del(struct npu_ctx *ctx)
{
	mutex_lock(&ctx->ndev->open_lock);
	spin_lock_irq(&ctx->ndev->ctx_lock);
	list_del_init(&ctx->node);
	spin_unlock_irq(&ctx->ndev->ctx_lock);
	mutex_unlock(&ctx->ndev->open_lock);
}

/* Ends what the device does not know, or has forgotten. */
static void npu_ctx_free(struct npu_ctx *ctx)
{
	struct npu_device *ndev = ctx->ndev;

	npu_fence_fini(ctx);
	if (ctx->eventfd)
		eventfd_ctx_put(ctx->eventfd);
	npu_bo_put(ctx->faults);
	npu_bo_put(ctx->bounds);
	if (ctx->vm)
		npu_vm_destroy(ctx->vm);
	/* A device that fails may still use the number; a reset gives it back. */
	if (ctx->id && npu_is_wedged(ndev))
		set_bit(ctx->id, ndev->lost_ctx_ids);
	else if (ctx->id)
		ida_free(&ndev->ctx_ids, ctx->id);
	xa_destroy(&ctx->queues);
	kfree(ctx);
	atomic_dec(&ndev->num_open);
}

static struct npu_ctx *npu_ctx_alloc(struct npu_file *file, const struct drm_npu_context_init *args)
{
	struct npu_device *ndev = file->ndev;
	struct npu_ctx *ctx;
	int ret;

	ret = npu_ctx_reserve(ndev);
	if (ret)
		return ERR_PTR(ret);
	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);
	if (!ctx) {
		atomic_dec(&ndev->num_open);
		return ERR_PTR(-ENOMEM);
	}
	ctx->ndev = ndev;
	ctx->file = file;
	INIT_LIST_HEAD(&ctx->node);
	init_waitqueue_head(&ctx->wq);
	xa_init(&ctx->queues);
	spin_lock_init(&ctx->shown_lock);
	npu_fence_init(ctx);
	npu_import_init(ctx);

	/* Context 0 is never used. */
	ret = ida_alloc_range(&ndev->ctx_ids, 1, ndev->num_contexts - 1, GFP_KERNEL);
	if (ret < 0)
		goto err;
	ctx->id = ret;
	if (args->fault_eventfd != -1) {
		ctx->eventfd = eventfd_ctx_fdget(args->fault_eventfd);
		if (IS_ERR(ctx->eventfd)) {
			drm_dbg(&ndev->drm, "context_init: %d is not an eventfd\n",
				args->fault_eventfd);
			ret = PTR_ERR(no_free_ptr(ctx->eventfd));
			goto err;
		}
	}
	ret = npu_ctx_alloc_memory(ctx, args->fault_entries);
	if (ret)
		goto err;
	return ctx;
err:
	npu_ctx_free(ctx);
	return ERR_PTR(ret);
}

static struct npu_ctx *npu_ctx_create(struct npu_file *file,
				      const struct drm_npu_context_init *args)
{
	struct npu_ctx *ctx = npu_ctx_alloc(file, args);
	int ret;

	if (IS_ERR(ctx))
		return ctx;
	ret = npu_ctx_share_memory(ctx);
	if (ret)
		goto err_free;
	npu_ctx_init_desc(ctx, args->fault_entries);
	npu_ctx_write_desc(ctx);
	npu_ctx_list_add(ctx);
	ret = npu_mbox_call2(ctx->ndev, NPU_ADMIN_CTX_CREATE, ctx->id, 0);
	if (ret)
		goto err_list;
	return ctx;

err_list:
	npu_ctx_list_del(ctx);
	memset_io(npu_ctx_desc(ctx), 0, sizeof(struct npu_ctx_desc));
	npu_bo_unshare(ctx->faults, file);
	npu_bo_unshare(ctx->bounds, file);
err_free:
	npu_ctx_free(ctx);
	return ERR_PTR(ret);
}

/**
 * npu_ctx_destroy() - end a context whose file is being closed
 * @ctx: context; no call of its file is running any more
 *
 * The order matters: first nothing runs, then nothing is translated, then the
 * device forgets the context, then its memory goes.  A device that does not
 * answer is wedged by the call that found out, and keeps all memory it might use.
 */
void npu_ctx_destroy(struct npu_ctx *ctx)
{
	struct npu_device *ndev = ctx->ndev;
	int idx, ret;

	/* Its work takes the lock below. */
	npu_import_fini(ctx);
	/*
	 * A reset makes all contexts again that it finds in the list: it comes before this, or
	 * after.
	 */
	down_read(&ndev->recovery.lock);
	npu_queue_destroy_all(ctx);
	if (drm_dev_enter(&ndev->drm, &idx)) {
		npu_vm_disable(ctx->vm);
		ret = ctx->lost ? 0 : npu_mbox_call2(ndev, NPU_ADMIN_CTX_DESTROY, ctx->id, 0);
		if (ret && !npu_check_alive(ndev))
			npu_wedge(ndev, "the firmware refused to end a context");
		if (!npu_is_wedged(ndev))
			memset_io(npu_ctx_desc(ctx), 0, sizeof(struct npu_ctx_desc));
		drm_dev_exit(idx);
	}
	npu_ctx_list_del(ctx);
	npu_bo_unshare(ctx->faults, ctx->file);
	npu_bo_unshare(ctx->bounds, ctx->file);
	npu_user_del_context(ndev, ctx->file->user);
	npu_ctx_free(ctx);
	up_read(&ndev->recovery.lock);
}

static int npu_ctx_check_init(struct npu_device *ndev, const struct drm_npu_context_init *args)
{
	if (args->flags || args->pad) {
		drm_dbg(&ndev->drm, "context_init: flags and padding must be 0\n");
		return -EINVAL;
	}
	if (!is_power_of_2(args->fault_entries) || args->fault_entries < NPU_FAULT_ENTRIES_MIN ||
	    args->fault_entries > NPU_FAULT_ENTRIES_MAX) {
		drm_dbg(&ndev->drm, "context_init: %u fault entries: not a power of two in 8..4096\n",
			args->fault_entries);
		return -EINVAL;
	}
	if (args->fault_eventfd < -1) {
		drm_dbg(&ndev->drm, "context_init: eventfd %d\n", args->fault_eventfd);
		return -EINVAL;
	}
	return 0;
}

static int npu_file_init_ctx(struct npu_file *file, struct drm_npu_context_init *args)
{
	struct npu_ctx *ctx;
	int ret;

	if (file->ctx) {
		drm_dbg(&file->ndev->drm, "context_init: the file has a context already\n");
		return -EEXIST;
	}
	ret = npu_user_add_context(file->ndev, file->user);
	if (ret)
		return ret;
	ctx = npu_ctx_create(file, args);
	if (IS_ERR(ctx)) {
		npu_user_del_context(file->ndev, file->user);
		drm_dbg(&file->ndev->drm, "context_init: %pe\n", ctx);
		return PTR_ERR(ctx);
	}
	args->context_id = ctx->id;
	args->fault_bytes = npu_ctx_fault_bytes(args->fault_entries);
	args->fault_offset = drm_vma_node_offset_addr(&ctx->faults->base.vma_node);
	args->bounds_offset = drm_vma_node_offset_addr(&ctx->bounds->base.vma_node);
	args->bounds_bytes = NPU_BOUNDS_TABLE_BYTES;
	/* Pairs with npu_file_ctx(): who sees the context sees it whole. */
	smp_store_release(&file->ctx, ctx);
	return 0;
}

static int npu_ctx_init(struct npu_file *nfile, struct drm_npu_context_init *args)
{
	struct npu_device *ndev = nfile->ndev;
	int idx, ret;

	ret = npu_enter(ndev, &idx);
	if (ret)
		return ret;
	ret = mutex_lock_interruptible(&nfile->lock);
	if (!ret) {
		ret = npu_file_init_ctx(nfile, args);
		mutex_unlock(&nfile->lock);
	}
	npu_exit(ndev, idx);
	return ret;
}

int npu_ioctl_context_init(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_device *ndev = to_npu_device(drm);
	struct drm_npu_context_init *args = data;
	int ret;

	ret = npu_ctx_check_init(ndev, args);
	if (ret)
		return ret;
	do {
		ret = npu_ctx_init(file->driver_priv, args);
	} while (npu_evict_retry(ndev, NPU_BOUNDS_TABLE_BYTES + npu_pt_room(0), &ret));
	return ret;
}
