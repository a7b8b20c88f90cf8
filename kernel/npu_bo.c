// SPDX-License-Identifier: GPL-2.0
/* Buffers: allocation, device addresses, lifetime. */
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "npu_bo.h"
#include "npu_ctx.h"

#define NPU_BIG_ORDER (NPU_PT_MID_SHIFT - PAGE_SHIFT)

/*
 * Nothing is ever synchronised between device and processor, which are coherent
 * (npu_bo_set_runs() refuses what is not): so a process may give the same page
 * to the device several times.
 */
#define NPU_DMA_ATTRS DMA_ATTR_SKIP_CPU_SYNC

/* Charges device memory; what the driver needs itself does not count against the limit. */
static int npu_bo_charge_device(struct npu_bo *bo, struct npu_account *account)
{
	struct npu_device *ndev = to_npu_device(bo->base.dev);
	s64 have = atomic64_read(&account->device_bytes);

	do {
		if (!(bo->flags & NPU_BO_INTERNAL) && !npu_evict_allows(ndev, have, bo->base.size))
			return -ENOSPC;
	} while (!atomic64_try_cmpxchg(&account->device_bytes, &have, have + bo->base.size));
	return 0;
}

static int npu_bo_set_account(struct npu_bo *bo, struct npu_account *account)
{
	int ret = 0;

	if (bo->kind == NPU_BO_KIND_DEVICE)
		ret = npu_bo_charge_device(bo, account);
	else if (bo->kind == NPU_BO_KIND_HOST)
		atomic64_add(bo->base.size, &account->host_bytes);
	if (ret)
		return ret;
	kref_get(&account->kref);
	bo->account = account;
	return 0;
}

static void npu_bo_put_account(struct npu_bo *bo)
{
	if (!bo->account)
		return;
	if (bo->kind == NPU_BO_KIND_DEVICE)
		atomic64_sub(bo->base.size, &bo->account->device_bytes);
	else if (bo->kind == NPU_BO_KIND_HOST)
		atomic64_sub(bo->base.size, &bo->account->host_bytes);
	npu_account_put(bo->account);
	bo->account = NULL;
}

/* What the device may do with a buffer's pages, wherever they are mapped. */
static enum dma_data_direction npu_bo_direction(struct npu_bo *bo)
{
	return bo->flags & NPU_BO_DEVICE_READONLY ? DMA_TO_DEVICE : DMA_BIDIRECTIONAL;
}

static void npu_bo_unmap_dma(struct npu_device *ndev, struct npu_bo *bo)
{
	lockdep_assert_held(&ndev->bo_lock);
	if (bo->mapped)
		dma_unmap_sgtable(&ndev->pdev->dev, &bo->sgt, npu_bo_direction(bo),
				  NPU_DMA_ATTRS);
	bo->mapped = false;
}

/* Gives back what npu_bo_get_host() took, or the pages of a process. */
void npu_bo_put_host(struct npu_device *ndev, struct npu_bo *bo)
{
	u64 n = bo->base.size >> PAGE_SHIFT;

	mutex_lock(&ndev->bo_lock);
	npu_bo_unmap_dma(ndev, bo);
	mutex_unlock(&ndev->bo_lock);
	sg_free_table(&bo->sgt);
	memset(&bo->sgt, 0, sizeof(bo->sgt));
	if (bo->kind == NPU_BO_KIND_USER)
		npu_userptr_unpin(bo);
	if (!bo->pages)
		return;
	for (u64 i = 0; bo->kind != NPU_BO_KIND_USER && i < n && bo->pages[i]; i++)
		__free_page(bo->pages[i]);
	kvfree(bo->pages);
	bo->pages = NULL;
}

/* Ends a buffer that neither the device nor a process can reach. */
static void npu_bo_release(struct npu_device *ndev, struct npu_bo *bo)
{
	npu_mm_free(ndev, &bo->blocks);
	npu_bo_put_host(ndev, bo);
	if (bo->kind == NPU_BO_KIND_IMPORT)
		npu_bo_put_import(bo);
	kvfree(bo->runs);
	drm_gem_object_release(&bo->base);
	kfree(bo);
}

static void npu_bo_free(struct drm_gem_object *obj)
{
	struct npu_device *ndev = to_npu_device(obj->dev);
	struct npu_bo *bo = to_npu_bo(obj);
	bool lost;

	mutex_lock(&ndev->bo_lock);
	npu_evict_forget(ndev, bo);
	npu_bo_put_account(bo);
	drm_gem_free_mmap_offset(obj);
	/* A wedged device may still read and write it.  A reset ends that, and the wedged state. */
	lost = npu_is_wedged(ndev) && bo->kind != NPU_BO_KIND_DOORBELL;
	list_del_init(&bo->node);
	/*
	 * Whoever removes the device does not find it there any more.  What is lost belongs to the
	 * reset, which may free it as soon as the lock is let go.
	 */
	if (lost)
		list_add(&bo->node, &ndev->lost_bos);
	else
		npu_bo_unmap_dma(ndev, bo);
	mutex_unlock(&ndev->bo_lock);

	if (!lost)
		npu_bo_release(ndev, bo);
}

static const struct drm_gem_object_funcs npu_bo_funcs = {
	.free = npu_bo_free,
	.mmap = npu_bo_mmap,
	.export = npu_bo_export,
	.vm_ops = &npu_bo_vm_ops,
};

/* Takes device memory for a buffer that has none, without clearing its runs on failure. */
int npu_bo_get_device(struct npu_device *ndev, struct npu_bo *bo)
{
	struct gpu_buddy_block *block;
	u64 size = 0, next = 0;
	u32 n = 0;
	int ret;

	ret = npu_mm_alloc(ndev, bo->base.size, bo->flags & NPU_BO_CONTIGUOUS, &bo->blocks);
	if (ret)
		return ret;

	list_for_each_entry(block, &bo->blocks, link)
		n++;
	bo->runs = kvcalloc(n, sizeof(*bo->runs), GFP_KERNEL_ACCOUNT);
	if (!bo->runs)
		return -ENOMEM;

	list_for_each_entry(block, &bo->blocks, link) {
		u64 addr = gpu_buddy_block_offset(block);

		if (!bo->num_runs || addr != next)
			bo->runs[bo->num_runs++] = (struct npu_run){ size, addr };
		next = addr + gpu_buddy_block_size(&ndev->mm.buddy, block);
		size += gpu_buddy_block_size(&ndev->mm.buddy, block);
	}
	return 0;
}

/* Big pages where the host has them: fewer page-table entries, for us and for the device. */
static struct page *npu_bo_alloc_chunk(struct npu_bo *bo, u64 wanted, unsigned int *order)
{
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN;
	struct page *page;

	if (bo->flags & NPU_BO_CONTIGUOUS) {
		*order = get_order(bo->base.size);
		page = alloc_pages(gfp | __GFP_RETRY_MAYFAIL, *order);
		if (page && *order)
			split_page(page, *order);
		return page;
	}
	if (wanted >= (1ull << NPU_BIG_ORDER)) {
		*order = NPU_BIG_ORDER;
		page = alloc_pages(gfp | __GFP_NORETRY, *order);
		if (page) {
			split_page(page, *order);
			return page;
		}
	}
	*order = 0;
	/* An ioctl that fails is better than a process killed for memory. */
	return alloc_page(gfp | __GFP_RETRY_MAYFAIL);
}

static int npu_bo_fill_pages(struct npu_bo *bo)
{
	u64 n = bo->base.size >> PAGE_SHIFT;
	unsigned int order;
	struct page *page;
	u64 i = 0;

	while (i < n) {
		page = npu_bo_alloc_chunk(bo, n - i, &order);
		if (!page)
			return -ENOMEM;
		for (unsigned int k = 0; k < (1u << order); k++)
			bo->pages[i++] = page + k;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/*
 * Notes where the device finds the pieces of what is mapped for it.  They may be somebody
 * else's, who need not know what we take: whole pages, all of the buffer.
 */
int npu_bo_set_runs(struct npu_device *ndev, struct npu_bo *bo, struct sg_table *sgt)
{
	struct scatterlist *sg;
	u64 start = 0, next = 0;
	unsigned int i;

	bo->runs = kvcalloc(sgt->nents, sizeof(*bo->runs),
			    GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL);
	if (!bo->runs)
		return -ENOMEM;
	for_each_sgtable_dma_sg(sgt, sg, i) {
		u64 addr = sg_dma_address(sg);

		/* Bounce buffers would hide the device's stores from the process. */
		if (dma_need_sync(&ndev->pdev->dev, addr)) {
			drm_err_once(&ndev->drm, "host memory is not coherent with the device\n");
			return -EOPNOTSUPP;
		}
		if (!IS_ALIGNED(addr | sg_dma_len(sg), NPU_PAGE_SIZE))
			return -EINVAL;
		if (!bo->num_runs || addr != next)
			bo->runs[bo->num_runs++] = (struct npu_run){ start, addr };
		start += sg_dma_len(sg);
		next = addr + sg_dma_len(sg);
	}
	if (start < bo->base.size)
		return -EINVAL;
	return (bo->flags & NPU_BO_CONTIGUOUS) && bo->num_runs != 1 ? -ENOMEM : 0;
}

/* Lets the device reach the pages; on failure npu_bo_put_host() takes back what there is. */
int npu_bo_map_pages(struct npu_device *ndev, struct npu_bo *bo)
{
	int ret;

	ret = sg_alloc_table_from_pages(&bo->sgt, bo->pages, bo->base.size >> PAGE_SHIFT, 0,
					bo->base.size,
					GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_RETRY_MAYFAIL);
	if (ret)
		return ret;
	ret = dma_map_sgtable(&ndev->pdev->dev, &bo->sgt, npu_bo_direction(bo), NPU_DMA_ATTRS);
	if (ret)
		return ret == -EIO ? -ENOMEM : ret;
	bo->mapped = true;
	return npu_bo_set_runs(ndev, bo, &bo->sgt);
}

/* Takes host memory for a buffer; on failure npu_bo_put_host() gives back what there is. */
int npu_bo_get_host(struct npu_device *ndev, struct npu_bo *bo)
{
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_RETRY_MAYFAIL;
	u64 n = bo->base.size >> PAGE_SHIFT;
	int ret;

	/*
	 * A rough estimate, but asked for first: on the way to finding out by
	 * itself, this would take the last page from everybody else, and their
	 * next allocation would have a process killed.
	 */
	if ((s64)n > si_mem_available() || n > UINT_MAX)
		return -ENOMEM;
	/* Kept from a device that did not answer, which has been reset since. */
	npu_bo_put_host(ndev, bo);
	bo->pages = kvcalloc(n, sizeof(*bo->pages), gfp);
	if (!bo->pages)
		return -ENOMEM;
	ret = npu_bo_fill_pages(bo);
	return ret ? ret : npu_bo_map_pages(ndev, bo);
}

static struct npu_bo *npu_bo_alloc(struct npu_device *ndev, enum npu_bo_kind kind, u64 size,
				   u32 flags)
{
	struct npu_bo *bo = kzalloc(sizeof(*bo), GFP_KERNEL_ACCOUNT);

	if (!bo)
		return ERR_PTR(-ENOMEM);
	bo->kind = kind;
	bo->flags = flags;
	INIT_LIST_HEAD(&bo->blocks);
	INIT_LIST_HEAD(&bo->lru);
	bo->base.funcs = &npu_bo_funcs;
	drm_gem_private_object_init(&ndev->drm, &bo->base, size);

	mutex_lock(&ndev->bo_lock);
	list_add(&bo->node, &ndev->bo_list);
	mutex_unlock(&ndev->bo_lock);
	return bo;
}

/**
 * npu_bo_new() - make a buffer filled with zeros
 * @ndev: the device; the caller holds drm_dev_enter()
 * @kind: device or host memory
 * @size: bytes, whole pages, not 0; a power of two for NPU_BO_CONTIGUOUS
 * @flags: NPU_BO_*
 * @account: charged with it, or NULL
 *
 * Return: the buffer with one reference, or -ENOSPC, NPU_NO_ROOM, -ENOMEM, -EINTR, -EOPNOTSUPP.
 */
struct npu_bo *npu_bo_new(struct npu_device *ndev, enum npu_bo_kind kind, u64 size, u32 flags,
			  struct npu_account *account)
{
	struct npu_bo *bo = npu_bo_alloc(ndev, kind, size, flags);
	int ret = 0;

	if (IS_ERR(bo))
		return bo;
	if (account)
		ret = npu_bo_set_account(bo, account);
	if (!ret && kind == NPU_BO_KIND_DEVICE)
		ret = npu_bo_get_device(ndev, bo);
	else if (!ret)
		ret = npu_bo_get_host(ndev, bo);
	if (!ret)
		ret = drm_gem_create_mmap_offset(&bo->base);
	if (ret) {
		npu_bo_put(bo);
		return ERR_PTR(ret);
	}
	npu_bo_touch(bo);
	return bo;
}

/* A buffer for pages of a process, without its pages yet. */
struct npu_bo *npu_bo_new_user(struct npu_device *ndev, u64 size, u32 flags,
			       struct npu_account *account)
{
	struct npu_bo *bo = npu_bo_alloc(ndev, NPU_BO_KIND_USER, size, flags);

	/* Charged as locked memory: this says only whose it is, and cannot fail. */
	if (!IS_ERR(bo))
		npu_bo_set_account(bo, account);
	return bo;
}

/* A buffer of somebody else, without its addresses yet. */
struct npu_bo *npu_bo_new_import(struct npu_device *ndev, struct dma_buf *dma_buf)
{
	struct npu_bo *bo = npu_bo_alloc(ndev, NPU_BO_KIND_IMPORT, dma_buf->size, 0);
	int ret;

	if (IS_ERR(bo))
		return bo;
	bo->base.resv = dma_buf->resv;
	ret = drm_gem_create_mmap_offset(&bo->base);
	if (!ret)
		return bo;
	/* It has no attachment to end yet. */
	bo->kind = NPU_BO_KIND_HOST;
	bo->base.resv = &bo->base._resv;
	npu_bo_put(bo);
	return ERR_PTR(ret);
}

/* The doorbell page of @queue, as something to map. */
struct npu_bo *npu_bo_new_doorbell(struct npu_device *ndev, u32 queue)
{
	struct npu_bo *bo = npu_bo_alloc(ndev, NPU_BO_KIND_DOORBELL, PAGE_SIZE, NPU_BO_INTERNAL);
	int ret;

	if (IS_ERR(bo))
		return bo;
	bo->queue = queue;
	ret = drm_gem_create_mmap_offset(&bo->base);
	if (ret) {
		npu_bo_put(bo);
		return ERR_PTR(ret);
	}
	return bo;
}

/**
 * npu_bo_addr() - where the device finds a byte of a buffer
 * @bo: buffer in device or host memory
 * @offset: within the buffer
 * @len: out: bytes from there on that are contiguous
 *
 * Return: offset in device memory, or bus address.
 */
u64 npu_bo_addr(struct npu_bo *bo, u64 offset, u64 *len)
{
	u32 lo = 0, hi = bo->num_runs - 1;
	u64 end;

	while (lo < hi) {
		u32 mid = lo + (hi - lo + 1) / 2;

		if (bo->runs[mid].start <= offset)
			lo = mid;
		else
			hi = mid - 1;
	}
	end = lo + 1 < bo->num_runs ? bo->runs[lo + 1].start : bo->base.size;
	*len = end - offset;
	return bo->runs[lo].addr + (offset - bo->runs[lo].start);
}

/* The kernel's address of a byte of a host buffer; contiguous to the end of its page. */
void *npu_bo_host_ptr(struct npu_bo *bo, u64 offset)
{
	return page_address(bo->pages[offset >> PAGE_SHIFT]) + offset_in_page(offset);
}

/*
 * Reads an aligned 64-bit value.  For device memory the caller holds drm_dev_enter(), and
 * npu_recovery.lock for reading.
 */
u64 npu_bo_read64(struct npu_bo *bo, u64 offset)
{
	struct npu_device *ndev = to_npu_device(bo->base.dev);
	u64 len;

	if (npu_bo_in_host(bo))
		return READ_ONCE(*(u64 *)npu_bo_host_ptr(bo, offset));
	return readq(ndev->mem + npu_bo_addr(bo, offset, &len));
}

/* Lets @file map a buffer that has no handle. */
int npu_bo_share(struct npu_bo *bo, struct npu_file *file)
{
	return drm_vma_node_allow(&bo->base.vma_node, file->drm_file);
}

void npu_bo_unshare(struct npu_bo *bo, struct npu_file *file)
{
	drm_vma_node_revoke(&bo->base.vma_node, file->drm_file);
}

/* Takes a buffer's mappings away; touching them afterwards gives SIGBUS. */
void npu_bo_revoke(struct npu_bo *bo)
{
	dma_resv_lock(bo->base.resv, NULL);
	bo->revoked = true;
	dma_resv_unlock(bo->base.resv);
	drm_vma_node_unmap(&bo->base.vma_node, bo->base.dev->anon_inode->i_mapping);
}

/* Takes a buffer's mappings away for a short time; who touches them meanwhile waits. */
void npu_bo_block(struct npu_bo *bo, bool blocked)
{
	dma_resv_lock(bo->base.resv, NULL);
	bo->blocked = blocked;
	dma_resv_unlock(bo->base.resv);
	if (blocked)
		drm_vma_node_unmap(&bo->base.vma_node, bo->base.dev->anon_inode->i_mapping);
}

void npu_bo_put(struct npu_bo *bo)
{
	if (bo)
		drm_gem_object_put(&bo->base);
}

/* Imports, whose reservations come before bo_lock. */
static void npu_bo_unmap_imports(struct npu_device *ndev)
{
	struct npu_bo *bo, *found;

	do {
		found = NULL;
		mutex_lock(&ndev->bo_lock);
		list_for_each_entry(bo, &ndev->bo_list, node) {
			/* One that is just being freed does it itself, which is waited for. */
			if (bo->import_sgt && kref_get_unless_zero(&bo->base.refcount)) {
				found = bo;
				break;
			}
		}
		mutex_unlock(&ndev->bo_lock);
		if (found)
			npu_bo_unmap_import(found);
		npu_bo_put(found);
	} while (found);
	wait_var_event(&ndev->imports_mapped, !atomic_read(&ndev->imports_mapped));
}

/* Takes the DMA mappings of all buffers away: the device is leaving its driver. */
void npu_bo_unmap_dma_all(struct npu_device *ndev)
{
	struct npu_bo *bo;

	npu_bo_unmap_imports(ndev);
	mutex_lock(&ndev->bo_lock);
	list_for_each_entry(bo, &ndev->bo_list, node)
		npu_bo_unmap_dma(ndev, bo);
	mutex_unlock(&ndev->bo_lock);
}

/* After a reset: frees the buffers that a wedged device had kept. */
void npu_bo_reclaim(struct npu_device *ndev)
{
	struct npu_bo *bo, *next;
	LIST_HEAD(lost);

	mutex_lock(&ndev->bo_lock);
	list_splice_init(&ndev->lost_bos, &lost);
	mutex_unlock(&ndev->bo_lock);
	list_for_each_entry_safe(bo, next, &lost, node) {
		list_del(&bo->node);
		npu_bo_release(ndev, bo);
	}
}

static int npu_bo_check_create(struct npu_device *ndev, const struct drm_npu_bo_create *args)
{
	if (args->flags != DRM_NPU_BO_DEVICE && args->flags != DRM_NPU_BO_HOST) {
		drm_dbg(&ndev->drm, "bo_create: flags %#x: not exactly one of DEVICE and HOST\n",
			args->flags);
		return -EINVAL;
	}
	if (!args->size || args->size > ALIGN_DOWN((u64)S64_MAX, PAGE_SIZE)) {
		drm_dbg(&ndev->drm, "bo_create: size %#llx out of range\n", args->size);
		return -EINVAL;
	}
	return 0;
}

static int npu_bo_create(struct npu_file *file, enum npu_bo_kind kind, u64 size,
			 struct npu_bo **bo)
{
	struct npu_device *ndev = file->ndev;
	int idx, ret;

	ret = npu_enter(ndev, &idx);
	if (ret)
		return ret;
	ret = npu_ctx_check(npu_file_ctx(file));
	if (!ret) {
		*bo = npu_bo_new(ndev, kind, size, 0, file->account);
		ret = PTR_ERR_OR_ZERO(*bo);
	}
	npu_exit(ndev, idx);
	return ret;
}

int npu_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_device *ndev = to_npu_device(drm);
	struct npu_file *nfile = file->driver_priv;
	struct drm_npu_bo_create *args = data;
	enum npu_bo_kind kind;
	struct npu_bo *bo;
	u32 handle;
	u64 size;
	int ret;

	ret = npu_bo_check_create(ndev, args);
	if (ret)
		return ret;
	if (!npu_file_ctx(nfile)) {
		drm_dbg(drm, "bo_create: the file has no context\n");
		return -EINVAL;
	}
	size = PAGE_ALIGN(args->size);
	kind = args->flags == DRM_NPU_BO_DEVICE ? NPU_BO_KIND_DEVICE : NPU_BO_KIND_HOST;
	do {
		ret = npu_bo_create(nfile, kind, size, &bo);
	} while (npu_evict_retry(ndev, size, &ret));
	if (ret) {
		drm_dbg(drm, "bo_create: %llu bytes of %s memory: %d\n", size,
			kind == NPU_BO_KIND_DEVICE ? "device" : "host", ret);
		return ret;
	}

	ret = drm_gem_handle_create(file, &bo->base, &handle);
	/* The handle keeps it alive; somebody may have guessed and closed it by now. */
	npu_bo_put(bo);
	if (ret)
		return ret;
	args->handle = handle;
	args->size = size;
	return 0;
}

int npu_ioctl_bo_mmap(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_npu_bo_mmap *args = data;
	struct drm_gem_object *obj;
	int ret = 0;

	if (args->pad) {
		drm_dbg(drm, "bo_mmap: padding must be 0\n");
		return -EINVAL;
	}
	if (!npu_file_ctx(file->driver_priv)) {
		drm_dbg(drm, "bo_mmap: the file has no context\n");
		return -EINVAL;
	}
	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj) {
		drm_dbg(drm, "bo_mmap: no handle %u\n", args->handle);
		return -ENOENT;
	}
	if (to_npu_bo(obj)->kind == NPU_BO_KIND_USER) {
		drm_dbg(drm, "bo_mmap: the memory of a process is mapped where it is\n");
		ret = -EINVAL;
	} else {
		args->offset = drm_vma_node_offset_addr(&obj->vma_node);
	}
	drm_gem_object_put(obj);
	return ret;
}
