// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Slot states, the firmware's slot commands, and contexts.  The lock is held in all of it but the entry points.
#include <algorithm>
#include <bit>
#include <cstddef>

#include "core/ecc.h"
#include "device/dispatcher.h"
#include "npu_mgmt.h"

namespace npu::model {

// Interrupts of the management core are raised when the lock is gone.
void Dispatcher::UnlockAndTell(std::unique_lock<std::mutex>& lock) {
  uint32_t bits = pending_mgmt_;
  pending_mgmt_ = 0;
  lock.unlock();
  if (bits) bus_.RaiseMgmt(bits);
}

void Dispatcher::MarkChanged(uint32_t index, bool interrupt) {
  changed_ |= 1u << index;
  if (interrupt) pending_mgmt_ |= NPU_MG_IRQ_SLOT;
}

// Falling idle or starting to wait is news for the firmware only while some rung queue has no slot; so a queue that
// runs one small launch after the other leaves the management hart asleep.
void Dispatcher::SetState(uint32_t index, uint32_t state) {
  Slot& slot = slots_[index];
  if (slot.want_unmap && (state == NPU_SLOT_RUNNING || state == NPU_SLOT_IDLE)) state = NPU_SLOT_DRAINING;
  if (slot.state == state) return;
  if (state == NPU_SLOT_RUNNING && busy_slots_++ == 0) pending_mgmt_ |= NPU_MG_IRQ_BUSY;
  if (slot.state == NPU_SLOT_RUNNING) --busy_slots_;
  slot.state = state;
  if (state == NPU_SLOT_IDLE || state == NPU_SLOT_WAITING) MarkChanged(index, doorbells_.AnyStarving());
}

// slot.record is filled in as far as the slot knows.
void Dispatcher::BeginFault(uint32_t index, bool record) {
  Slot& slot = slots_[index];
  slot.has_record = record;
  slot.op_done = false;
  slot.phase = Phase::kFaulting;
  if (slot.counted_waiter) waiters_.fetch_sub(1, std::memory_order_seq_cst);
  slot.counted_waiter = false;
  faults_.push_back(index);
}

// A worker leaves a slot that it had claimed.
Dispatcher::Task Dispatcher::SettleSlot(Worker& worker, uint32_t index, Step step) {
  std::unique_lock lock(mu_);
  Slot& slot = slots_[index];
  Task next;
  slot.attention.store(false, std::memory_order_relaxed);
  WantWorker(slot);
  if (step == Step::kWait && !slot.recheck) slot.phase = Phase::kWaiting;
  if (step == Step::kFault) {
    BeginFault(index, true);
    if (!fault_claimed_ && faults_.size() == 1 && MayGoOn(worker)) {
      fault_claimed_ = true;
      next = {Task::kFault, 0};
    }
  } else if (slot.want_kill && step == Step::kIdle) {
    // Everything had ended by itself before the kill was seen: nothing to abort, which the firmware should know.
    slot.want_kill = false;
    slot.phase = Phase::kIdle;
    SetState(index, NPU_SLOT_IDLE);
    MarkChanged(index, true);
    if (slot.want_unmap)
      FinishUnmap(index);
    else if (slot.recheck)
      slot.phase = Phase::kReady;
  } else if (slot.want_kill) {
    TryKill(index);
  } else if (slot.want_unmap && MayLeave(slot)) {
    TryUnmap(index);
  } else if (step == Step::kLaunch) {
    StartLaunch(index);
    SetState(index, NPU_SLOT_RUNNING);
  } else if (step == Step::kCopy) {
    StartCopy(index);
    SetState(index, NPU_SLOT_RUNNING);
  } else if (step != Step::kYield && !slot.recheck) {
    slot.phase = step == Step::kWait ? Phase::kWaiting : Phase::kIdle;
    SetState(index, step == Step::kWait ? NPU_SLOT_WAITING : NPU_SLOT_IDLE);
  } else if (step == Step::kYield) {
    SetState(index, NPU_SLOT_RUNNING);
  }
  slot.recheck = false;
  // The usual case without a detour: the first block of the launch just started.
  if (next.kind == Task::kNone && step == Step::kLaunch && MayGoOn(worker)) PickCore(&next);
  Notify();
  UnlockAndTell(lock);
  return next;
}

// The queue of a slot at a wait packet loses the slot.  look_again: something was stored since the slot last looked.
void Dispatcher::ParkWaiter(const Slot& slot, bool look_again) {
  ParkedWaiter waiter{static_cast<uint32_t>(slot.queue), slot.context->id, slot.packet.u.wait, {}};
  if (look_again) {
    Announce(waiter.queue);
    return;
  }
  FindAwaited(&waiter);
  parked_waiters_.push_back(waiter);
}

void Dispatcher::Unpark(uint32_t queue) {
  const auto waits = [queue](const ParkedWaiter& waiter) { return waiter.queue == queue; };
  if (std::erase_if(parked_waiters_, waits)) waiters_.fetch_sub(1, std::memory_order_seq_cst);
}

// With memory errors about, a look at a table may be one too many: such waiters are woken by any store.
void Dispatcher::FindAwaited(ParkedWaiter* waiter) const {
  waiter->where = {nullptr, 0, 0};
  const Context* context = contexts_[waiter->context].get();
  if (!context || (platform_.ecc && platform_.ecc->armed())) return;
  const uint64_t va = NPU_PTR_VA(waiter->wait.addr);
  const PageView page = context->space.Lookup(va);
  if (!page.bytes || !(page.rights & NPU_PTE_READ)) return;
  const uint64_t offset = va - page.va;
  waiter->where = {page.host ? page.host + offset : nullptr, page.bus + offset, sizeof(uint64_t)};
}

// A queue that waited without a slot has reason to look again, and is in the list no more: the firmware hears of it as
// if it had been rung.
void Dispatcher::Announce(uint32_t queue) {
  doorbells_.Mark(queue);
  pending_mgmt_ |= NPU_MG_IRQ_DOORBELL;
  waiters_.fetch_sub(1, std::memory_order_seq_cst);
}

// The queue leaves the slot.  Where it stands stays with its number.
void Dispatcher::FinishUnmap(uint32_t index) {
  Slot& slot = slots_[index];
  QueueState& q = *slot.q;
  auto queue = static_cast<uint32_t>(slot.queue);
  doorbells_.Detach(queue);
  queue_slot_[queue] = -1;
  slot.last_rptr = slot.rptr.load();
  slot.last_wptr = doorbells_.wptr(queue);
  slot.last_partial = slot.launch || q.indirect.count != 0;
  if (slot.launch) {
    q.saved = std::move(slot.launch);
    q.saved_packet = slot.packet;
  }
  if (slot.counted_waiter) {  // the count of waiters goes over to the list
    q.waiting = true;
    ParkWaiter(slot, slot.phase == Phase::kReady || slot.recheck);
    slot.counted_waiter = false;
  }
  slot.context.reset();
  slot.q = nullptr;
  slot.queue = -1;
  slot.in_work = slot.op_done = slot.sync_status = slot.recheck = slot.want_unmap = slot.want_kill = false;
  slot.attention.store(false);
  slot.drain.store(false);
  slot.resume = Resume::kNone;
  slot.phase = Phase::kEmpty;
  slot.fault_kind = NPU_FAULT_NONE;
  SetState(index, NPU_SLOT_EMPTY);
  MarkChanged(index, true);
}

// A drain leaves at a packet of the ring; then memory and index are the whole state of the queue.
bool Dispatcher::MayLeave(const Slot& slot) {
  return !slot.drain.load(std::memory_order_relaxed) || (slot.q->indirect.count == 0 && !slot.launch);
}

// True when it is done; else the slot drains.
bool Dispatcher::TryUnmap(uint32_t index) {
  Slot& slot = slots_[index];
  slot.want_unmap = true;
  const bool drain = slot.drain.load(std::memory_order_relaxed);
  switch (slot.phase) {
    case Phase::kReady:
      // A packet has run, but is not shown as finished yet.
      if (slot.op_done || slot.resume != Resume::kNone || slot.sync_status) break;
      [[fallthrough]];
    case Phase::kIdle:
    case Phase::kWaiting:
      if (!MayLeave(slot)) break;
      [[fallthrough]];
    case Phase::kFaulted:
      FinishUnmap(index);
      return true;
    case Phase::kAsync:
      if (slot.launch) {
        slot.launch->stopping = !drain;
        if (LaunchEnded(*slot.launch)) {
          SettleLaunch(nullptr, *slot.launch);
          return slot.phase == Phase::kEmpty;
        }
      }
      break;
    case Phase::kClaimed:
    case Phase::kFaulting:
    case Phase::kEmpty:
      break;
  }
  // The worker inside finds a drain by itself, at the packet where it may stop.
  if (!drain) slot.attention.store(true, std::memory_order_release);
  if (slot.phase != Phase::kWaiting) SetState(index, NPU_SLOT_DRAINING);
  return false;
}

// False: there is nothing to abort.
bool Dispatcher::TryKill(uint32_t index) {
  Slot& slot = slots_[index];
  if (slot.phase == Phase::kEmpty || slot.phase == Phase::kIdle) return false;
  slot.want_kill = true;
  switch (slot.phase) {
    case Phase::kReady:
    case Phase::kWaiting: {
      bool packet = slot.in_work;
      if (!packet) slot.packet = {};
      FaultKind(slot, static_cast<uint8_t>(slot.kill_kind), 0);
      BeginFault(index, packet && slot.kill_kind != NPU_FAULT_NONE);
      return true;
    }
    case Phase::kAsync:
      if (slot.launch) {
        AbortLaunch(*slot.launch);
        if (LaunchEnded(*slot.launch)) SettleLaunch(nullptr, *slot.launch);
      } else if (slot.copy.active) {
        slot.copy.aborting = true;
        if (!slot.copy.claimed) {
          slot.copy.active = false;
          FaultKind(slot, static_cast<uint8_t>(slot.kill_kind), 0);
          slot.record.engine = NPU_ENGINE_COPY;
          BeginFault(index, slot.kill_kind != NPU_FAULT_NONE);
        }
      }
      return true;
    case Phase::kClaimed:
      slot.attention.store(true, std::memory_order_release);
      return true;
    case Phase::kFaulting:
    case Phase::kFaulted:
      slot.want_kill = false;
      MarkChanged(index, true);
      return true;
    case Phase::kIdle:
    case Phase::kEmpty:
      break;
  }
  return false;
}

bool Dispatcher::LoadQueueDesc(uint32_t queue, npu_queue_desc* desc) const {
  uint64_t table = queue_table_.load(std::memory_order_relaxed);
  if (table % 8 || !InMemory(platform_, table, static_cast<uint64_t>(queues_) * sizeof(*desc))) return false;
  CopyIn(desc, platform_.vram + table + queue * sizeof(*desc), sizeof(*desc));
  return true;
}

npu_admin_status Dispatcher::CheckQueueDesc(const npu_queue_desc& desc) const {
  if (desc.flags != NPU_QUEUE_VALID || desc.priority >= NPU_QUEUE_PRIORITIES) return NPU_ADMIN_EINVAL;
  if (desc.ring_log2 < NPU_RING_LOG2_MIN || desc.ring_log2 > NPU_RING_LOG2_MAX) return NPU_ADMIN_EINVAL;
  uint64_t ring_bytes = static_cast<uint64_t>(NPU_PACKET_BYTES) << desc.ring_log2;
  if (desc.ring_addr % NPU_PAGE_SIZE || !InMemory(platform_, desc.ring_addr, ring_bytes)) return NPU_ADMIN_EINVAL;
  if (!desc.status_addr || desc.status_addr % 8) return NPU_ADMIN_EINVAL;
  if (desc.status_addr % NPU_PAGE_SIZE + sizeof(npu_queue_status) > NPU_PAGE_SIZE) return NPU_ADMIN_EINVAL;
  if (!desc.context || desc.context >= NPU_MAX_CONTEXTS || !contexts_[desc.context]) return NPU_ADMIN_ENOENT;
  return NPU_ADMIN_OK;
}

npu_admin_status Dispatcher::Map(uint32_t index) {
  Slot& slot = slots_[index];
  uint32_t queue = slot.set_queue;
  if (queue >= queues_) return NPU_ADMIN_ENOENT;
  if (slot.phase != Phase::kEmpty || queue_slot_[queue] >= 0) return NPU_ADMIN_EBUSY;
  npu_queue_desc desc;
  if (!LoadQueueDesc(queue, &desc)) return NPU_ADMIN_EINVAL;
  if (npu_admin_status status = CheckQueueDesc(desc); status != NPU_ADMIN_OK) return status;

  QueueState& q = queue_states_[queue];
  Unpark(queue);
  q.waiting = false;
  bool moved = q.faulted || slot.set_rptr != q.rptr || q.context != desc.context;
  if (moved) {
    q.saved.reset();
    q.indirect = {};
  }
  q.context = desc.context;
  slot.desc = desc;
  slot.context = contexts_[desc.context];
  slot.q = &q;
  slot.queue = static_cast<int32_t>(queue);
  slot.priority = desc.priority;
  slot.rptr.store(slot.set_rptr);
  slot.progress.store(0);
  slot.fault_kind = NPU_FAULT_NONE;
  slot.sync_status = q.faulted || slot.set_rptr != q.rptr;
  WantWorker(slot);
  queue_slot_[queue] = static_cast<int32_t>(index);
  doorbells_.Attach(queue, index);
  if (q.saved) {
    slot.packet = q.saved_packet;
    slot.in_work = true;
    slot.launch = std::move(q.saved);
    slot.launch->slot = index;
    slot.launch->stopping = false;
    slot.phase = Phase::kAsync;
    launches_.push_back(slot.launch.get());
  }
  bool work = slot.launch || doorbells_.wptr(queue) != slot.set_rptr;
  SetState(index, work ? NPU_SLOT_RUNNING : NPU_SLOT_IDLE);
  return NPU_ADMIN_OK;
}

npu_admin_status Dispatcher::Command(uint32_t index, uint32_t command) {
  Slot& slot = slots_[index];
  switch (command) {
    case NPU_MG_SLOT_CMD_MAP:
      return Map(index);
    case NPU_MG_SLOT_CMD_UNMAP:
    case NPU_MG_SLOT_CMD_DRAIN:
      if (slot.phase == Phase::kEmpty) return NPU_ADMIN_ENOENT;
      slot.drain.store(command == NPU_MG_SLOT_CMD_DRAIN, std::memory_order_release);
      TryUnmap(index);
      return NPU_ADMIN_OK;
    case NPU_MG_SLOT_CMD_KILL:
      return TryKill(index) ? NPU_ADMIN_OK : NPU_ADMIN_ENOENT;
    case NPU_MG_SLOT_CMD_SKIP:
    case NPU_MG_SLOT_CMD_FLUSH:
      if (slot.phase == Phase::kEmpty) return NPU_ADMIN_ENOENT;
      if (slot.phase != Phase::kFaulted) return NPU_ADMIN_EINVAL;
      slot.resume = command == NPU_MG_SLOT_CMD_SKIP ? Resume::kSkip : Resume::kFlush;
      WantWorker(slot);
      slot.fault_kind = NPU_FAULT_NONE;
      SetState(index, NPU_SLOT_RUNNING);
      return NPU_ADMIN_OK;
    default:
      return NPU_ADMIN_EINVAL;
  }
}

uint32_t Dispatcher::NextChangedSlot() {
  std::lock_guard lock(mu_);
  if (!changed_) return 0;
  auto index = static_cast<uint32_t>(std::countr_zero(changed_));
  changed_ &= changed_ - 1;
  return index + 1;
}

bool Dispatcher::ReadSlot(uint32_t index, uint32_t offset, unsigned size, uint64_t* value) {
  std::lock_guard lock(mu_);
  const Slot& slot = slots_[index];
  bool mapped = slot.phase != Phase::kEmpty;
  bool wide = false;
  switch (offset) {
    case NPU_MG_SLOT_QUEUE:
      *value = static_cast<uint32_t>(slot.queue + 1);
      break;
    case NPU_MG_SLOT_STATE:
      *value = slot.state;
      break;
    case NPU_MG_SLOT_RESULT:
      *value = slot.result;
      break;
    case NPU_MG_SLOT_KILL_KIND:
      *value = slot.kill_kind;
      break;
    case NPU_MG_SLOT_FAULT:
      *value = slot.fault_kind;
      break;
    case NPU_MG_SLOT_PRIORITY:
      *value = slot.priority;
      break;
    case NPU_MG_SLOT_STARVED:
      *value = slot.launch && Starved(*slot.launch);
      break;
    case NPU_MG_SLOT_PARTIAL:
      *value = !mapped && slot.last_partial;
      break;
    case NPU_MG_SLOT_SET_RPTR:
      *value = slot.set_rptr, wide = true;
      break;
    case NPU_MG_SLOT_RPTR:
      *value = mapped ? slot.rptr.load() : slot.last_rptr, wide = true;
      break;
    case NPU_MG_SLOT_WPTR:
      *value = mapped ? doorbells_.wptr(static_cast<uint32_t>(slot.queue)) : slot.last_wptr;
      wide = true;
      break;
    case NPU_MG_SLOT_PROGRESS:
      *value = slot.progress.load(), wide = true;
      break;
    default:
      return false;
  }
  return size == (wide ? 8u : 4u);
}

bool Dispatcher::WriteSlot(uint32_t index, uint32_t offset, unsigned size, uint64_t value) {
  if (size != (offset == NPU_MG_SLOT_SET_RPTR ? 8u : 4u)) return false;
  std::unique_lock lock(mu_);
  Slot& slot = slots_[index];
  auto word = static_cast<uint32_t>(value);
  switch (offset) {
    case NPU_MG_SLOT_QUEUE:
      slot.set_queue = word;
      break;
    case NPU_MG_SLOT_SET_RPTR:
      slot.set_rptr = value;
      break;
    case NPU_MG_SLOT_KILL_KIND:
      slot.kill_kind = word & 0xff;
      break;
    case NPU_MG_SLOT_PRIORITY:
      slot.priority = std::min(word, NPU_QUEUE_PRIORITIES - 1);
      break;
    case NPU_MG_SLOT_CMD:
      slot.result = Command(index, word);
      break;
    default:
      return false;
  }
  if (offset == NPU_MG_SLOT_CMD) wake_.WakeOne();
  UnlockAndTell(lock);
  return true;
}

uint64_t Dispatcher::DumpSlot(uint32_t index, uint32_t offset) {
  std::lock_guard lock(mu_);
  const Slot& slot = slots_[index];
  bool mapped = slot.phase != Phase::kEmpty;
  switch (offset) {
    case NPU_SLOT_QUEUE:
      return static_cast<uint32_t>(slot.queue + 1);
    case NPU_SLOT_STATE:
      return slot.state;
    case NPU_SLOT_RPTR:
      return mapped ? slot.rptr.load() : slot.last_rptr;
    case NPU_SLOT_WPTR:
      return mapped ? doorbells_.wptr(static_cast<uint32_t>(slot.queue)) : slot.last_wptr;
    case NPU_SLOT_PROGRESS:
      return slot.progress.load();
    default:
      return 0;
  }
}

void Dispatcher::ClearQueue(uint32_t queue) {
  std::lock_guard lock(mu_);
  if (queue_slot_[queue] >= 0) {
    bus_.Log(NPU_MODEL_LOG_GUEST_ERROR, "firmware: clears queue %u, which is mapped; ignored", queue);
    return;
  }
  doorbells_.Clear(queue);
  Unpark(queue);
  queue_states_[queue] = QueueState{};
}

void Dispatcher::SetQueueWptr(uint32_t queue, uint64_t wptr) {
  std::lock_guard lock(mu_);
  if (queue_slot_[queue] >= 0 || !doorbells_.dead(queue)) {
    bus_.Log(NPU_MODEL_LOG_GUEST_ERROR, "firmware: sets the write index of queue %u, which is in use; ignored", queue);
    return;
  }
  doorbells_.SetWptr(queue, wptr);
}

npu_admin_status CheckContextDesc(const Platform& platform, const npu_ctx_desc& desc) {
  if (desc.flags != NPU_CTX_VALID) return NPU_ADMIN_EINVAL;
  if (desc.irq_vector >= NPU_NUM_VECTORS) return NPU_ADMIN_EINVAL;
  constexpr uint64_t kRootBytes = NPU_PT_ROOT_ENTRIES * sizeof(uint64_t);
  if (desc.pt_root % NPU_PAGE_SIZE || !InMemory(platform, desc.pt_root, kRootBytes)) return NPU_ADMIN_EINVAL;
  if (desc.bounds_addr) {
    if (desc.bounds_entries > NPU_BOUNDS_ENTRIES || desc.bounds_addr % sizeof(npu_bounds_entry))
      return NPU_ADMIN_EINVAL;
    if (!InMemory(platform, desc.bounds_addr, desc.bounds_entries * sizeof(npu_bounds_entry))) return NPU_ADMIN_EINVAL;
  }
  if (desc.fault_ring) {
    if (desc.fault_ring % NPU_PAGE_SIZE) return NPU_ADMIN_EINVAL;
    if (!std::has_single_bit(desc.fault_entries) || desc.fault_entries > 65536) return NPU_ADMIN_EINVAL;
  }
  return NPU_ADMIN_OK;
}

npu_admin_status Dispatcher::EnableContext(uint32_t id, uint64_t table) {
  if (id == 0 || id >= NPU_MAX_CONTEXTS) return NPU_ADMIN_ENOENT;
  if (table % 8 || !InMemory(platform_, table, NPU_MAX_CONTEXTS * sizeof(npu_ctx_desc))) return NPU_ADMIN_EINVAL;
  npu_ctx_desc desc;
  uint64_t at = table + id * sizeof(desc);
  CopyIn(&desc, platform_.vram + at, sizeof(desc));
  if (npu_admin_status status = CheckContextDesc(platform_, desc); status != NPU_ADMIN_OK) {
    bus_.Log(NPU_MODEL_LOG_GUEST_ERROR, "context %u: malformed descriptor", id);
    return status;
  }
  auto context = std::make_shared<Context>(platform_, id, desc, at + offsetof(npu_ctx_desc, irq_arm));
  // A context that is made again after a reset numbers its records on.  A ring that does not answer shows at the first.
  if (desc.fault_ring) {
    platform_.ops->dma_load64(platform_.opaque, desc.fault_ring + offsetof(npu_fault_ring, written), &context->written);
    platform_.ops->dma_load64(platform_.opaque, desc.fault_ring + offsetof(npu_fault_ring, dropped), &context->dropped);
  }
  std::lock_guard lock(mu_);
  if (contexts_[id]) return NPU_ADMIN_EEXIST;
  contexts_[id] = std::move(context);
  return NPU_ADMIN_OK;
}

npu_admin_status Dispatcher::DisableContext(uint32_t id) {
  if (id == 0 || id >= NPU_MAX_CONTEXTS) return NPU_ADMIN_ENOENT;
  std::lock_guard lock(mu_);
  std::shared_ptr<Context> context = contexts_[id];
  if (!context) return NPU_ADMIN_ENOENT;
  for (const Slot& slot : slots_)
    if (slot.context == context) return NPU_ADMIN_EBUSY;
  for (uint32_t queue = 0; queue < queues_; ++queue) {
    QueueState& q = queue_states_[queue];
    if (q.context != id) continue;
    q.saved.reset();
    q.indirect = {};
    Unpark(queue);
  }
  ForgetInCores(context);
  contexts_[id] = nullptr;
  return NPU_ADMIN_OK;
}

}  // namespace npu::model
