// SPDX-License-Identifier: Apache-2.0
#include "queue.h"

#include "console.h"
#include "events.h"
#include "machine.h"
#include "mailbox.h"
#include "npu_fault.h"
#include "npu_mmu.h"
#include "scheduler.h"
#include "slot.h"

namespace control {

Queue queues[NPU_MAX_QUEUES];

namespace {

constexpr uint64_t kDefaultTimeout = 10 * kSecond;

uint32_t queue_count;

bool InRange(uint64_t number) {
  return number < Read32(NPU_MG_NUM_QUEUES) && number < NPU_MAX_QUEUES;
}

Answer Invalid(uint32_t offset) {
  return {NPU_ADMIN_EINVAL, offset};
}

// detail is the offset of the field at fault.
Answer CheckDescriptor(const npu_queue_desc& desc) {
  if (desc.flags != NPU_QUEUE_VALID) return Invalid(offsetof(npu_queue_desc, flags));
  if (!ContextExists(desc.context)) return {NPU_ADMIN_ENOENT, offsetof(npu_queue_desc, context)};
  if (desc.ring_log2 < NPU_RING_LOG2_MIN || desc.ring_log2 > NPU_RING_LOG2_MAX)
    return Invalid(offsetof(npu_queue_desc, ring_log2));
  if (desc.ring_addr % NPU_PAGE_SIZE != 0 ||
      !InDeviceMemory(desc.ring_addr, uint64_t{NPU_PACKET_BYTES} << desc.ring_log2))
    return Invalid(offsetof(npu_queue_desc, ring_addr));
  if (desc.priority >= NPU_QUEUE_PRIORITIES) return Invalid(offsetof(npu_queue_desc, priority));
  if (desc.status_addr == 0 || desc.status_addr % 8 != 0 ||
      desc.status_addr % NPU_PAGE_SIZE > NPU_PAGE_SIZE - sizeof(npu_queue_status))
    return Invalid(offsetof(npu_queue_desc, status_addr));
  for (uint64_t word : desc.reserved)
    if (word != 0) return Invalid(offsetof(npu_queue_desc, reserved));
  return {};
}

// Selects the queue for the doorbell registers.
void SelectDoorbell(uint32_t number) {
  Write32(NPU_MG_DB_QUEUE, number);
}

void SetDoorbellDead(uint32_t number, bool dead) {
  SelectDoorbell(number);
  Write32(NPU_MG_DB_DEAD, dead ? 1 : 0);
}

void CountQueues(int change) {
  queue_count += static_cast<uint32_t>(change);
  Write32(NPU_MG_PUB_ACTIVE_QUEUES, queue_count);
}

void Remove(uint32_t number) {
  Queue& queue = queues[number];
  ForgetQueueEvent(number);
  ContextQueueRemoved(queue.context);
  queue = Queue{};
  CountQueues(-1);
}

}  // namespace

// The indices differ from 0 when a queue is made anew after a reset, with the packets that it had.
Answer CreateQueue(uint64_t number, uint64_t rptr, uint64_t wptr) {
  if (!InRange(number)) return Invalid(0);
  if (queues[number].exists) return {NPU_ADMIN_EEXIST, 0};
  const uint64_t table = Read64(NPU_MG_QUEUE_TABLE);
  if (table % 8 != 0 || !InDeviceMemory(table, uint64_t{Read32(NPU_MG_NUM_QUEUES)} * sizeof(npu_queue_desc)))
    return {NPU_ADMIN_EIO, 0};
  npu_queue_desc desc;
  CopyIn(&desc, table + number * sizeof desc, sizeof desc);
  if (const Answer bad = CheckDescriptor(desc); bad.status != NPU_ADMIN_OK) return bad;
  if (wptr - rptr > uint64_t{1} << desc.ring_log2) return Invalid(2);

  const auto q = static_cast<uint32_t>(number);
  SetDoorbellDead(q, true);
  Write32(NPU_MG_DB_CLEAR, 1);
  if (wptr != 0) Write64(NPU_MG_DB_WPTR, wptr);
  Queue queue{};
  queue.exists = true;
  queue.priority = static_cast<uint8_t>(desc.priority);
  queue.slot = kNoSlot;
  queue.next = kNoQueue;
  queue.context = static_cast<uint16_t>(desc.context);
  queue.rptr = rptr;
  queue.timeout_ns = desc.timeout_ns != 0 ? desc.timeout_ns : kDefaultTimeout;
  queues[q] = queue;
  if (const uint32_t status = MapIfSlotFree(q); status != NPU_ADMIN_OK) {
    queues[q] = Queue{};
    return {status, 0};
  }
  // Mapping it shows the index in the status page, so it is worth a slot even without packets.
  if (queues[q].place == Place::kRest && (rptr != 0 || wptr != 0)) MakeReady(q);
  ContextQueueAdded(queue.context);
  CountQueues(1);
  SetDoorbellDead(q, false);
  return {};
}

QueueAnswer DestroyQueue(uint64_t number) {
  if (!InRange(number)) return {Invalid(0)};
  const auto q = static_cast<uint32_t>(number);
  Queue& queue = queues[q];
  if (!queue.exists) return {{NPU_ADMIN_ENOENT, 0}};
  SetDoorbellDead(q, true);
  queue.destroying = true;
  if (queue.place != Place::kMapped && queue.place != Place::kLeaving) {
    TakeFromLists(q);
    Remove(q);
    return {};
  }
  LeaveSlot(queue.slot, true);
  return {{}, queue.exists ? Wait::kDestroy : Wait::kNone};
}

QueueAnswer SuspendQueue(uint64_t number, uint64_t mode) {
  if (!InRange(number)) return {Invalid(0)};
  if (mode != NPU_SUSPEND_BLOCK && mode != NPU_SUSPEND_PACKET) return {Invalid(1)};
  const auto q = static_cast<uint32_t>(number);
  Queue& queue = queues[q];
  if (!queue.exists || queue.destroying) return {{NPU_ADMIN_ENOENT, 0}};
  queue.suspended = true;
  const bool packet = mode == NPU_SUSPEND_PACKET;
  if (queue.place == Place::kMapped || queue.place == Place::kLeaving) {
    queue.drain = packet;
    if (packet)
      DrainSlot(queue.slot);
    else
      LeaveSlot(queue.slot, false);
  } else if (packet && queue.partial && !queue.faulted) {
    queue.drain = true;
    MakeReady(q);
  } else {
    TakeFromLists(q);
  }
  return {{}, queue.place == Place::kRest ? Wait::kNone : Wait::kSuspend};
}

void SuspendFailed(uint32_t number) {
  Queue& queue = queues[number];
  if (!queue.exists || !queue.suspended) return;
  Log("queue ", number, " does not come to a point where it can be suspended: it goes on");
  queue.suspended = queue.drain = false;
  // Out of the slot at the next chance, and into one again in turn.
  if (queue.place == Place::kLeaving) StopDrain(queue.slot);
}

namespace {

// A faulted queue that still has its slot goes on there.
Answer ResumeInSlot(Queue& queue, uint64_t mode) {
  const uint32_t status = mode == NPU_RESUME_SKIP ? SkipInSlot(queue.slot) : FlushInSlot(queue.slot);
  if (status == NPU_ADMIN_OK) queue.faulted = false;
  return {status, 0};
}

}  // namespace

Answer ResumeQueue(uint64_t number, uint64_t mode) {
  if (!InRange(number)) return Invalid(0);
  if (mode != NPU_RESUME_SKIP && mode != NPU_RESUME_FLUSH && mode != NPU_RESUME_CONTINUE) return Invalid(1);
  const auto q = static_cast<uint32_t>(number);
  Queue& queue = queues[q];
  if (!queue.exists || queue.destroying) return {NPU_ADMIN_ENOENT, 0};
  if (!queue.faulted && !queue.suspended) return Invalid(0);
  if (queue.faulted && mode == NPU_RESUME_CONTINUE) return Invalid(1);
  if (queue.place == Place::kLeaving) return {NPU_ADMIN_EBUSY, 0};
  if (queue.place == Place::kMapped) return ResumeInSlot(queue, mode);
  if (mode == NPU_RESUME_FLUSH)
    queue.rptr = DoorbellOf(q);
  else if (queue.faulted && queue.fault != NPU_FAULT_BAD_DOORBELL)  // at a bad doorbell no packet is at fault
    ++queue.rptr;
  queue.faulted = queue.suspended = queue.drain = false;
  MakeReady(q);  // with work or without: mapping it writes the queue's status
  return {};
}

Answer GetQueueInfo(uint64_t number, QueueInfo* info) {
  if (!InRange(number)) return Invalid(0);
  const auto q = static_cast<uint32_t>(number);
  const Queue& queue = queues[q];
  if (!queue.exists) return {NPU_ADMIN_ENOENT, 0};
  if (queue.place == Place::kMapped || queue.place == Place::kLeaving) {
    *info = {queue.slot + 1u, SlotState(queue.slot), SlotRead64(queue.slot, NPU_MG_SLOT_RPTR),
             SlotRead64(queue.slot, NPU_MG_SLOT_WPTR)};
  } else {
    *info = {0, queue.faulted ? NPU_SLOT_FAULTED : NPU_SLOT_EMPTY, queue.rptr, DoorbellOf(q)};
  }
  return {};
}

uint64_t DoorbellOf(uint32_t number) {
  SelectDoorbell(number);
  return Read64(NPU_MG_DB_WPTR);
}

void QueueRung(uint32_t number) {
  if (number >= NPU_MAX_QUEUES) return;
  Queue& queue = queues[number];
  if (!queue.exists || queue.faulted || queue.suspended || queue.destroying) return;
  if (queue.place == Place::kRest || queue.place == Place::kParked) MakeReady(number);
  // The slot is empty perhaps, and the news of that still on the way.
  if (queue.place == Place::kLeaving) queue.rung = true;
}

void QueueLeftSlot(uint32_t number, bool was_waiting) {
  Queue& queue = queues[number];
  const bool rung = queue.rung;
  queue.rung = false;
  if (queue.destroying) {
    Remove(number);
    CommandWaitOver(Wait::kDestroy, number);
    return;
  }
  if (queue.suspended) {
    // Turned out inside a packet before it was told to stop at the end of one.
    if (queue.drain && queue.partial && !queue.faulted) {
      MakeReady(number);
      return;
    }
    queue.drain = false;
    CommandWaitOver(Wait::kSuspend, number);
    return;
  }
  if (queue.faulted || DoorbellOf(number) == queue.rptr) return;
  if (was_waiting && !rung)
    Park(number);
  else
    MakeReady(number);
}

void QueueFaulted(uint32_t number, uint32_t kind) {
  Queue& queue = queues[number];
  if (queue.faulted) return;
  queue.faulted = true;
  queue.fault = kind;
  Log("queue ", number, " of context ", static_cast<uint32_t>(queue.context), " stopped: fault kind ", kind);
  PostQueueEvent(number, kind == NPU_FAULT_TIMEOUT ? NPU_FW_EVENT_QUEUE_HANG : NPU_FW_EVENT_QUEUE_FAULT, kind);
}

void SilenceAllDoorbells() {
  for (uint32_t q = 0; q < NPU_MAX_QUEUES && InRange(q); ++q) {
    SetDoorbellDead(q, true);
    Write32(NPU_MG_DB_CLEAR, 1);
  }
}

}  // namespace control
