// SPDX-License-Identifier: Apache-2.0
#include "watchdog.h"

#include "console.h"
#include "events.h"
#include "interrupts.h"
#include "machine.h"
#include "npu_admin.h"
#include "npu_fault.h"
#include "queue.h"
#include "sensors.h"
#include "slot.h"

namespace control {
namespace {

constexpr uint64_t kShortestPeriod = kMillisecond;
constexpr uint64_t kLongestPeriod = 2500 * kMillisecond;
// The ladder: a packet that does not end this long after it was aborted loses its cores by a reset of them; if that
// does not end it either, only a reset of the device helps.  Generous, because a block in work ends at its next
// quiescent point only, and the host may be slow.
constexpr uint64_t kKillTime = kSecond;
constexpr uint64_t kCoreResetTime = 2 * kSecond;

bool watching;
bool broken;
uint64_t next_look = kNever;

// A quarter of the shortest timeout: a hang is found after at most one and a quarter of its queue's.
uint64_t Period() {
  uint64_t shortest = 4 * kLongestPeriod;
  for (const Slot& slot : slots)
    if (slot.killed)
      shortest = Min(shortest, kKillTime);
    else if (slot.queue != kNoQueue)
      shortest = Min(shortest, queues[slot.queue].timeout_ns);
  return Max(shortest / 4, kShortestPeriod);
}

uint64_t SumOfProgress() {
  uint64_t sum = 0;
  for (uint32_t s = 0; s < SlotCount(); ++s) sum += SlotRead64(s, NPU_MG_SLOT_PROGRESS);
  return sum;
}

uint64_t QueueOf(const Slot& slot) {
  return slot.queue == kNoQueue ? ~uint64_t{0} : slot.queue;
}

// The next rung for a slot whose packet does not end although it was killed.
void Climb(uint32_t s, uint64_t now) {
  Slot& slot = slots[s];
  const uint64_t unchanged = now - slot.watch_since;
  if (slot.core_reset) {
    if (unchanged >= kCoreResetTime) ReportBrokenSlot(s);
    return;
  }
  if (unchanged < kKillTime) return;
  slot.core_reset = true;
  slot.watch_since = now;
  const uint64_t stuck = StuckCores();
  if (stuck == 0) return;
  Log("slot ", s, ": its packet does not end although it was killed; cores ", Hex{stuck}, " are reset");
  ResetCores(stuck);
  Event event;
  event.kind = NPU_FW_EVENT_CORE_RESET;
  event.value[0] = stuck;
  event.value[1] = QueueOf(slot);
  PostDeviceEvent(event);
  SlotChanged(s);
}

// Looks at one slot; true when it runs.
bool LookAt(uint32_t s, uint64_t now) {
  Slot& slot = slots[s];
  const uint32_t state = SlotState(s);
  if (state != NPU_SLOT_RUNNING && state != NPU_SLOT_DRAINING) {
    slot.watched = false;
    if (!slot.leaving) slot.killed = slot.core_reset = false;
    return false;
  }
  const uint64_t progress = SlotRead64(s, NPU_MG_SLOT_PROGRESS);
  // A launch that gets no core because others hold them all is no hang: whoever holds them is watched too.
  const bool starved = SlotRead32(s, NPU_MG_SLOT_STARVED) != 0;
  if (!slot.watched || ((progress != slot.watch_progress || starved) && !slot.killed)) {
    slot.watched = true;
    slot.watch_progress = progress;
    slot.watch_since = now;
    return true;
  }
  const uint64_t unchanged = now - slot.watch_since;
  if (slot.killed) {
    Climb(s, now);
  } else if (slot.queue != kNoQueue && unchanged >= queues[slot.queue].timeout_ns) {
    Log("queue ", static_cast<uint32_t>(slot.queue), " in slot ", s, " made no progress for ", unchanged / kMillisecond,
        " ms: its packet ", SlotRead64(s, NPU_MG_SLOT_RPTR), " is aborted");
    KillHangingPacket(static_cast<uint8_t>(s));
    SlotChanged(s);
  }
  return true;
}

// Nothing runs, for certain: a slot that ended while another began shows in the progress.
bool AllQuiet(uint64_t now) {
  const uint64_t before = SumOfProgress();
  bool any = false;
  for (uint32_t s = 0; s < SlotCount(); ++s) any = LookAt(s, now) || any;
  return !any && SumOfProgress() == before;
}

}  // namespace

void StartWatching() {
  if (watching) return;
  watching = true;
  EnableInterrupt(NPU_MG_IRQ_BUSY, false);
  next_look = 0;
}

void WatchTimeout(uint64_t timeout_ns) {
  StartWatching();
  next_look = Min(next_look, Now() + Max(timeout_ns / 4, kShortestPeriod));
}

void WatchKill() {
  WatchTimeout(kKillTime);
}

bool Watching() {
  return watching;
}

uint64_t Watch(uint64_t now) {
  if (!watching || now < next_look) return next_look;
  // From here on BUSY becomes pending again if a slot starts while none runs.
  AcknowledgeInterrupt(NPU_MG_IRQ_BUSY);
  // The first look never ends the watch: a launch that is over by now is likely to be followed by others, and each of
  // them would wake this core.
  const bool first = next_look == 0;
  if (!AllQuiet(now) || first) return next_look = now + Period();
  watching = false;
  EnableInterrupt(NPU_MG_IRQ_BUSY, true);
  return next_look = kNever;
}

void ReportBrokenSlot(uint32_t slot) {
  if (broken) return;
  broken = true;
  Log("slot ", slot, " does not stop: the device needs a reset");
  Event event;
  event.kind = NPU_FW_EVENT_DEVICE_HANG;
  event.value[0] = StuckCores();
  event.value[1] = slot < NPU_MAX_SLOTS ? QueueOf(slots[slot]) : ~uint64_t{0};
  SampleSensors(Now());  // health first: whoever hears of the event reads it
  PostDeviceEvent(event);
}

void ResetCores(uint64_t mask) {
  Write64(NPU_MG_CORE_RESET, mask);
}

uint64_t StuckCores() {
  return Read64(NPU_MG_CORE_STUCK);
}

bool AnySlotBroken() {
  return broken;
}

}  // namespace control
