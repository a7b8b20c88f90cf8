// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// What the dispatcher works on: contexts, queues, slots, launches, copies.  Plain data; dispatcher.h says who may touch
// what.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/address_space.h"
#include "core/core.h"
#include "device/bus.h"
#include "npu_admin.h"
#include "npu_fault.h"
#include "npu_packet.h"
#include "npu_regs.h"

namespace npu::model {

struct Context {
  Context(const Platform& platform, uint32_t number, const npu_ctx_desc& d, uint64_t irq_arm)
      : id(number), space(platform, number, d), irq_arm_offset(irq_arm) {}
  const uint32_t id;
  AddressSpace space;
  const uint64_t irq_arm_offset;  // of the descriptor's irq_arm in device memory, checked
  // Fault ring: only the worker that holds the fault task touches these.
  uint64_t written = 0;
  uint64_t dropped = 0;
};

// Whether the device can work with a context that is described so.
npu_admin_status CheckContextDesc(const Platform& platform, const npu_ctx_desc& desc);

// A grid of blocks in work.  Everything is guarded by the dispatcher's lock, but `shared`, which is constant.
struct Launch {
  struct Lane {           // one core's share: blocks core, core + cores, ...
    uint64_t next = 0;    // next block to start; at or above `blocks`: none left
    uint64_t cycles = 0;  // of the finished ones
  };
  std::shared_ptr<Context> context;
  LaunchContext shared;
  uint32_t slot = 0;
  uint32_t queue = 0;
  uint32_t blocks = 0;
  uint32_t finished = 0;
  uint32_t running = 0;     // blocks that a core has begun and not ended
  uint32_t at_barrier = 0;  // of those, waiting at a grid barrier
  bool gang = false;        // one block a core: may use the grid barrier, so once begun it must get all its cores
  Hang hang = Hang::kNone;  // injected: never gets a core, or holds one and makes no progress
  std::atomic<bool> aborting{false};  // written under the lock, also read without it by the workers inside cores
  bool stopping = false;              // unmap: begin no more blocks
  bool core_reset = false;            // ended by a reset of one of its cores, not by a kill
  uint64_t started = 0;               // order in which launches got their first core; 0: not yet
  std::vector<Lane> lanes;
  npu_counters sum{};
  bool has_fault = false;
  npu_fault_record fault{};  // the first one
};

// A copy or fill in work.  Guarded by the dispatcher's lock; the fields of a claimed one belong to its worker.
struct CopyJob {
  std::shared_ptr<Context> context;
  uint32_t slot = 0;
  bool active = false;
  bool claimed = false;
  bool aborting = false;
  // First every byte of both sides is checked, then the bytes move; both go on piece by piece from this place.
  enum class Phase : uint8_t { kCheckDst, kCheckSrc, kMove } phase = Phase::kCheckDst;
  uint64_t row = 0;
  uint64_t offset = 0;  // in the row
};

// Kept with the queue's number while it has no slot.  Touched by the queue's slot owner, or under the lock when
// unmapped.
struct QueueState {
  npu_counters counters{};
  uint64_t rptr = 0;            // as last shown in the status page
  bool faulted = false;         // the status page says FAULTED
  bool waiting = false;         // unmapped at a wait packet whose condition did not hold
  uint32_t context = 0;         // of the last mapping
  npu_pkt_indirect indirect{};  // count != 0: within an indirect buffer
  npu_packet indirect_packet{};
  uint32_t indirect_next = 0;
  std::unique_ptr<Launch> saved;  // stopped at a block boundary, with its packet
  npu_packet saved_packet{};
};

enum class Phase : uint8_t {
  kEmpty,
  kIdle,      // nothing to do until a doorbell
  kReady,     // wants a worker
  kClaimed,   // a worker reads its packets
  kAsync,     // a launch or copy is in work
  kWaiting,   // at a wait packet
  kFaulting,  // the fault record is being written
  kFaulted,
};

enum class Resume : uint8_t { kNone, kSkip, kFlush };

// A queue that was unmapped at a wait packet.  Guarded by the dispatcher's lock.
struct ParkedWaiter {
  uint32_t queue = 0;
  uint32_t context = 0;
  npu_pkt_wait wait{};
  // Where the awaited word lies, as the page tables say since the last invalidation; bytes = 0: not known.
  Span where{nullptr, 0, 0};
};

// A hardware slot.  Guarded by the dispatcher's lock; while phase is kClaimed the fields below the line belong to the
// worker that claimed it.
struct Slot {
  // Registers.
  uint32_t set_queue = 0;
  uint64_t set_rptr = 0;
  uint32_t result = NPU_ADMIN_OK;
  uint32_t kill_kind = 0;
  uint32_t priority = 0;
  uint32_t state = NPU_SLOT_EMPTY;
  uint32_t fault_kind = 0;
  uint64_t last_rptr = 0, last_wptr = 0;  // after an unmap
  Phase phase = Phase::kEmpty;
  int32_t queue = -1;
  bool recheck = false;  // rung, kicked or signalled while claimed
  bool want_unmap = false;
  bool want_kill = false;
  bool last_partial = false;           // the last unmap left something in the queue's state
  std::atomic<bool> drain{false};      // want_unmap means: at a packet of the ring; written under the lock
  uint64_t turn = 0;                   // when it was last served, for round robin
  uint64_t since = 0;                  // the dispatcher's turn since when it wants to be served and is not
  std::atomic<bool> attention{false};  // want_* was set: the claimer comes back at the next packet
  std::atomic<uint64_t> progress{0};
  std::atomic<uint64_t> rptr{0};
  // ----
  std::shared_ptr<Context> context;
  npu_queue_desc desc{};
  QueueState* q = nullptr;
  npu_packet packet{};          // in work
  bool in_work = false;         // `packet` was fetched and is not finished
  bool op_done = false;         // its launch or copy has ended well
  bool counted_waiter = false;  // is in the dispatcher's count of waiters
  bool sync_status = false;     // the status page does not show rptr and OK yet
  Resume resume = Resume::kNone;
  std::unique_ptr<Launch> launch;
  CopyJob copy;
  bool has_record = false;
  npu_fault_record record{};
};

}  // namespace npu::model
