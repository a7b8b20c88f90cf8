// SPDX-License-Identifier: GPL-2.0
/*
 * For developers and tests, root only: error injection.
 *
 * Writing "KIND [COUNT [ADDR [SEED]]]" to the file inject in the accel device's
 * debugfs folder arms one injection (NPU_INJ_* in npu_regs.h); kind 0 disarms
 * all.  Reading it gives how many have happened since the last reset.
 */
#include <linux/debugfs.h>
#include <linux/uaccess.h>

#include "npu_bo.h"

#define NPU_INJ_CTRL_ARM 1
#define NPU_INJ_CTRL_DISARM 2

static int npu_inject(struct npu_device *ndev, u32 kind, u32 count, u64 addr, u32 seed)
{
	u32 status;

	mutex_lock(&ndev->inject_lock);
	if (kind == NPU_INJ_NONE) {
		npu_write(ndev, NPU_REG_INJ_CTRL, NPU_INJ_CTRL_DISARM);
	} else {
		npu_write(ndev, NPU_REG_INJ_KIND, kind);
		npu_write(ndev, NPU_REG_INJ_COUNT, count);
		npu_write64(ndev, NPU_REG_INJ_ADDR, addr);
		npu_write(ndev, NPU_REG_INJ_SEED, seed);
		npu_write(ndev, NPU_REG_INJ_CTRL, NPU_INJ_CTRL_ARM);
	}
	status = npu_read(ndev, NPU_REG_INJ_STATUS);
	mutex_unlock(&ndev->inject_lock);
	if (status)
		drm_dbg(&ndev->drm, "inject: kind %u refused with %u\n", kind, status);
	/* The device answers with Linux's codes. */
	return status < MAX_ERRNO ? -(int)status : -EIO;
}

static ssize_t npu_inject_write(struct file *file, const char __user *text, size_t bytes,
				loff_t *offset)
{
	struct npu_device *ndev = file->private_data;
	u32 kind, count = 1, seed = 0;
	char line[80] = {};
	u64 addr = 0;
	int idx, ret;

	if (bytes >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, text, bytes))
		return -EFAULT;
	if (sscanf(line, "%u %u %lli %u", &kind, &count, (s64 *)&addr, &seed) < 1 ||
	    kind >= NPU_INJ_KINDS)
		return -EINVAL;
	if (!drm_dev_enter(&ndev->drm, &idx))
		return -ENODEV;
	ret = npu_inject(ndev, kind, count, addr, seed);
	drm_dev_exit(idx);
	return ret ? ret : bytes;
}

static ssize_t npu_inject_read(struct file *file, char __user *text, size_t bytes, loff_t *offset)
{
	struct npu_device *ndev = file->private_data;
	char line[32];
	int idx, n;

	if (!drm_dev_enter(&ndev->drm, &idx))
		return -ENODEV;
	n = scnprintf(line, sizeof(line), "%llu\n", npu_read64(ndev, NPU_REG_INJ_DONE));
	drm_dev_exit(idx);
	return simple_read_from_buffer(text, bytes, offset, line, n);
}

static const struct file_operations npu_inject_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = npu_inject_read,
	.write = npu_inject_write,
};

/*
 * "lose_memory": writing 1 saves all device memory, spoils it as a device that
 * lost it would, and brings it back.
 */
static int npu_lose_memory(void *data, u64 value)
{
	struct npu_device *ndev = data;
	int idx, ret;

	if (value != 1)
		return -EINVAL;
	if (!drm_dev_enter(&ndev->drm, &idx))
		return -ENODEV;
	down_write(&ndev->recovery.lock);
	npu_pause(ndev);
	ret = npu_bo_evict_all(ndev);
	if (!ret) {
		npu_mm_spoil(ndev);
		ret = npu_bo_restore_all(ndev);
	}
	npu_unpause(ndev);
	npu_recovery_unlock(ndev);
	drm_dev_exit(idx);
	return ret;
}

DEFINE_DEBUGFS_ATTRIBUTE(npu_lose_memory_fops, NULL, npu_lose_memory, "%llu\n");

static int npu_buffers_show(struct seq_file *m, void *unused)
{
	npu_bo_show_all(m->private, m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(npu_buffers);

void npu_debugfs_init(struct npu_device *ndev)
{
	debugfs_create_file("buffers", 0400, ndev->drm.debugfs_root, ndev, &npu_buffers_fops);
	debugfs_create_file("lose_memory", 0200, ndev->drm.debugfs_root, ndev,
			    &npu_lose_memory_fops);
	debugfs_create_bool("skip_tlb", 0600, ndev->drm.debugfs_root, &ndev->tlb.skip);
	debugfs_create_file("inject", 0600, ndev->drm.debugfs_root, ndev, &npu_inject_fops);
}
