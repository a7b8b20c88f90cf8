// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "core/core.h"

#include <algorithm>

#include "core/core_env.h"
#include "core/timing.h"

namespace npu::model {

class Core::Impl {
 public:
  Impl(uint32_t id, const Platform& platform) : id(id), platform(platform) {
    env.Attach(&hart);
    local.Attach(platform.ecc, id);
  }

  const uint32_t id;
  const Platform platform;
  LocalMemory local;
  npu_counters counters{};
  Unit unit{local, counters};
  Pipes pipes{&unit};
  CoreEnv env{id, &local, &pipes};
  Hart<CoreEnv> hart{env};
  npu_fault_record record{};
  QuiesceCounter quiesce;
  std::atomic<bool> abort{false};       // set by RequestAbort from any thread, cleared by Begin
  std::atomic<uint64_t> live_pc{0};     // written by the thread in Run, read by any
  const AddressSpace* owner = nullptr;  // whose data SRAM holds; nullptr: nobody's
  uint32_t owner_context = 0;
  const LaunchContext* launch = nullptr;
  uint32_t block = 0;
  bool barrier_failed = false;
  uint64_t progress_work = 0;           // of the block's pipes, as far as it was told as progress
  std::shared_ptr<PeerWindows> window;  // while the block's own window is open to its peers

  void CloseWindow() {
    if (window) window->Close(block);
    window.reset();
  }
  void Fault();
  Outcome Finish();
  Outcome Slice(uint64_t* budget, std::atomic<uint64_t>* progress);
  void PipesWorked(std::atomic<uint64_t>* progress);
};

// The record of env.fault.
void Core::Impl::Fault() {
  const PipeFault& f = env.fault;
  record = {};
  f.info.CopyTo(&record);
  record.engine = f.engine;
  record.context = launch->space->context();
  record.block = block;
  record.core = static_cast<uint16_t>(id);
  record.kernel = launch->entry;
  record.pc = f.pc ? f.pc : hart.pc;
  record.ra = hart.x[1];
  record.sp = hart.x[2];
  for (int i = 0; i < 5; ++i) record.extra[i] = f.extra[i];
}

// The hart has returned; the block ends when the pipes are idle.
Outcome Core::Impl::Finish() {
  env.fault = {};
  const uint64_t before = hart.cycles;
  const bool ok = pipes.Drain(~uint64_t{0}, &hart.cycles, &env.fault);
  env.stalled += hart.cycles - before;
  if (ok) return Outcome::kDone;
  Fault();
  return Outcome::kFault;
}

void Core::Impl::PipesWorked(std::atomic<uint64_t>* progress) {
  if (!progress || progress_work >= kProgressWork) return;
  progress_work += kQuiesceWork;
  progress->fetch_add(1, std::memory_order_relaxed);
}

Outcome Core::Impl::Slice(uint64_t* budget, std::atomic<uint64_t>* progress) {
  if (abort.load(std::memory_order_relaxed)) {
    env.fault = {};
    Fault();
    return Outcome::kAborted;
  }
  if (barrier_failed) {
    barrier_failed = false;
    env.fault = {};
    env.fault.info.kind = NPU_FAULT_DEADLOCK;
    env.fault.extra[2] = kDeadlockGridBarrier;
    Fault();
    return Outcome::kFault;
  }
  const uint64_t n = std::min(*budget, kQuiesceInstructions);
  live_pc.store(hart.pc, std::memory_order_relaxed);
  pipes.ForgetWork();
  const Stop stop = hart.Run(n);
  *budget -= n;
  if (stop == Stop::kBudget) return Outcome::kBudget;
  if (stop == Stop::kEnv) {
    if (env.at_work_limit) {
      env.at_work_limit = false;
      PipesWorked(progress);
      return Outcome::kBudget;
    }
    if (!env.at_grid_barrier) return Finish();
    env.at_grid_barrier = false;
    return Outcome::kGridBarrier;
  }
  Fault();
  return Outcome::kFault;
}

Core::Core(uint32_t id, const Platform& platform) : impl_(std::make_unique<Impl>(id, platform)) {}
Core::~Core() = default;

uint32_t Core::id() const {
  return impl_->id;
}

void Core::Begin(const LaunchContext& launch, uint32_t block) {
  Impl& c = *impl_;
  c.CloseWindow();
  bool same_owner = true;
  if (c.owner != launch.space || c.owner_context != launch.space->context()) {
    c.local.Scrub();
    c.env.ForgetTranslations();
    c.owner = launch.space;
    c.owner_context = launch.space->context();
    same_owner = false;
  }
  c.env.Begin(launch, block);
  // A core's blocks of one launch ascend; a new launch may find new code at an old address.
  const bool same_launch = c.launch == &launch && block > c.block;
  if (same_launch || (same_owner && c.env.CodeStands()))
    c.hart.Restart(launch.entry);
  else
    c.hart.Reset(launch.entry);
  c.launch = &launch;
  c.block = block;
  c.barrier_failed = false;
  c.progress_work = 0;
  c.counters = {};
  c.record = {};
  c.unit.space = launch.space;
  c.unit.cores_used = std::max(launch.cores_used, 1u);
  c.unit.peers = launch.peers.get();
  c.unit.block = block;
  c.local.ResetTable();
  c.pipes.Reset();
  c.hart.x[1] = NPU_LOCAL_EXIT_PC;
  c.hart.x[2] = NPU_LOCAL_STACK_BASE + NPU_LOCAL_STACK_BYTES;
  c.hart.x[10] = launch.args;
  c.hart.x[11] = block;
  c.abort.store(false, std::memory_order_relaxed);
}

Outcome Core::Run(uint64_t budget, std::atomic<uint64_t>* progress) {
  Impl& c = *impl_;
  c.quiesce.Enter();
  Outcome outcome = Outcome::kBudget;
  do {
    outcome = c.Slice(&budget, progress);
    c.quiesce.Pass();
  } while (outcome == Outcome::kBudget && budget);
  if (outcome != Outcome::kBudget && outcome != Outcome::kGridBarrier) c.CloseWindow();
  c.unit.TrimScratch();
  c.quiesce.Leave();
  if (outcome != Outcome::kBudget) c.live_pc.store(0, std::memory_order_relaxed);
  return outcome;
}

const npu_fault_record& Core::fault() const {
  return impl_->record;
}

const npu_counters& Core::cost() {
  Impl& c = *impl_;
  c.counters.cycles = c.hart.cycles;
  c.counters.blocks = 1;
  c.counters.instructions = c.hart.instret;
  c.counters.scalar_cycles = c.hart.cycles - c.env.stalled;
  return c.counters;
}

uint64_t Core::decoded() const {
  return impl_->hart.decoded();
}

uint64_t Core::barrier_cycles() const {
  return impl_->hart.cycles;
}

void Core::ReleaseBarrier(uint64_t cycles) {
  Impl& c = *impl_;
  if (c.launch->peers && !c.window) {
    c.window = c.launch->peers;
    c.window->Open(c.block, c.local.sram());
  }
  if (cycles <= c.hart.cycles) return;
  const uint64_t wait = cycles - c.hart.cycles;
  c.counters.stall_flag += wait;
  c.env.stalled += wait;
  c.hart.cycles = cycles;
}

void Core::FailBarrier() {
  impl_->barrier_failed = true;
}

void Core::RequestAbort() {
  impl_->abort.store(true, std::memory_order_relaxed);
}
const QuiesceCounter& Core::quiesce() const {
  return impl_->quiesce;
}
uint64_t Core::live_pc() const {
  return impl_->live_pc.load(std::memory_order_relaxed);
}

void Core::Reset() {
  Impl& c = *impl_;
  c.CloseWindow();
  c.local.Scrub();
  c.local.ResetTable();
  c.pipes.Reset();
  c.env.ForgetTranslations();
  c.hart.Reset(0);
  c.owner = nullptr;
  c.launch = nullptr;
  c.counters = {};
  c.record = {};
  c.abort.store(false, std::memory_order_relaxed);
  c.live_pc.store(0, std::memory_order_relaxed);
}

void Core::ForgetContext(const AddressSpace* space) {
  if (impl_->owner == space) Reset();
}

void Core::CheckSram() {
  impl_->env.CheckSram();
}

const AddressSpace* Core::owner() const {
  return impl_->owner;
}
void Core::Adopt(const AddressSpace* space) {
  impl_->owner = space;
  impl_->owner_context = space->context();
}
uint8_t* Core::sram() {
  return impl_->local.sram();
}
uint8_t* Core::stack() {
  return impl_->local.stack();
}

}  // namespace npu::model
