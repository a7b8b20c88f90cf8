// SPDX-License-Identifier: GPL-2.0
/*
 * Recovery: who may talk to the device when, and the last two rungs of the
 * ladder.
 *
 * The firmware has the first two: it kills a packet that makes no progress, and
 * resets a core whose block does not end.  What that does not cure comes here:
 * the device is reset as a PCI function, the firmware started again, and all
 * contexts and queues made again where they stood (npu_replay.c).  When that
 * fails, or is needed too often, the device is given up and user space told.
 *
 * While that goes on, nothing of the device is mapped into any process: page
 * faults wait, so no doorbell is lost and nobody writes to memory that a
 * function in reset does not decode.
 */
#include <linux/delay.h>
#include <linux/kobject.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>

#include "npu_ctx.h"
#include "npu_trace.h"

#define NPU_RECOVERY_PERIOD_S 60
#define NPU_MAP_WAIT (HZ / 50)

static unsigned int reset_limit = 6;
module_param(reset_limit, uint, 0600);
MODULE_PARM_DESC(reset_limit,
		 "automatic resets of a device within a minute; one more and it is wedged (0: never reset)");

/**
 * npu_enter() - begin to talk to the device
 * @ndev: the device
 * @idx: for npu_exit()
 *
 * Waits for a reset that is going on.  Holds the device and its state until npu_exit(); user
 * memory must not be touched
 * in between.  Return: 0; -ENODEV when the device is gone or given up; -EAGAIN when it is
 * about to be reset (libdrm
 * calls again); -ERESTARTSYS.
 */
int npu_enter(struct npu_device *ndev, int *idx)
{
	int ret;

	if (!drm_dev_enter(&ndev->drm, idx))
		return -ENODEV;
	if (down_read_interruptible(&ndev->recovery.lock)) {
		drm_dev_exit(*idx);
		return -ERESTARTSYS;
	}
	ret = npu_check_alive(ndev);
	if (ret)
		npu_exit(ndev, *idx);
	return ret;
}

void npu_exit(struct npu_device *ndev, int idx)
{
	up_read(&ndev->recovery.lock);
	drm_dev_exit(idx);
}

/*
 * For page faults: true when pages may be entered, until npu_map_exit().  A
 * fault that finds the device paused waits a little and is then taken again,
 * so that it never keeps the address space's lock from others for long.
 */
bool npu_map_enter(struct npu_device *ndev)
{
	struct npu_recovery *r = &ndev->recovery;

	down_read(&r->map_lock);
	if (!r->paused)
		return true;
	up_read(&r->map_lock);
	wait_event_interruptible_timeout(r->wq, !READ_ONCE(r->paused), NPU_MAP_WAIT);
	return false;
}

void npu_map_exit(struct npu_device *ndev)
{
	up_read(&ndev->recovery.map_lock);
}

/* Takes everything out of all processes' address spaces, and keeps it out. */
void npu_pause(struct npu_device *ndev)
{
	struct npu_recovery *r = &ndev->recovery;

	down_write(&r->map_lock);
	WRITE_ONCE(r->paused, true);
	up_write(&r->map_lock);
	unmap_mapping_range(ndev->drm.anon_inode->i_mapping, 0, 0, 1);
}

void npu_unpause(struct npu_device *ndev)
{
	struct npu_recovery *r = &ndev->recovery;

	down_write(&r->map_lock);
	WRITE_ONCE(r->paused, false);
	up_write(&r->map_lock);
	wake_up_all(&r->wq);
}

/* For whoever watches devices, in the words of drm-uapi: what may bring it back. */
static void npu_send_uevent(struct npu_device *ndev)
{
	char text[] = "WEDGED=rebind,bus-reset";
	char *env[2] = {};

	env[0] = text;
	kobject_uevent_env(&ndev->drm.accel->kdev->kobj, KOBJ_CHANGE, env);
}

/**
 * npu_give_up() - the device cannot be brought back, or not by us
 * @ndev: the device
 * @reason: for the log; a string that stays
 *
 * From here on ioctls give ENODEV and sleepers wake, until root has it reset.
 */
void npu_give_up(struct npu_device *ndev, const char *reason)
{
	set_bit(NPU_STATE_FAILED, &ndev->state);
	if (test_and_set_bit(NPU_STATE_WEDGED, &ndev->state))
		return;
	trace_npu_reset(ndev, "wedged", reason);
	drm_err(&ndev->drm,
		"the device is wedged: %s. Root may write 1 to the attribute reset, or unbind and bind the driver\n",
		reason);
	npu_wake_all(ndev);
	/* The node is not there yet while the device is probed. */
	if (ndev->drm.registered)
		npu_send_uevent(ndev);
}

/**
 * npu_bus_lost() - the device does not come back after an error of its bus
 * @ndev: the device
 * @reason: for the log; a string that stays
 *
 * Processes get ENODEV instead of waiting.  May sleep; without npu_recovery.lock.
 */
void npu_bus_lost(struct npu_device *ndev, const char *reason)
{
	down_write(&ndev->recovery.lock);
	ndev->recovery.bus_lost = false;
	npu_give_up(ndev, reason);
	npu_unpause(ndev);
	npu_recovery_unlock(ndev);
}

/**
 * npu_recover_later() - the device must be reset, but not by the caller
 * @ndev: the device
 * @reason: for the log; a string that stays
 * @queue: number of the queue whose fault it is, or U32_MAX
 *
 * Any context.  Further reasons until the reset begins are dropped.
 */
void npu_recover_later(struct npu_device *ndev, const char *reason, u32 queue)
{
	struct npu_recovery *r = &ndev->recovery;

	if (queue != U32_MAX)
		atomic_cmpxchg(&r->guilty, 0, queue + 1);
	cmpxchg(&r->reason, NULL, reason);
	queue_work(system_unbound_wq, &r->work);
}

/**
 * npu_wedge() - the device does not do what it was told
 * @ndev: the device
 * @reason: for the log; a string that stays
 *
 * From here on ioctls wait for a reset, which is on its way, and memory that
 * the device might use is kept until it has happened.
 */
void npu_wedge(struct npu_device *ndev, const char *reason)
{
	if (test_and_set_bit(NPU_STATE_FAILED, &ndev->state))
		return;
	dev_err_ratelimited(ndev->drm.dev, "the device fails: %s\n", reason);
	npu_wake_all(ndev);
	npu_recover_later(ndev, reason, U32_MAX);
}

/* Too many automatic resets in too short a time help nobody. */
static bool npu_recovery_allowed(struct npu_device *ndev)
{
	struct npu_recovery *r = &ndev->recovery;
	u32 limit = min_t(u32, READ_ONCE(reset_limit), NPU_RECOVERY_WINDOW);
	ktime_t now = ktime_get();

	if (!limit)
		return false;
	if (r->count >= limit &&
	    ktime_ms_delta(now, r->times[(r->count - limit) % NPU_RECOVERY_WINDOW]) <
		    NPU_RECOVERY_PERIOD_S * MSEC_PER_SEC)
		return false;
	r->times[r->count++ % NPU_RECOVERY_WINDOW] = now;
	return true;
}

/*
 * Resets the function.  Config space, BARs and MSI-X are as before; device memory keeps its
 * contents.
 */
static int npu_reset_function(struct npu_device *ndev)
{
	struct pci_dev *pdev = ndev->pdev;
	int ret;

	ret = pci_save_state(pdev);
	if (!ret)
		ret = pcie_reset_flr(pdev, PCI_RESET_DO_RESET);
	if (ret)
		drm_warn(&ndev->drm, "no function-level reset (%d), the device's own is tried\n",
			 ret);
	else
		pci_restore_state(pdev);
	/* It also proves that registers answer again. */
	return npu_reset(ndev);
}

/**
 * npu_recovery_rebuild() - bring a device back that has been reset from outside
 * @ndev: the device; npu_quiesce() has been called, npu_recovery.lock is held for writing
 * @reason: for the log
 * @read_file: take the firmware from its file, not as it was loaded last
 *
 * Return: 0, or why it is wedged, or (without contexts) has no firmware, or (with contexts)
 * has not the file's.
 */
int npu_recovery_rebuild(struct npu_device *ndev, const char *reason, bool read_file)
{
	struct npu_recovery *r = &ndev->recovery;
	int ret = 0, refused = 0;

	/* Perhaps a long time after a sleep that it did not wake up from. */
	if (ndev->mm.evicted)
		ret = npu_bo_restore_all(ndev);
	if (ret)
		goto dead;
	npu_reset_done(ndev);
	clear_bit(NPU_STATE_WEDGED, &ndev->state);
	ret = npu_fw_restart(ndev, read_file, &refused);
	if (!ret)
		ret = npu_replay(ndev);
	else if (!npu_have_contexts(ndev) && !npu_is_wedged(ndev))
		goto out; /* as after a probe without a good file: the node says why */
dead:
	if (ret) {
		npu_give_up(ndev, "it did not come back after a reset");
		goto out;
	}
	atomic_inc(&r->resets);
	trace_npu_reset(ndev, "done", reason);
	drm_info(&ndev->drm, "the device has been reset: %s\n", reason);
	/* What it could not bring back meanwhile. */
	npu_evict_kick(ndev);
out:
	xchg(&r->reason, NULL);
	atomic_set(&r->guilty, 0);
	npu_unpause(ndev);
	return ret ? ret : refused;
}

/* Sleepers look again once they can. */
void npu_recovery_unlock(struct npu_device *ndev)
{
	up_write(&ndev->recovery.lock);
	npu_wake_all(ndev);
	npu_signal_faults(ndev);
}

static int npu_recover(struct npu_device *ndev, const char *reason, bool read_file)
{
	int ret;

	trace_npu_reset(ndev, "begin", reason);
	npu_quiesce(ndev);
	ret = npu_reset_function(ndev);
	if (ret) {
		npu_give_up(ndev, "it does not come out of reset");
		npu_unpause(ndev);
		return ret;
	}
	return npu_recovery_rebuild(ndev, reason, read_file);
}

/**
 * npu_recover_now() - reset the device because root asks for it
 * @ndev: the device; the caller holds drm_dev_enter()
 * @reason: for the log
 * @read_file: take the firmware from its file
 *
 * Not counted as automatic, and tried even when the device was given up.  Return: 0; -EBUSY
 * while the PCI core resets its slot; or why it is wedged.
 */
int npu_recover_now(struct npu_device *ndev, const char *reason, bool read_file)
{
	int ret;

	down_write(&ndev->recovery.lock);
	if (READ_ONCE(ndev->gone))
		ret = -ENODEV;
	else if (ndev->recovery.bus_lost)
		ret = -EBUSY;
	else
		ret = npu_recover(ndev, reason, read_file);
	npu_recovery_unlock(ndev);
	return ret;
}

static void npu_recovery_work(struct work_struct *work)
{
	struct npu_recovery *r = container_of(work, struct npu_recovery, work);
	struct npu_device *ndev = container_of(r, struct npu_device, recovery);
	const char *reason;
	int idx;

	if (!drm_dev_enter(&ndev->drm, &idx))
		return;
	down_write(&r->lock);
	/* Somebody else's reset may have come first. */
	reason = READ_ONCE(r->reason);
	if (reason && !r->asleep && !r->bus_lost && !READ_ONCE(ndev->gone) &&
	    !test_bit(NPU_STATE_WEDGED, &ndev->state)) {
		npu_coredump(ndev, reason, (u32)atomic_read(&r->guilty) - 1);
		if (npu_recovery_allowed(ndev))
			npu_recover(ndev, reason, false);
		else
			npu_give_up(ndev, reason);
	}
	npu_recovery_unlock(ndev);
	drm_dev_exit(idx);
}

/* The PCI core does not tell when it fails to reset the slot. */
static void npu_recovery_bus_work(struct work_struct *work)
{
	npu_bus_lost(container_of(work, struct npu_device, recovery.bus_work.work),
		     "no reset of its slot followed an error of its bus");
}

void npu_recovery_init(struct npu_device *ndev)
{
	struct npu_recovery *r = &ndev->recovery;

	init_rwsem(&r->lock);
	init_rwsem(&r->map_lock);
	init_waitqueue_head(&r->wq);
	INIT_WORK(&r->work, npu_recovery_work);
	INIT_DELAYED_WORK(&r->bus_work, npu_recovery_bus_work);
}
