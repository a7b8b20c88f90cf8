// SPDX-License-Identifier: GPL-2.0
/*
 * What a reset takes away and how it comes back: contexts and queues.
 *
 * Ring, status page, bounds table and page tables are memory, which stays.  The
 * device itself knows a queue's two indices and perhaps a packet in the middle.
 * So before a reset every queue is stopped behind a packet, if the firmware still
 * answers, and afterwards it is made again with its two indices.  A queue that
 * could not be stopped there has lost its packet: it stands faulted, with
 * NPU_FAULT_TIMEOUT if the reset was its fault and NPU_FAULT_RESET if not, and
 * can be resumed as after any other fault.
 */
#include <linux/iopoll.h>

#include "npu_ctx.h"
#include "npu_trace.h"

#define NPU_DRAIN_US (500 * USEC_PER_MSEC)
#define NPU_SUSPEND_BUDGET_MS 3000 /* for all queues together */

typedef int (*npu_queue_fn)(struct npu_queue *queue, void *arg);

/* Calls @fn for all queues there are until it fails; nobody makes or ends one meanwhile. */
static int npu_each_queue(struct npu_device *ndev, npu_queue_fn fn, void *arg)
{
	struct npu_queue *queue;
	struct npu_ctx *ctx;
	unsigned long id;
	int ret = 0;

	lockdep_assert_held_write(&ndev->recovery.lock);
	mutex_lock(&ndev->open_lock);
	list_for_each_entry(ctx, &ndev->ctx_list, node) {
		xa_for_each(&ctx->queues, id, queue) {
			ret = fn(queue, arg);
			if (ret)
				goto out;
		}
	}
out:
	mutex_unlock(&ndev->open_lock);
	return ret;
}

bool npu_have_contexts(struct npu_device *ndev)
{
	return atomic_read(&ndev->num_open) > 0;
}

static bool npu_queue_guilty(struct npu_queue *queue)
{
	return atomic_read(&queue->ctx->ndev->recovery.guilty) == queue->id + 1;
}

/* Asks the firmware to stop a queue behind a packet. */
static int npu_quiesce_suspend(struct npu_queue *queue, void *arg)
{
	struct npu_device *ndev = queue->ctx->ndev;
	ktime_t *until = arg;

	/* One that a reset before this could not bring back stands where it stood then. */
	if (!npu_queue_is_known(queue))
		return 0;
	queue->clean = false;
	if (queue->parked || npu_queue_guilty(queue) || npu_queue_is_faulted(queue) ||
	    ktime_after(ktime_get(), *until))
		return 0;
	/* A firmware that stops answering here sets the failed bit, and no queue is asked again. */
	if (npu_check_alive(ndev) || !READ_ONCE(ndev->fw_ready))
		return 0;
	queue->clean = !npu_mbox_call2(ndev, NPU_ADMIN_QUEUE_SUSPEND, queue->id,
				       NPU_SUSPEND_PACKET);
	return 0;
}

static u32 npu_slot_read(struct npu_device *ndev, u32 slot, u32 reg)
{
	return npu_read(ndev, NPU_SLOT_OFFSET + slot * NPU_SLOT_STRIDE + reg);
}

static bool npu_slots_quiet(struct npu_device *ndev)
{
	for (u32 i = 0; i < ndev->num_slots; i++) {
		u32 state = npu_slot_read(ndev, i, NPU_SLOT_STATE);

		if (state == NPU_SLOT_RUNNING || state == NPU_SLOT_DRAINING)
			return false;
	}
	return true;
}

/* Without firmware the slots still run.  No doorbell can be rung now, so most come to an end. */
static void npu_quiesce_drain(struct npu_device *ndev)
{
	bool quiet;

	readx_poll_timeout(npu_slots_quiet, ndev, quiet, quiet, 1000, NPU_DRAIN_US);
}

/* Behind a packet, as the hardware shows it?  Only asked when the firmware could not stop it. */
static bool npu_queue_between_packets(struct npu_queue *queue)
{
	struct npu_device *ndev = queue->ctx->ndev;
	u32 state;

	for (u32 i = 0; i < ndev->num_slots; i++) {
		if (npu_slot_read(ndev, i, NPU_SLOT_QUEUE) != queue->id + 1)
			continue;
		state = npu_slot_read(ndev, i, NPU_SLOT_STATE);
		return state == NPU_SLOT_IDLE || state == NPU_SLOT_WAITING;
	}
	/* The firmware may have put it aside in the middle of a launch. */
	return queue->rptr == queue->wptr;
}

static int npu_quiesce_indices(struct npu_queue *queue, void *arg)
{
	struct npu_device *ndev = queue->ctx->ndev;
	bool *present = arg;

	if (!npu_queue_is_known(queue))
		return 0;
	queue->rptr = READ_ONCE(npu_queue_status(queue)->rptr);
	queue->unheard = !*present;
	if (queue->unheard)
		return 0;
	queue->wptr = npu_queue_doorbell(queue);
	if (!queue->clean && !queue->parked && !npu_queue_guilty(queue) && npu_is_wedged(ndev))
		queue->clean = npu_queue_between_packets(queue);
	return 0;
}

/**
 * npu_quiesce() - stop all queues and note where they stand
 * @ndev: the device; about to be reset by the caller
 *
 * From here on nothing of it is mapped in any process, until npu_unpause().
 */
void npu_quiesce(struct npu_device *ndev)
{
	ktime_t until = ktime_add_ms(ktime_get(), NPU_SUSPEND_BUDGET_MS);
	bool present;

	npu_pause(ndev);
	npu_each_queue(ndev, npu_quiesce_suspend, &until);
	present = npu_read(ndev, NPU_REG_MAGIC) == NPU_MAGIC;
	if (present && npu_is_wedged(ndev))
		npu_quiesce_drain(ndev);
	npu_each_queue(ndev, npu_quiesce_indices, &present);
}

/* A record as the device writes them; it does not run now. */
static u64 npu_ctx_write_record(struct npu_queue *queue, u32 kind)
{
	struct npu_ctx *ctx = queue->ctx;
	struct npu_fault_ring *ring = npu_bo_host_ptr(ctx->faults, 0);
	u64 written = READ_ONCE(ring->written);
	struct npu_fault_record *record;
	u64 slot = written & (ctx->desc.fault_entries - 1);

	if (written - READ_ONCE(ring->read) >= ctx->desc.fault_entries) {
		WRITE_ONCE(ring->dropped, ring->dropped + 1);
		return 0;
	}
	/* The ring is one piece of memory, and page_address() linear. */
	record = (struct npu_fault_record *)(ring + 1) + slot;
	memset(record, 0, sizeof(*record));
	record->seq = written + 1;
	record->time_ns = npu_read64(ctx->ndev, NPU_REG_TIME_NS);
	record->context = ctx->id;
	record->queue = queue->id;
	record->packet = queue->rptr;
	record->kind = kind;
	record->engine = NPU_ENGINE_DISPATCHER;
	record->operand = 0xff;
	/* The record comes before its count. */
	smp_store_release(&ring->written, written + 1);
	return written + 1;
}

/* Shows the process that a queue stands at a packet that was lost. */
void npu_queue_lose(struct npu_queue *queue, u32 kind)
{
	struct npu_queue_status *status = npu_queue_status(queue);

	WRITE_ONCE(status->fault_seq, npu_ctx_write_record(queue, kind));
	WRITE_ONCE(status->error, kind);
	/* Who sees the state sees why. */
	smp_store_release(&status->state, NPU_QUEUE_FAULTED);
	trace_npu_fault(queue->ctx->ndev, queue->id, kind);
}

/* Nothing moves any more: where does it stand, and is that behind a packet? */
static bool npu_queue_settle(struct npu_queue *queue)
{
	u64 rptr = READ_ONCE(npu_queue_status(queue)->rptr);

	/* It went on until the reset, nobody knows how far into the next packet. */
	if (rptr != queue->rptr)
		queue->clean = false;
	queue->rptr = rptr;
	/* Nobody knows what its process has rung: it must hear of that, or waits for ever. */
	if (queue->unheard) {
		queue->wptr = rptr;
		return false;
	}
	return queue->clean || rptr == queue->wptr;
}

/* After the reset and before the device knows contexts again: who has lost what. */
static int npu_replay_judge(struct npu_queue *queue, void *arg)
{
	struct npu_ctx *ctx = queue->ctx;
	bool settled;

	if (ctx->lost)
		return 0;
	settled = npu_queue_settle(queue);
	/* The device counts from 0 again. */
	atomic64_add(READ_ONCE(npu_queue_status(queue)->counters.cycles), &ctx->past_cycles);
	memset(&npu_queue_status(queue)->counters, 0, sizeof(struct npu_counters));

	if (npu_queue_is_faulted(queue)) {
		if (npu_queue_guilty(queue))
			atomic_inc(&ctx->resets_guilty);
		else
			atomic_inc(&ctx->resets_innocent);
	} else if (npu_queue_guilty(queue)) {
		atomic_inc(&ctx->resets_guilty);
		npu_queue_lose(queue, NPU_FAULT_TIMEOUT);
	} else {
		atomic_inc(&ctx->resets_innocent);
		if (!settled)
			npu_queue_lose(queue, NPU_FAULT_RESET);
	}
	return 0;
}

static int npu_replay_contexts(struct npu_device *ndev)
{
	struct npu_ctx *ctx;
	int ret = 0;

	mutex_lock(&ndev->open_lock);
	list_for_each_entry(ctx, &ndev->ctx_list, node) {
		if (ctx->lost)
			continue;
		npu_ctx_write_desc(ctx);
		ret = npu_mbox_call2(ndev, NPU_ADMIN_CTX_CREATE, ctx->id, 0);
		if (ret)
			break;
	}
	mutex_unlock(&ndev->open_lock);
	return ret;
}

static int npu_replay_queue(struct npu_queue *queue, void *arg)
{
	u64 ahead = queue->wptr - queue->rptr;
	int ret;

	if (queue->ctx->lost)
		return 0;
	if (npu_queue_is_faulted(queue))
		return npu_queue_park(queue);
	ret = ahead <= 1ull << queue->desc.ring_log2 ? npu_queue_restart(queue, queue->rptr) :
						       -EINVAL;
	if (ret != -EINVAL)
		return ret;
	/* Its process rang nonsense just before. */
	npu_queue_lose(queue, NPU_FAULT_BAD_DOORBELL);
	queue->wptr = queue->rptr;
	return npu_queue_park(queue);
}

/**
 * npu_replay() - make contexts and queues again on a device whose firmware has just started
 * @ndev: the device
 *
 * Return: 0, or why the firmware did not do it.
 */
int npu_replay(struct npu_device *ndev)
{
	int ret;

	npu_each_queue(ndev, npu_replay_judge, NULL);
	ret = npu_replay_contexts(ndev);
	if (!ret)
		ret = npu_each_queue(ndev, npu_replay_queue, NULL);
	if (ret)
		drm_err(&ndev->drm, "contexts and queues could not be made again: %d\n", ret);
	return ret;
}

/*
 * Device memory has lost its contents: rings, tables and buffers of all contexts
 * with it.  They can only be closed.
 */
void npu_lose_contexts(struct npu_device *ndev)
{
	struct npu_queue *queue;
	struct npu_ctx *ctx;
	unsigned long id;

	mutex_lock(&ndev->open_lock);
	list_for_each_entry(ctx, &ndev->ctx_list, node) {
		/* Sleepers look without the lock. */
		WRITE_ONCE(ctx->lost, true);
		xa_for_each(&ctx->queues, id, queue)
			npu_queue_mark_dead(queue);
	}
	mutex_unlock(&ndev->open_lock);
	/* What sparse ranges of new contexts translate to. */
	memset_io(ndev->mem + ndev->zeros.addr, 0, ndev->zeros.size);
}
