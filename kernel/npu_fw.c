// SPDX-License-Identifier: GPL-2.0
/* The firmware: load it, wait until it is ready, shake hands, listen to its events. */
#include <linux/firmware.h>

#include "npu_drv.h"
#include "npu_trace.h"

MODULE_FIRMWARE(NPU_FW_FILE_NAME);

static const char *const npu_fw_errors[] = {
	[NPU_FW_ERR_NONE] = "the device gave no reason",
	[NPU_FW_ERR_SIZE] = "the package is larger than the device takes",
	[NPU_FW_ERR_FORMAT] = "the package is truncated, or is no device tree",
	[NPU_FW_ERR_COMPATIBLE] = "the file is a device tree, but not of a firmware package",
	[NPU_FW_ERR_PACKAGE] = "the package has a format version that the device does not know",
	[NPU_FW_ERR_CONTRACT] = "it was built for another version of the hardware contract",
	[NPU_FW_ERR_SECTION] = "a section lacks a property or does not fit",
	[NPU_FW_ERR_HASH] = "a section's contents do not match its hash",
	[NPU_FW_ERR_PACKAGE_HASH] = "the package does not match its hash",
	[NPU_FW_ERR_ENTRY] = "the entry point lies outside the sections",
	[NPU_FW_ERR_BUSY] = "the management core is running already",
	[NPU_FW_ERR_BUS] = "the device could not read the package",
	[NPU_FW_ERR_TRAP] = "the firmware ran into an unhandled trap",
	[NPU_FW_ERR_HEARTBEAT] = "the firmware's heartbeat stopped",
};

static const char *npu_fw_error_text(u32 error)
{
	return error < ARRAY_SIZE(npu_fw_errors) ? npu_fw_errors[error] : "unknown reason";
}

const char *npu_fw_state_name(struct npu_device *ndev)
{
	static const char *const names[] = {
		[NPU_FW_STATE_OFF] = "off",
		[NPU_FW_STATE_VERIFY] = "verify",
		[NPU_FW_STATE_BOOT] = "boot",
		[NPU_FW_STATE_READY] = "ready",
		[NPU_FW_STATE_REJECTED] = "rejected",
		[NPU_FW_STATE_CRASHED] = "crashed",
	};
	u32 state = npu_read(ndev, NPU_REG_FW_STATE);

	if (test_bit(NPU_STATE_WEDGED, &ndev->state))
		return "wedged";
	if (state == U32_MAX)
		return "reset";
	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

/* Says why there is no firmware, in the log and for sysfs; @reason is a string that stays. */
static int npu_fw_refuse(struct npu_device *ndev, int err, const char *reason)
{
	WRITE_ONCE(ndev->fw_reason, reason);
	drm_err(&ndev->drm,
		"firmware %s: %s (%d). Install a good file and write 1 to the attribute fw_reload\n",
		NPU_FW_FILE_NAME, reason, err);
	return err;
}

static bool npu_fw_settled(struct npu_device *ndev)
{
	u32 state = npu_read(ndev, NPU_REG_FW_STATE);

	return state == NPU_FW_STATE_READY || state == NPU_FW_STATE_REJECTED ||
	       state == NPU_FW_STATE_CRASHED || READ_ONCE(ndev->gone);
}

static int npu_fw_wait_ready(struct npu_device *ndev)
{
	const char *reason;
	u32 state, error;

	if (!npu_wait_for(ndev->fw_wq, npu_fw_settled(ndev))) {
		/* It must not go on reading a package whose memory is somebody else's by then. */
		npu_write(ndev, NPU_REG_FW_CTRL, NPU_FW_CTRL_STOP);
		return npu_fw_refuse(ndev, -ETIMEDOUT, "it did not become ready in time");
	}
	if (READ_ONCE(ndev->gone))
		return -ENODEV;

	state = npu_read(ndev, NPU_REG_FW_STATE);
	if (state == NPU_FW_STATE_READY)
		return 0;
	error = npu_read(ndev, NPU_REG_FW_ERROR);
	reason = npu_fw_error_text(error);
	if (error == NPU_FW_ERR_SECTION || error == NPU_FW_ERR_HASH)
		drm_err(&ndev->drm, "firmware %s: section %u: %s\n", NPU_FW_FILE_NAME,
			npu_read(ndev, NPU_REG_FW_ERROR_INFO), reason);
	if (state == NPU_FW_STATE_CRASHED)
		drm_err(&ndev->drm, "firmware %s: crashed at %#llx, cause %u\n", NPU_FW_FILE_NAME,
			npu_read64(ndev, NPU_REG_FW_CRASH_PC),
			npu_read(ndev, NPU_REG_FW_ERROR_INFO));
	return npu_fw_refuse(ndev, state == NPU_FW_STATE_CRASHED ? -EIO : -EINVAL, reason);
}

/* Hands the package to the boot ROM, which copies it out before it checks it. */
static int npu_fw_boot(struct npu_device *ndev, const void *package, size_t bytes)
{
	memcpy_toio(ndev->mem + ndev->fw_mem.addr, package, bytes);
	/* Out of the write-combining buffers before the boot ROM reads it. */
	wmb();
	npu_write64(ndev, NPU_REG_FW_ADDR, ndev->fw_mem.addr);
	npu_write(ndev, NPU_REG_FW_SIZE, bytes);
	npu_write(ndev, NPU_REG_FW_CTRL, NPU_FW_CTRL_LOAD);
	return npu_fw_wait_ready(ndev);
}

static int npu_fw_hello(struct npu_device *ndev)
{
	u64 args[NPU_MBOX_ARGS] = { NPU_ADMIN_PROTOCOL, NPU_CONTRACT_VERSION };
	u32 version;
	int ret;

	ret = npu_mbox_call(ndev, NPU_ADMIN_HELLO, args);
	if (ret)
		return npu_fw_refuse(ndev, ret == -EAGAIN ? -ETIMEDOUT : ret,
				     "the handshake failed");
	if (args[0] != NPU_ADMIN_PROTOCOL)
		return npu_fw_refuse(ndev, -EPROTO, "it speaks another mailbox protocol");
	version = args[1];
	drm_info(&ndev->drm, "firmware %u.%u.%u\n", version >> 24, version >> 16 & 0xff,
		 version & 0xffff);
	return 0;
}

static void npu_fw_set_tables(struct npu_device *ndev)
{
	memset_io(ndev->mem + ndev->ctx_table.addr, 0, ndev->ctx_table.size);
	memset_io(ndev->mem + ndev->queue_table.addr, 0, ndev->queue_table.size);
	npu_write64(ndev, NPU_REG_CTX_TABLE, ndev->ctx_table.addr);
	npu_write64(ndev, NPU_REG_QUEUE_TABLE, ndev->queue_table.addr);
	npu_mbox_restart(ndev);
}

/* It runs, but is of no use: out with it, so that another can be started at once. */
static void npu_fw_reject(struct npu_device *ndev)
{
	/* Nobody waits for what it did not answer.  A device that is leaving is its remover's. */
	if (READ_ONCE(ndev->gone) || npu_reset(ndev))
		return;
	npu_reset_done(ndev);
	xchg(&ndev->recovery.reason, NULL);
}

static int npu_fw_start(struct npu_device *ndev, const void *package, size_t bytes)
{
	int ret;

	npu_fw_set_tables(ndev);
	npu_irq_enable(ndev);
	ret = npu_fw_boot(ndev, package, bytes);
	if (ret)
		return ret;
	ret = npu_fw_hello(ndev);
	if (ret)
		npu_fw_reject(ndev);
	return ret;
}

/* Keeps the package that runs, so that a reset needs neither file nor memory. */
static void npu_fw_keep(struct npu_device *ndev, const struct firmware *fw)
{
	void *image = kvmemdup(fw->data, fw->size, GFP_KERNEL);

	/* Never the one that ran before. */
	npu_fw_forget(ndev);
	if (!image) {
		drm_warn(&ndev->drm, "no memory to keep the firmware: a reset will read its file\n");
		return;
	}
	ndev->fw_image = image;
	ndev->fw_bytes = fw->size;
}

static int npu_fw_load_file(struct npu_device *ndev)
{
	const struct firmware *fw;
	int ret;

	ret = firmware_request_nowarn(&fw, NPU_FW_FILE_NAME, &ndev->pdev->dev);
	if (ret)
		return npu_fw_refuse(ndev, ret, ret == -ENOENT ?
				     "no such file below the firmware search path" :
				     "the file is empty, or cannot be read");
	if (fw->size > NPU_FW_MAX_BYTES)
		ret = npu_fw_refuse(ndev, -EFBIG, npu_fw_errors[NPU_FW_ERR_SIZE]);
	else
		ret = npu_fw_start(ndev, fw->data, fw->size);
	if (!ret)
		npu_fw_keep(ndev, fw);
	release_firmware(fw);
	return ret;
}

void npu_fw_forget(struct npu_device *ndev)
{
	kvfree(ndev->fw_image);
	ndev->fw_image = NULL;
	ndev->fw_bytes = 0;
}

/**
 * npu_fw_restart() - start the firmware on a device that has just been reset
 * @ndev: the device; the caller holds drm_dev_enter(), or is its probe
 * @read_file: from its file; false: what ran before, if it is there
 * @refused: out: why the file was refused although something runs now, or 0
 *
 * A file that is refused while contexts are open leaves them what ran before.
 * Return: 0, or why there is no firmware now (it has been logged).
 */
int npu_fw_restart(struct npu_device *ndev, bool read_file, int *refused)
{
	int ret = 0;

	*refused = 0;
	mutex_lock(&ndev->fw_lock);
	WRITE_ONCE(ndev->fw_ready, false);
	if (read_file || !ndev->fw_image)
		ret = npu_fw_load_file(ndev);
	if (ndev->fw_image && (!read_file || (ret && atomic_read(&ndev->num_open)))) {
		*refused = ret;
		ret = npu_fw_start(ndev, ndev->fw_image, ndev->fw_bytes);
	}
	if (!ret)
		WRITE_ONCE(ndev->fw_reason, NULL);
	WRITE_ONCE(ndev->fw_version, ret ? 0 : npu_read(ndev, NPU_REG_FW_VERSION));
	WRITE_ONCE(ndev->fw_ready, !ret);
	mutex_unlock(&ndev->fw_lock);
	return ret;
}

void npu_fw_stop(struct npu_device *ndev)
{
	mutex_lock(&ndev->fw_lock);
	WRITE_ONCE(ndev->fw_ready, false);
	npu_write(ndev, NPU_REG_FW_CTRL, NPU_FW_CTRL_STOP);
	mutex_unlock(&ndev->fw_lock);
}

static void npu_fw_event_queue(struct npu_device *ndev, u32 event, u32 queue, u32 kind)
{
	atomic_inc(&ndev->fw_faults);
	trace_npu_fault(ndev, queue, kind);
	if (event == NPU_FW_EVENT_QUEUE_HANG) {
		atomic_inc(&ndev->recovery.hangs);
		dev_warn_ratelimited(ndev->drm.dev, "queue %u: no progress, killed\n", queue);
		npu_coredump(ndev, "a queue made no progress and was killed", queue);
	} else {
		drm_dbg(&ndev->drm, "queue %u: fault kind %u\n", queue, kind);
	}
}

static void npu_fw_event(struct npu_device *ndev, const u64 *args)
{
	switch (args[0]) {
	case NPU_FW_EVENT_QUEUE_FAULT:
	case NPU_FW_EVENT_QUEUE_HANG:
		npu_fw_event_queue(ndev, args[0], args[1], args[2]);
		break;
	case NPU_FW_EVENT_CORE_RESET:
		atomic_inc(&ndev->recovery.core_resets);
		trace_npu_reset(ndev, "cores", "a kill did not end their block");
		dev_warn_ratelimited(ndev->drm.dev, "cores %#llx have been reset for queue %llu\n",
				     args[1], args[2]);
		break;
	case NPU_FW_EVENT_DEVICE_HANG:
		dev_err_ratelimited(ndev->drm.dev, "cores %#llx do not come back, queue %llu\n",
				    args[1], args[2]);
		npu_recover_later(ndev, "cores hang and their reset does not help", args[2]);
		break;
	case NPU_FW_EVENT_LINK:
		dev_warn_ratelimited(ndev->drm.dev, "%llu link errors so far\n", args[1]);
		break;
	case NPU_FW_EVENT_THERMAL:
		dev_warn_ratelimited(ndev->drm.dev, "temperature %lld mC, throttle reasons %#llx\n",
				     (s64)args[1], args[2]);
		break;
	case NPU_FW_EVENT_PAGE:
		dev_warn_ratelimited(ndev->drm.dev, "memory page %#llx retired\n", args[1]);
		break;
	default:
		drm_dbg(&ndev->drm, "firmware event %llu is unknown\n", args[0]);
		break;
	}
}

/* Takes the firmware's events; more than so many at once come with the next interrupt's work. */
static void npu_fw_take_events(struct npu_device *ndev)
{
	for (u32 i = 0; i < 256; i++) {
		u64 args[NPU_MBOX_ARGS] = {};

		if (npu_mbox_call(ndev, NPU_ADMIN_GET_EVENT, args) || args[0] == NPU_FW_EVENT_NONE)
			return;
		npu_fw_event(ndev, args);
		/* A faulted queue ends its waiters' sleep. */
		npu_wake_all(ndev);
	}
	schedule_work(&ndev->fw_work);
}

void npu_fw_work(struct work_struct *work)
{
	struct npu_device *ndev = container_of(work, struct npu_device, fw_work);
	u32 state;
	int idx;

	if (!drm_dev_enter(&ndev->drm, &idx))
		return;
	down_read(&ndev->recovery.lock);
	if (READ_ONCE(ndev->fw_ready) && !npu_check_alive(ndev)) {
		state = npu_read(ndev, NPU_REG_FW_STATE);
		if (state == NPU_FW_STATE_READY)
			npu_fw_take_events(ndev);
		else
			npu_wedge(ndev, npu_fw_error_text(npu_read(ndev, NPU_REG_FW_ERROR)));
	}
	up_read(&ndev->recovery.lock);
	drm_dev_exit(idx);
}
