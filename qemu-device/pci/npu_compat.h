/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What differs between the QEMU versions that the glue compiles on (7.2 and 10.x), and nothing
 * else. Headers that moved are found by name; calls that changed are told apart by version.
 */
#ifndef HW_NPU_COMPAT_H
#define HW_NPU_COMPAT_H

#include "qemu/osdep.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/pci/pci.h"
#if __has_include("hw/pci/pci_device.h")
#include "hw/pci/pci_device.h"
#endif
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_aer.h"
#if __has_include("hw/core/qdev-properties.h")
#include "hw/core/qdev-properties.h"
#else
#include "hw/qdev-properties.h"
#endif
#include "hw/core/cpu.h"
#include "migration/vmstate.h"
#if __has_include("system/runstate.h")
#include "system/runstate.h"
#else
#include "sysemu/runstate.h"
#endif
#if __has_include("system/tcg.h")
#include "system/tcg.h"
#else
#include "sysemu/tcg.h"
#endif

#define NPU_QEMU_VERSION (QEMU_VERSION_MAJOR * 100 + QEMU_VERSION_MINOR)

/* The big lock's name. */
#if NPU_QEMU_VERSION < 900
#define npu_bql_locked() qemu_mutex_iothread_locked()
#else
#define npu_bql_locked() bql_locked()
#endif

/* The hold phase of a reset is told the kind of the reset since 9.1. */
#if NPU_QEMU_VERSION < 901
#define NPU_RESET_HOLD_ARGS Object *obj
#else
#define NPU_RESET_HOLD_ARGS Object *obj, ResetType type
#endif

/* Class data and interface lists became const in 10.1. */
#if NPU_QEMU_VERSION < 1001
#define NPU_CLASS_DATA void *
#define NPU_INTERFACES InterfaceInfo
#else
#define NPU_CLASS_DATA const void *
#define NPU_INTERFACES const InterfaceInfo
#endif

/* Fields of a migration's description became const in 8.2. */
#if NPU_QEMU_VERSION < 802
#define NPU_VMSTATE_FIELDS VMStateField
#else
#define NPU_VMSTATE_FIELDS const VMStateField
#endif

/* The end of a property list: needed before 10.0, forbidden since. */
#if NPU_QEMU_VERSION < 1000
#define NPU_PROPERTIES Property
#define NPU_PROPERTIES_END DEFINE_PROP_END_OF_LIST(),
#else
#define NPU_PROPERTIES const Property
#define NPU_PROPERTIES_END
#endif

/* Whether an access goes to RAM; the attributes take part since 10.0. */
#if NPU_QEMU_VERSION < 1000
#define npu_access_is_ram(mr, is_write, attrs) memory_access_is_direct(mr, is_write)
#else
#define npu_access_is_ram(mr, is_write, attrs) memory_access_is_direct(mr, is_write, attrs)
#endif

/*
 * Register accesses without the big lock, where QEMU can (10.2 and later); the model's registers
 * are thread-safe. Elsewhere QEMU takes the lock around each access, which is short: the model
 * never waits in one.
 */
static inline void npu_allow_lockless_io(MemoryRegion *mr)
{
#if NPU_QEMU_VERSION >= 1002
    memory_region_enable_lockless_io(mr);
#endif
}

/*
 * The PM capability: D0 and D3hot, with the state kept in D3. QEMU's own pci_pm_init() (10.0 and
 * later) is not it: it takes the BARs away in D3, and reads that reach nobody give 0.
 */
static inline int npu_pm_init(PCIDevice *dev, uint8_t offset, Error **errp)
{
    int pos = pci_add_capability(dev, PCI_CAP_ID_PM, offset, PCI_PM_SIZEOF, errp);
    if (pos < 0) {
        return pos;
    }
    pci_set_word(dev->config + pos + PCI_PM_PMC, PCI_PM_CAP_VER_1_2);
    pci_set_word(dev->config + pos + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
    pci_set_word(dev->wmask + pos + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
    return pos;
}

#endif
