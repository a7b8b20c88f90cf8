// SPDX-License-Identifier: GPL-2.0
/* The mailbox: commands to the firmware, one at a time. */
#include "npu_drv.h"
#include "npu_trace.h"

int npu_mbox_init(struct npu_device *ndev)
{
	mutex_init(&ndev->mbox.lock);
	init_waitqueue_head(&ndev->mbox.wq);
	return npu_mem_alloc(ndev, &ndev->mbox.mem, sizeof(struct npu_mbox));
}

void npu_mbox_fini(struct npu_device *ndev)
{
	npu_mem_free(ndev, &ndev->mbox.mem);
	mutex_destroy(&ndev->mbox.lock);
}

/* Tells a device that has been reset where the mailbox is. */
void npu_mbox_restart(struct npu_device *ndev)
{
	mutex_lock(&ndev->mbox.lock);
	memset_io(ndev->mem + ndev->mbox.mem.addr, 0, sizeof(struct npu_mbox));
	npu_write64(ndev, NPU_REG_MBOX_ADDR, ndev->mbox.mem.addr);
	ndev->mbox.seq = npu_read(ndev, NPU_REG_MBOX_ACK);
	mutex_unlock(&ndev->mbox.lock);
}

static int npu_mbox_errno(u32 status)
{
	switch (status) {
	case NPU_ADMIN_OK:
		return 0;
	case NPU_ADMIN_EINVAL:
		return -EINVAL;
	case NPU_ADMIN_ENOENT:
		return -ENOENT;
	case NPU_ADMIN_EEXIST:
		return -EEXIST;
	case NPU_ADMIN_EBUSY:
		return -EBUSY;
	case NPU_ADMIN_ENOSPC:
		return -ENOSPC;
	case NPU_ADMIN_EVERSION:
		return -EPROTO;
	case NPU_ADMIN_EOPNOTSUPP:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

static void npu_mbox_post(struct npu_device *ndev, u32 op, const u64 *args)
{
	struct npu_mbox __iomem *mbox = ndev->mem + ndev->mbox.mem.addr;

	if (!++ndev->mbox.seq)
		ndev->mbox.seq = 1;
	writel(op, &mbox->op);
	writel(0, &mbox->status);
	writel(0, &mbox->detail);
	for (u32 i = 0; i < NPU_MBOX_ARGS; i++)
		writeq(args[i], &mbox->arg[i]);
	writel(ndev->mbox.seq, &mbox->seq);
	/* Write-combined memory: out before the doorbell. */
	wmb();
	npu_write(ndev, NPU_REG_MBOX_DB, ndev->mbox.seq);
}

static int npu_mbox_take_answer(struct npu_device *ndev, u32 op, u64 *args, u8 *data)
{
	struct npu_mbox __iomem *mbox = ndev->mem + ndev->mbox.mem.addr;
	u32 status, detail;

	/* Not before the acknowledgment that npu_mbox_call() has seen. */
	rmb();
	status = readl(&mbox->status);
	detail = readl(&mbox->detail);
	for (u32 i = 0; i < NPU_MBOX_ARGS; i++)
		args[i] = readq(&mbox->arg[i]);
	if (data)
		memcpy_fromio(data, mbox->data, NPU_MBOX_DATA);
	if (status)
		drm_dbg(&ndev->drm, "firmware: command %u answered %u, detail %u\n", op, status,
			detail);
	return npu_mbox_errno(status);
}

/**
 * npu_mbox_call_data() - ask the firmware and wait for its answer
 * @ndev: the device; the caller holds drm_dev_enter() and may sleep
 * @op: enum npu_admin_op
 * @args: in: of the command; out: of the answer
 * @data: out: the mailbox's data, or NULL
 *
 * Return: 0; -EAGAIN or -ENODEV when the device does not answer (see npu_check_alive()); or
 * the firmware's error.
 */
int npu_mbox_call_data(struct npu_device *ndev, u32 op, u64 args[NPU_MBOX_ARGS],
		       u8 data[NPU_MBOX_DATA])
{
	struct npu_mbox_state *state = &ndev->mbox;
	u64 arg0 = args[0], arg1 = args[1];
	ktime_t start = ktime_get();
	int ret;

	mutex_lock(&state->lock);
	ret = npu_check_alive(ndev);
	if (ret)
		goto out;
	npu_mbox_post(ndev, op, args);
	if (!npu_wait_for(state->wq, npu_read(ndev, NPU_REG_MBOX_ACK) == state->seq ||
			  npu_check_alive(ndev)))
		npu_wedge(ndev, "the firmware did not answer a command in time");
	ret = npu_check_alive(ndev);
	if (!ret)
		ret = npu_mbox_take_answer(ndev, op, args, data);
out:
	mutex_unlock(&state->lock);
	trace_npu_mbox(ndev, op, arg0, arg1, ret, ktime_to_ns(ktime_sub(ktime_get(), start)));
	return ret;
}

/* The same without data. */
int npu_mbox_call(struct npu_device *ndev, u32 op, u64 args[NPU_MBOX_ARGS])
{
	return npu_mbox_call_data(ndev, op, args, NULL);
}

/* A command of up to two arguments that answers with its status only. */
int npu_mbox_call2(struct npu_device *ndev, u32 op, u64 arg0, u64 arg1)
{
	u64 args[NPU_MBOX_ARGS] = { arg0, arg1 };

	return npu_mbox_call(ndev, op, args);
}
