// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The data plane: slots, packets, launches, copies, faults, and the worker threads that do all of it.
//
// One lock (mu_) guards the scheduling state; it is held for moments and never across host operations, block execution
// or copying.  A worker claims a task under the lock (a slot's packets, a slice of a core, a slice of a copy, a fault
// record), does it without the lock, and comes back to say how it went.  So one thread is enough for everything, more
// threads help, and nothing that a guest sees depends on their number.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/core.h"
#include "device/bus.h"
#include "device/doorbells.h"
#include "device/wake.h"
#include "device/work.h"

namespace npu::model {

inline constexpr uint64_t kCoreBudget = 40000;       // instructions a slice
inline constexpr uint64_t kCopySlice = 1u << 20;     // bytes
inline constexpr uint64_t kCheckSlice = 256u << 20;  // bytes of a copy's footprint that are checked in one go
inline constexpr uint64_t kRowsASlice = 16384;
inline constexpr uint32_t kCopyEngines = 2;
inline constexpr uint32_t kPacketsAClaim = 64;
inline constexpr uint32_t kChain = 32;  // tasks that a worker may do in a row that follow from each other
// Turns of others after which a slot of a lower priority is served all the same; never before the highest priority.
inline constexpr uint64_t kPatience = 256;
inline constexpr std::chrono::nanoseconds kSpin{5000};
inline constexpr size_t kTlbWaits = 64;  // requests that are acknowledged one by one; more than those, together

class StateReader;
class StateWriter;

struct DispatcherConfig {
  Platform platform;
  uint32_t cores = 4;
  uint32_t queues = NPU_MAX_QUEUES;
  uint32_t threads = 1;
};

// What the per-core windows show.
struct CoreStats {
  std::atomic<uint64_t> busy_cycles{0}, instructions{0}, blocks{0};
  std::atomic<uint32_t> queue{0};  // + 1
};

class Dispatcher {
 public:
  Dispatcher(const DispatcherConfig& config, DeviceBus& bus);
  ~Dispatcher();  // stops the workers

  // After Pause no worker touches memory or calls back.  Pause, Continue, Resume and Reset not beside each other.
  // Continue leaves a drain as it is: somebody else may be waiting for it.
  void Pause();
  void Continue() { Go(false); }
  void Resume() { Go(true); }
  void Reset();  // only while paused: power-on state
  // Starts no more blocks until Resume, and waits for those begun; false when they did not end in time.
  bool Drain(std::chrono::milliseconds limit);
  // snapshot.cc; only while paused.  CanSave: nullptr, or why not.  Load comes after Reset; a Reset must follow when it
  // fails.
  std::string CanSave() const;
  void Save(StateWriter& out);
  void Load(StateReader& in);

  // Host side; any thread, never waits for work.
  void Doorbell(uint32_t queue, uint64_t offset, uint64_t value, unsigned size);
  void InvalidateTranslations(uint32_t context);  // or NPU_TLB_INV_ALL
  // Only while paused: errors were put into memory, and into the SRAM of these cores.
  void MemoryFlawed(uint64_t cores);
  uint8_t* sram(uint32_t core) { return units_[core]->core.sram(); }
  uint32_t tlb_requests() const { return tlb_req_.load(std::memory_order_acquire); }
  uint32_t tlb_acks() const { return tlb_ack_.load(std::memory_order_acquire); }
  uint64_t TimeCycles() const { return time_cycles_.load(std::memory_order_relaxed); }
  uint64_t BusyCycles() const;
  const CoreStats& core_stats(uint32_t core) const { return units_[core]->stats; }
  uint64_t core_pc(uint32_t core) const { return units_[core]->core.live_pc(); }

  // Management side (npu_mgmt.h); one thread at a time.
  Doorbells& doorbells() { return doorbells_; }
  npu_admin_status EnableContext(uint32_t id, uint64_t table);
  npu_admin_status DisableContext(uint32_t id);
  void ClearQueue(uint32_t queue);
  void SetQueueWptr(uint32_t queue, uint64_t wptr);
  void ResetCores(uint64_t mask);
  uint64_t StuckCores() const;
  uint32_t NextChangedSlot();
  void SetQueueTable(uint64_t offset) { queue_table_.store(offset, std::memory_order_relaxed); }
  bool ReadSlot(uint32_t slot, uint32_t offset, unsigned size, uint64_t* value);
  bool WriteSlot(uint32_t slot, uint32_t offset, unsigned size, uint64_t value);

  // Slot as the host's dump window shows it (offsets NPU_SLOT_* of npu_regs.h).
  uint64_t DumpSlot(uint32_t slot, uint32_t offset);
  void Describe(std::string* text);

 private:
  struct Worker {
    std::thread thread;
    uint32_t chain = 0;      // tasks done since the last look at everybody's work
    QuiesceCounter quiesce;  // around everything that looks addresses up, outside of cores
  };
  struct CoreUnit {
    CoreUnit(uint32_t id, const Platform& platform) : core(id, platform) {}
    Core core;
    // Under mu_:
    Launch* launch = nullptr;  // whose block it has in work
    bool claimed = false;      // a worker is inside core
    bool begin = false;        // the claimer is to begin `block`
    uint32_t block = 0;
    bool at_barrier = false;
    Hang stuck = Hang::kNone;  // its block makes no progress and no worker ever enters; ends as this says
    bool reset = false;        // to be reset when its block has ended
    std::vector<std::shared_ptr<Context>> forget;  // destroyed while claimed
    CoreStats stats;
  };
  struct Task {
    enum Kind : uint8_t { kNone, kSlot, kCore, kCopy, kFault } kind = kNone;
    uint32_t index = 0;
  };
  // How a worker leaves a slot that it had claimed.
  enum class Step : uint8_t { kIdle, kLaunch, kCopy, kWait, kFault, kYield };
  struct TlbWait {
    uint32_t request;
    std::vector<std::pair<const QuiesceCounter*, uint64_t>> busy;
  };

  // dispatcher.cc: workers and scheduling
  void Go(bool end_drain);
  void WorkerMain(Worker& worker);
  bool Pick(Task* task);
  bool PickSlot(Task* task);
  bool PickCore(Task* task);
  bool PickCopy(Task* task);
  void TakeReady();
  bool AnyTask() const;
  bool Before(const Slot& a, const Slot& b) const;
  void WantWorker(Slot& slot);
  void Notify();  // lock held: somebody may sleep although there is work
  Task Run(Worker& worker, const Task& task);
  bool MayGoOn(const Worker& worker) const { return !paused_ && !exit_ && worker.chain < kChain; }
  void CollectTlbAcks();
  void ParkUntilResumed(std::unique_lock<std::mutex>& lock);

  // packets.cc: a claimed slot (no lock)
  Task RunSlot(Worker& worker, uint32_t index);
  Step StepSlot(Slot& slot, uint32_t index);
  static bool MustYield(const Slot& slot);
  bool SyncStatus(Slot& slot);
  bool Fetch(Slot& slot, Step* step);
  bool PacketReadable(Slot& slot, uint64_t at);
  Step Execute(Slot& slot, uint32_t index);
  bool FinishPacket(Slot& slot);
  bool PublishCounters(Slot& slot);
  bool StoreRptr(Slot& slot);
  bool Evaluate(Slot& slot, bool* holds);
  Step FaultMemory(Slot& slot, const FaultInfo& info, uint8_t engine);
  Step FaultKind(Slot& slot, uint8_t kind, uint16_t detail);
  Step FaultBus(Slot& slot, uint64_t bus);
  void Signalled(const Slot& slot, const Span* stored);
  void WakeParked(const Span* stored, std::vector<ParkedWaiter>* ask);
  void AskHost(const std::vector<ParkedWaiter>& ask);
  void RaiseFence(const Context& context);

  // slots.cc: slot states (lock held)
  Task SettleSlot(Worker& worker, uint32_t index, Step step);
  void SetState(uint32_t index, uint32_t state);
  void MarkChanged(uint32_t index, bool interrupt);
  void BeginFault(uint32_t index, bool record);
  void FinishUnmap(uint32_t index);
  static bool MayLeave(const Slot& slot);
  bool TryUnmap(uint32_t index);
  bool TryKill(uint32_t index);
  npu_admin_status Command(uint32_t index, uint32_t command);
  npu_admin_status Map(uint32_t index);
  bool LoadQueueDesc(uint32_t queue, npu_queue_desc* desc) const;
  npu_admin_status CheckQueueDesc(const npu_queue_desc& desc) const;
  void UnlockAndTell(std::unique_lock<std::mutex>& lock);
  void ParkWaiter(const Slot& slot, bool look_again);
  void Unpark(uint32_t queue);
  void FindAwaited(ParkedWaiter* waiter) const;
  void Announce(uint32_t queue);

  // launch.cc (lock held unless said)
  void StartLaunch(uint32_t index);
  bool LaunchMayStart(const Launch& launch, uint32_t core) const;
  std::unique_ptr<Launch> NewLaunch(uint32_t index, const npu_packet& packet, const std::shared_ptr<Context>& context,
                                    uint32_t queue) const;
  Launch* PickLaunch(uint32_t core) const;
  Task RunCore(Worker& worker, uint32_t index);  // no lock
  void EndSlice(CoreUnit& unit, uint32_t index, Outcome outcome);
  void EndBlock(CoreUnit& unit, uint32_t index);
  void AbortLaunch(Launch& launch);
  bool TakeStuck(Launch& launch, uint32_t index);
  void ResetCore(uint32_t index);
  void AtBarrier(CoreUnit& unit);
  void OpenBarrier(Launch& launch);
  bool LaunchEnded(const Launch& launch) const;
  bool Starved(const Launch& launch) const;
  Task SettleLaunch(Worker* worker, Launch& launch);
  void AddCost(CoreUnit& unit, uint32_t index);
  void ForgetInCores(const std::shared_ptr<Context>& context);

  // snapshot.cc (lock held)
  bool BetweenBlocks() const;
  void SaveCore(StateWriter& out, CoreUnit& unit);
  void LoadContexts(StateReader& in);
  void LoadQueue(StateReader& in, uint32_t queue);
  void LoadSlot(StateReader& in, uint32_t index);
  void LoadCore(StateReader& in, uint32_t index);
  void LoadFaults(StateReader& in);
  void LoadWaiters(StateReader& in);
  void CheckSlot(StateReader& in, const Slot& slot) const;
  bool CheckQueue(const QueueState& q) const;
  std::unique_ptr<Launch> LoadLaunch(StateReader& in, uint32_t index, const npu_packet& packet,
                                     const std::shared_ptr<Context>& context, uint32_t queue);

  // copy_engine.cc
  void StartCopy(uint32_t index);                // lock held
  Task RunCopy(Worker& worker, uint32_t index);  // no lock
  enum class CopyEnd : uint8_t { kMore, kDone, kFault };
  CopyEnd CopySlice(Slot& slot);
  bool CheckPiece(const Slot& slot, const npu_pkt_copy& copy, const Box& piece, FaultInfo* info) const;

  // faults.cc (no lock)
  Task RunFault(Worker& worker);
  void PrepareRecord(Slot& slot, npu_fault_record* record) const;
  uint64_t WriteRecord(Context& context, npu_fault_record record);
  void WriteFaultStatus(Slot& slot, uint64_t seq);

  const Platform platform_;
  const uint32_t cores_, queues_;
  DeviceBus& bus_;
  Doorbells doorbells_;
  WakeUp wake_;
  std::atomic<uint64_t> queue_table_{0};
  std::atomic<uint64_t> time_cycles_{0};

  // Guards slots, contexts, queues (but what a claimer owns), launches, cores' assignments, tasks and the fields below.
  mutable std::mutex mu_;
  std::array<Slot, NPU_MAX_SLOTS> slots_;
  std::vector<QueueState> queue_states_;
  std::vector<int32_t> queue_slot_;  // -1: no slot
  std::array<std::shared_ptr<Context>, NPU_MAX_CONTEXTS> contexts_;
  std::vector<std::unique_ptr<CoreUnit>> units_;
  std::vector<Launch*> launches_;             // in work, in order of arrival
  std::vector<ParkedWaiter> parked_waiters_;  // queues unmapped while waiting
  std::deque<uint32_t> faults_;               // slots in phase kFaulting, to be written in order
  bool fault_claimed_ = false;                // one worker at a time writes records
  uint32_t copies_claimed_ = 0;               // copy engines at work
  uint32_t changed_ = 0;                      // NPU_MG_SLOT_NEXT marks
  uint32_t pending_mgmt_ = 0;                 // NPU_MG_IRQ_* to raise when the lock is dropped
  uint32_t busy_slots_ = 0;                   // in state RUNNING
  // Slots and unmapped queues at a wait packet.  Counted before the value is read, so that a signaller that sees 0 has
  // stored early enough to be read.  Any worker.
  std::atomic<uint32_t> waiters_{0};
  uint64_t turn_ = 0;
  uint64_t started_ = 0;
  uint32_t kind_turn_ = 0;
  uint32_t core_turn_ = 0;
  uint32_t idle_ = 0;    // workers that found nothing
  uint32_t parked_ = 0;  // workers that stand still because of paused_
  bool paused_ = false;
  bool draining_ = false;            // no block begins, but those that a begun gang waits for
  std::condition_variable drained_;  // a block has ended
  bool exit_ = false;
  std::condition_variable park_;  // paused_, exit_ or parked_ changed

  // Guards tlb_waits_.  Taken alone, or inside of mu_.
  std::mutex tlb_mu_;
  std::deque<TlbWait> tlb_waits_;
  std::atomic<uint32_t> tlb_req_{0}, tlb_ack_{0};
  std::atomic<bool> tlb_pending_{false};

  std::vector<std::unique_ptr<Worker>> workers_;  // constant after construction
};

}  // namespace npu::model
