// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Launches: which block runs on which core next, and what comes of it.
//
// Block b runs on core b mod cores; a core runs its blocks of a launch in order, one at a time, and shares itself
// between launches block by block.  A launch whose grid fits on the cores is a gang: its blocks may meet at a grid
// barrier, so once one has begun the others must get their cores.  Therefore no other gang begins on a core on which a
// begun gang still waits for its turn; among begun ones the older goes first.  So an older gang never waits for a
// younger one.
#include <algorithm>

#include "core/timing.h"
#include "device/dispatcher.h"
#include "npu_mgmt.h"

namespace npu::model {

// At its first block.  The packet is checked.
std::unique_ptr<Launch> Dispatcher::NewLaunch(uint32_t index, const npu_packet& packet,
                                              const std::shared_ptr<Context>& context, uint32_t queue) const {
  const npu_pkt_launch& p = packet.u.launch;
  auto launch = std::make_unique<Launch>();
  launch->context = context;
  launch->slot = index;
  launch->queue = queue;
  launch->blocks = p.grid[0] * p.grid[1] * p.grid[2];  // checked: below 2^31
  launch->gang = launch->blocks > 1 && launch->blocks <= cores_;
  LaunchContext& shared = launch->shared;
  shared.space = &context->space;
  shared.entry = p.entry;
  shared.args = p.args;
  shared.args_bytes = p.args_bytes;
  std::copy(std::begin(p.grid), std::end(p.grid), shared.grid);
  shared.cores = cores_;
  shared.cores_used = std::min(launch->blocks, cores_);
  if (launch->gang) shared.peers = std::make_shared<PeerWindows>(launch->blocks);
  launch->lanes.resize(cores_);
  for (uint32_t i = 0; i < cores_; ++i) launch->lanes[i].next = i;
  return launch;
}

void Dispatcher::StartLaunch(uint32_t index) {
  Slot& slot = slots_[index];
  slot.launch = NewLaunch(index, slot.packet, slot.context, static_cast<uint32_t>(slot.queue));
  slot.launch->hang = bus_.TakeHang();
  slot.phase = Phase::kAsync;
  launches_.push_back(slot.launch.get());
}

bool Dispatcher::LaunchMayStart(const Launch& launch, uint32_t core) const {
  if (launch.aborting || launch.lanes[core].next >= launch.blocks) return false;
  // An injected hang holds no core at all, or one.
  if (launch.hang == Hang::kUntilKill || (launch.hang != Hang::kNone && launch.running)) return false;
  return (!launch.stopping && !draining_) || (launch.gang && launch.started);
}

Launch* Dispatcher::PickLaunch(uint32_t core) const {
  const Launch* begun = nullptr;  // the oldest gang that waits for this core
  for (const Launch* launch : launches_)
    if (launch->gang && launch->started && LaunchMayStart(*launch, core) &&
        (!begun || launch->started < begun->started))
      begun = launch;
  Launch* best = nullptr;
  for (Launch* launch : launches_) {
    if (!LaunchMayStart(*launch, core) || (begun && launch->gang && launch != begun)) continue;
    if (!best || Before(slots_[launch->slot], slots_[best->slot])) best = launch;
  }
  return best;
}

Dispatcher::Task Dispatcher::RunCore(Worker& worker, uint32_t index) {
  CoreUnit& unit = *units_[index];
  if (unit.begin) {
    unit.core.Begin(unit.launch->shared, unit.block);
    // Begin forgets an abort that came before it.
    if (unit.launch->aborting.load(std::memory_order_seq_cst)) unit.core.RequestAbort();
    unit.begin = false;
  }
  Outcome outcome = unit.core.Run(kCoreBudget, &slots_[unit.launch->slot].progress);

  std::unique_lock lock(mu_);
  Task next;
  unit.claimed = false;
  Launch& launch = *unit.launch;
  EndSlice(unit, index, outcome);
  for (auto& context : unit.forget) unit.core.ForgetContext(&context->space);
  unit.forget.clear();
  if (unit.reset && !unit.launch) unit.core.Reset();
  unit.reset = unit.reset && unit.launch;
  if (LaunchEnded(launch)) next = SettleLaunch(&worker, launch);
  Notify();
  UnlockAndTell(lock);
  return next;
}

void Dispatcher::EndSlice(CoreUnit& unit, uint32_t index, Outcome outcome) {
  Launch& launch = *unit.launch;
  switch (outcome) {
    case Outcome::kBudget:
      break;
    case Outcome::kDone:
      AddCost(unit, index);
      ++launch.finished;
      slots_[launch.slot].progress.fetch_add(1, std::memory_order_relaxed);
      EndBlock(unit, index);
      break;
    case Outcome::kFault:
    case Outcome::kAborted:
      // The first fault of a launch is its fault; blocks that were stopped because of it add nothing.
      if (!launch.has_fault) {
        launch.has_fault = true;
        launch.fault = unit.core.fault();
      }
      EndBlock(unit, index);
      AbortLaunch(launch);
      break;
    case Outcome::kGridBarrier:
      AtBarrier(unit);
      break;
  }
}

void Dispatcher::AddCost(CoreUnit& unit, uint32_t index) {
  const npu_counters& cost = unit.core.cost();
  Launch& launch = *unit.launch;
  if constexpr (!kTimed) {
    launch.sum.blocks += 1;
    return;
  }
  launch.lanes[index].cycles += cost.cycles + kTiming.block_cycles;
  npu_counters& sum = launch.sum;
  sum.blocks += 1;
  sum.instructions += cost.instructions;
  sum.scalar_cycles += cost.scalar_cycles;
  sum.matrix_busy += cost.matrix_busy;
  sum.vector_busy += cost.vector_busy;
  sum.dma_in_busy += cost.dma_in_busy;
  sum.dma_out_busy += cost.dma_out_busy;
  sum.stall_flag += cost.stall_flag;
  sum.stall_queue += cost.stall_queue;
  sum.stall_drain += cost.stall_drain;
  sum.macs += cost.macs;
  sum.vector_elements += cost.vector_elements;
  sum.bytes_in += cost.bytes_in;
  sum.bytes_out += cost.bytes_out;
  sum.wait_matrix += cost.wait_matrix;
  sum.wait_vector += cost.wait_vector;
  sum.wait_dma_in += cost.wait_dma_in;
  sum.wait_dma_out += cost.wait_dma_out;
  sum.bytes_host += cost.bytes_host;
  sum.bytes_local += cost.bytes_local;
  unit.stats.busy_cycles.fetch_add(cost.cycles + kTiming.block_cycles, std::memory_order_relaxed);
  unit.stats.instructions.fetch_add(cost.instructions, std::memory_order_relaxed);
  unit.stats.blocks.fetch_add(1, std::memory_order_relaxed);
}

// The core is free.  Blocks that wait at a grid barrier for this one wait in vain.
void Dispatcher::EndBlock(CoreUnit& unit, uint32_t index) {
  (void)index;
  Launch& launch = *unit.launch;
  --launch.running;
  slots_[launch.slot].since = turn_;
  unit.launch = nullptr;
  if (draining_) drained_.notify_all();
  unit.stats.queue.store(0, std::memory_order_relaxed);
  if (!launch.at_barrier) return;
  for (auto& other : units_) {
    if (other->launch != &launch || !other->at_barrier) continue;
    other->core.FailBarrier();
    other->at_barrier = false;
  }
  launch.at_barrier = 0;
}

void Dispatcher::AtBarrier(CoreUnit& unit) {
  Launch& launch = *unit.launch;
  if (launch.blocks > cores_ || launch.finished > 0 || launch.has_fault) {
    unit.core.FailBarrier();
    return;
  }
  unit.at_barrier = true;
  if (++launch.at_barrier == launch.blocks) OpenBarrier(launch);
}

void Dispatcher::OpenBarrier(Launch& launch) {
  uint64_t cycles = 0;
  for (auto& unit : units_)
    if (unit->launch == &launch) cycles = std::max(cycles, unit->core.barrier_cycles());
  for (auto& unit : units_) {
    if (unit->launch != &launch) continue;
    unit->core.ReleaseBarrier(cycles);
    unit->at_barrier = false;
  }
  launch.at_barrier = 0;
}

void Dispatcher::AbortLaunch(Launch& launch) {
  launch.aborting.store(true, std::memory_order_seq_cst);
  for (auto& unit : units_) {
    if (unit->launch != &launch) continue;
    unit->core.RequestAbort();
    // A block that waits at a barrier must be let out to see the request.
    if (unit->at_barrier) unit->core.FailBarrier();
    unit->at_barrier = false;
  }
  launch.at_barrier = 0;
}

// Blocks are left, and none of those that have begun can go on before another gets a core.
bool Dispatcher::Starved(const Launch& launch) const {
  if (launch.hang != Hang::kNone || launch.aborting || launch.running != launch.at_barrier) return false;
  for (const Launch::Lane& lane : launch.lanes)
    if (lane.next < launch.blocks) return true;
  return false;
}

bool Dispatcher::LaunchEnded(const Launch& launch) const {
  if (launch.running) return false;
  if (launch.finished == launch.blocks || launch.aborting) return true;
  return launch.stopping && !(launch.gang && launch.started);
}

// Nothing of the launch runs any more: complete, faulted, killed, or stopped for an unmap.
Dispatcher::Task Dispatcher::SettleLaunch(Worker* worker, Launch& launch) {
  uint32_t index = launch.slot;
  Slot& slot = slots_[index];
  std::erase(launches_, &launch);
  if (launch.has_fault || launch.aborting) {
    slot.record = launch.fault;
    if (slot.record.kind == NPU_FAULT_NONE) {  // killed
      slot.record.kind = static_cast<uint8_t>(launch.core_reset ? uint32_t{NPU_FAULT_RESET} : slot.kill_kind);
      if (!launch.has_fault) {
        slot.record.engine = NPU_ENGINE_DISPATCHER;
        slot.record.operand = kNoOperand;
      }
    }
    PrepareRecord(slot, &slot.record);
    slot.launch.reset();
    BeginFault(index, slot.record.kind != NPU_FAULT_NONE);
    return {};
  }
  if (launch.finished < launch.blocks) {
    FinishUnmap(index);
    return {};
  }
  uint64_t longest = 0;
  for (const Launch::Lane& lane : launch.lanes) longest = std::max(longest, lane.cycles);
  uint64_t cycles = kTiming.launch_cycles + longest;
  npu_counters& to = slot.q->counters;
  const npu_counters& sum = launch.sum;
  // Both are arrays of 64-bit sums; the three fields that belong to the launch as a whole come on top.
  auto* into = reinterpret_cast<uint64_t*>(&to);
  const auto* from = reinterpret_cast<const uint64_t*>(&sum);
  for (size_t i = 0; i < sizeof(sum) / sizeof(uint64_t); ++i) into[i] += from[i];
  to.cycles += cycles;
  to.launches += 1;
  to.core_cycles += cycles * launch.shared.cores_used;
  time_cycles_.fetch_add(cycles, std::memory_order_relaxed);
  slot.launch.reset();
  slot.op_done = true;
  slot.phase = Phase::kReady;
  if (!worker || !MayGoOn(*worker)) return {};
  slot.phase = Phase::kClaimed;
  slot.recheck = false;
  return {Task::kSlot, index};
}

// The block that a stuck core holds ends without having done anything.
bool Dispatcher::TakeStuck(Launch& launch, uint32_t index) {
  CoreUnit& unit = *units_[index];
  if (unit.stuck == Hang::kNone || unit.launch != &launch) return false;
  unit.stuck = Hang::kNone;
  if (!launch.has_fault) {
    launch.has_fault = true;
    launch.fault = {};
    launch.fault.engine = NPU_ENGINE_DISPATCHER;
    launch.fault.operand = kNoOperand;
    launch.fault.kernel = launch.fault.pc = launch.shared.entry;
    launch.fault.block = unit.block;
    launch.fault.core = static_cast<uint16_t>(index);
  }
  EndBlock(unit, index);
  return true;
}

// What the core runs is lost.  A launch that was to be killed keeps the reason of the kill.
void Dispatcher::ResetCore(uint32_t index) {
  CoreUnit& unit = *units_[index];
  if (unit.stuck == Hang::kUntilReset) {
    if (!unit.launch->aborting) unit.launch->core_reset = true;
    AbortLaunch(*unit.launch);
    return;
  }
  Launch* launch = unit.launch;
  if (launch && unit.stuck == Hang::kNone)
    unit.reset = true;
  else
    unit.core.Reset();
  if (!launch) return;
  if (!launch->aborting && !launch->has_fault) launch->core_reset = true;
  AbortLaunch(*launch);
  TakeStuck(*launch, index);
  if (LaunchEnded(*launch)) SettleLaunch(nullptr, *launch);
}

void Dispatcher::ResetCores(uint64_t mask) {
  std::unique_lock lock(mu_);
  for (uint32_t i = 0; i < cores_; ++i)
    if (mask >> i & 1) ResetCore(i);
  wake_.WakeOne();
  UnlockAndTell(lock);
}

uint64_t Dispatcher::StuckCores() const {
  std::lock_guard lock(mu_);
  uint64_t mask = 0;
  for (uint32_t i = 0; i < cores_; ++i)
    if (units_[i]->launch && units_[i]->launch->aborting) mask |= 1ull << i;
  return mask;
}

void Dispatcher::ForgetInCores(const std::shared_ptr<Context>& context) {
  for (auto& unit : units_) {
    if (unit->claimed)
      unit->forget.push_back(context);
    else
      unit->core.ForgetContext(&context->space);
  }
}

}  // namespace npu::model
