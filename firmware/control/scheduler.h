// SPDX-License-Identifier: Apache-2.0
//
// Which queue has which slot.
//
// A queue gets a slot when it is made, if one is free, and keeps it while nobody else needs it.  A queue with work and
// without slot takes, in this order: a free slot; the slot of a faulted queue; the longest unused idle slot of the
// lowest priority; the slot of a queue of lower priority, at once; and when all others are at least its equals, the
// slot of an equal that has been held longest, once its time slice is over (round robin within a priority).
//
// Nobody starves but by the highest priority: a queue that has waited for a slot for 50 ms gets the priority below the
// highest until it has had a time slice.
//
// A queue at an unfulfilled wait packet gives way to anybody after a time slice, whatever its priority, so that waiters
// cannot keep out the queue they wait for.  It is parked: it comes back in turn, but turns nobody out before the end of
// a time slice, and its turns become rarer (up to kMaxPatience doublings) while it finds its condition unfulfilled.
#pragma once

#include <stdint.h>

namespace control {

// Gives the queue a slot if one is free, and is content if not.  enum npu_admin_status of the hardware when it refuses.
uint32_t MapIfSlotFree(uint32_t queue);
// The queue, which has no slot, has work.
void MakeReady(uint32_t queue);
// The queue, which has no slot, waits for something.
void Park(uint32_t queue);
void TakeFromLists(uint32_t queue);
// Maps what can be mapped; returns when it wants to be called again, kNever if only events matter.
uint64_t Schedule(uint64_t now);

}  // namespace control
