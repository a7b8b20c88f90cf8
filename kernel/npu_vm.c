// SPDX-License-Identifier: GPL-2.0
/* Address spaces: what is mapped where, and the bind ioctl. */
#include <linux/slab.h>

#include <drm/drm_exec.h>

#include "npu_ctx.h"
#include "npu_vm.h"

/* One mapping. */
struct npu_vma {
	struct drm_gpuva base;
	u64 rights; /* NPU_PTE_READ, WRITE, EXEC */
	struct list_head node; /* in npu_vm_op.ended */
};

/*
 * One bind or unbind.  A bind needs a mapping of its own and, when it falls
 * into the middle of another, one for each side of that.
 */
struct npu_vm_op {
	struct npu_vm *vm;
	u64 va;
	u64 size;
	bool map; /* false: unbind */
	struct npu_bo *bo; /* NULL for unbind, and for a sparse range */
	u64 offset; /* in the buffer; of a sparse range: the address */
	u64 rights;
	struct drm_gpuvm_bo *vm_bo;
	struct npu_vma *spare[3];
	struct list_head ended; /* mappings that are no more; each keeps its buffer */
};

static struct npu_vma *to_npu_vma(struct drm_gpuva *va)
{
	return container_of(va, struct npu_vma, base);
}

static struct npu_vma *npu_vm_op_take(struct npu_vm_op *op, u64 rights)
{
	for (u32 i = 0; i < ARRAY_SIZE(op->spare); i++) {
		struct npu_vma *vma = op->spare[i];

		if (vma) {
			op->spare[i] = NULL;
			vma->rights = rights;
			return vma;
		}
	}
	/* drm_gpuvm promises at most two pieces and one new mapping. */
	WARN_ON_ONCE(1);
	return NULL;
}

/*
 * A mapping is no more.  Its reference to the buffer is kept for npu_vm_op_fini(): what
 * somebody else's buffer needs to end takes that one's reservation, which must not be done
 * with others held.
 */
static void npu_vm_op_end(struct npu_vm_op *op, struct drm_gpuva *va)
{
	if (va->gem.obj)
		drm_gem_object_get(va->gem.obj);
	drm_gpuva_unlink(va);
	list_add(&to_npu_vma(va)->node, &op->ended);
}

static int npu_vm_step_map(struct drm_gpuva_op *step, void *priv)
{
	struct npu_vm_op *op = priv;
	struct npu_vma *vma = npu_vm_op_take(op, op->rights);

	if (!vma)
		return -EINVAL;
	npu_pt_map(op->vm, step->map.va.addr, step->map.va.range, op->bo, step->map.gem.offset,
		   vma->rights);
	drm_gpuva_map(&op->vm->base, &vma->base, &step->map);
	if (op->vm_bo)
		drm_gpuva_link(&vma->base, op->vm_bo);
	return 0;
}

static int npu_vm_step_unmap(struct drm_gpuva_op *step, void *priv)
{
	struct npu_vm_op *op = priv;
	struct drm_gpuva *va = step->unmap.va;

	npu_pt_unmap(op->vm, va->va.addr, va->va.range);
	drm_gpuva_unmap(&step->unmap);
	npu_vm_op_end(op, va);
	return 0;
}

static int npu_vm_step_remap(struct drm_gpuva_op *step, void *priv)
{
	struct drm_gpuva_op_remap *remap = &step->remap;
	struct drm_gpuva *va = remap->unmap->va;
	struct npu_vma *prev = NULL, *next = NULL;
	struct npu_vm_op *op = priv;
	u64 start, range;

	if (remap->prev)
		prev = npu_vm_op_take(op, to_npu_vma(va)->rights);
	if (remap->next)
		next = npu_vm_op_take(op, to_npu_vma(va)->rights);
	if ((remap->prev && !prev) || (remap->next && !next))
		return -EINVAL;

	drm_gpuva_op_remap_to_unmap_range(remap, &start, &range);
	npu_pt_unmap(op->vm, start, range);
	drm_gpuva_remap(prev ? &prev->base : NULL, next ? &next->base : NULL, remap);
	if (prev && va->vm_bo)
		drm_gpuva_link(&prev->base, va->vm_bo);
	if (next && va->vm_bo)
		drm_gpuva_link(&next->base, va->vm_bo);
	npu_vm_op_end(op, va);
	return 0;
}

static void npu_vm_free(struct drm_gpuvm *gpuvm)
{
	struct npu_vm *vm = container_of(gpuvm, struct npu_vm, base);

	mutex_destroy(&vm->lock);
	kfree(vm);
}

static const struct drm_gpuvm_ops npu_vm_ops = {
	.vm_free = npu_vm_free,
	.sm_step_map = npu_vm_step_map,
	.sm_step_remap = npu_vm_step_remap,
	.sm_step_unmap = npu_vm_step_unmap,
};

/**
 * npu_vm_create() - make an empty address space
 * @ndev: the device; the caller holds drm_dev_enter()
 * @ctx_id: of the context that it is for
 *
 * Return: the address space, or -ENOSPC, -ENOMEM.
 */
struct npu_vm *npu_vm_create(struct npu_device *ndev, u32 ctx_id)
{
	struct drm_gem_object *resv;
	struct npu_vm *vm;
	int ret;

	vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);
	vm->ndev = ndev;
	vm->ctx_id = ctx_id;
	mutex_init(&vm->lock);
	INIT_LIST_HEAD(&vm->trash);
	ret = npu_pt_create(vm);
	if (ret)
		goto err_free;

	resv = drm_gpuvm_resv_object_alloc(&ndev->drm);
	if (!resv) {
		ret = -ENOMEM;
		goto err_pt;
	}
	drm_gpuvm_init(&vm->base, "npu", 0, &ndev->drm, resv, NPU_VA_START,
		       NPU_VA_END - NPU_VA_START, 0, 0, &npu_vm_ops);
	drm_gem_object_put(resv);
	return vm;

err_pt:
	npu_pt_destroy(vm);
err_free:
	kfree(vm);
	return ERR_PTR(ret);
}

static void npu_vm_drop_mappings(struct npu_vm *vm)
{
	struct drm_gpuva *va, *next;

	drm_gpuvm_for_each_va_safe(va, next, &vm->base) {
		struct drm_gem_object *obj = va->gem.obj;

		if (!obj) {
			drm_gpuva_remove(va);
			kfree(to_npu_vma(va));
			continue;
		}
		drm_gem_object_get(obj);
		dma_resv_lock(obj->resv, NULL);
		drm_gpuva_remove(va);
		drm_gpuva_unlink(va);
		dma_resv_unlock(obj->resv);
		kfree(to_npu_vma(va));
		/* Frees the buffer, unless it is mapped elsewhere. */
		drm_gem_object_put(obj);
		cond_resched();
	}
}

/*
 * Takes every translation away from the device, but frees nothing.  The caller
 * holds drm_dev_enter().  On failure the device is wedged, and what
 * npu_vm_destroy() frees is kept aside.
 */
void npu_vm_disable(struct npu_vm *vm)
{
	mutex_lock(&vm->lock);
	npu_pt_clear_all(vm);
	npu_pt_flush(vm);
	mutex_unlock(&vm->lock);
}

/* Ends an address space that the device has forgotten. */
void npu_vm_destroy(struct npu_vm *vm)
{
	mutex_lock(&vm->lock);
	npu_vm_drop_mappings(vm);
	npu_pt_destroy(vm);
	mutex_unlock(&vm->lock);
	drm_gpuvm_put(&vm->base);
}

/*
 * The page tables that all mappings of a buffer will need at its new place, which
 * its runs name already.  No translation changes.  The buffer's reservation is
 * held, and npu_recovery.lock for writing, here and below.
 */
int npu_vm_prepare_move(struct npu_bo *bo)
{
	struct drm_gpuvm_bo *vm_bo;
	struct drm_gpuva *va;
	int ret;

	drm_gem_for_each_gpuvm_bo(vm_bo, &bo->base) {
		drm_gpuvm_bo_for_each_va(va, vm_bo) {
			ret = npu_pt_prepare(container_of(va->vm, struct npu_vm, base),
					     va->va.addr, va->va.range, bo, va->gem.offset);
			if (ret)
				return ret;
		}
	}
	return 0;
}

/*
 * Lets all mappings of a buffer translate to its new place.  No engine uses the old one then,
 * unless the device fails.
 */
void npu_vm_finish_move(struct npu_bo *bo)
{
	struct drm_gpuvm_bo *vm_bo;
	struct drm_gpuva *va;
	struct npu_vm *vm;

	drm_gem_for_each_gpuvm_bo(vm_bo, &bo->base) {
		vm = container_of(vm_bo->vm, struct npu_vm, base);
		drm_gpuvm_bo_for_each_va(va, vm_bo) {
			npu_pt_unmap(vm, va->va.addr, va->va.range);
			npu_pt_map(vm, va->va.addr, va->va.range, bo, va->gem.offset,
				   to_npu_vma(va)->rights);
		}
		npu_pt_flush(vm);
	}
}

/* Frees buffers that have lost their last mapping; no lock is held. */
static void npu_vm_op_fini(struct npu_vm_op *op)
{
	struct npu_vma *vma, *next;

	list_for_each_entry_safe(vma, next, &op->ended, node) {
		if (vma->base.gem.obj)
			drm_gem_object_put(vma->base.gem.obj);
		kfree(vma);
	}
	for (u32 i = 0; i < ARRAY_SIZE(op->spare); i++)
		kfree(op->spare[i]);
}

static int npu_vm_op_init(struct npu_vm_op *op)
{
	INIT_LIST_HEAD(&op->ended);
	for (u32 i = 0; i < ARRAY_SIZE(op->spare); i++) {
		op->spare[i] = kzalloc(sizeof(*op->spare[i]), GFP_KERNEL_ACCOUNT);
		if (!op->spare[i]) {
			npu_vm_op_fini(op);
			return -ENOMEM;
		}
	}
	return 0;
}

/*
 * Everything of the change that can fail.  What may stay behind when it does is
 * a big page that has become a table which translates the same: that comes last.
 */
static int npu_vm_op_prepare(struct npu_vm_op *op)
{
	struct npu_vm *vm = op->vm;
	int ret;

	if (op->bo) {
		op->vm_bo = drm_gpuvm_bo_obtain(&vm->base, &op->bo->base);
		if (IS_ERR(op->vm_bo)) {
			ret = PTR_ERR(op->vm_bo);
			op->vm_bo = NULL;
			return ret;
		}
	}
	ret = npu_pt_split(vm, op->va);
	if (!ret)
		ret = npu_pt_split(vm, op->va + op->size);
	if (ret || !op->map)
		return ret;
	return npu_pt_prepare(vm, op->va, op->size, op->bo, op->offset);
}

/* The buffers' reservations are locked: no one else changes their lists of mappings. */
static int npu_vm_op_run_locked(struct npu_vm_op *op)
{
	struct npu_vm *vm = op->vm;
	int ret, flushed;

	ret = npu_vm_op_prepare(op);
	if (!ret && op->map)
		ret = drm_gpuvm_sm_map(&vm->base, op, op->va, op->size,
				       op->bo ? &op->bo->base : NULL, op->offset);
	else if (!ret)
		ret = drm_gpuvm_sm_unmap(&vm->base, op, op->va, op->size);

	npu_pt_prune(vm, op->va, op->size);
	/* Before npu_vm_op_fini() drops the last references to buffers that were unmapped. */
	flushed = npu_pt_flush(vm);
	/* The mapping, if there is one, has its own reference. */
	if (op->vm_bo)
		drm_gpuvm_bo_put(op->vm_bo);
	return ret ? ret : flushed;
}

static int npu_vm_op_run(struct npu_vm_op *op)
{
	struct npu_vm *vm = op->vm;
	struct drm_exec exec;
	int ret;

	ret = npu_vm_op_init(op);
	if (ret)
		return ret;
	ret = mutex_lock_interruptible(&vm->lock);
	if (ret)
		goto out;

	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT | DRM_EXEC_IGNORE_DUPLICATES, 0);
	drm_exec_until_all_locked(&exec) {
		ret = 0;
		if (op->bo)
			ret = drm_exec_lock_obj(&exec, &op->bo->base);
		drm_exec_retry_on_contention(&exec);
		if (ret)
			break;
		ret = drm_gpuvm_prepare_range(&vm->base, &exec, op->va, op->size, 0);
		drm_exec_retry_on_contention(&exec);
		if (ret)
			break;
	}
	if (!ret)
		ret = npu_vm_op_run_locked(op);
	drm_exec_fini(&exec);
	mutex_unlock(&vm->lock);
out:
	npu_vm_op_fini(op);
	return ret;
}

static int npu_vm_check_range(struct npu_device *ndev, const struct drm_npu_vm_bind *args)
{
	if (!IS_ALIGNED(args->offset | args->va | args->size, NPU_PAGE_SIZE) || !args->size) {
		drm_dbg(&ndev->drm, "vm_bind: offset, va and size must be whole pages, size not 0\n");
		return -EINVAL;
	}
	if (args->va < NPU_VA_START || args->va >= NPU_VA_END ||
	    args->size > NPU_VA_END - args->va) {
		drm_dbg(&ndev->drm, "vm_bind: %#llx + %#llx is outside the address space\n",
			args->va, args->size);
		return -EINVAL;
	}
	return 0;
}

static int npu_vm_check_bind(struct npu_device *ndev, const struct drm_npu_vm_bind *args)
{
	const u32 rights = DRM_NPU_VM_READ | DRM_NPU_VM_WRITE | DRM_NPU_VM_EXEC;

	if (args->pad) {
		drm_dbg(&ndev->drm, "vm_bind: padding must be 0\n");
		return -EINVAL;
	}
	switch (args->op) {
	case DRM_NPU_VM_MAP:
		if (args->flags == (DRM_NPU_VM_READ | DRM_NPU_VM_SPARSE)) {
			if (!args->handle && !args->offset)
				break;
			drm_dbg(&ndev->drm, "vm_bind: a sparse range has no handle or offset\n");
			return -EINVAL;
		}
		if ((args->flags & ~rights) || !(args->flags & DRM_NPU_VM_READ)) {
			drm_dbg(&ndev->drm, "vm_bind: map flags %#x: READ is needed, with either WRITE and EXEC or SPARSE\n",
				args->flags);
			return -EINVAL;
		}
		break;
	case DRM_NPU_VM_UNMAP:
		if (args->flags || args->handle || args->offset) {
			drm_dbg(&ndev->drm, "vm_bind: unmap takes no flags, handle or offset\n");
			return -EINVAL;
		}
		break;
	default:
		drm_dbg(&ndev->drm, "vm_bind: unknown operation %u\n", args->op);
		return -EINVAL;
	}
	return npu_vm_check_range(ndev, args);
}

static u64 npu_vm_rights(u32 flags)
{
	return (flags & DRM_NPU_VM_READ ? NPU_PTE_READ : 0) |
	       (flags & DRM_NPU_VM_WRITE ? NPU_PTE_WRITE : 0) |
	       (flags & DRM_NPU_VM_EXEC ? NPU_PTE_EXEC : 0);
}

static int npu_vm_map(struct npu_ctx *ctx, struct npu_vm_op *op, u32 handle,
		      struct drm_file *file)
{
	struct drm_device *drm = &ctx->ndev->drm;
	struct drm_gem_object *obj = drm_gem_object_lookup(file, handle);
	int ret;

	if (!obj) {
		drm_dbg(drm, "vm_bind: no handle %u\n", handle);
		return -ENOENT;
	}
	if (op->offset > obj->size || op->size > obj->size - op->offset) {
		drm_dbg(drm, "vm_bind: %#llx + %#llx is outside the buffer's %#zx bytes\n",
			op->offset, op->size, obj->size);
		ret = -EINVAL;
	} else if ((to_npu_bo(obj)->flags & NPU_BO_DEVICE_READONLY) &&
		   (op->rights & NPU_PTE_WRITE)) {
		drm_dbg(drm, "vm_bind: the buffer was given to the device to read only\n");
		ret = -EACCES;
	} else {
		op->bo = to_npu_bo(obj);
		ret = npu_vm_op_run(op);
		/* It will be used: keep it, or have it back. */
		npu_bo_touch(op->bo);
		npu_evict_kick(ctx->ndev);
	}
	drm_gem_object_put(obj);
	return ret;
}

static int npu_vm_bind(struct npu_ctx *ctx, const struct drm_npu_vm_bind *args,
		       struct drm_file *file)
{
	struct npu_vm_op op = {
		.vm = ctx->vm,
		.va = args->va,
		.size = args->size,
		.map = args->op == DRM_NPU_VM_MAP,
		.offset = args->flags & DRM_NPU_VM_SPARSE ? args->va : args->offset,
		.rights = npu_vm_rights(args->flags),
	};
	int idx, ret;

	ret = npu_enter(ctx->ndev, &idx);
	if (ret)
		return ret;
	ret = npu_ctx_check(ctx);
	if (ret)
		goto out;
	if (op.map && !(args->flags & DRM_NPU_VM_SPARSE))
		ret = npu_vm_map(ctx, &op, args->handle, file);
	else
		ret = npu_vm_op_run(&op);
out:
	npu_exit(ctx->ndev, idx);
	return ret;
}

/* A sparse range is all big pages but for its ends. */
static u64 npu_vm_room(const struct drm_npu_vm_bind *args)
{
	if (args->flags & DRM_NPU_VM_SPARSE)
		return npu_pt_room(0) + (args->size >> NPU_PT_ROOT_SHIFT) * NPU_PAGE_SIZE;
	return npu_pt_room(args->size);
}

int npu_ioctl_vm_bind(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_device *ndev = to_npu_device(drm);
	struct drm_npu_vm_bind *args = data;
	struct npu_ctx *ctx = npu_file_ctx(file->driver_priv);
	int ret;

	ret = npu_vm_check_bind(ndev, args);
	if (ret)
		return ret;
	if (!ctx) {
		drm_dbg(drm, "vm_bind: the file has no context\n");
		return -EINVAL;
	}
	do {
		ret = npu_vm_bind(ctx, args, file);
	} while (npu_evict_retry(ndev, npu_vm_room(args), &ret));
	if (ret)
		drm_dbg(drm, "vm_bind: %#llx + %#llx: %d\n", args->va, args->size, ret);
	return ret;
}
