// SPDX-License-Identifier: GPL-2.0
/*
 * Device memory while the device cannot keep it: sleep, and resets that clear it.
 *
 * npu_bo_evict_all() copies everything that is allocated, tables and rings
 * included, and npu_bo_restore_all() writes it back to the same places, so that
 * every address stays good.  From the one to the other npu_recovery.lock is
 * held for writing and the device is paused, so nobody sees or changes it.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>

#include "npu_bo.h"

static void npu_mm_drop_saved(struct npu_mm *mm)
{
	struct page *page;
	unsigned long i;

	xa_for_each(&mm->saved, i, page)
		__free_page(page);
	xa_destroy(&mm->saved);
}

/* Keeps one page of device memory; pages of zeros, of which there are many, are not kept. */
static int npu_mm_save_page(struct npu_device *ndev, unsigned long number, struct page **spare)
{
	struct page *page = *spare;
	int ret;

	if (!page)
		page = alloc_page(GFP_KERNEL | __GFP_NOWARN | __GFP_RETRY_MAYFAIL);
	*spare = page;
	if (!page)
		return -ENOMEM;
	memcpy_fromio(page_address(page), ndev->mem + ((u64)number << PAGE_SHIFT), PAGE_SIZE);
	if (!memchr_inv(page_address(page), 0, PAGE_SIZE))
		return 0;
	ret = xa_err(xa_store(&ndev->mm.saved, number, page, GFP_KERNEL));
	if (!ret)
		*spare = NULL;
	return ret;
}

/**
 * npu_bo_evict_all() - copy all allocated device memory to the host
 * @ndev: the device, with memory that can be read; no engine runs, npu_pause() has been called,
 *        and npu_recovery.lock is held for writing from here to npu_bo_restore_all()
 *
 * Buffers, rings, bounds tables, page tables, mailbox and descriptor tables: all
 * that is allocated now.
 *
 * Return: 0, -EBUSY when it has been copied already, or -ENOMEM.
 */
int npu_bo_evict_all(struct npu_device *ndev)
{
	struct npu_mm *mm = &ndev->mm;
	struct page *spare = NULL;
	unsigned long number;
	int ret = 0;

	lockdep_assert_held_write(&ndev->recovery.lock);
	if (mm->evicted)
		return -EBUSY;
	mutex_lock(&mm->lock);
	bitmap_copy(mm->kept, mm->used, ndev->mem_size >> PAGE_SHIFT);
	mutex_unlock(&mm->lock);
	for_each_set_bit(number, mm->kept, ndev->mem_size >> PAGE_SHIFT) {
		ret = npu_mm_save_page(ndev, number, &spare);
		if (ret)
			break;
		cond_resched();
	}
	if (spare)
		__free_page(spare);
	if (ret)
		npu_mm_drop_saved(mm);
	mm->evicted = !ret;
	return ret;
}

/**
 * npu_bo_restore_all() - write back what npu_bo_evict_all() has copied
 * @ndev: the device, as in npu_bo_evict_all(); its memory can be written again
 *
 * A page that has been freed in between is left alone, also when somebody else
 * has it now; what has been allocated in between is left alone as well.
 *
 * Return: 0; -ENODEV when the device has gone, and the copy is dropped; -EINVAL when there is
 * none.
 */
int npu_bo_restore_all(struct npu_device *ndev)
{
	struct npu_mm *mm = &ndev->mm;
	unsigned long number;
	struct page *page;
	int ret = 0;

	lockdep_assert_held_write(&ndev->recovery.lock);
	if (!mm->evicted)
		return -EINVAL;
	if (READ_ONCE(ndev->gone) || pci_dev_is_disconnected(ndev->pdev))
		ret = -ENODEV;
	mutex_lock(&mm->lock);
	for_each_set_bit(number, mm->kept, ndev->mem_size >> PAGE_SHIFT) {
		void __iomem *place = ndev->mem + ((u64)number << PAGE_SHIFT);

		if (ret)
			break;
		page = xa_load(&mm->saved, number);
		if (page)
			memcpy_toio(place, page_address(page), PAGE_SIZE);
		else
			memset_io(place, 0, PAGE_SIZE);
		cond_resched();
	}
	/* Out of the write-combining buffers before the device is told of anything. */
	wmb();
	bitmap_zero(mm->kept, ndev->mem_size >> PAGE_SHIFT);
	mutex_unlock(&mm->lock);
	npu_mm_drop_saved(mm);
	mm->evicted = false;
	return ret;
}

/* For tests: what a device that lost its memory might show.  After npu_bo_evict_all() only. */
void npu_mm_spoil(struct npu_device *ndev)
{
	unsigned long number;

	for_each_set_bit(number, ndev->mm.kept, ndev->mem_size >> PAGE_SHIFT)
		memset_io(ndev->mem + ((u64)number << PAGE_SHIFT), 0x5a, PAGE_SIZE);
	/* Out of the write-combining buffers before anybody looks. */
	wmb();
}

int npu_save_init(struct npu_device *ndev)
{
	struct npu_mm *mm = &ndev->mm;
	unsigned long pages = ndev->mem_size >> PAGE_SHIFT;

	xa_init(&mm->saved);
	mm->used = bitmap_zalloc(pages, GFP_KERNEL);
	mm->kept = bitmap_zalloc(pages, GFP_KERNEL);
	if (mm->used && mm->kept)
		return 0;
	npu_save_fini(ndev);
	return -ENOMEM;
}

void npu_save_fini(struct npu_device *ndev)
{
	npu_mm_drop_saved(&ndev->mm);
	bitmap_free(ndev->mm.kept);
	bitmap_free(ndev->mm.used);
}
