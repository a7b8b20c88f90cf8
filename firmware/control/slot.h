// SPDX-License-Identifier: Apache-2.0
//
// The hardware's slots: commands to them and news from them.  Nothing here waits: a slot that does not reach the wanted
// state at once gets there later, and says so by NPU_MG_IRQ_SLOT.
#pragma once

#include <stdint.h>

#include "machine.h"

namespace control {

struct Slot {
  uint16_t queue;           // kNoQueue: free
  bool leaving;             // shall become empty
  bool kill;                // and at once
  bool drain;               // and not before a packet has ended
  bool killed;              // a kill was ordered since the last mapping or resume
  bool orphan;              // left over from a firmware before this one
  bool was_waiting;         // it was at a wait packet when it was told to leave
  bool core_reset;          // a kill did not end its launch, so its cores were reset
  bool watched;             // it ran when the watchdog last looked
  bool raised;              // its queue has the priority of one that waited too long, until the time slice ends
  uint64_t mapped_at;       // ns
  uint64_t used_at;         // ns: when progress was last seen to move
  uint64_t used_progress;   // NPU_MG_SLOT_PROGRESS at used_at
  uint64_t watch_progress;  // when the watchdog saw it move
  uint64_t watch_since;     // ns
};

extern Slot slots[NPU_MAX_SLOTS];

uint32_t SlotCount();
// Registers of a slot: NPU_MG_SLOT_*.
uint32_t SlotRead32(uint32_t slot, uint32_t reg);
uint64_t SlotRead64(uint32_t slot, uint32_t reg);
uint32_t SlotState(uint32_t slot);

// A free slot, or kNoSlot.
uint8_t FreeSlot();
// Gives a free slot to a queue, which starts at its rptr, with this priority.  enum npu_admin_status.
uint32_t MapQueue(uint32_t queue, uint8_t slot, uint8_t priority);
// The queue in the slot has its own priority again.
void EndRaise(uint8_t slot);
// The slot shall become empty: at the next block boundary, or with kill at once.  QueueLeftSlot() is called when it is,
// perhaps before this returns.
void LeaveSlot(uint8_t slot, bool kill);
// The slot shall become empty at the next packet boundary; StopDrain: or earlier after all.
void DrainSlot(uint8_t slot);
void StopDrain(uint8_t slot);
// The queue in the slot makes no progress: its packet is aborted with NPU_FAULT_TIMEOUT.
void KillHangingPacket(uint8_t slot);
// Leave the faulted state in the slot; enum npu_admin_status.
uint32_t SkipInSlot(uint8_t slot);
uint32_t FlushInSlot(uint8_t slot);
// NPU_MG_IRQ_SLOT named this slot.
void SlotChanged(uint32_t slot);

// At boot: empties the slots that a firmware before this one has left.
void ReclaimSlots();
bool AllSlotsReclaimed();

}  // namespace control
