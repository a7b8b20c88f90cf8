// SPDX-License-Identifier: GPL-2.0
/* The module, the PCI device, the DRM device, open files, and queries. */
#include <linux/dma-mapping.h>
#include <linux/iopoll.h>
#include <linux/module.h>
#include <linux/slab.h>

#include <drm/drm_accel.h>
#include <drm/drm_gem.h>
#include <drm/drm_ioctl.h>
#include <drm/drm_managed.h>

#include "npu_bo.h"
#include "npu_ctx.h"
#include "npu_pm.h"
#include "npu_sync.h"
#include "npu_user.h"
#include "npu_vm.h"

#define NPU_RESET_TIMEOUT_US (5 * USEC_PER_SEC)

/**
 * npu_reset() - reset the device by its own register
 * @ndev: the device; probe, remove, or a holder of npu_recovery.lock for writing
 *
 * Return: 0, or -EIO when the reset did not end.
 */
int npu_reset(struct npu_device *ndev)
{
	u32 mask;

	/* Whatever comes of it, the device need not know what it has been told. */
	if (!++ndev->recovery.life)
		ndev->recovery.life = 1;
	/* The reset is over when the register that we fill here reads 0. */
	npu_write(ndev, NPU_REG_EVENT_MASK, NPU_EVENT_MBOX);
	npu_write(ndev, NPU_REG_CTRL, NPU_CTRL_RESET);
	if (readl_poll_timeout(ndev->regs + NPU_REG_EVENT_MASK, mask, !mask, 100,
			       NPU_RESET_TIMEOUT_US) || !npu_answers(ndev)) {
		drm_err(&ndev->drm, "the device did not come out of reset\n");
		return -EIO;
	}
	return 0;
}

/* No engine runs now: what was kept from a device that failed is free, numbers included. */
void npu_reset_done(struct npu_device *ndev)
{
	u32 id;

	if (!test_and_clear_bit(NPU_STATE_FAILED, &ndev->state))
		return;
	npu_bo_reclaim(ndev);
	npu_mm_reclaim(ndev);
	for_each_set_bit(id, ndev->lost_ctx_ids, NPU_MAX_CONTEXTS)
		ida_free(&ndev->ctx_ids, id);
	for_each_set_bit(id, ndev->lost_queue_ids, NPU_MAX_QUEUES)
		ida_free(&ndev->queue_ids, id);
	bitmap_zero(ndev->lost_ctx_ids, NPU_MAX_CONTEXTS);
	bitmap_zero(ndev->lost_queue_ids, NPU_MAX_QUEUES);
}

static void npu_account_release(struct kref *kref)
{
	kfree(container_of(kref, struct npu_account, kref));
}

void npu_account_put(struct npu_account *account)
{
	kref_put(&account->kref, npu_account_release);
}

static int npu_open(struct drm_device *drm, struct drm_file *drm_file)
{
	struct npu_account *account = kzalloc(sizeof(*account), GFP_KERNEL_ACCOUNT);
	struct npu_file *file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	struct npu_user *user = npu_user_get(to_npu_device(drm));

	if (!account || !file || !user) {
		if (user)
			npu_user_put(to_npu_device(drm), user);
		kfree(account);
		kfree(file);
		return -ENOMEM;
	}
	kref_init(&account->kref);
	account->pid = task_tgid_nr(current);
	file->account = account;
	file->user = user;
	file->ndev = to_npu_device(drm);
	file->drm_file = drm_file;
	mutex_init(&file->lock);
	drm_file->driver_priv = file;
	return 0;
}

static void npu_postclose(struct drm_device *drm, struct drm_file *drm_file)
{
	struct npu_file *file = drm_file->driver_priv;

	if (file->ctx)
		npu_ctx_destroy(file->ctx);
	npu_user_put(file->ndev, file->user);
	npu_account_put(file->account);
	mutex_destroy(&file->lock);
	kfree(file);
}

static void npu_info_device(struct npu_device *ndev, struct drm_npu_info_device *info)
{
	*info = (struct drm_npu_info_device){
		.hw_version = ndev->hw_version,
		.contract_version = ndev->contract_version,
		.fw_version = READ_ONCE(ndev->fw_version),
		.num_cores = ndev->num_cores,
		.num_queues = ndev->num_queues,
		.num_slots = ndev->num_slots,
		.va_start = NPU_VA_START,
		.va_end = NPU_VA_END,
		.uuid = ndev->uuid,
		.sram_bytes = ndev->sram_bytes,
	};
}

static void npu_info_memory(struct npu_file *file, struct drm_npu_info_memory *info)
{
	*info = (struct drm_npu_info_memory){
		.device_total = file->ndev->mem_size,
		.device_free = npu_mm_avail(file->ndev),
		.context_device = atomic64_read(&file->account->device_bytes),
		.context_host = atomic64_read(&file->account->host_bytes),
	};
}

static int npu_info_copy(struct drm_npu_get_info *args, const void *answer, u32 bytes)
{
	u32 wanted = min(args->size, bytes);

	if (wanted && copy_to_user(u64_to_user_ptr(args->data), answer, wanted))
		return -EFAULT;
	args->size = bytes;
	return 0;
}

static int npu_get_info(struct npu_file *file, struct drm_npu_get_info *args)
{
	union {
		struct drm_npu_info_device device;
		struct drm_npu_info_memory memory;
	} info;

	switch (args->query) {
	case DRM_NPU_INFO_DEVICE:
		npu_info_device(file->ndev, &info.device);
		return npu_info_copy(args, &info.device, sizeof(info.device));
	case DRM_NPU_INFO_MEMORY:
		npu_info_memory(file, &info.memory);
		return npu_info_copy(args, &info.memory, sizeof(info.memory));
	case DRM_NPU_INFO_TREE:
		return npu_info_copy(args, file->ndev->rom, file->ndev->rom_bytes);
	default:
		drm_dbg(&file->ndev->drm, "get_info: unknown query %u\n", args->query);
		return -EINVAL;
	}
}

/* Of what is known without the device: it copies to user memory, which may be the device's. */
static int npu_ioctl_get_info(struct drm_device *drm, void *data, struct drm_file *file)
{
	return npu_get_info(file->driver_priv, data);
}

static const struct drm_ioctl_desc npu_ioctls[] = {
	DRM_IOCTL_DEF_DRV(NPU_GET_INFO, npu_ioctl_get_info, 0),
	DRM_IOCTL_DEF_DRV(NPU_CONTEXT_INIT, npu_ioctl_context_init, 0),
	DRM_IOCTL_DEF_DRV(NPU_BO_CREATE, npu_ioctl_bo_create, 0),
	DRM_IOCTL_DEF_DRV(NPU_BO_MMAP, npu_ioctl_bo_mmap, 0),
	DRM_IOCTL_DEF_DRV(NPU_VM_BIND, npu_ioctl_vm_bind, 0),
	DRM_IOCTL_DEF_DRV(NPU_QUEUE_CREATE, npu_ioctl_queue_create, 0),
	DRM_IOCTL_DEF_DRV(NPU_QUEUE_DESTROY, npu_ioctl_queue_destroy, 0),
	DRM_IOCTL_DEF_DRV(NPU_QUEUE_RESUME, npu_ioctl_queue_resume, 0),
	DRM_IOCTL_DEF_DRV(NPU_WAIT, npu_ioctl_wait, 0),
	DRM_IOCTL_DEF_DRV(NPU_BO_NAME, npu_ioctl_bo_name, 0),
	DRM_IOCTL_DEF_DRV(NPU_BO_USERPTR, npu_ioctl_bo_userptr, 0),
	DRM_IOCTL_DEF_DRV(NPU_SYNC_EXPORT, npu_ioctl_sync_export, 0),
	DRM_IOCTL_DEF_DRV(NPU_SYNC_IMPORT, npu_ioctl_sync_import, 0),
};

/*
 * An accel node has no master, and some of DRM's own calls do not expect that:
 * drm_getunique() follows the NULL.  What a render node refuses, ours refuses.
 */
static bool npu_ioctl_is_ours(unsigned int cmd)
{
	unsigned int nr = DRM_IOCTL_NR(cmd), flags;

	return !drm_ioctl_flags(nr, &flags) || (flags & DRM_RENDER_ALLOW);
}

static long npu_unlocked_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	return npu_ioctl_is_ours(cmd) ? drm_ioctl(filp, cmd, arg) : -EACCES;
}

#ifdef CONFIG_COMPAT
static long npu_compat_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	return npu_ioctl_is_ours(cmd) ? drm_compat_ioctl(filp, cmd, arg) : -EACCES;
}
#else
#define npu_compat_ioctl NULL
#endif

/* As DRM_ACCEL_FOPS has them, but for the calls. */
static const struct file_operations npu_fops = {
	.owner = THIS_MODULE,
	.open = accel_open,
	.release = drm_release,
	.unlocked_ioctl = npu_unlocked_ioctl,
	.compat_ioctl = npu_compat_ioctl,
	.poll = drm_poll,
	.read = drm_read,
	.llseek = noop_llseek,
	.mmap = drm_gem_mmap,
	.fop_flags = FOP_UNSIGNED_OFFSET,
	.show_fdinfo = drm_show_fdinfo,
};

static const struct drm_driver npu_drm_driver = {
	.driver_features = DRIVER_COMPUTE_ACCEL | DRIVER_GEM | DRIVER_GEM_GPUVA |
			   DRIVER_SYNCOBJ | DRIVER_SYNCOBJ_TIMELINE,
	.open = npu_open,
	.postclose = npu_postclose,
	.show_fdinfo = npu_show_fdinfo,
	.gem_prime_import = npu_prime_import,
	.ioctls = npu_ioctls,
	.num_ioctls = ARRAY_SIZE(npu_ioctls),
	.fops = &npu_fops,
	.name = NPU_DRIVER_NAME,
	.desc = "NPU compute accelerator",
	.major = NPU_DRIVER_MAJOR,
	.minor = NPU_DRIVER_MINOR,
};

static int npu_map_bars(struct npu_device *ndev)
{
	struct pci_dev *pdev = ndev->pdev;
	int ret;

	ret = pcim_request_region(pdev, NPU_BAR_REGS, NPU_DRIVER_NAME);
	if (!ret)
		ret = pcim_request_region(pdev, NPU_BAR_MEM, NPU_DRIVER_NAME);
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "BAR %d or %d is taken\n", NPU_BAR_REGS,
				     NPU_BAR_MEM);
	if (pci_resource_len(pdev, NPU_BAR_REGS) < NPU_BAR0_SIZE)
		return dev_err_probe(&pdev->dev, -ENODEV, "BAR %d is smaller than %#x bytes\n",
				     NPU_BAR_REGS, NPU_BAR0_SIZE);

	ndev->regs_phys = pci_resource_start(pdev, NPU_BAR_REGS);
	ndev->mem_phys = pci_resource_start(pdev, NPU_BAR_MEM);
	ndev->regs = devm_ioremap(&pdev->dev, ndev->regs_phys, NPU_BAR0_SIZE);
	ndev->mem = devm_ioremap_wc(&pdev->dev, ndev->mem_phys,
				    pci_resource_len(pdev, NPU_BAR_MEM));
	if (!ndev->regs || !ndev->mem)
		return dev_err_probe(&pdev->dev, -ENOMEM, "the BARs cannot be mapped\n");
	return 0;
}

static int npu_check_identity(struct npu_device *ndev)
{
	struct device *dev = &ndev->pdev->dev;
	u32 magic = npu_read(ndev, NPU_REG_MAGIC);

	if (magic != NPU_MAGIC)
		return dev_err_probe(dev, -ENODEV, "magic is %#x instead of %#x: not an NPU\n",
				     magic, NPU_MAGIC);
	ndev->contract_version = npu_read(ndev, NPU_REG_CONTRACT_VERSION);
	if (ndev->contract_version >> 16 != NPU_CONTRACT_MAJOR)
		return dev_err_probe(dev, -ENODEV,
				     "the device has hardware contract %u.%u, this driver needs %u.x: use a matching driver\n",
				     ndev->contract_version >> 16, ndev->contract_version & 0xffff,
				     NPU_CONTRACT_MAJOR);
	return 0;
}

static int npu_read_identity(struct npu_device *ndev)
{
	struct device *dev = &ndev->pdev->dev;

	ndev->hw_version = npu_read(ndev, NPU_REG_HW_VERSION);
	ndev->mem_size = npu_read64(ndev, NPU_REG_MEM_SIZE);
	ndev->num_cores = npu_read(ndev, NPU_REG_NUM_CORES);
	ndev->num_queues = npu_read(ndev, NPU_REG_NUM_QUEUES);
	ndev->num_slots = npu_read(ndev, NPU_REG_NUM_SLOTS);
	ndev->num_contexts = npu_read(ndev, NPU_REG_NUM_CONTEXTS);
	ndev->rom_bytes = npu_read(ndev, NPU_REG_ROM_BYTES);
	ndev->sram_bytes = npu_read(ndev, NPU_REG_SRAM_BYTES);
	ndev->uuid = npu_read64(ndev, NPU_REG_UUID);

	if (!ndev->mem_size || ndev->mem_size > pci_resource_len(ndev->pdev, NPU_BAR_MEM))
		return dev_err_probe(dev, -ENODEV, "%#llx bytes of memory do not fit in BAR %d\n",
				     ndev->mem_size, NPU_BAR_MEM);
	if (!ndev->num_queues || ndev->num_queues > NPU_MAX_QUEUES || ndev->num_contexts < 2 ||
	    ndev->num_contexts > NPU_MAX_CONTEXTS || ndev->num_slots > NPU_MAX_SLOTS ||
	    !ndev->rom_bytes || ndev->rom_bytes > NPU_ROM_SIZE)
		return dev_err_probe(dev, -ENODEV,
				     "%u queues, %u contexts, %u slots, %u bytes of ROM: out of range\n",
				     ndev->num_queues, ndev->num_contexts, ndev->num_slots,
				     ndev->rom_bytes);
	return 0;
}

static void npu_init_state(struct npu_device *ndev)
{
	mutex_init(&ndev->fw_lock);
	mutex_init(&ndev->open_lock);
	mutex_init(&ndev->inject_lock);
	mutex_init(&ndev->user_lock);
	INIT_LIST_HEAD(&ndev->users);
	mutex_init(&ndev->bo_lock);
	spin_lock_init(&ndev->ctx_lock);
	spin_lock_init(&ndev->tlb.lock);
	init_waitqueue_head(&ndev->tlb.wq);
	init_waitqueue_head(&ndev->fw_wq);
	INIT_LIST_HEAD(&ndev->ctx_list);
	INIT_LIST_HEAD(&ndev->bo_list);
	INIT_LIST_HEAD(&ndev->lost_bos);
	INIT_WORK(&ndev->fw_work, npu_fw_work);
	ida_init(&ndev->ctx_ids);
	ida_init(&ndev->queue_ids);
	npu_recovery_init(ndev);
	npu_evict_init(ndev);
}

/* Runs when the last file is closed, which may be long after remove(). */
static void npu_fini_state(struct drm_device *drm, void *data)
{
	struct npu_device *ndev = to_npu_device(drm);

	ida_destroy(&ndev->ctx_ids);
	ida_destroy(&ndev->queue_ids);
	npu_fw_forget(ndev);
	npu_mem_free(ndev, &ndev->fw_mem);
	npu_bo_put(ndev->scratch);
	npu_mem_free(ndev, &ndev->zeros);
	npu_mem_free(ndev, &ndev->queue_table);
	npu_mem_free(ndev, &ndev->ctx_table);
	npu_mbox_fini(ndev);
	mutex_destroy(&ndev->bo_lock);
	mutex_destroy(&ndev->user_lock);
	mutex_destroy(&ndev->inject_lock);
	mutex_destroy(&ndev->open_lock);
	mutex_destroy(&ndev->fw_lock);
}

static int npu_alloc_tables(struct npu_device *ndev)
{
	int ret;

	ret = npu_mm_init(ndev);
	if (ret)
		return ret;
	/* Registered after the memory's own end, so that it runs before it. */
	ret = npu_mbox_init(ndev);
	if (ret)
		return ret;
	ret = drmm_add_action_or_reset(&ndev->drm, npu_fini_state, NULL);
	if (ret)
		return ret;
	ret = npu_mem_alloc(ndev, &ndev->ctx_table,
			    NPU_MAX_CONTEXTS * sizeof(struct npu_ctx_desc));
	if (ret)
		return ret;
	ret = npu_mem_alloc(ndev, &ndev->queue_table,
			    NPU_MAX_QUEUES * sizeof(struct npu_queue_desc));
	if (ret)
		return ret;
	ret = npu_mem_alloc(ndev, &ndev->zeros, NPU_BIG_PAGE_SIZE);
	if (ret)
		return ret;
	ret = npu_mem_alloc(ndev, &ndev->fw_mem, NPU_FW_MAX_BYTES);
	if (ret)
		return ret;
	ndev->scratch = npu_bo_new(ndev, NPU_BO_KIND_HOST, PAGE_SIZE, NPU_BO_INTERNAL, NULL);
	return IS_ERR(ndev->scratch) ? PTR_ERR(no_free_ptr(ndev->scratch)) : 0;
}

static void npu_free_rom(struct drm_device *drm, void *rom)
{
	kvfree(rom);
}

/* Keeps the hardware's device tree: the ROM does not change, and cannot be read during a reset. */
static int npu_read_rom(struct npu_device *ndev)
{
	u32 words = DIV_ROUND_UP(ndev->rom_bytes, sizeof(u32));
	__le32 *rom = kvmalloc_array(words, sizeof(*rom), GFP_KERNEL);

	if (!rom)
		return -ENOMEM;
	for (u32 i = 0; i < words; i++)
		rom[i] = cpu_to_le32(npu_read(ndev, NPU_ROM_OFFSET + i * sizeof(*rom)));
	ndev->rom = rom;
	return drmm_add_action_or_reset(&ndev->drm, npu_free_rom, rom);
}

static int npu_init_hardware(struct npu_device *ndev)
{
	struct pci_dev *pdev = ndev->pdev;
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "cannot be enabled\n");
	/* A page-table entry has 52 address bits. */
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(52));
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "no usable DMA mask\n");
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	ret = npu_map_bars(ndev);
	if (!ret)
		ret = npu_check_identity(ndev);
	/* Whoever had it before may have left it running. */
	if (!ret)
		ret = npu_reset(ndev);
	if (!ret)
		ret = npu_read_identity(ndev);
	if (!ret)
		ret = npu_read_rom(ndev);
	return ret;
}

/* For good: an interrupt that is still on its way starts none of it again. */
static void npu_stop_work(struct npu_device *ndev)
{
	npu_irq_disable(ndev);
	disable_work_sync(&ndev->fw_work);
	disable_work_sync(&ndev->recovery.work);
	disable_delayed_work_sync(&ndev->recovery.bus_work);
	npu_evict_stop(ndev);
}

static int npu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct npu_device *ndev;
	int ret, refused;

	ndev = devm_drm_dev_alloc(&pdev->dev, &npu_drm_driver, struct npu_device, drm);
	if (IS_ERR(ndev))
		return PTR_ERR(ndev);
	ndev->pdev = pdev;
	pci_set_drvdata(pdev, ndev);
	npu_init_state(ndev);

	ret = npu_init_hardware(ndev);
	if (!ret)
		ret = npu_alloc_tables(ndev);
	if (!ret)
		ret = npu_irq_init(ndev);
	if (ret)
		return ret;

	pci_set_master(pdev);
	ret = npu_pm_init(ndev);
	if (ret)
		return ret;
	/*
	 * Without firmware the node exists and says why; a good file can be loaded later.  A reset
	 * that this makes necessary comes afterwards.
	 */
	down_write(&ndev->recovery.lock);
	npu_fw_restart(ndev, true, &refused);
	npu_recovery_unlock(ndev);
	npu_debugfs_init(ndev);
	ret = drm_dev_register(&ndev->drm, 0);
	if (ret) {
		npu_stop_work(ndev);
		npu_reset(ndev);
		pci_clear_master(pdev);
		return ret;
	}
	npu_hwmon_init(ndev);
	drm_info(&ndev->drm, "%u cores, %llu MiB, %u queues on %u slots, %u vectors\n",
		 ndev->num_cores, ndev->mem_size >> 20, ndev->num_queues, ndev->num_slots,
		 ndev->num_vectors);
	return 0;
}

/* Shows all processes that their queues are lost. */
static void npu_kill_queues(struct npu_device *ndev)
{
	struct npu_queue *queue;
	struct npu_ctx *ctx;
	unsigned long id;

	mutex_lock(&ndev->open_lock);
	list_for_each_entry(ctx, &ndev->ctx_list, node) {
		xa_for_each(&ctx->queues, id, queue) {
			/* Its file may be closing just now. */
			queue = npu_queue_get(ctx, id);
			if (queue)
				npu_queue_mark_dead(queue);
			npu_queue_put(queue);
		}
	}
	mutex_unlock(&ndev->open_lock);
}

/* Nobody begins anything with it from here on, and who waits for it leaves. */
static void npu_leave(struct npu_device *ndev)
{
	/*
	 * Files that are closed from here on cannot stop the device: what it uses is kept until it
	 * has been reset.  By us: one that is going on may still bring contexts back.
	 */
	set_bit(NPU_STATE_LEAVING, &ndev->state);
	/* Pairs with npu_check_alive(). */
	smp_store_release(&ndev->gone, true);
	npu_wake_all(ndev);
}

static void npu_remove(struct pci_dev *pdev)
{
	struct npu_device *ndev = pci_get_drvdata(pdev);

	/* Sleepers leave first: the unplug waits for calls that are inside. */
	npu_leave(ndev);
	drm_dev_unplug(&ndev->drm);
	/* An error of the bus may have paused it: page faults end now, with SIGBUS. */
	npu_unpause(ndev);
	npu_hwmon_fini(ndev);

	/* From here on nobody but us touches it; stop it, then take its view of memory away. */
	npu_stop_work(ndev);
	npu_fw_stop(ndev);
	/* A device that was pulled out has nothing left to reset. */
	if (pci_device_is_present(pdev))
		npu_reset(ndev);
	pci_clear_master(pdev);
	/* Even a device that ignores the reset reaches no host memory now. */
	clear_bit(NPU_STATE_WEDGED, &ndev->state);
	set_bit(NPU_STATE_FAILED, &ndev->state);
	clear_bit(NPU_STATE_LEAVING, &ndev->state);
	npu_reset_done(ndev);
	npu_bo_unmap_dma_all(ndev);
	npu_kill_queues(ndev);
	/* It may have been waiting for a reset that never came: page faults need not. */
	npu_unpause(ndev);
}

/* At reboot and kexec the next kernel must not find the device writing. */
static void npu_shutdown(struct pci_dev *pdev)
{
	struct npu_device *ndev = pci_get_drvdata(pdev);

	/* No reset may bring it back, either. */
	npu_leave(ndev);
	npu_stop_work(ndev);
	pci_clear_master(pdev);
}

static const struct pci_device_id npu_ids[] = {
	{ PCI_DEVICE(NPU_PCI_VENDOR_ID, NPU_PCI_DEVICE_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, npu_ids);

static struct pci_driver npu_pci_driver = {
	.name = NPU_DRIVER_NAME,
	.id_table = npu_ids,
	.probe = npu_probe,
	.remove = npu_remove,
	.shutdown = npu_shutdown,
	.dev_groups = npu_sysfs_groups,
	.err_handler = &npu_error_handlers,
	.driver.pm = pm_sleep_ptr(&npu_pm_ops),
};
module_pci_driver(npu_pci_driver);

MODULE_DESCRIPTION("NPU compute accelerator");
MODULE_VERSION("1.0.0");
MODULE_LICENSE("GPL");
