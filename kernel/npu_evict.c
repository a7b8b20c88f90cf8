// SPDX-License-Identifier: GPL-2.0
/*
 * More buffers than device memory.
 *
 * When an allocation finds no room, buffers that nothing in flight can reach are
 * moved to host memory, the least recently used first.  The device reaches them
 * there through the same addresses, so they are slower and nothing else; they
 * come back when room appears.
 *
 * Who moves buffers holds npu_recovery.lock for writing, so no ioctl is inside,
 * and has paused the device, so no doorbell can be rung: a context whose queues
 * are empty then stays idle.  What the buffers of a context in flight hold may
 * change at any moment, so these stay where they are, as do pinned ones.
 */
#include <linux/mm.h>
#include <linux/module.h>

#include "npu_ctx.h"
#include "npu_trace.h"

/* Frees come in groups; and how often it is looked for a busy context to become idle. */
#define NPU_RETURN_DELAY (HZ / 50)
#define NPU_RETURN_RETRY (HZ / 4)

static unsigned int oversubscription = 200;
module_param(oversubscription, uint, 0600);
MODULE_PARM_DESC(oversubscription,
		 "device memory that a process may allocate, in percent of what there is (100 or less: nothing is moved to host memory)");

/* Whether a file that has @have bytes of device memory may have @more. */
bool npu_evict_allows(struct npu_device *ndev, u64 have, u64 more)
{
	u64 limit = mul_u64_u32_div(ndev->mem_size, READ_ONCE(oversubscription), 100);

	/* With 100 percent the memory itself is the limit. */
	return READ_ONCE(oversubscription) <= 100 || (more <= limit && have <= limit - more);
}

static bool npu_bo_movable(struct npu_bo *bo)
{
	return bo->kind == NPU_BO_KIND_DEVICE && !(bo->flags & NPU_BO_INTERNAL);
}

/* A new buffer, or one that has just been used. */
void npu_bo_touch(struct npu_bo *bo)
{
	struct npu_device *ndev = to_npu_device(bo->base.dev);

	if (!npu_bo_movable(bo))
		return;
	mutex_lock(&ndev->bo_lock);
	list_move_tail(&bo->lru, bo->evicted ? &ndev->evict.out : &ndev->evict.lru);
	mutex_unlock(&ndev->bo_lock);
}

static bool npu_queue_in_slot(struct npu_queue *queue)
{
	struct npu_device *ndev = queue->ctx->ndev;
	u32 slot, state;

	for (u32 i = 0; i < ndev->num_slots; i++) {
		slot = NPU_SLOT_OFFSET + i * NPU_SLOT_STRIDE;
		if (npu_read(ndev, slot + NPU_SLOT_QUEUE) != queue->id + 1)
			continue;
		state = npu_read(ndev, slot + NPU_SLOT_STATE);
		return state == NPU_SLOT_RUNNING || state == NPU_SLOT_DRAINING;
	}
	return false;
}

static bool npu_queue_in_flight(struct npu_queue *queue)
{
	if (queue->parked)
		return false;
	/* Only an ioctl lets it go on; but its other blocks may still run. */
	if (npu_queue_is_faulted(queue))
		return npu_queue_in_slot(queue);
	return READ_ONCE(npu_queue_status(queue)->rptr) != npu_queue_doorbell(queue);
}

/* Notes which contexts have work in flight; valid as long as the device is paused. */
static void npu_evict_look(struct npu_device *ndev)
{
	struct npu_queue *queue;
	struct npu_ctx *ctx;
	unsigned long id;

	mutex_lock(&ndev->open_lock);
	list_for_each_entry(ctx, &ndev->ctx_list, node) {
		ctx->in_flight = false;
		xa_for_each(&ctx->queues, id, queue)
			if (npu_queue_in_flight(queue))
				ctx->in_flight = true;
	}
	mutex_unlock(&ndev->open_lock);
}

/* With the buffer's reservation held. */
static bool npu_bo_still(struct npu_bo *bo)
{
	struct drm_gpuvm_bo *vm_bo;

	if (bo->pins || bo->revoked)
		return false;
	drm_gem_for_each_gpuvm_bo(vm_bo, &bo->base)
		if (container_of(vm_bo->vm, struct npu_vm, base)->ctx->in_flight)
			return false;
	return true;
}

static void npu_bo_copy(struct npu_device *ndev, struct npu_bo *bo, const struct npu_run *runs,
			u32 num_runs, bool out)
{
	u64 size = bo->base.size;

	for (u32 i = 0; i < num_runs; i++) {
		u64 end = i + 1 < num_runs ? runs[i + 1].start : size;

		for (u64 at = runs[i].start; at < end; at += PAGE_SIZE) {
			void __iomem *device = ndev->mem + runs[i].addr + (at - runs[i].start);
			void *host = page_address(bo->pages[at >> PAGE_SHIFT]);

			if (out)
				memcpy_fromio(host, device, PAGE_SIZE);
			else
				memcpy_toio(device, host, PAGE_SIZE);
			cond_resched();
		}
	}
	/* In memory before the new translations are. */
	wmb();
}

/* It has moved. */
static void npu_bo_count_move(struct npu_device *ndev, struct npu_bo *bo)
{
	s64 bytes = bo->evicted ? bo->base.size : -(s64)bo->base.size;

	npu_bo_touch(bo);
	atomic64_add(bytes, &ndev->evict.bytes);
	atomic64_inc(bo->evicted ? &ndev->evict.evictions : &ndev->evict.returns);
	if (bo->account)
		atomic64_add(bytes, &bo->account->evicted_bytes);
}

/* How a move fails for whoever is not to know that there is more to move. */
static int npu_move_error(int ret)
{
	return ret == NPU_NO_ROOM ? -ENOSPC : ret;
}

/*
 * Moves a buffer to host memory.  The reservation is held, and nothing is in
 * flight that reaches it.  -ENOMEM, -ENOSPC: it stays where it is.
 */
static int npu_bo_move_out(struct npu_device *ndev, struct npu_bo *bo)
{
	struct npu_run *runs = bo->runs;
	u32 num_runs = bo->num_runs;
	int ret;

	bo->runs = NULL;
	bo->num_runs = 0;
	ret = npu_bo_get_host(ndev, bo);
	bo->evicted = true;
	if (!ret)
		ret = npu_vm_prepare_move(bo);
	if (ret) {
		bo->evicted = false;
		npu_bo_put_host(ndev, bo);
		kvfree(bo->runs);
		bo->runs = runs;
		bo->num_runs = num_runs;
		return npu_move_error(ret);
	}
	drm_vma_node_unmap(&bo->base.vma_node, ndev->drm.anon_inode->i_mapping);
	npu_bo_copy(ndev, bo, runs, num_runs, true);
	npu_vm_finish_move(bo);
	/* A device that did not answer keeps what it might still use. */
	npu_mm_free(ndev, &bo->blocks);
	kvfree(runs);
	npu_bo_count_move(ndev, bo);
	return 0;
}

/* And back.  -ENOSPC, -ENOMEM: it stays where it is. */
static int npu_bo_move_in(struct npu_device *ndev, struct npu_bo *bo)
{
	struct npu_run *runs = bo->runs;
	u32 num_runs = bo->num_runs;
	int ret;

	bo->runs = NULL;
	bo->num_runs = 0;
	ret = npu_bo_get_device(ndev, bo);
	bo->evicted = false;
	if (!ret)
		ret = npu_vm_prepare_move(bo);
	if (ret) {
		bo->evicted = true;
		npu_mm_free(ndev, &bo->blocks);
		kvfree(bo->runs);
		bo->runs = runs;
		bo->num_runs = num_runs;
		return npu_move_error(ret);
	}
	drm_vma_node_unmap(&bo->base.vma_node, ndev->drm.anon_inode->i_mapping);
	npu_bo_copy(ndev, bo, bo->runs, bo->num_runs, false);
	npu_vm_finish_move(bo);
	kvfree(runs);
	/* A device that did not answer may still use the pages: then they go with the buffer. */
	if (!npu_is_wedged(ndev))
		npu_bo_put_host(ndev, bo);
	npu_bo_count_move(ndev, bo);
	return 0;
}

static bool npu_evict_has_room(struct npu_device *ndev, u64 bytes)
{
	return npu_mm_room(ndev) >= (s64)bytes;
}

/*
 * The buffer at the head of @list, with a reference, moved to the tail; NULL
 * when there is none.  One that is just being freed is passed over.
 */
static struct npu_bo *npu_evict_next(struct npu_device *ndev, struct list_head *list)
{
	struct npu_bo *bo = NULL;

	mutex_lock(&ndev->bo_lock);
	if (!list_empty(list)) {
		bo = list_first_entry(list, struct npu_bo, lru);
		list_move_tail(&bo->lru, list);
		if (!kref_get_unless_zero(&bo->base.refcount))
			bo = ERR_PTR(-ENOENT);
	}
	mutex_unlock(&ndev->bo_lock);
	return bo;
}

static u32 npu_evict_count(struct npu_device *ndev, struct list_head *list)
{
	u32 n;

	mutex_lock(&ndev->bo_lock);
	n = list_count_nodes(list);
	mutex_unlock(&ndev->bo_lock);
	return n;
}

/* Bytes that could be had; nothing is moved when they are not enough. */
static s64 npu_evict_possible(struct npu_device *ndev)
{
	s64 bytes = npu_mm_room(ndev);
	struct npu_bo *bo;

	for (u32 n = npu_evict_count(ndev, &ndev->evict.lru); n; n--) {
		bo = npu_evict_next(ndev, &ndev->evict.lru);
		if (IS_ERR_OR_NULL(bo))
			continue;
		dma_resv_lock(bo->base.resv, NULL);
		if (npu_bo_still(bo))
			bytes += bo->base.size;
		dma_resv_unlock(bo->base.resv);
		npu_bo_put(bo);
	}
	return bytes;
}

static int npu_evict_one(struct npu_device *ndev, struct npu_bo *bo)
{
	int ret = -EBUSY;

	dma_resv_lock(bo->base.resv, NULL);
	if (!bo->evicted && npu_bo_still(bo)) {
		ret = npu_bo_move_out(ndev, bo);
		trace_npu_evict(ndev, bo->base.size, true, ret);
	}
	dma_resv_unlock(bo->base.resv);
	return ret;
}

/* Moves idle buffers out until @bytes are free, and at least one. */
static int npu_evict_until(struct npu_device *ndev, u64 bytes)
{
	int ret, why = -ENOSPC;
	struct npu_bo *bo;
	bool any = false;

	if (npu_evict_possible(ndev) < (s64)bytes)
		return -ENOSPC;
	for (u32 n = npu_evict_count(ndev, &ndev->evict.lru); n; n--) {
		if (any && npu_evict_has_room(ndev, bytes))
			break;
		bo = npu_evict_next(ndev, &ndev->evict.lru);
		if (IS_ERR_OR_NULL(bo))
			continue;
		ret = npu_check_alive(ndev);
		if (!ret)
			ret = npu_evict_one(ndev, bo);
		npu_bo_put(bo);
		if (!ret)
			any = true;
		else if (ret != -EBUSY && ret != -ENOSPC)
			why = ret;
		if (ret == -ENOMEM || fatal_signal_pending(current))
			break;
	}
	return any ? 0 : why;
}

/* Begins to move buffers: nobody else is inside, and nothing that is idle will run. */
static int npu_evict_begin(struct npu_device *ndev, int *idx)
{
	int ret;

	if (!drm_dev_enter(&ndev->drm, idx))
		return -ENODEV;
	if (down_write_killable(&ndev->recovery.lock)) {
		drm_dev_exit(*idx);
		return -EINTR;
	}
	ret = npu_check_alive(ndev);
	if (ret) {
		up_write(&ndev->recovery.lock);
		drm_dev_exit(*idx);
		return ret;
	}
	npu_pause(ndev);
	npu_mm_set_moving(ndev, true);
	npu_evict_look(ndev);
	return 0;
}

static void npu_evict_end(struct npu_device *ndev, int idx)
{
	npu_mm_set_moving(ndev, false);
	npu_unpause(ndev);
	npu_recovery_unlock(ndev);
	drm_dev_exit(idx);
}

static int npu_evict_make_room(struct npu_device *ndev, u64 bytes)
{
	int idx, ret;

	if (READ_ONCE(oversubscription) <= 100 || bytes > ndev->mem_size)
		return -ENOSPC;
	ret = npu_evict_begin(ndev, &idx);
	if (ret)
		return ret;
	ret = npu_evict_until(ndev, bytes);
	npu_evict_end(ndev, idx);
	return ret;
}

/**
 * npu_evict_retry() - whether to try again what found no device memory
 * @ndev: the device; the caller holds nothing of it, not even npu_enter()
 * @bytes: that are needed
 * @ret: in: how it failed; out: how it fails for good: -ENOSPC when nothing can move
 *
 * Return: true when something has been moved out of the way.
 */
bool npu_evict_retry(struct npu_device *ndev, u64 bytes, int *ret)
{
	if (*ret != NPU_NO_ROOM)
		return false;
	*ret = npu_evict_make_room(ndev, bytes);
	return !*ret;
}

/**
 * npu_evict_to_host() - move one buffer to host memory, where every device can reach it, and pin it
 * @bo: buffer in device memory
 *
 * Return: 0, also when it is there already; -EBUSY when it is pinned to
 * device memory or work is in flight that may use it; -ENOMEM, -ENODEV, -EINTR.
 */
int npu_evict_to_host(struct npu_bo *bo)
{
	struct npu_device *ndev = to_npu_device(bo->base.dev);
	int idx, ret;

	ret = npu_evict_begin(ndev, &idx);
	if (ret)
		return ret;
	dma_resv_lock(bo->base.resv, NULL);
	if (!bo->evicted)
		ret = npu_bo_still(bo) ? npu_bo_move_out(ndev, bo) : -EBUSY;
	if (!ret)
		bo->pins++;
	dma_resv_unlock(bo->base.resv);
	npu_evict_end(ndev, idx);
	return ret;
}

static int npu_return_one(struct npu_device *ndev, struct npu_bo *bo)
{
	int ret = -EBUSY;

	dma_resv_lock(bo->base.resv, NULL);
	if (bo->evicted && npu_bo_still(bo)) {
		ret = npu_bo_move_in(ndev, bo);
		trace_npu_evict(ndev, bo->base.size, false, ret);
	}
	dma_resv_unlock(bo->base.resv);
	return ret;
}

/* Brings back what fits.  True when something would fit that is in use. */
static bool npu_return_some(struct npu_device *ndev)
{
	bool again = false;
	struct npu_bo *bo;
	int ret;

	for (u32 n = npu_evict_count(ndev, &ndev->evict.out); n; n--) {
		bo = npu_evict_next(ndev, &ndev->evict.out);
		if (IS_ERR_OR_NULL(bo))
			continue;
		ret = -ENOSPC;
		if (!npu_check_alive(ndev) && npu_evict_has_room(ndev, bo->base.size))
			ret = npu_return_one(ndev, bo);
		npu_bo_put(bo);
		again |= ret == -EBUSY;
	}
	return again;
}

static bool npu_return_possible(struct npu_device *ndev)
{
	s64 room = npu_mm_room(ndev);
	struct npu_bo *bo;
	bool any = false;

	mutex_lock(&ndev->bo_lock);
	list_for_each_entry(bo, &ndev->evict.out, lru)
		any |= (s64)bo->base.size <= room;
	mutex_unlock(&ndev->bo_lock);
	return any;
}

static void npu_return_work(struct work_struct *work)
{
	struct npu_device *ndev = container_of(to_delayed_work(work), struct npu_device,
					       evict.work);
	bool again;
	int idx;

	/* Others are not held up for nothing. */
	if (!npu_return_possible(ndev) || npu_evict_begin(ndev, &idx))
		return;
	again = npu_return_some(ndev);
	npu_evict_end(ndev, idx);
	if (again)
		queue_delayed_work(system_unbound_wq, &ndev->evict.work, NPU_RETURN_RETRY);
}

/* There is room, or somebody wants a buffer near: bring back what is out.  Any context. */
void npu_evict_kick(struct npu_device *ndev)
{
	if (atomic64_read(&ndev->evict.bytes) && !READ_ONCE(ndev->gone))
		queue_delayed_work(system_unbound_wq, &ndev->evict.work, NPU_RETURN_DELAY);
}

/* A buffer ends. */
void npu_evict_forget(struct npu_device *ndev, struct npu_bo *bo)
{
	lockdep_assert_held(&ndev->bo_lock);
	list_del_init(&bo->lru);
	if (!bo->evicted)
		return;
	atomic64_sub(bo->base.size, &ndev->evict.bytes);
	if (bo->account)
		atomic64_sub(bo->base.size, &bo->account->evicted_bytes);
}

void npu_evict_init(struct npu_device *ndev)
{
	INIT_LIST_HEAD(&ndev->evict.lru);
	INIT_LIST_HEAD(&ndev->evict.out);
	INIT_DELAYED_WORK(&ndev->evict.work, npu_return_work);
}

/* For good: whoever frees memory meanwhile may not have seen yet that the device goes. */
void npu_evict_stop(struct npu_device *ndev)
{
	disable_delayed_work_sync(&ndev->evict.work);
}
