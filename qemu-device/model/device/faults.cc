// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Fault records and the faulted state.  One worker at a time writes records, so a context's ring has one writer.
#include <cstddef>

#include "device/dispatcher.h"
#include "npu_mgmt.h"

namespace npu::model {

// What every record says about where it comes from; the caller owns the slot.
void Dispatcher::PrepareRecord(Slot& slot, npu_fault_record* record) const {
  record->time_ns = bus_.TimeNs();
  record->context = slot.context->id;
  record->queue = static_cast<uint32_t>(slot.queue);
  record->packet = slot.rptr.load(std::memory_order_relaxed);
  record->packet_tag = slot.packet.tag;
  record->packet_type = slot.packet.type;
  if (slot.packet.type == NPU_PKT_LAUNCH) record->kernel = slot.packet.u.launch.entry;
}

// Returns the record's sequence number, or 0 when it was dropped.
uint64_t Dispatcher::WriteRecord(Context& context, npu_fault_record record) {
  const npu_model_host_ops& ops = *platform_.ops;
  void* opaque = platform_.opaque;
  const npu_ctx_desc& desc = context.space.desc();
  uint64_t ring = desc.fault_ring, read = 0;
  if (!ring) {
    ++context.dropped;
    return 0;
  }
  bool lost = ops.dma_load64(opaque, ring + offsetof(npu_fault_ring, read), &read) != 0;
  // A reader that claims to be ahead of the writer makes a difference above every ring size: full.
  if (!lost && context.written - read < desc.fault_entries) {
    record.seq = context.written + 1;
    uint64_t at = ring + sizeof(npu_fault_ring) + (context.written % desc.fault_entries) * sizeof(record);
    lost = ops.dma_write(opaque, at, &record, sizeof(record)) != 0 ||
           ops.dma_store64(opaque, ring + offsetof(npu_fault_ring, written), record.seq) != 0;
    if (!lost) {
      context.written = record.seq;
      return record.seq;
    }
  }
  ++context.dropped;
  if (lost || ops.dma_store64(opaque, ring + offsetof(npu_fault_ring, dropped), context.dropped) != 0)
    bus_.Log(NPU_MODEL_LOG_GUEST_ERROR,
             "context %u: its fault ring at bus address 0x%llx does not answer; %llu dropped", context.id,
             static_cast<unsigned long long>(ring), static_cast<unsigned long long>(context.dropped));
  return 0;
}

void Dispatcher::WriteFaultStatus(Slot& slot, uint64_t seq) {
  const npu_model_host_ops& ops = *platform_.ops;
  uint64_t status = slot.desc.status_addr;
  uint64_t state = NPU_QUEUE_FAULTED | static_cast<uint64_t>(slot.record.kind) << 32;
  bool lost = ops.dma_store64(platform_.opaque, status + offsetof(npu_queue_status, fault_seq), seq) != 0;
  lost |= ops.dma_store64(platform_.opaque, status + offsetof(npu_queue_status, state), state) != 0;
  slot.q->faulted = true;
  if (lost)
    bus_.Log(NPU_MODEL_LOG_GUEST_ERROR, "queue %d: its status page at bus address 0x%llx does not answer", slot.queue,
             static_cast<unsigned long long>(status));
}

Dispatcher::Task Dispatcher::RunFault(Worker& worker) {
  std::unique_lock lock(mu_);
  uint32_t index = faults_.front();
  faults_.pop_front();
  Slot& slot = slots_[index];
  lock.unlock();

  uint64_t seq = slot.has_record ? WriteRecord(*slot.context, slot.record) : 0;
  WriteFaultStatus(slot, seq);
  if (slot.has_record) {
    bus_.CountFault();
    bus_.LatchEvents(NPU_EVENT_FAULT);
  }
  bus_.Trace("fault", static_cast<uint64_t>(slot.queue), slot.record.kind, seq);
  // Sleepers on the queue's fences learn of the fault through the status page.
  bus_.RaiseMsix(slot.context->space.desc().irq_vector);

  lock.lock();
  (void)worker;
  fault_claimed_ = false;
  slot.phase = Phase::kFaulted;
  slot.fault_kind = slot.record.kind;
  // A fault on the way out comes first: the firmware has to hear of it, and unmaps again.
  slot.want_kill = slot.want_unmap = false;
  slot.drain.store(false);
  SetState(index, NPU_SLOT_FAULTED);
  MarkChanged(index, true);
  UnlockAndTell(lock);
  return {};
}

}  // namespace npu::model
