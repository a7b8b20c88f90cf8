// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Workers and scheduling.
#include "device/dispatcher.h"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "npu_mgmt.h"
#include "npu_thread_name.h"

namespace npu::model {

Dispatcher::Dispatcher(const DispatcherConfig& config, DeviceBus& bus)
    : platform_(config.platform),
      cores_(config.cores),
      queues_(config.queues),
      bus_(bus),
      doorbells_(config.queues),
      queue_states_(config.queues),
      queue_slot_(config.queues, -1) {
  for (uint32_t i = 0; i < cores_; ++i) units_.push_back(std::make_unique<CoreUnit>(i, platform_));
  for (uint32_t i = 0; i < config.threads; ++i) workers_.push_back(std::make_unique<Worker>());
  for (auto& worker : workers_) worker->thread = std::thread([this, &w = *worker] { WorkerMain(w); });
}

Dispatcher::~Dispatcher() {
  {
    std::lock_guard lock(mu_);
    exit_ = true;
  }
  park_.notify_all();
  wake_.WakeAll();
  for (auto& worker : workers_) worker->thread.join();
}

void Dispatcher::Pause() {
  std::unique_lock lock(mu_);
  paused_ = true;
  wake_.WakeAll();
  park_.wait(lock, [this] { return parked_ == workers_.size(); });
}

void Dispatcher::Go(bool end_drain) {
  {
    std::lock_guard lock(mu_);
    paused_ = false;
    if (end_drain) draining_ = false;
  }
  park_.notify_all();
  wake_.WakeAll();
}

bool Dispatcher::Drain(std::chrono::milliseconds limit) {
  std::unique_lock lock(mu_);
  draining_ = true;
  return drained_.wait_for(lock, limit, [this] { return BetweenBlocks(); });
}

void Dispatcher::Reset() {
  std::lock_guard lock(mu_);
  doorbells_.Reset();
  for (auto& unit : units_) {
    unit->launch = nullptr;
    unit->at_barrier = unit->begin = unit->reset = false;
    unit->stuck = Hang::kNone;
    unit->forget.clear();
    unit->core.Reset();
    unit->stats.busy_cycles = unit->stats.instructions = unit->stats.blocks = 0;
    unit->stats.queue = 0;
  }
  for (Slot& slot : slots_) {
    std::destroy_at(&slot);
    std::construct_at(&slot);
  }
  for (QueueState& q : queue_states_) q = QueueState{};
  std::fill(queue_slot_.begin(), queue_slot_.end(), -1);
  contexts_.fill(nullptr);
  launches_.clear();
  parked_waiters_.clear();
  faults_.clear();
  changed_ = pending_mgmt_ = busy_slots_ = copies_claimed_ = 0;
  waiters_ = 0;
  turn_ = started_ = 0;
  queue_table_ = 0;
  time_cycles_ = 0;
  std::lock_guard tlb(tlb_mu_);
  tlb_waits_.clear();
  tlb_req_ = tlb_ack_ = 0;
  tlb_pending_ = false;
}

void Dispatcher::ParkUntilResumed(std::unique_lock<std::mutex>& lock) {
  ++parked_;
  park_.notify_all();
  park_.wait(lock, [this] { return !paused_ || exit_; });
  --parked_;
}

void Dispatcher::WorkerMain(Worker& worker) {
  npu_name_thread("npu-worker");
  bool worked = false;
  while (true) {
    std::unique_lock lock(mu_);
    if (paused_ && !exit_) ParkUntilResumed(lock);
    if (exit_) return;
    uint32_t ticket = wake_.Ticket();
    Task task;
    if (!Pick(&task)) {
      ++idle_;
      lock.unlock();
      wake_.Sleep(ticket, worked ? kSpin : std::chrono::nanoseconds(0));
      worked = false;
      lock.lock();
      --idle_;
      continue;
    }
    Notify();
    UnlockAndTell(lock);
    worker.chain = 0;
    while (task.kind != Task::kNone) {
      ++worker.chain;
      task = Run(worker, task);
      CollectTlbAcks();
    }
    worked = true;
  }
}

Dispatcher::Task Dispatcher::Run(Worker& worker, const Task& task) {
  switch (task.kind) {
    case Task::kSlot:
      return RunSlot(worker, task.index);
    case Task::kCore:
      return RunCore(worker, task.index);
    case Task::kCopy:
      return RunCopy(worker, task.index);
    case Task::kFault:
      return RunFault(worker);
    case Task::kNone:
      break;
  }
  return {};
}

// Whether a worker that looks now would find something.
bool Dispatcher::AnyTask() const {
  if (doorbells_.AnyReady() || (!faults_.empty() && !fault_claimed_)) return true;
  for (const Slot& slot : slots_) {
    if (slot.phase == Phase::kReady) return true;
    if (slot.copy.active && !slot.copy.claimed && copies_claimed_ < kCopyEngines) return true;
  }
  if (launches_.empty()) return false;
  for (uint32_t i = 0; i < cores_; ++i) {
    const CoreUnit& unit = *units_[i];
    if (!unit.claimed && !unit.at_barrier && unit.stuck == Hang::kNone && (unit.launch || PickLaunch(i))) return true;
  }
  return false;
}

// A worker that has found work wakes one more if somebody idles and more is there; that one does the same.
void Dispatcher::Notify() {
  if (idle_ > 0 && AnyTask()) wake_.WakeOne();
}

// Doorbells and kicks since the last look.
void Dispatcher::TakeReady() {
  if (!doorbells_.AnyReady()) return;
  uint32_t ready = doorbells_.TakeReady();
  while (ready) {
    auto index = static_cast<uint32_t>(std::countr_zero(ready));
    ready &= ready - 1;
    Slot& slot = slots_[index];
    if (slot.phase == Phase::kIdle || slot.phase == Phase::kWaiting) {
      WantWorker(slot);
      if (slot.state == NPU_SLOT_IDLE) SetState(index, NPU_SLOT_RUNNING);
    } else {
      slot.recheck = true;
    }
  }
}

// Priorities are strict but for two things: equals take turns, and who has been passed over for kPatience turns is
// served next, so that nobody starves but by the highest priority, which is for those who may have the machine.
bool Dispatcher::Before(const Slot& a, const Slot& b) const {
  const auto rank = [this](const Slot& slot) {
    constexpr uint32_t kHighest = NPU_QUEUE_PRIORITIES - 1;
    if (slot.priority == kHighest) return kHighest + 1;
    return turn_ - slot.since >= kPatience ? kHighest : slot.priority;
  };
  const uint32_t ra = rank(a), rb = rank(b);
  return ra > rb || (ra == rb && a.turn < b.turn);
}

void Dispatcher::WantWorker(Slot& slot) {
  slot.phase = Phase::kReady;
  slot.since = turn_;
}

// Faults first (they end things), then packets, blocks and copies in turn, so that none of them starves another however
// few workers there are.
bool Dispatcher::Pick(Task* task) {
  TakeReady();
  if (!faults_.empty() && !fault_claimed_) {
    fault_claimed_ = true;
    *task = {Task::kFault, 0};
    return true;
  }
  uint32_t first = kind_turn_++ % 3;
  for (uint32_t i = 0; i < 3; ++i) {
    uint32_t kind = (first + i) % 3;
    if (kind == 0 ? PickSlot(task) : kind == 1 ? PickCore(task) : PickCopy(task)) return true;
  }
  return false;
}

bool Dispatcher::PickSlot(Task* task) {
  Slot* best = nullptr;
  for (Slot& slot : slots_) {
    if (slot.phase == Phase::kReady && (!best || Before(slot, *best))) best = &slot;
  }
  if (!best) return false;
  best->phase = Phase::kClaimed;
  best->recheck = false;
  best->turn = ++turn_;
  *task = {Task::kSlot, static_cast<uint32_t>(best - slots_.data())};
  return true;
}

bool Dispatcher::PickCore(Task* task) {
  if (launches_.empty()) return false;
  for (uint32_t i = 0; i < cores_; ++i) {
    uint32_t index = (core_turn_ + i) % cores_;
    CoreUnit& unit = *units_[index];
    if (unit.claimed || unit.at_barrier || unit.stuck != Hang::kNone) continue;
    if (!unit.launch) {
      Launch* launch = PickLaunch(index);
      if (!launch) continue;
      Launch::Lane& lane = launch->lanes[index];
      unit.launch = launch;
      unit.begin = true;
      unit.block = static_cast<uint32_t>(lane.next);
      lane.next += cores_;
      ++launch->running;
      if (!launch->started) launch->started = ++started_;
      slots_[launch->slot].turn = ++turn_;
      unit.stats.queue.store(launch->queue + 1, std::memory_order_relaxed);
      if (launch->hang != Hang::kNone) {
        unit.stuck = launch->hang;
        unit.begin = false;
        continue;
      }
    }
    unit.claimed = true;
    core_turn_ = index + 1;
    *task = {Task::kCore, index};
    return true;
  }
  return false;
}

bool Dispatcher::PickCopy(Task* task) {
  if (copies_claimed_ >= kCopyEngines) return false;
  Slot* best = nullptr;
  for (Slot& slot : slots_) {
    if (slot.copy.active && !slot.copy.claimed && (!best || Before(slot, *best))) best = &slot;
  }
  if (!best) return false;
  best->copy.claimed = true;
  best->turn = ++turn_;
  ++copies_claimed_;
  *task = {Task::kCopy, static_cast<uint32_t>(best - slots_.data())};
  return true;
}

void Dispatcher::Doorbell(uint32_t queue, uint64_t offset, uint64_t value, unsigned size) {
  Doorbells::Outcome outcome = Doorbells::Outcome::kIgnored;
  if (offset == NPU_DB_WPTR && size == 8) {
    outcome = doorbells_.Ring(queue, value);
  } else if (offset == NPU_DB_WPTR && size == 4) {
    outcome = doorbells_.RingLow(queue, static_cast<uint32_t>(value));
  } else if (offset == NPU_DB_WPTR + 4 && size == 4) {
    outcome = doorbells_.RingHigh(queue, static_cast<uint32_t>(value));
  } else if (offset == NPU_DB_KICK) {
    outcome = doorbells_.Kick(queue);
  } else {
    bus_.Log(NPU_MODEL_LOG_GUEST_ERROR, "doorbell page of queue %u: nothing at offset 0x%llx (%u bytes)", queue,
             static_cast<unsigned long long>(offset), size);
    return;
  }
  bus_.Trace("doorbell", queue, offset, value);
  if (outcome == Doorbells::Outcome::kSlot) wake_.WakeOne();
  if (outcome == Doorbells::Outcome::kMarked) bus_.RaiseMgmt(NPU_MG_IRQ_DOORBELL);
}

// A request is finished when every engine that was at work when it came has been at a quiescent point since: what an
// engine looks up later, it looks up in the new tables.  Whoever writes requests faster than engines come to such a
// point gets them acknowledged together, by what the last of them waits for.
void Dispatcher::InvalidateTranslations(uint32_t context) {
  {
    std::lock_guard lock(mu_);
    for (uint32_t i = 1; i < NPU_MAX_CONTEXTS; ++i)
      if (contexts_[i] && (context == NPU_TLB_INV_ALL || context == i)) contexts_[i]->space.InvalidateTranslations();
    for (ParkedWaiter& waiter : parked_waiters_)
      if (context == NPU_TLB_INV_ALL || context == waiter.context) FindAwaited(&waiter);
  }
  {
    std::lock_guard lock(tlb_mu_);
    TlbWait wait{tlb_req_.fetch_add(1, std::memory_order_seq_cst) + 1, {}};
    auto note = [&wait](const QuiesceCounter& counter) {
      uint64_t snapshot = counter.Snapshot();
      if (!counter.Passed(snapshot)) wait.busy.emplace_back(&counter, snapshot);
    };
    for (auto& unit : units_) note(unit->core.quiesce());
    for (auto& worker : workers_) note(worker->quiesce);
    if (tlb_waits_.size() < kTlbWaits)
      tlb_waits_.push_back(std::move(wait));
    else
      tlb_waits_.back() = std::move(wait);
    tlb_pending_.store(true, std::memory_order_seq_cst);
  }
  CollectTlbAcks();
}

void Dispatcher::MemoryFlawed(uint64_t cores) {
  std::lock_guard lock(mu_);
  for (uint32_t i = 1; i < NPU_MAX_CONTEXTS; ++i)
    if (contexts_[i]) contexts_[i]->space.InvalidateTranslations();
  for (uint32_t i = 0; i < cores_; ++i)
    if (cores >> i & 1) units_[i]->core.CheckSram();
}

void Dispatcher::CollectTlbAcks() {
  if (!tlb_pending_.load(std::memory_order_seq_cst)) return;
  bool moved = false;
  {
    std::lock_guard lock(tlb_mu_);
    while (!tlb_waits_.empty()) {
      TlbWait& wait = tlb_waits_.front();
      std::erase_if(wait.busy, [](const auto& engine) { return engine.first->Passed(engine.second); });
      if (!wait.busy.empty()) break;
      tlb_ack_.store(wait.request, std::memory_order_seq_cst);
      tlb_waits_.pop_front();
      moved = true;
    }
    tlb_pending_.store(!tlb_waits_.empty(), std::memory_order_seq_cst);
  }
  if (moved) bus_.LatchEvents(NPU_EVENT_TLB_ACK);
}

uint64_t Dispatcher::BusyCycles() const {
  uint64_t sum = 0;
  for (const auto& unit : units_) sum += unit->stats.busy_cycles.load(std::memory_order_relaxed);
  return sum;
}

void Dispatcher::Describe(std::string* text) {
  static const char* const kStates[] = {"empty", "idle", "running", "waiting", "faulted", "draining"};
  char line[200];
  std::lock_guard lock(mu_);
  for (uint32_t i = 0; i < NPU_MAX_SLOTS; ++i) {
    const Slot& slot = slots_[i];
    if (slot.phase == Phase::kEmpty) {
      std::snprintf(line, sizeof(line), "slot %2u: empty\n", i);
    } else {
      std::snprintf(line, sizeof(line), "slot %2u: queue %d context %u %s rptr %llu wptr %llu priority %u fault %u\n",
                    i, slot.queue, slot.context->id, kStates[slot.state],
                    static_cast<unsigned long long>(slot.rptr.load()),
                    static_cast<unsigned long long>(doorbells_.wptr(static_cast<uint32_t>(slot.queue))), slot.priority,
                    slot.fault_kind);
    }
    *text += line;
  }
  for (uint32_t i = 0; i < cores_; ++i) {
    const CoreStats& stats = units_[i]->stats;
    std::snprintf(line, sizeof(line), "core %2u: queue %d pc 0x%llx blocks %llu instructions %llu busy cycles %llu\n",
                  i, static_cast<int>(stats.queue.load()) - 1,
                  static_cast<unsigned long long>(units_[i]->core.live_pc()),
                  static_cast<unsigned long long>(stats.blocks.load()),
                  static_cast<unsigned long long>(stats.instructions.load()),
                  static_cast<unsigned long long>(stats.busy_cycles.load()));
    *text += line;
  }
}

}  // namespace npu::model
