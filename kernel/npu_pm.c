// SPDX-License-Identifier: GPL-2.0
/*
 * What the PCI core and the power management do to the device: resets that are
 * asked for in sysfs, bus errors, sleep.  All are the same to a context: its
 * queues are stopped behind a packet, the device starts anew, and they go on.
 */
#include <linux/pm.h>

#include "npu_bo.h"
#include "npu_ctx.h"
#include "npu_pm.h"
#include "npu_trace.h"

/* Stays in device memory as long as that keeps its contents; below what is ever handed out. */
#define NPU_MARK_OFFSET 0x1000
#define NPU_MARK 0x6d656d6f72790001ull

/* From an error of the bus to the reset of the slot; the PCI core needs a second or two. */
#define NPU_BUS_RESET_LIMIT (10 * HZ)

static void npu_pm_mark_memory(struct npu_device *ndev)
{
	writeq(NPU_MARK ^ ndev->uuid, ndev->mem + NPU_MARK_OFFSET);
	/* Out of the write-combining buffers before anything happens to the device. */
	wmb();
}

static bool npu_pm_memory_kept(struct npu_device *ndev)
{
	return readq(ndev->mem + NPU_MARK_OFFSET) == (NPU_MARK ^ ndev->uuid);
}

static void npu_pm_fini(void *data)
{
	struct npu_device *ndev = data;

	kfree(ndev->config);
}

/* At the end of a probe, with the device as it is to be while it works. */
int npu_pm_init(struct npu_device *ndev)
{
	npu_pm_mark_memory(ndev);
	/*
	 * What the PCI core saves is good for one restore, and it saves nothing before the reset
	 * that follows an error.
	 */
	pci_save_state(ndev->pdev);
	ndev->config = pci_store_saved_state(ndev->pdev);
	if (!ndev->config)
		return -ENOMEM;
	return devm_add_action_or_reset(&ndev->pdev->dev, npu_pm_fini, ndev);
}

/* After a reset of whatever kind, with npu_recovery.lock held for writing. */
static int npu_pm_rebuild(struct npu_device *ndev, const char *reason)
{
	int ret = npu_reset(ndev);

	if (ret) {
		npu_give_up(ndev, "it does not come out of reset");
		npu_unpause(ndev);
		return ret;
	}
	/* A copy that a sleep has left is brought back by the rebuild. */
	if (!ndev->mm.evicted && !npu_pm_memory_kept(ndev)) {
		drm_err(&ndev->drm, "device memory was lost: contexts end\n");
		npu_lose_contexts(ndev);
		npu_pm_mark_memory(ndev);
	}
	return npu_recovery_rebuild(ndev, reason, false);
}

/*
 * Of the attribute reset: the device's lock is held from here to reset_done().  When
 * its slot is about to be reset anyway, it is that which brings the device back.
 */
static void npu_pm_reset_prepare(struct pci_dev *pdev)
{
	struct npu_device *ndev = pci_get_drvdata(pdev);

	down_write(&ndev->recovery.lock);
	trace_npu_reset(ndev, "begin", "asked for by reset");
	if (!ndev->recovery.bus_lost)
		npu_quiesce(ndev);
}

static void npu_pm_reset_done(struct pci_dev *pdev)
{
	struct npu_device *ndev = pci_get_drvdata(pdev);

	if (!ndev->recovery.bus_lost)
		npu_pm_rebuild(ndev, "asked for by reset");
	npu_recovery_unlock(ndev);
}

static pci_ers_result_t npu_pm_error_detected(struct pci_dev *pdev, pci_channel_state_t state)
{
	struct npu_device *ndev = pci_get_drvdata(pdev);

	drm_err(&ndev->drm, "the bus reports an error, channel state %u\n", state);
	switch (state) {
	case pci_channel_io_normal:
		return PCI_ERS_RESULT_CAN_RECOVER;
	case pci_channel_io_frozen:
		/* So that who is inside does not wait for answers. */
		set_bit(NPU_STATE_FAILED, &ndev->state);
		npu_wake_all(ndev);
		down_write(&ndev->recovery.lock);
		/* A reset that was going on has taken it back. */
		set_bit(NPU_STATE_FAILED, &ndev->state);
		ndev->recovery.bus_lost = true;
		npu_quiesce(ndev);
		up_write(&ndev->recovery.lock);
		mod_delayed_work(system_wq, &ndev->recovery.bus_work, NPU_BUS_RESET_LIMIT);
		return PCI_ERS_RESULT_NEED_RESET;
	default:
		cancel_delayed_work_sync(&ndev->recovery.bus_work);
		npu_bus_lost(ndev, "its bus has failed for good");
		return PCI_ERS_RESULT_DISCONNECT;
	}
}

static pci_ers_result_t npu_pm_mmio_enabled(struct pci_dev *pdev)
{
	return PCI_ERS_RESULT_RECOVERED;
}

/* The link works again, behind a reset of the bus. */
static pci_ers_result_t npu_pm_slot_reset(struct pci_dev *pdev)
{
	struct npu_device *ndev = pci_get_drvdata(pdev);
	int ret;

	cancel_delayed_work_sync(&ndev->recovery.bus_work);
	ret = pci_load_saved_state(pdev, ndev->config);
	if (ret) {
		drm_err(&ndev->drm, "configuration space cannot be restored: %d\n", ret);
		npu_bus_lost(ndev, "its configuration space is lost");
		return PCI_ERS_RESULT_DISCONNECT;
	}
	pci_restore_state(pdev);
	down_write(&ndev->recovery.lock);
	/*
	 * When another function of the slot has asked for this after an error that we could have
	 * lived with, nothing was reset, and the device still works.
	 */
	if (!ndev->recovery.bus_lost)
		npu_quiesce(ndev);
	ndev->recovery.bus_lost = false;
	ret = npu_pm_rebuild(ndev, "a bus error");
	npu_recovery_unlock(ndev);
	return ret ? PCI_ERS_RESULT_DISCONNECT : PCI_ERS_RESULT_RECOVERED;
}

static void npu_pm_error_resume(struct pci_dev *pdev)
{
	struct npu_device *ndev = pci_get_drvdata(pdev);

	drm_info(&ndev->drm, "goes on after a bus error\n");
}

/*
 * Processes stand still.  Their queues are stopped, device memory is copied to
 * the host, and the device is left as after power-on.
 */
static int npu_pm_suspend(struct device *dev)
{
	struct npu_device *ndev = pci_get_drvdata(to_pci_dev(dev));
	int ret;

	down_write(&ndev->recovery.lock);
	npu_quiesce(ndev);
	ret = npu_bo_evict_all(ndev);
	if (ret) {
		drm_err(&ndev->drm, "device memory could not be saved: %d\n", ret);
		npu_pm_rebuild(ndev, "a sleep that was called off");
	} else {
		npu_irq_disable(ndev);
		npu_reset(ndev);
		ndev->recovery.asleep = true;
		/* Nobody may talk to it until it is back. */
		set_bit(NPU_STATE_FAILED, &ndev->state);
	}
	npu_recovery_unlock(ndev);
	return ret;
}

static int npu_pm_resume(struct device *dev)
{
	struct npu_device *ndev = pci_get_drvdata(to_pci_dev(dev));
	int ret;

	down_write(&ndev->recovery.lock);
	ret = npu_reset(ndev);
	ndev->recovery.asleep = false;
	if (ret) {
		npu_give_up(ndev, "it did not wake up");
		npu_unpause(ndev);
	} else {
		ret = npu_recovery_rebuild(ndev, "sleep", false);
	}
	npu_recovery_unlock(ndev);
	return ret;
}

DEFINE_SIMPLE_DEV_PM_OPS(npu_pm_ops, npu_pm_suspend, npu_pm_resume);

const struct pci_error_handlers npu_error_handlers = {
	.error_detected = npu_pm_error_detected,
	.mmio_enabled = npu_pm_mmio_enabled,
	.slot_reset = npu_pm_slot_reset,
	.resume = npu_pm_error_resume,
	.reset_prepare = npu_pm_reset_prepare,
	.reset_done = npu_pm_reset_done,
};
