// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// A claimed slot: fetching packets, executing the short ones, finishing all of them.  Runs without the lock; the slot
// is the worker's own.
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/ecc.h"
#include "device/dispatcher.h"
#include "device/packet_check.h"
#include "npu_mgmt.h"

namespace npu::model {

namespace {

bool Holds(const npu_pkt_wait& wait, uint64_t value) {
  if (wait.cond == NPU_WAIT_GE) return static_cast<int64_t>(value - wait.value) >= 0;
  return (value == wait.value) == (wait.cond == NPU_WAIT_EQ);
}

// Beside its signal.
bool StoresMore(uint8_t type) {
  return type != NPU_PKT_NOP && type != NPU_PKT_WAIT && type != NPU_PKT_SIGNAL && type != NPU_PKT_INDIRECT;
}

}  // namespace

Dispatcher::Task Dispatcher::RunSlot(Worker& worker, uint32_t index) {
  worker.quiesce.Enter();
  Step step = StepSlot(slots_[index], index);
  worker.quiesce.Leave();
  return SettleSlot(worker, index, step);
}

Dispatcher::Step Dispatcher::StepSlot(Slot& slot, uint32_t index) {
  if (!SyncStatus(slot)) return FaultBus(slot, slot.desc.status_addr);
  if (slot.op_done) {
    slot.op_done = false;
    if (!PublishCounters(slot)) return FaultBus(slot, slot.desc.status_addr);
    if (!FinishPacket(slot)) return Step::kFault;
  }
  for (uint32_t n = 0; n < kPacketsAClaim; ++n) {
    if (MustYield(slot)) return Step::kYield;
    Step step = Step::kIdle;
    if (!slot.in_work && !Fetch(slot, &step)) return step;
    step = Execute(slot, index);
    if (step != Step::kYield) return step;
  }
  return Step::kYield;
}

// A kill or an unmap was asked for.  A drain goes on to the end of an indirect buffer: its place in there is no part of
// the ring's index.
bool Dispatcher::MustYield(const Slot& slot) {
  if (slot.attention.load(std::memory_order_acquire)) return true;
  return slot.drain.load(std::memory_order_acquire) && slot.q->indirect.count == 0;
}

// Carries out a skip or flush, and shows in the status page where the queue stands, if it does not yet.
bool Dispatcher::SyncStatus(Slot& slot) {
  if (slot.resume != Resume::kNone) {
    auto queue = static_cast<uint32_t>(slot.queue);
    if (slot.resume == Resume::kFlush)
      slot.rptr.store(doorbells_.wptr(queue));
    else if (slot.in_work)  // without a packet in work (a bad doorbell, a kill between packets) there is none to skip
      slot.rptr.fetch_add(1);
    slot.resume = Resume::kNone;
    slot.in_work = false;
    slot.q->indirect = {};
    slot.sync_status = true;
  }
  if (!slot.sync_status) return true;
  const npu_model_host_ops& ops = *platform_.ops;
  uint64_t status = slot.desc.status_addr;
  // The state first: whoever sees another word of the page change knows that the stop is over.
  if (ops.dma_store64(platform_.opaque, status + offsetof(npu_queue_status, state), NPU_QUEUE_OK)) return false;
  if (ops.dma_store64(platform_.opaque, status + offsetof(npu_queue_status, fault_seq), 0)) return false;
  slot.q->faulted = false;
  slot.sync_status = false;
  if (!StoreRptr(slot)) return false;
  RaiseFence(*slot.context);  // whoever sleeps until the index moves
  return true;
}

// False: a word of the packet has an uncorrectable error; the record says which.
bool Dispatcher::PacketReadable(Slot& slot, uint64_t at) {
  if (!platform_.ecc || !platform_.ecc->armed()) return true;
  const uint64_t bad = platform_.ecc->Access(at, NPU_PACKET_BYTES, NPU_ACCESS_READ);
  if (bad == Ecc::kNone) return true;
  slot.packet = {};
  slot.in_work = true;
  FaultKind(slot, NPU_FAULT_ECC, 0);
  slot.record.access = NPU_ACCESS_READ;
  slot.record.addr = at;  // the ring is in no address space: offsets in device memory
  slot.record.size = NPU_PACKET_BYTES;
  slot.record.bad_addr = bad;
  slot.record.bad_bytes = Ecc::kWord;
  return false;
}

// Copies the next packet into the slot and checks the copy.  False: *step says why there is none.
bool Dispatcher::Fetch(Slot& slot, Step* step) {
  QueueState& q = *slot.q;
  bool indirect = q.indirect.count != 0;
  if (indirect) {
    FaultInfo info;
    uint64_t at = q.indirect.addr + static_cast<uint64_t>(q.indirect_next) * NPU_PACKET_BYTES;
    if (!slot.context->space.Read(at, &slot.packet, sizeof(slot.packet), &info)) {
      slot.packet = q.indirect_packet;
      slot.in_work = true;
      *step = FaultMemory(slot, info, NPU_ENGINE_DISPATCHER);
      return false;
    }
  } else {
    uint64_t wptr = doorbells_.wptr(static_cast<uint32_t>(slot.queue));
    uint64_t rptr = slot.rptr.load(std::memory_order_relaxed);
    if (wptr == rptr) return false;
    uint64_t packets = 1ull << slot.desc.ring_log2;
    if (wptr - rptr > packets) {
      slot.packet = {};
      bus_.Log(NPU_MODEL_LOG_GUEST_ERROR, "queue %d: doorbell %llu, but the read index is %llu and the ring has %llu",
               slot.queue, static_cast<unsigned long long>(wptr), static_cast<unsigned long long>(rptr),
               static_cast<unsigned long long>(packets));
      *step = FaultKind(slot, NPU_FAULT_BAD_DOORBELL, 0);
      slot.record.extra[0] = wptr;
      return false;
    }
    uint64_t at = slot.desc.ring_addr + (rptr & (packets - 1)) * NPU_PACKET_BYTES;
    if (!PacketReadable(slot, at)) {
      *step = Step::kFault;
      return false;
    }
    CopyIn(&slot.packet, platform_.vram + at, sizeof(slot.packet));
  }
  slot.in_work = true;
  npu_packet_error error = CheckPacket(slot.packet, indirect);
  if (error == NPU_PKT_ERR_NONE) return true;
  bus_.Log(NPU_MODEL_LOG_GUEST_ERROR, "queue %d: packet %llu of type %u is malformed (enum npu_packet_error %u)",
           slot.queue, static_cast<unsigned long long>(slot.rptr.load()), slot.packet.type, error);
  *step = FaultKind(slot, NPU_FAULT_BAD_PACKET, static_cast<uint16_t>(error));
  return false;
}

// kYield: the packet is finished, go on with the next.
Dispatcher::Step Dispatcher::Execute(Slot& slot, uint32_t index) {
  const npu_packet& packet = slot.packet;
  QueueState& q = *slot.q;
  AddressSpace& space = slot.context->space;
  FaultInfo info;
  bus_.Trace("packet", index, slot.rptr.load(std::memory_order_relaxed), packet.type);
  switch (packet.type) {
    case NPU_PKT_LAUNCH:
      return Step::kLaunch;
    case NPU_PKT_COPY:
    case NPU_PKT_FILL:
      return Step::kCopy;
    case NPU_PKT_WAIT: {
      bool holds = false;
      if (!Evaluate(slot, &holds)) return Step::kFault;
      if (!holds) return Step::kWait;
      break;
    }
    case NPU_PKT_TIMESTAMP: {
      npu_timestamp stamp{bus_.TimeNs(), q.counters.cycles};
      if (!space.Write(packet.u.timestamp.addr, &stamp, sizeof(stamp), &info))
        return FaultMemory(slot, info, NPU_ENGINE_DISPATCHER);
      break;
    }
    case NPU_PKT_COUNTERS:
      if (!space.Write(packet.u.counters.addr, &q.counters, sizeof(q.counters), &info))
        return FaultMemory(slot, info, NPU_ENGINE_DISPATCHER);
      break;
    case NPU_PKT_INDIRECT:
      q.indirect = packet.u.indirect;
      q.indirect_packet = packet;
      q.indirect_next = 0;
      slot.in_work = false;
      return Step::kYield;
    default:  // NOP, SIGNAL: the signal is stored when they finish
      break;
  }
  return FinishPacket(slot) ? Step::kYield : Step::kFault;
}

// The wait packet's condition.  False: the address faults.
bool Dispatcher::Evaluate(Slot& slot, bool* holds) {
  if (!slot.counted_waiter) {
    slot.counted_waiter = true;
    waiters_.fetch_add(1, std::memory_order_seq_cst);
  }
  FullFence();
  const npu_pkt_wait& wait = slot.packet.u.wait;
  uint64_t value = 0;
  FaultInfo info;
  bool read = slot.context->space.Load64(wait.addr, &value, &info);
  if (read)
    *holds = Holds(wait, value);
  else
    FaultMemory(slot, info, NPU_ENGINE_DISPATCHER);
  if (!read || *holds) {
    slot.counted_waiter = false;
    waiters_.fetch_sub(1, std::memory_order_seq_cst);
  }
  return read;
}

// Signal, read index, fence interrupt, in this order; counters were published before.  At the end of an indirect buffer
// the indirect packet itself finishes too.  False: a store was refused, slot.record says why.
bool Dispatcher::FinishPacket(Slot& slot) {
  QueueState& q = *slot.q;
  // All that was stored, if it is one word that is known.
  Span word{nullptr, 0, 0};
  const Span* stored = &word;
  while (true) {
    const npu_packet& packet = slot.packet;
    if (StoresMore(packet.type) || word.bytes) stored = nullptr;
    if (packet.type == NPU_PKT_SIGNAL || (packet.flags & NPU_PKT_F_SIGNAL)) {
      FaultInfo info;
      if (!slot.context->space.Store64(packet.signal_addr, packet.signal_value, &info, &word)) {
        FaultMemory(slot, info, NPU_ENGINE_DISPATCHER);
        return false;
      }
    }
    slot.in_work = false;
    slot.progress.fetch_add(1, std::memory_order_relaxed);
    if (q.indirect.count == 0) break;
    if (++q.indirect_next < q.indirect.count) {
      RaiseFence(*slot.context);
      Signalled(slot, stored);
      return true;
    }
    q.indirect = {};
    slot.packet = q.indirect_packet;
    slot.in_work = true;
  }
  slot.rptr.store(slot.rptr.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  if (!StoreRptr(slot)) {
    FaultBus(slot, slot.desc.status_addr);
    return false;
  }
  RaiseFence(*slot.context);
  Signalled(slot, stored);
  return true;
}

bool Dispatcher::PublishCounters(Slot& slot) {
  return platform_.ops->dma_write(platform_.opaque, slot.desc.status_addr + offsetof(npu_queue_status, counters),
                                  &slot.q->counters, sizeof(slot.q->counters)) == 0;
}

bool Dispatcher::StoreRptr(Slot& slot) {
  slot.q->rptr = slot.rptr.load(std::memory_order_relaxed);
  return platform_.ops->dma_store64(platform_.opaque, slot.desc.status_addr, slot.q->rptr) == 0;
}

// The kernel arms the word, then looks at the fence value, then sleeps; the device stores the value, then looks at the
// word.  With a full barrier on both sides one of them sees the other.
void Dispatcher::RaiseFence(const Context& context) {
  auto* word = reinterpret_cast<uint32_t*>(platform_.vram + context.irq_arm_offset);
  FullFence();
  if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0) return;
  const uint32_t armed = __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST);
  if (armed == 0) return;  // another slot of the context was first
  const bool named = armed >= NPU_IRQ_FENCE0 && armed < NPU_NUM_VECTORS;
  bus_.RaiseMsix(named ? armed : context.space.desc().irq_vector);
}

// Somebody may wait for what this slot has just stored: the word *stored, or with nullptr anything.  Slots look again
// themselves.  Of the queues without one, which may be a thousand, only those are woken whose condition holds now.
void Dispatcher::Signalled(const Slot& slot, const Span* stored) {
  FullFence();
  if (waiters_.load(std::memory_order_seq_cst) == 0) return;
  std::vector<ParkedWaiter> ask;
  std::unique_lock lock(mu_);
  bool woken = false;
  for (Slot& other : slots_) {
    if (&other == &slot) continue;
    if (other.phase == Phase::kWaiting) {
      WantWorker(other);
      woken = true;
    } else {
      other.recheck = true;
    }
  }
  WakeParked(stored, &ask);
  if (woken && idle_ > 0) wake_.WakeOne();
  UnlockAndTell(lock);
  if (!ask.empty()) AskHost(ask);
}

// Lock held.  Words in host memory are not read with the lock: those that may have changed are appended to *ask.
void Dispatcher::WakeParked(const Span* stored, std::vector<ParkedWaiter>* ask) {
  std::erase_if(parked_waiters_, [&](const ParkedWaiter& waiter) {
    const Span& where = waiter.where;
    if (where.bytes && !where.host) {
      if (!stored || (stored->bytes && !stored->host && stored->bus == where.bus)) ask->push_back(waiter);
      return false;
    }
    const bool holds = !where.bytes || Holds(waiter.wait, __atomic_load_n(reinterpret_cast<const uint64_t*>(where.host),
                                                                          __ATOMIC_SEQ_CST));
    if (holds) Announce(waiter.queue);
    return holds;
  });
}

// No lock, but inside of the worker's quiesce counter: an invalidation waits until these reads are over.
void Dispatcher::AskHost(const std::vector<ParkedWaiter>& ask) {
  std::vector<uint32_t> ready;
  for (const ParkedWaiter& waiter : ask) {
    uint64_t value = 0;
    // A word that cannot be read any more: the queue itself will find that out.
    const bool read = platform_.ops->dma_load64(platform_.opaque, waiter.where.bus, &value) == 0;
    if (!read || Holds(waiter.wait, value)) ready.push_back(waiter.queue);
  }
  if (ready.empty()) return;
  std::unique_lock lock(mu_);
  std::erase_if(parked_waiters_, [&](const ParkedWaiter& waiter) {
    if (std::find(ready.begin(), ready.end(), waiter.queue) == ready.end()) return false;
    Announce(waiter.queue);
    return true;
  });
  UnlockAndTell(lock);
}

Dispatcher::Step Dispatcher::FaultMemory(Slot& slot, const FaultInfo& info, uint8_t engine) {
  slot.record = {};
  info.CopyTo(&slot.record);
  slot.record.engine = engine;
  PrepareRecord(slot, &slot.record);
  return Step::kFault;
}

Dispatcher::Step Dispatcher::FaultKind(Slot& slot, uint8_t kind, uint16_t detail) {
  slot.record = {};
  slot.record.kind = kind;
  slot.record.detail = detail;
  slot.record.operand = kNoOperand;
  slot.record.engine = NPU_ENGINE_DISPATCHER;
  PrepareRecord(slot, &slot.record);
  return Step::kFault;
}

// The status page does not answer.
Dispatcher::Step Dispatcher::FaultBus(Slot& slot, uint64_t bus) {
  FaultKind(slot, NPU_FAULT_BUS, 0);
  slot.record.access = NPU_ACCESS_WRITE;
  slot.record.addr = slot.record.bad_addr = bus;
  slot.record.size = slot.record.bad_bytes = sizeof(npu_queue_status);
  return Step::kFault;
}

}  // namespace npu::model
