// SPDX-License-Identifier: Apache-2.0
//
// User queues: the table, their descriptors, and what the host can ask for them.
#pragma once

#include <stdint.h>

#include "context.h"
#include "npu_packet.h"
#include "npu_regs.h"

namespace control {

constexpr uint16_t kNoQueue = 0xffff;
constexpr uint8_t kNoSlot = 0xff;

// Where a queue is, as far as slots go.
enum class Place : uint8_t {
  kRest,     // no slot, nothing to do (or faulted, or suspended)
  kReady,    // no slot, has work: in the scheduler's list of its priority
  kParked,   // no slot; was at an unfulfilled wait packet when it lost it: in the scheduler's second list
  kMapped,   // has a slot
  kLeaving,  // has a slot and was told to leave it
};

struct Queue {
  bool exists;
  bool faulted;     // stopped at packet rptr until the host resumes it
  bool suspended;   // the host asked for it
  bool destroying;  // goes when its slot is empty
  bool drain;       // to be suspended at a packet, but it has no slot and stands inside one: gets a slot to finish it
  bool partial;     // stands inside a packet; up to date only without a slot
  Place place;
  uint8_t priority;
  uint8_t slot;      // kMapped, kLeaving
  uint8_t patience;  // how often in a row it was parked without any progress (scheduler)
  bool rung;         // kLeaving: it was rung or signalled since it was told to leave
  uint16_t next;     // kReady, kParked: the next in the list
  uint16_t context;
  uint32_t fault;        // enum npu_fault_kind
  uint64_t rptr;         // packets finished; up to date only without a slot
  uint64_t ready_since;  // ns; kReady
  uint64_t timeout_ns;
};

extern Queue queues[NPU_MAX_QUEUES];

// What the mailbox command has to wait for before it can be answered.
enum class Wait : uint8_t { kNone, kDestroy, kSuspend, kCores };

struct QueueAnswer : Answer {
  Wait wait = Wait::kNone;
};

Answer CreateQueue(uint64_t number, uint64_t rptr, uint64_t wptr);
QueueAnswer DestroyQueue(uint64_t number);
QueueAnswer SuspendQueue(uint64_t number, uint64_t mode);
// The queue did not stop in time: it goes on.
void SuspendFailed(uint32_t number);
Answer ResumeQueue(uint64_t number, uint64_t mode);
struct QueueInfo {
  uint64_t slot, state, rptr, wptr;
};
Answer GetQueueInfo(uint64_t number, QueueInfo* info);

// A queue without slot was rung.
void QueueRung(uint32_t number);
// The doorbell value that the hardware has latched.
uint64_t DoorbellOf(uint32_t number);
// The slot of a queue is empty now; the scheduler has stored rptr and place.
void QueueLeftSlot(uint32_t number, bool was_waiting);
// The queue stopped at a packet: remember it and tell the host.
void QueueFaulted(uint32_t number, uint32_t kind);
// At boot.
void SilenceAllDoorbells();

}  // namespace control
