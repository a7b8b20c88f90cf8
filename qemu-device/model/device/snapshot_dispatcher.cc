// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Saves and loads the data plane, between blocks: contexts, doorbells, queues, slots, launches, copies, cores.
//
// The rule for what is loaded: whatever the guest could have brought about is taken, and what it could not is refused.
// Counts, lists and flags that follow from other state are not stored but made again.
#include <algorithm>
#include <cstddef>

#include "device/dispatcher.h"
#include "device/packet_check.h"
#include "mgmt/stream.h"

namespace npu::model {
namespace {

constexpr uint32_t kContexts = 0x53585443, kDoors = 0x524f4f44, kQueues = 0x55455551, kSlots = 0x544f4c53,
                   kCores = 0x45524f43, kSchedule = 0x44484353;
constexpr uint8_t kScrubbed = 0xcd;  // SRAM after power-on

// SRAM and stack are mostly as after power-on.
void SavePages(StateWriter& out, const uint8_t* from, uint64_t bytes) {
  for (uint64_t at = 0; at < bytes; at += NPU_PAGE_SIZE) {
    const uint8_t* page = from + at;
    const bool used = std::any_of(page, page + NPU_PAGE_SIZE, [](uint8_t byte) { return byte != kScrubbed; });
    out.Flag(used);
    if (used) out.Bytes(page, NPU_PAGE_SIZE);
  }
}

void LoadPages(StateReader& in, uint8_t* to, uint64_t bytes) {
  for (uint64_t at = 0; at < bytes; at += NPU_PAGE_SIZE) {
    if (in.Flag())
      in.Bytes(to + at, NPU_PAGE_SIZE);
    else
      std::fill_n(to + at, NPU_PAGE_SIZE, kScrubbed);
  }
}

template <class Archive, class State>
void QueueFields(Archive& a, State& q) {
  a.All(q.counters, q.rptr, q.faulted, q.waiting, q.context, q.indirect, q.indirect_packet, q.indirect_next,
        q.saved_packet);
}

template <class Archive, class State>
void SlotFields(Archive& a, State& s) {
  a.All(s.set_queue, s.set_rptr, s.result, s.kill_kind, s.priority, s.state, s.fault_kind, s.last_rptr, s.last_wptr,
        s.phase, s.queue, s.recheck, s.want_unmap, s.want_kill, s.last_partial, s.drain, s.turn, s.attention,
        s.progress, s.rptr, s.desc, s.packet, s.in_work, s.op_done, s.counted_waiter, s.sync_status, s.resume,
        s.has_record, s.record);
}

// What the packet does not say.
template <class Archive, class State>
void LaunchFields(Archive& a, State& l) {
  a.All(l.finished, l.hang, l.aborting, l.stopping, l.core_reset, l.started);
  for (auto& lane : l.lanes) a.All(lane.next, lane.cycles);
  a.All(l.sum, l.has_fault, l.fault);
}

template <class Archive, class State>
void CopyFields(Archive& a, State& c) {
  a.All(c.active, c.aborting, c.phase, c.row, c.offset);
}

bool CopyIsSane(const CopyJob& job, const npu_packet& packet) {
  if (packet.type != NPU_PKT_COPY && packet.type != NPU_PKT_FILL) return false;
  const bool fill = packet.type == NPU_PKT_FILL;
  if (job.phase > CopyJob::Phase::kMove || (fill && job.phase == CopyJob::Phase::kCheckSrc)) return false;
  // Only a row that is longer than a piece is left in its middle, and only between pieces.
  const uint64_t row_bytes = fill ? packet.u.fill.bytes : packet.u.copy.row_bytes;
  const uint64_t piece = job.phase == CopyJob::Phase::kMove ? kCopySlice : kCheckSlice;
  return job.row < (fill ? 1 : packet.u.copy.rows) && job.offset < row_bytes && job.offset % piece == 0;
}

}  // namespace

void Doorbells::Save(StateWriter& out) const {
  out.Begin(kDoors);
  for (uint32_t i = 0; i < queues_; ++i) {
    out.Io(doors_[i].wptr);
    out.Io(doors_[i].dead);
    out.Io(doors_[i].starving);
  }
  for (const auto& word : marks_) out.Io(word);
  out.Io(ready_);
  out.End();
}

void Doorbells::Load(StateReader& in) {
  in.Begin(kDoors, "doorbells");
  int32_t starving = 0;
  for (uint32_t i = 0; i < queues_; ++i) {
    in.Io(doors_[i].wptr);
    in.Io(doors_[i].dead);
    in.Io(doors_[i].starving);
    starving += doors_[i].starving.load();
  }
  starving_.store(starving);
  for (uint32_t i = 0; i < marks_.size(); ++i) {
    in.Io(marks_[i]);
    const uint64_t there = i * 64 >= queues_ ? 0 : queues_ - i * 64 >= 64 ? ~0ull : (1ull << (queues_ - i * 64)) - 1;
    in.Require(!(marks_[i].load() & ~there), "a queue is marked that there is not");
  }
  in.Io(ready_);
  in.Require(ready_.load() >> NPU_MAX_SLOTS == 0, "a slot is rung that there is not");
  in.End("doorbells");
}

// A stuck core holds a block, but is not in the middle of it: nothing of it has run.
bool Dispatcher::BetweenBlocks() const {
  for (const auto& unit : units_)
    if (unit->claimed || (unit->launch && unit->stuck == Hang::kNone)) return false;
  // A gang that has begun goes on to its end before it counts.
  for (const Launch* launch : launches_)
    if (launch->gang && launch->started && launch->hang == Hang::kNone && !LaunchEnded(*launch)) return false;
  return true;
}

std::string Dispatcher::CanSave() const {
  std::lock_guard lock(mu_);
  for (const auto& unit : units_)
    if (unit->launch && unit->stuck == Hang::kNone)
      return "core " + std::to_string(unit->core.id()) + " is in the middle of block " + std::to_string(unit->block) +
             " of queue " + std::to_string(unit->launch->queue) + ", which did not end in time; try again later";
  return BetweenBlocks() ? "" : "a launch whose blocks run together is half begun; try again later";
}

void Dispatcher::SaveCore(StateWriter& out, CoreUnit& unit) {
  out.U8(static_cast<uint8_t>(unit.stuck));
  out.U32(unit.launch ? unit.launch->slot : 0);
  out.U32(unit.block);
  out.Io(unit.stats.busy_cycles);
  out.Io(unit.stats.instructions);
  out.Io(unit.stats.blocks);
  const AddressSpace* owner = unit.core.owner();
  out.U32(owner ? owner->context() : 0);
  SavePages(out, unit.core.sram(), kSramBytes);
  SavePages(out, unit.core.stack(), NPU_LOCAL_STACK_BYTES);
}

void Dispatcher::Save(StateWriter& out) {
  CollectTlbAcks();  // everybody is at a quiescent point
  std::lock_guard lock(mu_);
  out.Begin(kContexts);
  for (const auto& context : contexts_) {
    out.Flag(context != nullptr);
    if (!context) continue;
    out.Io(context->space.desc());
    out.U64(context->irq_arm_offset);
    out.U64(context->written);
    out.U64(context->dropped);
  }
  out.End();
  doorbells_.Save(out);
  out.Begin(kQueues);
  for (const QueueState& q : queue_states_) {
    QueueFields(out, q);
    out.Flag(q.saved != nullptr);
    if (q.saved) LaunchFields(out, *q.saved);
  }
  out.End();
  out.Begin(kSlots);
  for (const Slot& slot : slots_) {
    SlotFields(out, slot);
    out.Flag(slot.launch != nullptr);
    if (slot.launch) LaunchFields(out, *slot.launch);
    CopyFields(out, slot.copy);
  }
  out.End();
  out.Begin(kCores);
  for (auto& unit : units_) SaveCore(out, *unit);
  out.End();
  out.Begin(kSchedule);
  out.U32(static_cast<uint32_t>(launches_.size()));
  for (const Launch* launch : launches_) out.U32(launch->slot);
  out.U32(static_cast<uint32_t>(faults_.size()));
  for (uint32_t index : faults_) out.U32(index);
  out.U32(static_cast<uint32_t>(parked_waiters_.size()));
  for (const ParkedWaiter& waiter : parked_waiters_) out.U32(waiter.queue);
  out.U32(changed_);
  out.U32(pending_mgmt_);
  out.U64(turn_);
  out.U64(started_);
  out.U32(kind_turn_);
  out.U32(core_turn_);
  out.Io(time_cycles_);
  out.Io(tlb_req_);
  out.End();
}

void Dispatcher::LoadContexts(StateReader& in) {
  in.Begin(kContexts, "contexts");
  for (uint32_t i = 0; i < NPU_MAX_CONTEXTS; ++i) {
    if (!in.Flag()) continue;
    npu_ctx_desc desc;
    in.Io(desc);
    const uint64_t irq_arm = in.U64(), written = in.U64(), dropped = in.U64();
    const bool sane = i != 0 && CheckContextDesc(platform_, desc) == NPU_ADMIN_OK && irq_arm % 4 == 0 &&
                      InMemory(platform_, irq_arm, 4);
    if (!in.Require(sane, "a context is malformed")) return;
    contexts_[i] = std::make_shared<Context>(platform_, i, desc, irq_arm);
    contexts_[i]->written = written;
    contexts_[i]->dropped = dropped;
  }
  in.End("contexts");
}

// The packet is checked, and a launch.
std::unique_ptr<Launch> Dispatcher::LoadLaunch(StateReader& in, uint32_t index, const npu_packet& packet,
                                               const std::shared_ptr<Context>& context, uint32_t queue) {
  std::unique_ptr<Launch> launch = NewLaunch(index, packet, context, queue);
  LaunchFields(in, *launch);
  bool sane = launch->finished <= launch->blocks && launch->hang <= Hang::kUntilReset;
  uint64_t begun = 0;
  for (uint32_t i = 0; i < cores_; ++i) {
    const uint64_t next = launch->lanes[i].next;
    sane = sane && next % cores_ == i && next < uint64_t{launch->blocks} + cores_;
    begun += next / cores_;
  }
  // Blocks that have begun have ended, but one that an injected hang holds; aborted ones are not counted.
  sane = sane && launch->finished <= begun;
  in.Require(sane, "a launch is at a place where none can be");
  return launch;
}

bool Dispatcher::CheckQueue(const QueueState& q) const {
  if (q.context >= NPU_MAX_CONTEXTS) return false;
  if (q.indirect.count == 0) return true;
  return q.indirect_packet.type == NPU_PKT_INDIRECT && CheckPacket(q.indirect_packet, false) == NPU_PKT_ERR_NONE &&
         q.indirect.addr == q.indirect_packet.u.indirect.addr &&
         q.indirect.count == q.indirect_packet.u.indirect.count && q.indirect_next < q.indirect.count;
}

void Dispatcher::LoadQueue(StateReader& in, uint32_t queue) {
  QueueState& q = queue_states_[queue];
  QueueFields(in, q);
  if (!in.Require(CheckQueue(q), "a queue is in a state where none can be")) {
    q = QueueState{};
    return;
  }
  if (!in.Flag()) return;
  const std::shared_ptr<Context>& context = contexts_[q.context];
  const bool sane = context && q.saved_packet.type == NPU_PKT_LAUNCH &&
                    CheckPacket(q.saved_packet, q.indirect.count != 0) == NPU_PKT_ERR_NONE;
  if (!in.Require(sane, "an interrupted launch has no packet or no context")) return;
  q.saved = LoadLaunch(in, 0, q.saved_packet, context, queue);
}

// A mapped slot, whose numbers are in range.
void Dispatcher::CheckSlot(StateReader& in, const Slot& slot) const {
  const bool faulted = slot.phase == Phase::kFaulting || slot.phase == Phase::kFaulted || slot.resume != Resume::kNone;
  const bool good = slot.in_work && CheckPacket(slot.packet, slot.q->indirect.count != 0) == NPU_PKT_ERR_NONE;
  in.Require(CheckQueueDesc(slot.desc) == NPU_ADMIN_OK, "a mapped queue is malformed");
  in.Require(slot.q->context == slot.desc.context, "a queue is mapped for another context than its own");
  in.Require(!slot.q->saved && queue_slot_[static_cast<uint32_t>(slot.queue)] < 0, "a queue is in two places");
  in.Require(good || !slot.in_work || faulted, "a packet in work is malformed");
  in.Require(!slot.counted_waiter || (good && slot.packet.type == NPU_PKT_WAIT), "a queue waits without a wait packet");
  in.Require(!slot.op_done || (slot.in_work && slot.phase == Phase::kReady), "a packet has ended that was not in work");
  const bool async = slot.phase == Phase::kAsync;
  in.Require(async == (slot.launch || slot.copy.active) && !(slot.launch && slot.copy.active),
             "what a queue has in work is not clear");
  in.Require(!async || good, "a launch or copy is in work without its packet");
  in.Require(!slot.copy.active || CopyIsSane(slot.copy, slot.packet), "a copy is at a place where none can be");
}

void Dispatcher::LoadSlot(StateReader& in, uint32_t index) {
  Slot& slot = slots_[index];
  SlotFields(in, slot);
  const bool empty = slot.phase == Phase::kEmpty;
  bool sane = slot.phase <= Phase::kFaulted && slot.phase != Phase::kClaimed && slot.resume <= Resume::kFlush &&
              slot.state <= NPU_SLOT_DRAINING && slot.priority < NPU_QUEUE_PRIORITIES && slot.kill_kind <= 0xff &&
              empty == (slot.state == NPU_SLOT_EMPTY) && empty == (slot.queue == -1) && slot.queue >= -1 &&
              slot.queue < static_cast<int32_t>(queues_);
  sane = sane && (empty || (slot.desc.context < NPU_MAX_CONTEXTS && contexts_[slot.desc.context]));
  if (!in.Require(sane, "a slot is in a state where none can be")) {
    slot.phase = Phase::kEmpty;
    slot.state = NPU_SLOT_EMPTY;
    slot.queue = -1;
    return;
  }
  const bool launch = in.Flag();
  if (!empty) {
    slot.context = contexts_[slot.desc.context];
    slot.q = &queue_states_[static_cast<uint32_t>(slot.queue)];
  }
  if (launch) {
    const bool packet = !empty && slot.packet.type == NPU_PKT_LAUNCH &&
                        CheckPacket(slot.packet, slot.q->indirect.count != 0) == NPU_PKT_ERR_NONE;
    if (!in.Require(packet, "a launch has no packet")) return;
    slot.launch = LoadLaunch(in, index, slot.packet, slot.context, static_cast<uint32_t>(slot.queue));
  }
  CopyFields(in, slot.copy);
  slot.copy.context = slot.context;
  slot.copy.slot = index;
  if (empty) {
    in.Require(!slot.copy.active && !slot.in_work && !slot.counted_waiter, "an empty slot has work");
    return;
  }
  CheckSlot(in, slot);
  queue_slot_[static_cast<uint32_t>(slot.queue)] = static_cast<int32_t>(index);
  doorbells_.Reattach(static_cast<uint32_t>(slot.queue), index);
  busy_slots_ += slot.state == NPU_SLOT_RUNNING;
  waiters_ += slot.counted_waiter;
}

void Dispatcher::LoadCore(StateReader& in, uint32_t index) {
  CoreUnit& unit = *units_[index];
  const auto stuck = static_cast<Hang>(in.Below(static_cast<uint8_t>(Hang::kUntilReset) + 1, "a core is stuck oddly"));
  const uint32_t slot = in.U32();
  unit.block = in.U32();
  in.Io(unit.stats.busy_cycles);
  in.Io(unit.stats.instructions);
  in.Io(unit.stats.blocks);
  if (stuck != Hang::kNone) {
    Launch* launch = slot < NPU_MAX_SLOTS ? slots_[slot].launch.get() : nullptr;
    const bool sane = launch && launch->hang == stuck && !launch->running && stuck != Hang::kUntilKill &&
                      unit.block % cores_ == index && unit.block < launch->blocks;
    if (!in.Require(sane, "a stuck core has no block")) return;
    unit.stuck = stuck;
    unit.launch = launch;
    ++launch->running;
    unit.stats.queue.store(launch->queue + 1);
  }
  const uint32_t owner = in.U32();
  const bool sane = owner == 0 || (owner < NPU_MAX_CONTEXTS && contexts_[owner]);
  if (!in.Require(sane, "a core belongs to no context")) return;
  LoadPages(in, unit.core.sram(), kSramBytes);
  LoadPages(in, unit.core.stack(), NPU_LOCAL_STACK_BYTES);
  if (owner) unit.core.Adopt(&contexts_[owner]->space);
}

// Launches in work in order of arrival, and slots whose fault is to be written: all of them, each once.
void Dispatcher::LoadFaults(StateReader& in) {
  auto list = [&in](auto add) {
    const uint32_t count = in.U32();
    if (!in.Require(count <= NPU_MAX_SLOTS, "a list is too long")) return;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t index = in.U32();
      if (!in.Require(index < NPU_MAX_SLOTS && !(seen >> index & 1), "a list names a slot twice, or none")) return;
      seen |= 1u << index;
      add(index);
    }
  };
  list([&](uint32_t index) {
    if (in.Require(slots_[index].launch != nullptr, "the launches in work are others"))
      launches_.push_back(slots_[index].launch.get());
  });
  list([&](uint32_t index) {
    in.Require(slots_[index].phase == Phase::kFaulting, "the faults to be written are others");
    faults_.push_back(index);
  });
  const auto launches = std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return s.launch != nullptr; });
  const auto faults =
      std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return s.phase == Phase::kFaulting; });
  in.Require(launches == static_cast<long>(launches_.size()) && faults == static_cast<long>(faults_.size()),
             "a launch or a fault is forgotten");
}

void Dispatcher::LoadWaiters(StateReader& in) {
  const uint32_t count = in.U32();
  if (!in.Require(count <= queues_, "a list is too long")) return;
  std::vector<bool> seen(queues_);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t queue = in.U32();
    if (!in.Require(queue < queues_ && !seen[queue] && queue_slot_[queue] < 0, "a queue waits that cannot")) return;
    seen[queue] = true;
    // What it waits for is not in the stream: any store wakes it.
    parked_waiters_.push_back({queue, queue_states_[queue].context, {}, {nullptr, 0, 0}});
  }
  waiters_ += count;
}

void Dispatcher::Load(StateReader& in) {
  std::lock_guard lock(mu_);
  LoadContexts(in);
  doorbells_.Load(in);
  in.Begin(kQueues, "queues");
  for (uint32_t i = 0; i < queues_ && in.ok(); ++i) LoadQueue(in, i);
  in.End("queues");
  in.Begin(kSlots, "slots");
  for (uint32_t i = 0; i < NPU_MAX_SLOTS && in.ok(); ++i) LoadSlot(in, i);
  in.End("slots");
  in.Begin(kCores, "cores");
  for (uint32_t i = 0; i < cores_ && in.ok(); ++i) LoadCore(in, i);
  in.End("cores");
  in.Begin(kSchedule, "the schedule");
  if (!in.ok()) return;
  LoadFaults(in);
  LoadWaiters(in);
  changed_ = in.U32();
  in.Require(changed_ >> NPU_MAX_SLOTS == 0, "a slot has changed that there is not");
  pending_mgmt_ = in.U32();
  turn_ = in.U64();
  started_ = in.U64();
  kind_turn_ = in.U32();
  core_turn_ = in.U32();
  for (Slot& slot : slots_) slot.since = turn_;
  in.Io(time_cycles_);
  in.Io(tlb_req_);
  tlb_ack_ = tlb_req_.load();
  in.End("the schedule");
}

}  // namespace npu::model
