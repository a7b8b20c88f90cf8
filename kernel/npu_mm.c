// SPDX-License-Identifier: GPL-2.0
/* Device memory: a buddy allocator over BAR2.  What it hands out is cleared. */
#include <linux/log2.h>

#include <drm/drm_managed.h>

#include "npu_drv.h"

/* Offset 0 means "none" in descriptors, so it is never handed out. */
#define NPU_MM_RESERVED SZ_64K

static void npu_mm_set_used(struct npu_device *ndev, struct list_head *blocks, bool used)
{
	struct gpu_buddy_block *block;
	unsigned long first, n;

	list_for_each_entry(block, blocks, link) {
		first = gpu_buddy_block_offset(block) >> PAGE_SHIFT;
		n = gpu_buddy_block_size(&ndev->mm.buddy, block) >> PAGE_SHIFT;
		if (used) {
			bitmap_set(ndev->mm.used, first, n);
		} else {
			bitmap_clear(ndev->mm.used, first, n);
			/* What was frozen is not for the next owner. */
			bitmap_clear(ndev->mm.kept, first, n);
		}
	}
}

static void npu_mm_fini(struct drm_device *drm, void *data)
{
	struct npu_device *ndev = to_npu_device(drm);

	npu_mm_reclaim(ndev);
	gpu_buddy_free_list(&ndev->mm.buddy, &ndev->mm.reserved, 0);
	gpu_buddy_fini(&ndev->mm.buddy);
	npu_save_fini(ndev);
	mutex_destroy(&ndev->mm.lock);
}

int npu_mm_init(struct npu_device *ndev)
{
	struct npu_mm *mm = &ndev->mm;
	LIST_HEAD(reserved);
	int ret;

	mutex_init(&mm->lock);
	INIT_LIST_HEAD(&mm->lost);
	INIT_LIST_HEAD(&mm->reserved);
	ret = npu_save_init(ndev);
	if (ret)
		return ret;
	ret = gpu_buddy_init(&mm->buddy, ndev->mem_size, NPU_PAGE_SIZE);
	if (ret) {
		npu_save_fini(ndev);
		return ret;
	}
	mm->avail = ndev->mem_size;

	ret = gpu_buddy_alloc_blocks(&mm->buddy, 0, NPU_MM_RESERVED, NPU_MM_RESERVED,
				     NPU_PAGE_SIZE, &reserved, GPU_BUDDY_RANGE_ALLOCATION);
	if (ret) {
		gpu_buddy_fini(&mm->buddy);
		npu_save_fini(ndev);
		return ret;
	}
	mm->avail -= NPU_MM_RESERVED;
	/* Kept over a sleep with everything else: npu_pm.c has its mark there. */
	npu_mm_set_used(ndev, &reserved, true);
	list_splice(&reserved, &mm->reserved);
	return drmm_add_action_or_reset(&ndev->drm, npu_mm_fini, NULL);
}

static u64 npu_mm_blocks_size(struct npu_device *ndev, struct list_head *blocks)
{
	struct gpu_buddy_block *block;
	u64 size = 0;

	list_for_each_entry(block, blocks, link)
		size += gpu_buddy_block_size(&ndev->mm.buddy, block);
	return size;
}

static void npu_mm_clear(struct npu_device *ndev, struct list_head *blocks)
{
	struct gpu_buddy_block *block;

	list_for_each_entry(block, blocks, link) {
		memset_io(ndev->mem + gpu_buddy_block_offset(block), 0,
			  gpu_buddy_block_size(&ndev->mm.buddy, block));
		cond_resched();
	}
	/* The device may look at it as soon as somebody names it. */
	wmb();
}

/*
 * A buffer that moves to host memory may need small pages where it had big ones,
 * just when there is no room: tables for all of device memory are kept back.
 */
static u64 npu_mm_reserve(struct npu_mm *mm)
{
	return mm->buddy.size / NPU_PT_ENTRIES + SZ_64K;
}

void npu_mm_set_moving(struct npu_device *ndev, bool moving)
{
	mutex_lock(&ndev->mm.lock);
	ndev->mm.moving = moving;
	mutex_unlock(&ndev->mm.lock);
}

/**
 * npu_mm_alloc() - allocate cleared device memory
 * @ndev: the device; the caller holds drm_dev_enter()
 * @size: bytes, whole pages; a power of two when @contiguous
 * @contiguous: in one piece
 * @blocks: out: list of struct gpu_buddy_block
 *
 * Return: 0, -ENOSPC when there can never be so much, NPU_NO_ROOM when there is not enough now,
 * -ENOMEM.
 */
int npu_mm_alloc(struct npu_device *ndev, u64 size, bool contiguous, struct list_head *blocks)
{
	struct npu_mm *mm = &ndev->mm;
	int ret;

	if (!size || size > mm->buddy.size)
		return -ENOSPC;

	mutex_lock(&mm->lock);
	/* Asked for here, because the allocator does work, and undoes it, before it finds out. */
	if (size + (mm->moving ? 0 : npu_mm_reserve(mm)) > mm->avail)
		ret = -ENOSPC;
	else
		ret = gpu_buddy_alloc_blocks(&mm->buddy, 0, mm->buddy.size, size,
					     contiguous ? size : NPU_PAGE_SIZE, blocks,
					     contiguous ? GPU_BUDDY_CONTIGUOUS_ALLOCATION : 0);
	if (!ret) {
		mm->avail -= npu_mm_blocks_size(ndev, blocks);
		npu_mm_set_used(ndev, blocks, true);
	}
	mutex_unlock(&mm->lock);

	if (!ret)
		npu_mm_clear(ndev, blocks);
	return ret == -ENOSPC ? NPU_NO_ROOM : ret;
}

/**
 * npu_mm_free() - give device memory back
 * @ndev: the device
 * @blocks: from npu_mm_alloc(); empty afterwards
 *
 * A wedged device may still write to it, so then it is kept until the device has been reset.
 */
void npu_mm_free(struct npu_device *ndev, struct list_head *blocks)
{
	struct npu_mm *mm = &ndev->mm;
	bool kick = false;

	if (list_empty(blocks))
		return;
	mutex_lock(&mm->lock);
	if (npu_is_wedged(ndev)) {
		list_splice_tail_init(blocks, &mm->lost);
	} else {
		mm->avail += npu_mm_blocks_size(ndev, blocks);
		npu_mm_set_used(ndev, blocks, false);
		gpu_buddy_free_list(&mm->buddy, blocks, 0);
		kick = !mm->moving;
	}
	mutex_unlock(&mm->lock);
	if (kick)
		npu_evict_kick(ndev);
}

/* After a reset no engine runs: what was kept from a wedged device is free. */
void npu_mm_reclaim(struct npu_device *ndev)
{
	struct npu_mm *mm = &ndev->mm;

	mutex_lock(&mm->lock);
	mm->avail += npu_mm_blocks_size(ndev, &mm->lost);
	npu_mm_set_used(ndev, &mm->lost, false);
	gpu_buddy_free_list(&mm->buddy, &mm->lost, 0);
	mutex_unlock(&mm->lock);
}

/*
 * Bytes that can be allocated without what is kept back; negative when tables have taken of
 * that, so that so much must go before anything can be allocated.
 */
s64 npu_mm_room(struct npu_device *ndev)
{
	s64 room;

	mutex_lock(&ndev->mm.lock);
	room = ndev->mm.avail - npu_mm_reserve(&ndev->mm);
	mutex_unlock(&ndev->mm.lock);
	return room;
}

/* Bytes that can be allocated. */
u64 npu_mm_avail(struct npu_device *ndev)
{
	return max_t(s64, npu_mm_room(ndev), 0);
}

/* Allocates a cleared, contiguous table of at least @size bytes. */
int npu_mem_alloc(struct npu_device *ndev, struct npu_mem *mem, u64 size)
{
	struct gpu_buddy_block *block;
	int ret;

	INIT_LIST_HEAD(&mem->blocks);
	size = roundup_pow_of_two(max_t(u64, size, NPU_PAGE_SIZE));
	ret = npu_mm_alloc(ndev, size, true, &mem->blocks);
	if (ret)
		return ret;
	block = list_first_entry(&mem->blocks, struct gpu_buddy_block, link);
	mem->addr = gpu_buddy_block_offset(block);
	mem->size = size;
	return 0;
}

void npu_mem_free(struct npu_device *ndev, struct npu_mem *mem)
{
	if (!mem->size)
		return;
	npu_mm_free(ndev, &mem->blocks);
	mem->size = 0;
}
