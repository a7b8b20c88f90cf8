// SPDX-License-Identifier: GPL-2.0
/*
 * Driver of another function of the NPU's slot (QEMU's device for teaching),
 * which can do nothing about an error but be reset.  So at every error, even one
 * that has stopped nothing, the PCI core goes the way of a reset of the slot,
 * and the NPU's driver is taken along.
 */
#include <linux/module.h>
#include <linux/pci.h>

static int neighbour_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return pcim_enable_device(pdev);
}

static pci_ers_result_t neighbour_error_detected(struct pci_dev *pdev, pci_channel_state_t state)
{
	return state == pci_channel_io_perm_failure ? PCI_ERS_RESULT_DISCONNECT :
						      PCI_ERS_RESULT_NEED_RESET;
}

static pci_ers_result_t neighbour_slot_reset(struct pci_dev *pdev)
{
	pci_info(pdev, "the neighbour's slot has been reset\n");
	return PCI_ERS_RESULT_RECOVERED;
}

static const struct pci_error_handlers neighbour_error_handlers = {
	.error_detected = neighbour_error_detected,
	.slot_reset = neighbour_slot_reset,
};

static const struct pci_device_id neighbour_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{}
};
MODULE_DEVICE_TABLE(pci, neighbour_ids);

static struct pci_driver neighbour_driver = {
	.name = "npu-neighbour",
	.id_table = neighbour_ids,
	.probe = neighbour_probe,
	.err_handler = &neighbour_error_handlers,
};
module_pci_driver(neighbour_driver);

MODULE_DESCRIPTION("A function beside the NPU that wants a reset at every error");
MODULE_LICENSE("GPL");
