// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers made of a process's own pages.
 *
 * The pages are pinned for as long as the buffer lives, which is as long as the
 * device may reach them.  They are charged to the address space they were taken
 * from (VmPin) and, as io_uring and perf do it, to the user as locked memory: a
 * limit for each process would be none for who makes many.  That needs no lock,
 * so that the charge can be taken back wherever a buffer happens to end.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "npu_ctx.h"

/* Pages pinned at a time, between looks for a signal. */
#define NPU_PIN_CHUNK 4096ull

/* False, with nothing charged: more than the process or the user may have. */
static bool npu_userptr_add(struct mm_struct *mm, struct user_struct *user, u64 n)
{
	u64 limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	bool over = atomic64_add_return(n, &mm->pinned_vm) > limit;

	over |= atomic_long_add_return(n, &user->locked_vm) > limit;
	if (!over || capable(CAP_IPC_LOCK))
		return true;
	atomic_long_sub(n, &user->locked_vm);
	atomic64_sub(n, &mm->pinned_vm);
	return false;
}

static int npu_userptr_charge(struct npu_bo *bo)
{
	u64 n = bo->base.size >> PAGE_SHIFT;

	if (!can_do_mlock())
		return -EPERM;
	/* The list of pages that the DMA layer takes has no more than 32 bits of them. */
	if (n > totalram_pages() || n > UINT_MAX)
		return -ENOMEM;
	if (!npu_userptr_add(current->mm, current_user(), n))
		return -ENOMEM;
	mmgrab(current->mm);
	bo->mm = current->mm;
	bo->user = get_uid(current_user());
	return 0;
}

static int npu_userptr_pin(struct npu_bo *bo, unsigned long addr)
{
	bool write = !(bo->flags & NPU_BO_DEVICE_READONLY);
	u64 n = bo->base.size >> PAGE_SHIFT;
	u64 done = 0;
	int ret;

	bo->pages = kvcalloc(n, sizeof(*bo->pages), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!bo->pages)
		return -ENOMEM;
	while (done < n) {
		ret = pin_user_pages_fast(addr + (done << PAGE_SHIFT), min(n - done, NPU_PIN_CHUNK),
					  FOLL_LONGTERM | (write ? FOLL_WRITE : 0),
					  bo->pages + done);
		if (ret < 0)
			return ret;
		if (!ret)
			return -EFAULT;
		done += ret;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* Gives the pages back: what the device may have written is dirty. */
void npu_userptr_unpin(struct npu_bo *bo)
{
	u64 pages = bo->base.size >> PAGE_SHIFT, n = 0;

	while (bo->pages && n < pages && bo->pages[n])
		n++;
	if (n)
		unpin_user_pages_dirty_lock(bo->pages, n, !(bo->flags & NPU_BO_DEVICE_READONLY));
	if (!bo->mm)
		return;
	atomic_long_sub(pages, &bo->user->locked_vm);
	free_uid(bo->user);
	bo->user = NULL;
	atomic64_sub(pages, &bo->mm->pinned_vm);
	mmdrop(bo->mm);
	bo->mm = NULL;
}

/*
 * Makes the buffer and pins its pages.  Without npu_enter(): a page may have to
 * be fetched first, by a fault of the process that can take any time.
 */
static struct npu_bo *npu_userptr_new(struct npu_file *file, const struct drm_npu_bo_userptr *args)
{
	u32 flags = args->flags & DRM_NPU_USERPTR_READONLY ? NPU_BO_DEVICE_READONLY : 0;
	struct npu_bo *bo = npu_bo_new_user(file->ndev, args->size, flags, file->account);
	int ret;

	if (IS_ERR(bo))
		return bo;
	ret = npu_userptr_charge(bo);
	if (!ret)
		ret = npu_userptr_pin(bo, args->addr);
	if (ret) {
		npu_bo_put(bo);
		return ERR_PTR(ret);
	}
	return bo;
}

static int npu_userptr_check(struct npu_device *ndev, const struct drm_npu_bo_userptr *args)
{
	if (args->flags & ~DRM_NPU_USERPTR_READONLY) {
		drm_dbg(&ndev->drm, "bo_userptr: flags %#x: only READONLY is known\n", args->flags);
		return -EINVAL;
	}
	if (!PAGE_ALIGNED(args->addr | args->size) || !args->size) {
		drm_dbg(&ndev->drm, "bo_userptr: address and size must be whole pages, size not 0\n");
		return -EINVAL;
	}
	if (args->addr + args->size < args->addr || args->size > S64_MAX ||
	    !access_ok(u64_to_user_ptr(args->addr), args->size)) {
		drm_dbg(&ndev->drm, "bo_userptr: %#llx + %#llx is not the process's memory\n",
			args->addr, args->size);
		return -EINVAL;
	}
	return 0;
}

int npu_ioctl_bo_userptr(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_device *ndev = to_npu_device(drm);
	struct npu_file *nfile = file->driver_priv;
	struct drm_npu_bo_userptr *args = data;
	struct npu_bo *bo;
	int idx, ret;
	u32 handle;

	ret = npu_userptr_check(ndev, args);
	if (ret)
		return ret;
	if (!npu_file_ctx(nfile)) {
		drm_dbg(drm, "bo_userptr: the file has no context\n");
		return -EINVAL;
	}
	bo = npu_userptr_new(nfile, args);
	if (IS_ERR(bo)) {
		drm_dbg(drm, "bo_userptr: %#llx + %#llx: %pe\n", args->addr, args->size, bo);
		return PTR_ERR(bo);
	}
	ret = npu_enter(ndev, &idx);
	if (!ret) {
		ret = npu_ctx_check(npu_file_ctx(nfile));
		if (!ret)
			ret = npu_bo_map_pages(ndev, bo);
		npu_exit(ndev, idx);
	}
	if (!ret)
		ret = drm_gem_handle_create(file, &bo->base, &handle);
	npu_bo_put(bo);
	if (ret)
		return ret;
	args->handle = handle;
	return 0;
}
