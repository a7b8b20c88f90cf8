// SPDX-License-Identifier: GPL-2.0
/* Sensors, in the hwmon class. */
#include <linux/hwmon.h>

#include "npu_drv.h"

static umode_t npu_hwmon_visible(const void *data, enum hwmon_sensor_types type, u32 attr,
				 int channel)
{
	return 0444;
}

/* Without firmware nobody reads the sensors; of a device in reset neither. */
static bool npu_hwmon_has_values(struct npu_device *ndev)
{
	return READ_ONCE(ndev->fw_ready) && npu_answers(ndev);
}

static int npu_hwmon_value(struct npu_device *ndev, enum hwmon_sensor_types type, long *value)
{
	switch (type) {
	case hwmon_temp:
		*value = (s32)npu_read(ndev, NPU_REG_TEMP_MC);
		return 0;
	case hwmon_power:
		*value = (long)npu_read(ndev, NPU_REG_POWER_MW) * 1000;
		return 0;
	case hwmon_energy:
		*value = npu_read64(ndev, NPU_REG_ENERGY_UJ);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int npu_hwmon_read(struct device *dev, enum hwmon_sensor_types type, u32 attr, int channel,
			  long *value)
{
	struct npu_device *ndev = dev_get_drvdata(dev);
	int idx, ret = -ENODATA;

	if (!drm_dev_enter(&ndev->drm, &idx))
		return -ENODEV;
	if (npu_hwmon_has_values(ndev))
		ret = npu_hwmon_value(ndev, type, value);
	if (!npu_answers(ndev))
		ret = -ENODATA;
	drm_dev_exit(idx);
	return ret;
}

static const struct hwmon_ops npu_hwmon_ops = {
	.is_visible = npu_hwmon_visible,
	.read = npu_hwmon_read,
};

static const struct hwmon_channel_info *const npu_hwmon_channels[] = {
	HWMON_CHANNEL_INFO(temp, HWMON_T_INPUT),
	HWMON_CHANNEL_INFO(power, HWMON_P_AVERAGE),
	HWMON_CHANNEL_INFO(energy, HWMON_E_INPUT),
	NULL
};

static const struct hwmon_chip_info npu_hwmon_chip = {
	.ops = &npu_hwmon_ops,
	.info = npu_hwmon_channels,
};

/* The class knows no clocks; the names are those of other drivers. */
static ssize_t freq1_input_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct npu_device *ndev = dev_get_drvdata(dev);
	ssize_t n = -ENODATA;
	int idx;

	if (!drm_dev_enter(&ndev->drm, &idx))
		return -ENODEV;
	if (npu_hwmon_has_values(ndev))
		n = sysfs_emit(buf, "%llu\n", npu_read(ndev, NPU_REG_CLOCK_KHZ) * 1000ull);
	if (!npu_answers(ndev))
		n = -ENODATA;
	drm_dev_exit(idx);
	return n;
}
static DEVICE_ATTR_RO(freq1_input);

static ssize_t freq1_label_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "core\n");
}
static DEVICE_ATTR_RO(freq1_label);

static struct attribute *npu_hwmon_attrs[] = {
	&dev_attr_freq1_input.attr,
	&dev_attr_freq1_label.attr,
	NULL
};
ATTRIBUTE_GROUPS(npu_hwmon);

/* Without sensors in hwmon the device still computes, so a failure is only reported. */
void npu_hwmon_init(struct npu_device *ndev)
{
	struct device *hwmon;

	hwmon = hwmon_device_register_with_info(&ndev->pdev->dev, NPU_DRIVER_NAME, ndev,
						&npu_hwmon_chip, npu_hwmon_groups);
	if (IS_ERR(hwmon)) {
		drm_warn(&ndev->drm, "no hwmon device: %pe\n", hwmon);
		return;
	}
	ndev->hwmon = hwmon;
}

void npu_hwmon_fini(struct npu_device *ndev)
{
	if (ndev->hwmon)
		hwmon_device_unregister(ndev->hwmon);
	ndev->hwmon = NULL;
}
