# SPDX-License-Identifier: GPL-2.0-or-later
# The devices of the QEMU that is built for the guest: the board, the NPU, and what the VM and its tests plug in.
# Everything else is left out, which halves the build.
CONFIG_Q35=y
# The board for guests that sleep: the PC BIOS cannot wake a Q35.
CONFIG_I440FX=y
CONFIG_NPU=y
CONFIG_PCIE_PORT=y
CONFIG_XIO3130=y
CONFIG_VTD=y
CONFIG_HPET=y
CONFIG_ISA_DEBUG=y
CONFIG_EDU=y
CONFIG_NVME_PCI=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_9P=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_SERIAL=y
