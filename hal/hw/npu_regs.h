/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * PCI identity, BAR layout and the host-visible registers of BAR0.
 *
 * Registers are 32 bits wide unless a comment says 64; a 64-bit register takes
 * one 8-byte access or two 4-byte accesses (low half first; a write takes
 * effect with the high half).  Reads of undefined offsets give 0, writes are
 * ignored; both are reported as guest errors.
 */
#ifndef NPU_REGS_H
#define NPU_REGS_H

#include "npu_hw_types.h"

#define NPU_PCI_VENDOR_ID 0x1234u
#define NPU_PCI_DEVICE_ID 0x4e50u
#define NPU_PCI_CLASS 0x1200u /* processing accelerator */
#define NPU_PCI_REVISION 0x01u

#define NPU_BAR_REGS 0
#define NPU_BAR_MEM 2  /* device memory, 64-bit prefetchable, backed by RAM */
#define NPU_BAR_MSIX 4

/* BAR0 layout. */
#define NPU_BAR0_SIZE 0x800000u
#define NPU_ROM_OFFSET 0x100000u      /* flattened device tree of the hardware */
#define NPU_ROM_SIZE 0x100000u
#define NPU_DOORBELL_OFFSET 0x400000u /* one page a queue */
#define NPU_DOORBELL_STRIDE 0x1000u
#define NPU_MAX_QUEUES 1024u
#define NPU_MAX_CONTEXTS 256u /* context 0 is never used */
#define NPU_MAX_SLOTS 16u
#define NPU_MAX_CORES 64u

/* A doorbell page. */
#define NPU_DB_WPTR 0x0 /* 32/64: new write index of the ring, counted in packets and never wrapped; reads the last one latched */
#define NPU_DB_KICK 0x8 /* any write: look at the queue's wait packet again (after a CPU wrote the awaited value) */

/* MSI-X vectors. */
#define NPU_IRQ_ADMIN 0u /* mailbox answers, firmware events, TLB acknowledgements */
#define NPU_IRQ_ERROR 1u /* fault records written, RAS events */
#define NPU_IRQ_FENCE0 2u /* first of the vectors that contexts share for fences */
#define NPU_NUM_VECTORS 32u

/* Identification. */
#define NPU_REG_MAGIC 0x0000u /* RO: NPU_MAGIC */
#define NPU_MAGIC 0x3155504eu /* "NPU1" */
#define NPU_REG_HW_VERSION 0x0004u       /* RO: major << 16 | minor */
#define NPU_REG_CONTRACT_VERSION 0x0008u /* RO: NPU_CONTRACT_VERSION */
#define NPU_REG_CTRL 0x0010u             /* WO: NPU_CTRL_* */
#define NPU_CTRL_RESET 0x1u /* as a function-level reset, but PCI configuration and device memory are kept; BAR0 reads all ones and ignores writes until it is done */
#define NPU_REG_MEM_SIZE 0x0018u /* RO 64: bytes of device memory */
#define NPU_REG_NUM_CORES 0x0020u
#define NPU_REG_NUM_QUEUES 0x0024u
#define NPU_REG_NUM_SLOTS 0x0028u
#define NPU_REG_NUM_CONTEXTS 0x002cu
#define NPU_REG_NUM_VECTORS 0x0030u
#define NPU_REG_ROM_BYTES 0x0034u   /* RO: bytes of the device tree in the ROM window */
#define NPU_REG_TIME_CYCLES 0x0038u /* RO 64: device cycles spent on the data plane since reset */
#define NPU_REG_TIME_NS 0x0040u     /* RO 64: nanoseconds since power-on, monotonic */
#define NPU_REG_UUID 0x0048u        /* RO 64: unit identity, from the seed property */
#define NPU_REG_SRAM_BYTES 0x0050u  /* RO: local SRAM of a core */
#define NPU_REG_CLOCK_KHZ 0x0054u   /* RO: present core clock */

/* Admin interrupt: causes are latched here and raise NPU_IRQ_ADMIN or NPU_IRQ_ERROR. */
#define NPU_REG_EVENTS 0x0080u     /* RW1C: NPU_EVENT_* */
#define NPU_REG_EVENT_MASK 0x0084u /* RW: 1 = raise the interrupt; 0 after reset */
#define NPU_EVENT_MBOX (1u << 0)      /* admin: NPU_REG_MBOX_ACK moved */
#define NPU_EVENT_FW_STATE (1u << 1)  /* admin: NPU_REG_FW_STATE changed */
#define NPU_EVENT_TLB_ACK (1u << 2)   /* admin: NPU_REG_TLB_ACK moved */
#define NPU_EVENT_FW_MSG (1u << 3)    /* admin: the firmware has news in its event ring */
#define NPU_EVENT_FAULT (1u << 8)     /* error: a fault record was written */
#define NPU_EVENT_RAS (1u << 9)       /* error: an ECC, thermal or link event was counted */
#define NPU_EVENT_ADMIN_BITS 0x000000ffu
#define NPU_EVENT_ERROR_BITS 0x0000ff00u

/* Firmware load.  The host copies the package into device memory, names it here and writes NPU_FW_CTRL_LOAD. */
#define NPU_REG_FW_ADDR 0x0100u /* RW 64: offset in device memory */
#define NPU_REG_FW_SIZE 0x0108u
#define NPU_REG_FW_CTRL 0x010cu /* WO */
#define NPU_FW_CTRL_LOAD 1u
#define NPU_FW_CTRL_STOP 2u
#define NPU_REG_FW_STATE 0x0110u /* RO: NPU_FW_STATE_* */
#define NPU_FW_STATE_OFF 0u
#define NPU_FW_STATE_VERIFY 1u   /* the boot ROM reads and hashes the package */
#define NPU_FW_STATE_BOOT 2u     /* the management hart runs, no handshake yet */
#define NPU_FW_STATE_READY 3u    /* handshake done, the mailbox answers */
#define NPU_FW_STATE_REJECTED 4u /* NPU_REG_FW_ERROR says why; a good package can be loaded */
#define NPU_FW_STATE_CRASHED 5u  /* trap or missed heartbeat */
#define NPU_REG_FW_ERROR 0x0114u   /* RO: enum npu_fw_error */
#define NPU_REG_FW_VERSION 0x0118u /* RO: major << 24 | minor << 16 | patch */
#define NPU_REG_FW_HEARTBEAT 0x011cu /* RO: moves while the firmware has work and with every mailbox command */
#define NPU_REG_FW_ERROR_INFO 0x0120u /* RO: index of the section at fault, or the offending value; for a crash mcause */
#define NPU_REG_FW_CRASH_PC 0x0128u /* RO 64 */

/* Mailbox: one command at a time, see npu_admin.h. */
#define NPU_REG_MBOX_ADDR 0x0140u /* RW 64: offset in device memory of struct npu_mbox */
#define NPU_REG_MBOX_DB 0x0148u   /* WO: sequence number of the command in the mailbox */
#define NPU_REG_MBOX_ACK 0x014cu  /* RO: sequence number of the last answered command */

/* Tables that the kernel owns, in device memory; set before the firmware is loaded. */
#define NPU_REG_CTX_TABLE 0x0160u   /* RW 64: NPU_MAX_CONTEXTS x struct npu_ctx_desc */
#define NPU_REG_QUEUE_TABLE 0x0168u /* RW 64: NPU_MAX_QUEUES x struct npu_queue_desc */

/* Translation invalidation: asynchronous, acknowledged when no engine can use the old translation any more. */
#define NPU_REG_TLB_INV 0x0180u /* WO: context number or NPU_TLB_INV_ALL; each write is one request */
#define NPU_TLB_INV_ALL 0xffffffffu
#define NPU_REG_TLB_REQ 0x0184u /* RO: number of requests so far */
#define NPU_REG_TLB_ACK 0x0188u /* RO: number of requests finished */

/* Health, published by the firmware. */
#define NPU_REG_HEALTH 0x0200u        /* RO: enum npu_health */
#define NPU_REG_TEMP_MC 0x0204u       /* RO: hottest sensor, millidegrees Celsius (signed) */
#define NPU_REG_POWER_MW 0x0208u      /* RO: board power */
#define NPU_REG_ENERGY_UJ 0x0210u     /* RO 64: since reset */
#define NPU_REG_UTIL_PERMILLE 0x0218u /* RO: busy share of the cores over the last sensor period */
#define NPU_REG_THROTTLE 0x021cu      /* RO: reasons, NPU_THROTTLE_* */
#define NPU_THROTTLE_THERMAL (1u << 0)
#define NPU_THROTTLE_POWER (1u << 1)
#define NPU_REG_ECC_CE 0x0220u        /* RO 64: corrected errors */
#define NPU_REG_ECC_UE 0x0228u        /* RO 64: uncorrected errors */
#define NPU_REG_RETIRED_PAGES 0x0230u
#define NPU_REG_ACTIVE_QUEUES 0x0234u /* RO: queues the firmware knows */
#define NPU_REG_FAULT_COUNT 0x0238u   /* RO 64: fault records since reset */
#define NPU_REG_LINK_ERRORS 0x0240u   /* RO 64: bus accesses replayed or failed */

/* Error injection; the driver reaches it for root only. */
#define NPU_REG_INJ_KIND 0x0300u  /* RW: NPU_INJ_* */
#define NPU_REG_INJ_COUNT 0x0304u /* RW: how often */
#define NPU_REG_INJ_ADDR 0x0308u  /* RW 64: device-memory offset or other target, by kind */
#define NPU_REG_INJ_SEED 0x0310u  /* RW */
#define NPU_REG_INJ_CTRL 0x0314u  /* WO: 1 arms the described injection, 2 disarms all */
#define NPU_REG_INJ_STATUS 0x0318u /* RO: 0, or the errno-like code of a refused injection */
#define NPU_REG_INJ_DONE 0x0320u  /* RO 64: injections that have happened since reset */
#define NPU_INJ_NONE 0u
#define NPU_INJ_HANG 1u          /* the next launch makes no progress; NPU_REG_INJ_ADDR: 0 = until its queue is killed, 1 = until its core is reset, 2 = until the device is reset */
#define NPU_INJ_LOST_IRQ 2u      /* swallow an MSI-X message */
#define NPU_INJ_DMA_ERROR 3u     /* the next host-memory access answers with an error */
#define NPU_INJ_FW_CRASH 4u      /* illegal instruction on the management hart */
#define NPU_INJ_ECC_CE 5u        /* a bit flips at NPU_REG_INJ_ADDR and is corrected when read: an offset in device memory, or NPU_INJ_SRAM(core, offset); all ones: somewhere, by the seed */
#define NPU_INJ_ECC_UE 6u        /* two bits of a word flip: the next read of it faults with NPU_FAULT_ECC, a whole write mends it */
#define NPU_INJ_LINK 7u          /* a link error: a bus access is replayed, counted and made visible by NPU_EVENT_RAS; NPU_REG_INJ_ADDR: 0 = corrected, 1 = the access fails with NPU_FAULT_BUS */
#define NPU_INJ_TEMP 8u          /* NPU_REG_INJ_ADDR: millidegrees added to the sensor */
#define NPU_INJ_KINDS 9u
#define NPU_INJ_SRAM(core, offset) (1ull << 63 | (uint64_t)(core) << 32 | (offset))

/* Per-core windows (RO). */
#define NPU_CORE_OFFSET 0x1000u
#define NPU_CORE_STRIDE 0x100u
#define NPU_CORE_BUSY_CYCLES 0x00u /* 64 */
#define NPU_CORE_INSTRUCTIONS 0x08u /* 64 */
#define NPU_CORE_PC 0x10u          /* 64: of the block it runs, or 0 */
#define NPU_CORE_QUEUE 0x18u       /* queue + 1 of the block it runs, or 0 */
#define NPU_CORE_BLOCKS 0x20u      /* 64: blocks finished since reset */

/* Hardware slots (RO copies for dumps and tools; the firmware commands them). */
#define NPU_SLOT_OFFSET 0x6000u
#define NPU_SLOT_STRIDE 0x40u
#define NPU_SLOT_QUEUE 0x00u /* queue + 1, or 0 when empty */
#define NPU_SLOT_STATE 0x04u /* enum npu_slot_state */
#define NPU_SLOT_RPTR 0x08u  /* 64 */
#define NPU_SLOT_WPTR 0x10u  /* 64 */
#define NPU_SLOT_PROGRESS 0x18u /* 64: packets and blocks finished, and long pipe work of a block while it goes on */

enum npu_slot_state {
	NPU_SLOT_EMPTY = 0,
	NPU_SLOT_IDLE = 1,     /* nothing between rptr and wptr */
	NPU_SLOT_RUNNING = 2,
	NPU_SLOT_WAITING = 3,  /* at a wait packet whose condition does not hold */
	NPU_SLOT_FAULTED = 4,  /* stopped at a packet; needs a resume or an unmap */
	NPU_SLOT_DRAINING = 5, /* unmap asked for; ends at the next block boundary */
};

enum npu_health {
	NPU_HEALTH_OK = 0,
	NPU_HEALTH_WARN = 1,
	NPU_HEALTH_DEGRADED = 2,
	NPU_HEALTH_RESET_REQUIRED = 3,
	NPU_HEALTH_RESETTING = 4,
	NPU_HEALTH_ISOLATED = 5,
	NPU_HEALTH_LOST = 6,
};

#endif /* NPU_REGS_H */
