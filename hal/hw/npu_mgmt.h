/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * The management core's own view: read by the firmware and the device model only.
 *
 * One RV64IMAC_Zicsr hart in machine mode, 256 KiB of SRAM, no caches.  External interrupt (MEIP) = any enabled bit in NPU_MG_IRQ;
 * the timer compares NPU_MG_TIME (nanoseconds) with NPU_MG_TIMECMP (MTIP).  wfi sleeps for real.
 */
#ifndef NPU_MGMT_H
#define NPU_MGMT_H

#include "npu_hw_types.h"

#define NPU_MG_SRAM_BASE 0x80000000ull
#define NPU_MG_SRAM_BYTES 0x40000ull
#define NPU_MG_MMIO_BASE 0x10000000ull
#define NPU_MG_MMIO_BYTES 0x10000ull
#define NPU_MG_MEM_BASE 0x100000000000ull /* device memory, whole */

/* Offsets from NPU_MG_MMIO_BASE.  32-bit unless marked 64; aligned accesses of the register's own size only. */
#define NPU_MG_IRQ 0x000u        /* RW1C: NPU_MG_IRQ_* pending */
#define NPU_MG_IRQ_ENABLE 0x004u /* RW */
#define NPU_MG_IRQ_MBOX (1u << 0)     /* the host wrote NPU_REG_MBOX_DB */
#define NPU_MG_IRQ_DOORBELL (1u << 1) /* a queue without slot was rung: read NPU_MG_DB_NEXT until it gives none */
#define NPU_MG_IRQ_SLOT (1u << 2)     /* a slot changed state: read NPU_MG_SLOT_NEXT until it gives none */
#define NPU_MG_IRQ_RAS (1u << 3)      /* see NPU_MG_RAS_* */
#define NPU_MG_IRQ_BUSY (1u << 4)     /* a slot went from idle to running while none ran: start the watchdog */
#define NPU_MG_TIME 0x008u     /* RO 64: ns */
#define NPU_MG_TIMECMP 0x010u  /* RW 64: ns; all ones = never */
#define NPU_MG_FW_VERSION 0x018u /* WO: shown in NPU_REG_FW_VERSION */
#define NPU_MG_FW_READY 0x01cu   /* WO: 1 = handshake, NPU_REG_FW_STATE becomes READY */
#define NPU_MG_HEARTBEAT 0x020u  /* RW */
#define NPU_MG_CONSOLE 0x024u    /* WO: one byte to the device's log */
#define NPU_MG_HOST_EVENT 0x028u /* WO: NPU_EVENT_* bits to latch in NPU_REG_EVENTS */
#define NPU_MG_MBOX_ADDR 0x030u /* RO 64 */
#define NPU_MG_MBOX_DB 0x038u   /* RO: last sequence number the host wrote */
#define NPU_MG_MBOX_ACK 0x03cu  /* WO: moves NPU_REG_MBOX_ACK and latches NPU_EVENT_MBOX */
#define NPU_MG_CTX_TABLE 0x040u   /* RO 64 */
#define NPU_MG_QUEUE_TABLE 0x048u /* RO 64 */
#define NPU_MG_MEM_SIZE 0x050u    /* RO 64 */
#define NPU_MG_NUM_QUEUES 0x058u
#define NPU_MG_NUM_SLOTS 0x05cu
#define NPU_MG_NUM_CONTEXTS 0x060u
#define NPU_MG_NUM_CORES 0x064u

/* Contexts: the hardware reads descriptor and drops cached translations when told. */
#define NPU_MG_CTX_ENABLE 0x080u  /* WO: context number; loads its descriptor */
#define NPU_MG_CTX_DISABLE 0x084u /* WO: context number */
#define NPU_MG_CTX_RESULT 0x088u  /* RO: enum npu_admin_status of the last enable or disable */

/* Doorbells of queues without slot, and the queues' registers. */
#define NPU_MG_DB_NEXT 0x090u  /* RO: a rung queue without slot + 1, and takes its mark away; 0 = none */
#define NPU_MG_DB_QUEUE 0x094u /* RW: selects the queue for the two below */
#define NPU_MG_DB_WPTR 0x098u  /* RW 64: doorbell value latched; written when a queue starts with an index other than 0 */
#define NPU_MG_DB_CLEAR 0x0a0u /* WO: any value: doorbell value = 0, mark taken away (queue creation) */
#define NPU_MG_DB_DEAD 0x0a4u  /* WO: 1 = doorbells of this queue are ignored; 0 = heard again.  All are dead after reset */

/* Slots: 16 windows. */
#define NPU_MG_SLOT_NEXT 0x0b0u /* RO: a slot whose state changed + 1, and takes its mark away; 0 = none */
#define NPU_MG_SLOT_OFFSET 0x1000u
#define NPU_MG_SLOT_STRIDE 0x80u
#define NPU_MG_SLOT_QUEUE 0x00u    /* RW: queue for NPU_MG_SLOT_CMD_MAP; reads the mapped queue + 1, or 0 */
#define NPU_MG_SLOT_CMD 0x04u      /* WO: NPU_MG_SLOT_CMD_* */
#define NPU_MG_SLOT_CMD_MAP 1u     /* load queue's descriptor and start at SLOT_SET_RPTR; state IDLE or RUNNING */
#define NPU_MG_SLOT_CMD_UNMAP 2u   /* stop at the next packet boundary, or at a block boundary (the launch keeps its place in a save area of the slot's queue); then EMPTY and marked in SLOT_NEXT */
#define NPU_MG_SLOT_CMD_KILL 3u    /* abort the packet in work at once with fault kind SLOT_KILL_KIND (0: no record); then FAULTED and marked */
#define NPU_MG_SLOT_CMD_SKIP 4u    /* of a FAULTED slot: finish without the packet at fault, go on */
#define NPU_MG_SLOT_CMD_FLUSH 5u   /* of a FAULTED slot: rptr = doorbell value, state IDLE, queue status OK */
#define NPU_MG_SLOT_CMD_DRAIN 6u   /* as UNMAP, but only at a packet boundary */
#define NPU_MG_SLOT_STATE 0x08u    /* RO: enum npu_slot_state */
#define NPU_MG_SLOT_RESULT 0x0cu   /* RO: enum npu_admin_status of the last command */
#define NPU_MG_SLOT_SET_RPTR 0x10u /* RW 64: read index for MAP */
#define NPU_MG_SLOT_RPTR 0x18u     /* RO 64: after UNMAP: where it stopped */
#define NPU_MG_SLOT_WPTR 0x20u     /* RO 64 */
#define NPU_MG_SLOT_PROGRESS 0x28u /* RO 64: packets and blocks finished, and long pipe work of a block while it goes on */
#define NPU_MG_SLOT_KILL_KIND 0x30u /* RW: enum npu_fault_kind for KILL */
#define NPU_MG_SLOT_FAULT 0x34u    /* RO: enum npu_fault_kind of a FAULTED slot */
#define NPU_MG_SLOT_PRIORITY 0x38u /* RW: priority of the mapped queue */
#define NPU_MG_SLOT_STARVED 0x3cu /* RO: 1 = RUNNING, but its launch has blocks left and no core runs one: others hold the cores */
#define NPU_MG_SLOT_PARTIAL 0x40u /* RO: after UNMAP: 1 = it stopped inside a packet or an indirect buffer, and the device keeps the rest until the queue is mapped again at the same index */

/* Cores. */
#define NPU_MG_CORE_RESET 0x0c0u /* WO 64: bit mask of cores; a block there ends at once, its launch faults with NPU_FAULT_RESET */
#define NPU_MG_CORE_STUCK 0x0c8u /* RO 64: bit mask of cores whose block does not end although killed or reset */

/* Sensors and RAS inputs. */
#define NPU_MG_SENSOR_TEMP 0x200u     /* RO: millidegrees, signed */
#define NPU_MG_SENSOR_POWER 0x204u    /* RO: milliwatts, averaged since the last read */
#define NPU_MG_SENSOR_ENERGY 0x208u   /* RO 64: microjoules */
#define NPU_MG_SENSOR_BUSY 0x210u     /* RO 64: sum over cores of busy host-independent cycles */
#define NPU_MG_SENSOR_ECC_CE 0x218u   /* RO 64 */
#define NPU_MG_SENSOR_ECC_UE 0x220u   /* RO 64 */
#define NPU_MG_SENSOR_ECC_ADDR 0x228u /* RO 64: of the oldest unread ECC event (bit 62: uncorrectable; bit 63: SRAM, see NPU_INJ_SRAM); reading takes it away; all ones = none */
#define NPU_MG_SENSOR_LINK 0x230u     /* RO 64: link errors */
#define NPU_MG_ECC_SCRUB 0x238u       /* WO 64: offset of a page in device memory: what can be corrected in it is, and is counted */
#define NPU_MG_CLOCK_KHZ 0x240u       /* RW: core clock; 400000, 600000, 800000 or 1000000 */
/* Published to the host registers of the same names. */
#define NPU_MG_HEALTH 0x260u
#define NPU_MG_PUB_TEMP 0x264u
#define NPU_MG_PUB_POWER 0x268u
#define NPU_MG_PUB_UTIL 0x26cu
#define NPU_MG_PUB_THROTTLE 0x270u
#define NPU_MG_PUB_ACTIVE_QUEUES 0x274u
#define NPU_MG_PUB_RETIRED 0x278u
/* NVRAM: 4 KiB, kept in the nvram file. */
#define NPU_MG_NVRAM_OFFSET 0x4000u
#define NPU_MG_NVRAM_BYTES 0x1000u

#endif /* NPU_MGMT_H */
