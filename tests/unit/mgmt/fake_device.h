// SPDX-License-Identifier: Apache-2.0
//
// A device for the firmware under test: slots, doorbells, contexts, sensors and the mailbox, simulated without cores.
// What a queue's packets do is up to the test.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <vector>

#include "mgmt/mgmt.h"
#include "npu_admin.h"
#include "npu_packet.h"

// What happens to packets of a queue that has a slot.
enum class Behaviour {
  kInstant,  // they finish at once
  kHold,     // they run until the test finishes them
  kWait,     // a wait packet whose condition does not hold
  kFault,    // the first one faults
};

class FakeDevice : public npu::model::MgmtPort {
 public:
  static constexpr uint64_t kMemoryBytes = 16 << 20;
  static constexpr uint64_t kContextTable = 0x10000;
  static constexpr uint64_t kQueueTable = 0x20000;
  static constexpr uint64_t kMailbox = 0x50000;
  static constexpr uint64_t kRings = 0x100000;

  struct Queue {
    Behaviour behaviour = Behaviour::kInstant;
    uint32_t fault_kind = 2;
    uint64_t wptr = 0, rptr = 0;  // rptr: packets finished
    bool marked = false, dead = true;
    int slot = -1;
    int maps = 0;
  };
  struct Slot {
    int queue = -1;
    uint32_t state = 0, result = 0, set_queue = 0, kill_kind = 0, fault = 0, priority = 0;
    uint64_t set_rptr = 0, rptr = 0, progress = 0;
    bool changed = false, partial = false, drain = false;
  };

  FakeDevice() : memory(kMemoryBytes), queues(1024), slots(16) {}

  bool MgmtRead(uint32_t offset, unsigned size, uint64_t* value) override;
  bool MgmtWrite(uint32_t offset, unsigned size, uint64_t value) override;
  void MgmtStateChanged() override;

  // Waits until holds() is true, looking again after every register write of the firmware; holds() is called with the
  // lock.  False after 30 s.
  bool WaitFor(const std::function<bool()>& holds);
  // Runs f with the lock, for looking and changing.
  void With(const std::function<void()>& f);

  // The host's and the engines' doings.  Without the lock.
  void Ring(uint32_t queue, uint64_t wptr);
  void FinishPackets(uint32_t queue, uint64_t count);  // of a kHold queue that has a slot
  void Progress(uint32_t queue);                       // a block of its launch finished
  void SetBehaviour(uint32_t queue, Behaviour behaviour);
  void RaiseRas();
  // Something changed that WaitFor may look at.
  void Poke();

  npu::model::Mgmt* mgmt = nullptr;
  std::vector<uint8_t> memory;

  // Guarded by mutex_, as everything below.
  std::vector<Queue> queues;
  std::vector<Slot> slots;
  std::set<uint32_t> contexts;
  uint32_t num_queues = 1024;
  uint64_t mbox_addr = kMailbox;
  uint32_t mbox_db = 0, mbox_ack = 0, host_events = 0;
  bool slow_unmap = false;  // a running slot drains until FinishPackets
  bool partial = false;     // a queue that is unmapped while it runs stands inside a packet
  bool deaf = false;        // kills are ignored
  uint64_t stuck = 0;       // NPU_MG_CORE_STUCK
  uint64_t hung = 0;        // of those, cores that a reset does not bring back
  uint64_t core_resets = 0;
  int32_t temperature = 45'000;
  uint64_t busy = 0, link = 0;
  std::vector<uint64_t> ecc, scrubs;
  uint32_t clock_khz = 0, health = ~0u, throttle = ~0u, active_queues = ~0u, retired = ~0u, utilisation = ~0u;
  std::vector<uint32_t> map_order;  // queues as they were mapped
  uint32_t state_changes = 0;

 private:
  bool ReadSlot(Slot& slot, uint32_t reg, unsigned size, uint64_t* value);
  bool WriteSlot(uint32_t index, uint32_t reg, unsigned size, uint64_t value);
  uint32_t Command(uint32_t index, uint32_t command);
  uint32_t Map(uint32_t index);
  void ResetCores(uint64_t mask);
  void Update(uint32_t index);
  void SetState(uint32_t index, uint32_t state);
  void Mark(uint32_t index);
  void Empty(uint32_t index);
  uint32_t NextMarkedQueue();
  uint32_t NextChangedSlot();
  void Finish();

  std::mutex mutex_;
  std::condition_variable changed_;
  uint32_t selected_ = 0, context_result_ = 0;
  uint32_t irq_ = 0;  // to be raised when the lock is gone
};
