/* SPDX-License-Identifier: GPL-2.0 */
/* Resets from outside, bus errors, sleep. */
#ifndef NPU_PM_H
#define NPU_PM_H

#include <linux/pci.h>
#include <linux/pm.h>

#include "npu_drv.h"

extern const struct pci_error_handlers npu_error_handlers;

extern const struct dev_pm_ops npu_pm_ops;

int npu_pm_init(struct npu_device *ndev);

#endif /* NPU_PM_H */
