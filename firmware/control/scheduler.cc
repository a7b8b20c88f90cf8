// SPDX-License-Identifier: Apache-2.0
#include "scheduler.h"

#include "console.h"
#include "machine.h"
#include "npu_admin.h"
#include "npu_fault.h"
#include "queue.h"
#include "slot.h"

namespace control {
namespace {

constexpr uint64_t kTimeSlice = 2 * kMillisecond;
constexpr uint8_t kMaxPatience = 7;
constexpr uint32_t kPriorities = NPU_QUEUE_PRIORITIES;
// Nobody below the highest priority waits longer for a slot than this without being raised to the one below it.
constexpr uint64_t kPatience = 50 * kMillisecond;
constexpr uint8_t kHighest = kPriorities - 1, kRaised = kPriorities - 2;

struct List {
  uint16_t head = kNoQueue;
  uint16_t tail = kNoQueue;
};

List ready[kPriorities];
List parked[kPriorities];

void Append(List& list, uint32_t number) {
  queues[number].next = kNoQueue;
  if (list.head == kNoQueue)
    list.head = static_cast<uint16_t>(number);
  else
    queues[list.tail].next = static_cast<uint16_t>(number);
  list.tail = static_cast<uint16_t>(number);
}

void Unlink(List& list, uint32_t number) {
  uint16_t before = kNoQueue;
  for (uint16_t q = list.head; q != kNoQueue; before = q, q = queues[q].next) {
    if (q != number) continue;
    if (before == kNoQueue)
      list.head = queues[q].next;
    else
      queues[before].next = queues[q].next;
    if (list.tail == q) list.tail = before;
    queues[q].next = kNoQueue;
    return;
  }
}

// The lists in the order in which they are served: ready ones by priority, then parked ones by priority.
List& ListInOrder(uint32_t order) {
  return order < kPriorities ? ready[kPriorities - 1 - order] : parked[2 * kPriorities - 1 - order];
}

// The priority that a queue has now as far as slots go.
uint8_t Standing(const Queue& queue, uint64_t now) {
  const bool late = queue.place == Place::kReady && now - queue.ready_since >= kPatience;
  return late && queue.priority < kRaised ? kRaised : queue.priority;
}

uint16_t FirstInLine(uint64_t now) {
  // Those that were raised go before others of their new priority.
  if (ready[kHighest].head != kNoQueue) return ready[kHighest].head;
  for (uint32_t priority = 0; priority < kRaised; ++priority) {
    const uint16_t q = ready[priority].head;
    if (q != kNoQueue && Standing(queues[q], now) == kRaised) return q;
  }
  for (uint32_t order = 0; order < 2 * kPriorities; ++order)
    if (ListInOrder(order).head != kNoQueue) return ListInOrder(order).head;
  return kNoQueue;
}

// Gives free slots to those first in line.
void FillFreeSlots(uint64_t now) {
  for (;;) {
    const uint16_t q = FirstInLine(now);
    const uint8_t slot = FreeSlot();
    if (q == kNoQueue || slot == kNoSlot) return;
    const uint8_t priority = Standing(queues[q], now);
    TakeFromLists(q);
    const uint32_t status = MapQueue(q, slot, priority);
    if (status == NPU_ADMIN_OK) continue;
    Log("queue ", static_cast<uint32_t>(q), ": the hardware refuses its descriptor, status ", status);
    QueueFaulted(q, NPU_FAULT_NONE);
  }
}

// How a slot looks to a queue that needs one; lower is a better victim.
enum Rank : uint32_t { kFaulted = 0, kIdle = 1, kWaiting = 5, kLower = 6, kEqual = 10, kNot = 11 };

struct Victim {
  uint8_t slot = kNoSlot;
  uint32_t rank = kNot;
  uint64_t age = 0;           // among equals the lowest wins
  uint64_t free_at = kNever;  // without a victim: when a time slice ends
};

// Whether and how well slot s would do for `wanting`; an idle slot's rank grows with its queue's priority.
void Consider(uint32_t s, const Queue& wanting, uint64_t now, Victim* best) {
  Slot& slot = slots[s];
  if (slot.queue == kNoQueue || slot.leaving) return;
  // Being raised helps against other priorities alone: among queues of one priority time slices decide, as ever.
  uint8_t has = queues[slot.queue].priority, wants = wanting.priority;
  if (has != wants) has = slot.raised ? kRaised : has, wants = Standing(wanting, now);
  const uint32_t state = SlotState(s);
  const bool hurried = wanting.place == Place::kReady;
  const uint64_t progress = SlotRead64(s, NPU_MG_SLOT_PROGRESS);
  if (progress != slot.used_progress) slot.used_progress = progress, slot.used_at = now;

  uint64_t slice_end = slot.mapped_at + kTimeSlice;
  uint32_t rank = kNot;
  uint64_t age = slot.mapped_at;
  if (state == NPU_SLOT_FAULTED) {
    rank = kFaulted;
  } else if (state == NPU_SLOT_IDLE) {
    rank = kIdle + has, age = slot.used_at;
  } else if (state == NPU_SLOT_WAITING) {
    if (!hurried) slice_end = slot.mapped_at + (kTimeSlice << queues[slot.queue].patience);
    rank = now >= slice_end || (hurried && has < wants) ? kWaiting : kNot;
  } else if (has < wants) {
    rank = hurried || now >= slice_end ? kLower + has : kNot;
  } else if (has == wants) {
    rank = now >= slice_end ? kEqual : kNot;
  } else {
    slice_end = now + kTimeSlice;  // it may become idle, which is no event: look again
  }
  if (rank == kNot) best->free_at = Min(best->free_at, slice_end);
  if (rank < best->rank || (rank == best->rank && rank != kNot && age < best->age)) {
    best->slot = static_cast<uint8_t>(s);
    best->rank = rank;
    best->age = age;
  }
}

Victim FindVictim(const Queue& wanting, uint64_t now) {
  Victim best;
  const uint32_t count = SlotCount();
  for (uint32_t s = 0; s < count; ++s) Consider(s, wanting, now, &best);
  return best;
}

uint32_t SlotsOnTheWay() {
  uint32_t count = 0;
  for (uint32_t s = 0; s < SlotCount(); ++s) count += slots[s].leaving && !slots[s].orphan;
  return count;
}

// Turns slots out, one for each queue in line beyond those that are coming free already.  *freed: a slot is free now.
// Returns when the next time slice ends that somebody waits for.
uint64_t MakeRoom(uint64_t now, bool* freed) {
  uint32_t coming = SlotsOnTheWay();
  uint64_t again = kNever;
  *freed = false;
  for (uint32_t order = 0; order < 2 * kPriorities; ++order) {
    uint16_t next = kNoQueue;
    for (uint16_t q = ListInOrder(order).head; q != kNoQueue; q = next) {
      next = queues[q].next;
      if (coming != 0) {
        --coming;
        continue;
      }
      const Victim victim = FindVictim(queues[q], now);
      if (victim.slot == kNoSlot) {
        again = Min(again, victim.free_at);
        break;  // those behind it in this list may no more than it
      }
      LeaveSlot(victim.slot, false);
      if (slots[victim.slot].queue == kNoQueue) {
        *freed = true;  // who goes first is decided anew: the one turned out may be in line itself
        return again;
      }
    }
  }
  return again;
}

// Those whose time slice as a raised queue is over fall back; returns when the next one is.
uint64_t EndRaises(uint64_t now) {
  uint64_t next = kNever;
  for (uint32_t s = 0; s < SlotCount(); ++s) {
    if (!slots[s].raised) continue;
    const uint64_t end = slots[s].mapped_at + kTimeSlice;
    if (now >= end)
      EndRaise(static_cast<uint8_t>(s));
    else
      next = Min(next, end);
  }
  return next;
}

// When the next queue in line is to be raised.
uint64_t NextRaise(uint64_t now) {
  uint64_t next = kNever;
  for (uint32_t priority = 0; priority < kRaised; ++priority) {
    const uint16_t q = ready[priority].head;
    if (q != kNoQueue && Standing(queues[q], now) != kRaised) next = Min(next, queues[q].ready_since + kPatience);
  }
  return next;
}

}  // namespace

uint32_t MapIfSlotFree(uint32_t queue) {
  const uint8_t slot = FirstInLine(Now()) == kNoQueue ? FreeSlot() : kNoSlot;
  return slot == kNoSlot ? static_cast<uint32_t>(NPU_ADMIN_OK) : MapQueue(queue, slot, queues[queue].priority);
}

void MakeReady(uint32_t number) {
  TakeFromLists(number);
  queues[number].place = Place::kReady;
  queues[number].ready_since = Now();
  Append(ready[queues[number].priority], number);
}

void Park(uint32_t number) {
  TakeFromLists(number);
  Queue& queue = queues[number];
  if (queue.patience < kMaxPatience) ++queue.patience;
  queue.place = Place::kParked;
  Append(parked[queue.priority], number);
}

void TakeFromLists(uint32_t number) {
  Queue& queue = queues[number];
  if (queue.place == Place::kReady)
    Unlink(ready[queue.priority], number);
  else if (queue.place == Place::kParked)
    Unlink(parked[queue.priority], number);
  else
    return;
  queue.place = Place::kRest;
}

uint64_t Schedule(uint64_t now) {
  const uint64_t raised = EndRaises(now);
  uint64_t again = kNever;
  bool freed = true;
  // Each round turns out at most one slot and fills it; a slot just filled is within its time slice, so this ends.
  for (uint32_t round = 0; freed && round < 4 * NPU_MAX_SLOTS; ++round) {
    FillFreeSlots(now);
    again = MakeRoom(now, &freed);
  }
  if (freed) again = now + kTimeSlice;
  return Min(again, Min(raised, NextRaise(now)));
}

}  // namespace control
