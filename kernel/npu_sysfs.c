// SPDX-License-Identifier: GPL-2.0
/*
 * Attributes of the PCI device: versions, health, counters, the hardware's
 * device tree, and reloading the firmware.
 */
#include <linux/device.h>
#include <linux/kstrtox.h>
#include <linux/sysfs.h>

#include "npu_drv.h"

/* One attribute that prints a value read while the device is there. */
#define NPU_ATTR(_name, _format, _value)						\
static ssize_t _name##_show(struct device *dev, struct device_attribute *attr, char *buf)	\
{											\
	struct npu_device *ndev = dev_get_drvdata(dev);					\
	ssize_t n;									\
	int idx;									\
											\
	if (!drm_dev_enter(&ndev->drm, &idx))						\
		return -ENODEV;								\
	n = sysfs_emit(buf, _format "\n", _value);					\
	drm_dev_exit(idx);								\
	return n;									\
}											\
static DEVICE_ATTR_RO(_name)

/* The same of a register, which has no value while the device is reset. */
#define NPU_ATTR_REG(_name, _format, _value)						\
static ssize_t _name##_show(struct device *dev, struct device_attribute *attr, char *buf)	\
{											\
	struct npu_device *ndev = dev_get_drvdata(dev);					\
	ssize_t n = -ENODATA;								\
	int idx;									\
											\
	if (!drm_dev_enter(&ndev->drm, &idx))						\
		return -ENODEV;								\
	if (npu_answers(ndev))								\
		n = sysfs_emit(buf, _format "\n", _value);				\
	if (!npu_answers(ndev))								\
		n = -ENODATA;								\
	drm_dev_exit(idx);								\
	return n;									\
}											\
static DEVICE_ATTR_RO(_name)

NPU_ATTR(fw_state, "%s", npu_fw_state_name(ndev));
NPU_ATTR_REG(health, "%u", npu_read(ndev, NPU_REG_HEALTH));
NPU_ATTR(uuid, "%016llx", ndev->uuid);
NPU_ATTR(num_cores, "%u", ndev->num_cores);
NPU_ATTR(num_queues, "%u", ndev->num_queues);
NPU_ATTR(num_slots, "%u", ndev->num_slots);
NPU_ATTR_REG(clock_khz, "%u", npu_read(ndev, NPU_REG_CLOCK_KHZ));
NPU_ATTR_REG(temp_mc, "%d", (s32)npu_read(ndev, NPU_REG_TEMP_MC));
NPU_ATTR_REG(power_mw, "%u", npu_read(ndev, NPU_REG_POWER_MW));
NPU_ATTR_REG(energy_uj, "%llu", npu_read64(ndev, NPU_REG_ENERGY_UJ));
NPU_ATTR_REG(util_permille, "%u", npu_read(ndev, NPU_REG_UTIL_PERMILLE));
NPU_ATTR_REG(throttle, "0x%x", npu_read(ndev, NPU_REG_THROTTLE));
NPU_ATTR_REG(ecc_ce, "%llu", npu_read64(ndev, NPU_REG_ECC_CE));
NPU_ATTR_REG(ecc_ue, "%llu", npu_read64(ndev, NPU_REG_ECC_UE));
NPU_ATTR_REG(retired_pages, "%u", npu_read(ndev, NPU_REG_RETIRED_PAGES));
NPU_ATTR_REG(active_queues, "%u", npu_read(ndev, NPU_REG_ACTIVE_QUEUES));
NPU_ATTR_REG(fault_count, "%llu", npu_read64(ndev, NPU_REG_FAULT_COUNT));
NPU_ATTR_REG(link_errors, "%llu", npu_read64(ndev, NPU_REG_LINK_ERRORS));
NPU_ATTR(device_resets, "%d", atomic_read(&ndev->recovery.resets));
NPU_ATTR(core_resets, "%d", atomic_read(&ndev->recovery.core_resets));
NPU_ATTR(hangs, "%d", atomic_read(&ndev->recovery.hangs));
NPU_ATTR(memory_total, "%llu", ndev->mem_size);
NPU_ATTR(memory_free, "%llu", npu_mm_avail(ndev));

static ssize_t hw_version_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct npu_device *ndev = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u.%u\n", ndev->hw_version >> 16, ndev->hw_version & 0xffff);
}
static DEVICE_ATTR_RO(hw_version);

static ssize_t contract_version_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct npu_device *ndev = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u.%u\n", ndev->contract_version >> 16,
			  ndev->contract_version & 0xffff);
}
static DEVICE_ATTR_RO(contract_version);

static ssize_t fw_version_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct npu_device *ndev = dev_get_drvdata(dev);
	u32 version = READ_ONCE(ndev->fw_version);

	if (!version)
		return -ENODATA;
	return sysfs_emit(buf, "%u.%u.%u\n", version >> 24, version >> 16 & 0xff, version & 0xffff);
}
static DEVICE_ATTR_RO(fw_version);

/* Why there is no firmware; an empty line when there is. */
static ssize_t fw_error_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct npu_device *ndev = dev_get_drvdata(dev);
	const char *reason = READ_ONCE(ndev->fw_reason);

	return sysfs_emit(buf, "%s\n", reason ? reason : "");
}
static DEVICE_ATTR_RO(fw_error);

/*
 * Writing 1 resets the device and loads the firmware's file again; contexts and queues go
 * on.  (The PCI core's attribute
 * reset does the same with the firmware that it has.)
 */
static ssize_t fw_reload_store(struct device *dev, struct device_attribute *attr, const char *buf,
			       size_t count)
{
	struct npu_device *ndev = dev_get_drvdata(dev);
	bool value;
	int idx, ret;

	ret = kstrtobool(buf, &value);
	if (ret)
		return ret;
	if (!value)
		return -EINVAL;
	if (!drm_dev_enter(&ndev->drm, &idx))
		return -ENODEV;
	ret = npu_recover_now(ndev, "asked for by fw_reload", true);
	drm_dev_exit(idx);
	return ret ? ret : count;
}
static DEVICE_ATTR_WO(fw_reload);

static ssize_t hw_tree_read(struct file *file, struct kobject *kobj, struct bin_attribute *attr,
			    char *buf, loff_t offset, size_t count)
{
	struct npu_device *ndev = dev_get_drvdata(kobj_to_dev(kobj));

	return memory_read_from_buffer(buf, count, &offset, ndev->rom, ndev->rom_bytes);
}
static BIN_ATTR_RO(hw_tree, 0);

static struct attribute *npu_sysfs_attrs[] = {
	&dev_attr_fw_state.attr,
	&dev_attr_fw_version.attr,
	&dev_attr_fw_error.attr,
	&dev_attr_fw_reload.attr,
	&dev_attr_health.attr,
	&dev_attr_hw_version.attr,
	&dev_attr_contract_version.attr,
	&dev_attr_uuid.attr,
	&dev_attr_num_cores.attr,
	&dev_attr_num_queues.attr,
	&dev_attr_num_slots.attr,
	&dev_attr_clock_khz.attr,
	&dev_attr_temp_mc.attr,
	&dev_attr_power_mw.attr,
	&dev_attr_energy_uj.attr,
	&dev_attr_util_permille.attr,
	&dev_attr_throttle.attr,
	&dev_attr_ecc_ce.attr,
	&dev_attr_ecc_ue.attr,
	&dev_attr_retired_pages.attr,
	&dev_attr_active_queues.attr,
	&dev_attr_fault_count.attr,
	&dev_attr_link_errors.attr,
	&dev_attr_device_resets.attr,
	&dev_attr_core_resets.attr,
	&dev_attr_hangs.attr,
	&dev_attr_memory_total.attr,
	&dev_attr_memory_free.attr,
	NULL
};

static struct bin_attribute *npu_sysfs_bin_attrs[] = {
	&bin_attr_hw_tree,
	NULL
};

static const struct attribute_group npu_sysfs_group = {
	.attrs = npu_sysfs_attrs,
	.bin_attrs = npu_sysfs_bin_attrs,
};

const struct attribute_group *npu_sysfs_groups[] = {
	&npu_sysfs_group,
	NULL
};
