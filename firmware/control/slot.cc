// SPDX-License-Identifier: Apache-2.0
#include "slot.h"

#include "console.h"
#include "npu_admin.h"
#include "npu_fault.h"
#include "queue.h"
#include "watchdog.h"

namespace control {

Slot slots[NPU_MAX_SLOTS];

namespace {

uint32_t Register(uint32_t slot, uint32_t reg) {
  return NPU_MG_SLOT_OFFSET + slot * NPU_MG_SLOT_STRIDE + reg;
}

uint32_t Command(uint32_t slot, uint32_t command) {
  Write32(Register(slot, NPU_MG_SLOT_CMD), command);
  return SlotRead32(slot, NPU_MG_SLOT_RESULT);
}

void Kill(uint32_t slot, uint32_t kind) {
  Write32(Register(slot, NPU_MG_SLOT_KILL_KIND), kind);
  // Refused when the packet has ended by itself meanwhile, which is no error: the slot's state says how to go on.
  slots[slot].killed = Command(slot, NPU_MG_SLOT_CMD_KILL) == NPU_ADMIN_OK;
  slots[slot].watch_since = Now();
  WatchKill();
}

// The slot is empty: free it and tell its queue.
void Emptied(uint32_t number) {
  Slot& slot = slots[number];
  const uint16_t queue = slot.queue;
  const bool was_waiting = slot.was_waiting;
  slot = Slot{};
  slot.queue = kNoQueue;
  if (queue == kNoQueue) return;
  const uint64_t rptr = SlotRead64(number, NPU_MG_SLOT_RPTR);
  if (rptr != queues[queue].rptr) queues[queue].patience = 0;
  queues[queue].rptr = rptr;
  queues[queue].partial = SlotRead32(number, NPU_MG_SLOT_PARTIAL) != 0;
  queues[queue].place = Place::kRest;
  queues[queue].slot = kNoSlot;
  QueueLeftSlot(queue, was_waiting);
}

// True when it may have become empty.
bool Leave(uint32_t number) {
  return Command(number, slots[number].drain ? NPU_MG_SLOT_CMD_DRAIN : NPU_MG_SLOT_CMD_UNMAP) == NPU_ADMIN_OK &&
         SlotState(number) == NPU_SLOT_EMPTY;
}

// One step of a leaving slot towards EMPTY; false when only the hardware can go on.
bool StepOut(uint32_t number, uint32_t state) {
  Slot& slot = slots[number];
  switch (state) {
    case NPU_SLOT_EMPTY:
      Emptied(number);
      return false;
    case NPU_SLOT_FAULTED:
      if (slot.queue != kNoQueue && !slot.kill) QueueFaulted(slot.queue, SlotRead32(number, NPU_MG_SLOT_FAULT));
      return Command(number, NPU_MG_SLOT_CMD_UNMAP) == NPU_ADMIN_OK;
    case NPU_SLOT_DRAINING:
    case NPU_SLOT_RUNNING:
    case NPU_SLOT_WAITING:
      if (slot.kill && !slot.killed) {
        Kill(number, NPU_FAULT_NONE);
        return true;
      }
      if (slot.kill || state == NPU_SLOT_DRAINING) return false;
      return Leave(number);
    default:
      return Leave(number);
  }
}

// Drives a leaving slot as far as the hardware answers at once.  The bound is generous: a slot needs at most a kill and
// an unmap.
void DriveOut(uint32_t number) {
  for (int step = 0; step < 6; ++step)
    if (!StepOut(number, SlotState(number))) return;
}

}  // namespace

uint32_t SlotCount() {
  const uint32_t count = Read32(NPU_MG_NUM_SLOTS);
  return count < NPU_MAX_SLOTS ? count : NPU_MAX_SLOTS;
}

uint32_t SlotRead32(uint32_t slot, uint32_t reg) {
  return Read32(Register(slot, reg));
}
uint64_t SlotRead64(uint32_t slot, uint32_t reg) {
  return Read64(Register(slot, reg));
}
uint32_t SlotState(uint32_t slot) {
  return SlotRead32(slot, NPU_MG_SLOT_STATE);
}

uint8_t FreeSlot() {
  const uint32_t count = SlotCount();
  for (uint32_t s = 0; s < count; ++s)
    if (slots[s].queue == kNoQueue && !slots[s].leaving) return static_cast<uint8_t>(s);
  return kNoSlot;
}

uint32_t MapQueue(uint32_t number, uint8_t s, uint8_t priority) {
  Queue& queue = queues[number];
  Write32(Register(s, NPU_MG_SLOT_QUEUE), number);
  Write64(Register(s, NPU_MG_SLOT_SET_RPTR), queue.rptr);
  if (const uint32_t status = Command(s, NPU_MG_SLOT_CMD_MAP); status != NPU_ADMIN_OK) return status;
  // Mapping loads the descriptor's.
  Write32(Register(s, NPU_MG_SLOT_PRIORITY), priority);
  Slot slot{};
  slot.raised = priority != queue.priority;
  slot.queue = static_cast<uint16_t>(number);
  slot.mapped_at = slot.used_at = Now();
  slot.used_progress = SlotRead64(s, NPU_MG_SLOT_PROGRESS);
  slots[s] = slot;
  queue.slot = s;
  queue.place = Place::kMapped;
  WatchTimeout(queue.timeout_ns);
  if (queue.drain) DrainSlot(s);
  return NPU_ADMIN_OK;
}

void EndRaise(uint8_t s) {
  slots[s].raised = false;
  if (slots[s].queue != kNoQueue) Write32(Register(s, NPU_MG_SLOT_PRIORITY), queues[slots[s].queue].priority);
}

void LeaveSlot(uint8_t s, bool kill) {
  Slot& slot = slots[s];
  if (!slot.leaving) slot.was_waiting = SlotState(s) == NPU_SLOT_WAITING;
  slot.leaving = true;
  slot.kill = slot.kill || kill;
  if (slot.queue != kNoQueue) queues[slot.queue].place = Place::kLeaving;
  DriveOut(s);
}

void DrainSlot(uint8_t s) {
  slots[s].drain = true;
  if (slots[s].leaving && SlotState(s) == NPU_SLOT_DRAINING) Command(s, NPU_MG_SLOT_CMD_DRAIN);
  LeaveSlot(s, false);
}

void StopDrain(uint8_t s) {
  if (!slots[s].drain) return;
  slots[s].drain = false;
  Command(s, NPU_MG_SLOT_CMD_UNMAP);
  DriveOut(s);
}

void KillHangingPacket(uint8_t slot) {
  Kill(slot, NPU_FAULT_TIMEOUT);
}

uint32_t SkipInSlot(uint8_t slot) {
  slots[slot].killed = slots[slot].core_reset = false;
  StartWatching();
  return Command(slot, NPU_MG_SLOT_CMD_SKIP);
}

uint32_t FlushInSlot(uint8_t slot) {
  slots[slot].killed = slots[slot].core_reset = false;
  return Command(slot, NPU_MG_SLOT_CMD_FLUSH);
}

void SlotChanged(uint32_t number) {
  if (number >= SlotCount()) return;
  Slot& slot = slots[number];
  if (slot.leaving)
    DriveOut(number);
  else if (slot.queue != kNoQueue && SlotState(number) == NPU_SLOT_FAULTED)
    QueueFaulted(slot.queue, SlotRead32(number, NPU_MG_SLOT_FAULT));
}

void ReclaimSlots() {
  for (Slot& slot : slots) slot.queue = kNoQueue;
  const uint32_t count = SlotCount();
  for (uint32_t s = 0; s < count; ++s) {
    if (SlotRead32(s, NPU_MG_SLOT_QUEUE) == 0) continue;
    Log("slot ", s, " still belongs to queue ", SlotRead32(s, NPU_MG_SLOT_QUEUE) - 1, ": reclaimed");
    slots[s].orphan = true;
    LeaveSlot(static_cast<uint8_t>(s), true);
  }
}

bool AllSlotsReclaimed() {
  for (const Slot& slot : slots)
    if (slot.orphan) return false;
  return true;
}

}  // namespace control
