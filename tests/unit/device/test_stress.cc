// SPDX-License-Identifier: Apache-2.0
//
// 64 queues on 16 slots under a small scheduler that plays the firmware, several producers, nothing lost and nothing
// out of order; and garbage: random packets, descriptors and register writes, which must not bring the device down.
#include <atomic>
#include <cstring>
#include <deque>
#include <random>
#include <thread>

#include "suite.h"

using rig::Dev;
using rig::Rig;
using rig::Signal;
using rig::WithSignal;

namespace {

constexpr uint32_t kQueues = 64;

bool IsWait(uint64_t n) {
  return n % 3 == 0;
}
bool IsLaunch(uint64_t n) {
  return !IsWait(n) && n % 50 == 1;
}
constexpr uint64_t kFences = rig::kData, kOut = rig::kData + 0x100000;

// Round robin by demand: rung queues take empty slots, then idle ones, then after a while busy ones.
class Scheduler {
 public:
  explicit Scheduler(Rig& rig) : rig_(rig) {
    for (uint32_t i = 0; i < NPU_MAX_SLOTS; ++i) free_.push_back(i);
  }
  void Step() {
    while (uint64_t rung = rig_.Mg(NPU_MG_DB_NEXT)) Want(static_cast<uint32_t>(rung - 1));
    while (uint64_t changed = rig_.Mg(NPU_MG_SLOT_NEXT)) Changed(static_cast<uint32_t>(changed - 1));
    while (!wanted_.empty() && !free_.empty()) MapNext();
    if (!wanted_.empty() && ++patience_ % 64 == 0) {  // take a slot away, whatever it does
      uint32_t slot = turn_++ % NPU_MAX_SLOTS;
      if (owner_[slot]) rig_.Command(slot, NPU_MG_SLOT_CMD_UNMAP);
    }
  }

 private:
  void Want(uint32_t queue) {
    if (state_[queue] == kOut) {
      state_[queue] = kWanted;
      wanted_.push_back(queue);
    }
  }
  void Changed(uint32_t slot) {
    uint64_t state = rig_.SlotGet(slot, NPU_MG_SLOT_STATE);
    if (state == NPU_SLOT_EMPTY && owner_[slot]) {
      uint32_t queue = owner_[slot] - 1;
      owner_[slot] = 0;
      free_.push_back(slot);
      rptr_[queue] = rig_.SlotGet(slot, NPU_MG_SLOT_RPTR, 8);
      state_[queue] = kOut;
      rig_.MgSet(NPU_MG_DB_QUEUE, queue);
      if (rig_.Mg(NPU_MG_DB_WPTR, 8) != rptr_[queue]) Want(queue);
    } else if (state == NPU_SLOT_IDLE && !wanted_.empty()) {
      rig_.Command(slot, NPU_MG_SLOT_CMD_UNMAP);
    }
  }
  void MapNext() {
    uint32_t queue = wanted_.front(), slot = free_.front();
    wanted_.pop_front();
    free_.pop_front();
    assert_int_equal(rig_.Map(slot, queue, rptr_[queue]), NPU_ADMIN_OK);
    owner_[slot] = queue + 1;
    state_[queue] = kIn;
  }
  enum State { kOut, kWanted, kIn };
  Rig& rig_;
  State state_[kQueues] = {};
  uint64_t rptr_[kQueues] = {};
  uint32_t owner_[NPU_MAX_SLOTS] = {};
  std::deque<uint32_t> wanted_, free_;
  uint32_t patience_ = 0, turn_ = 0;
};

void ManyQueuesOnFewSlots(void** state) {
  Rig r(Threads(state));
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  for (uint32_t q = 0; q < kQueues; ++q) r.MakeQueue(q, 1, q % 4);
  constexpr uint64_t kPackets = 6000;
  // Two producers; queue q's n-th packet signals n, after waiting for n - 1, so any loss or reordering stops it.
  auto produce = [&r](uint32_t first) {
    uint64_t sent[kQueues] = {};
    for (bool more = true; more;) {
      more = false;
      for (uint32_t q = first; q < kQueues; q += 2) {
        uint64_t at = kFences + q * 8;
        for (uint32_t i = 0; i < 16 && sent[q] < kPackets && r.wptr(q) - r.Rptr(q) < 250; ++i) {
          uint64_t n = ++sent[q];
          if (IsWait(n)) {
            r.Push(q, rig::Wait(Dev(at), n - 1, NPU_WAIT_EQ));
            r.Push(q, Signal(Dev(at), n));
          } else if (IsLaunch(n)) {
            r.Push(q, WithSignal(rig::Launch(rig::kNull, 0, 1 + q % 6), Dev(at), n));
          } else {
            r.Push(q, Signal(Dev(at), n));
          }
        }
        r.Ring(q);
        more |= sent[q] < kPackets;
      }
      std::this_thread::yield();
    }
  };
  std::thread a(produce, 0), b(produce, 1);
  Scheduler scheduler(r);
  bool done = r.Until([&] {
    scheduler.Step();
    for (uint32_t q = 0; q < kQueues; ++q)
      if (r.Load(kFences + q * 8) != kPackets) return false;
    return true;
  });
  a.join();
  b.join();
  assert_true(done);
  uint64_t launches = 0;
  for (uint64_t n = 1; n <= kPackets; ++n) launches += IsLaunch(n);
  for (uint32_t q = 0; q < kQueues; ++q) {
    assert_int_equal(r.QueueState(q), NPU_QUEUE_OK);
    assert_true(r.Until([&] {
      scheduler.Step();
      return r.Rptr(q) == r.wptr(q);
    }));
    assert_true(r.Status(q).counters.launches == launches);
  }
}

void Garbage(void** state) {
  Rig r(Threads(state));
  std::mt19937_64 random(12345);
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  for (uint32_t q = 0; q < 8; ++q) r.MakeQueue(q, 1);
  r.MakeQueue(60, 1);
  for (uint32_t q = 0; q < 8; ++q) assert_int_equal(r.Map(q, q), NPU_ADMIN_OK);
  assert_int_equal(r.Map(15, 60), NPU_ADMIN_OK);
  for (uint32_t round = 0; round < 3000; ++round) {
    auto q = static_cast<uint32_t>(random() % 8);
    npu_packet packet;
    for (size_t i = 0; i < sizeof(packet) / 8; ++i) {
      uint64_t word = random() >> random() % 64;
      memcpy(reinterpret_cast<uint8_t*>(&packet) + i * 8, &word, 8);
    }
    if (round % 4) packet.type = static_cast<uint8_t>(random() % NPU_PKT_TYPES);
    if (round % 8) packet.flags &= 1, packet.reserved = 0;
    if (packet.type == NPU_PKT_FILL || packet.type == NPU_PKT_COPY) packet.u.copy.dst |= 0x8000000000ull;
    r.Push(q, packet);
    if (round % 5 == 0)
      r.Doorbell(q, r.wptr(q) + random() % 300 - 150);
    else
      r.Ring(q);
    // Registers, but not the tables that the rest of the test needs, resets, or doorbells of queue 60.
    auto offset = static_cast<uint32_t>(random() % 0x8000) & ~3u;
    bool spared = offset == NPU_REG_CTRL || (offset >= NPU_REG_FW_ADDR && offset < NPU_REG_CTX_TABLE + 16) ||
                  (offset >= NPU_REG_INJ_KIND && offset < NPU_REG_INJ_KIND + 0x40);
    if (!spared) r.Set(offset, random(), 4);
    uint32_t slot = static_cast<uint32_t>(random() % 8);
    uint32_t command = static_cast<uint32_t>(random() % 7);
    r.SlotSet(slot, NPU_MG_SLOT_KILL_KIND, random());
    r.Command(slot, command);
    if (round % 3 == 0) r.Map(slot, slot, random() % 4 ? r.SlotGet(slot, NPU_MG_SLOT_RPTR, 8) : random());
    if (round % 100 == 0) {
      uint64_t n = round + 1;
      r.Push(60, WithSignal(rig::Launch(rig::kNull, 0, 5), Dev(kFences), n));
      r.Ring(60);
      assert_true(r.Done(60));
      assert_true(r.Load(kFences) == n);
      assert_int_equal(r.QueueState(60), NPU_QUEUE_OK);
    }
  }
}

// The ring is rewritten while the device reads it, and page tables and bounds while it uses them.
void MovingTargets(void** state) {
  Rig r(Threads(state));
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  for (uint32_t q = 0; q < 2; ++q) {
    r.MakeQueue(q, 1);
    assert_int_equal(r.Map(q, q), NPU_ADMIN_OK);
  }
  std::atomic<bool> stop{false};
  std::thread scribbler([&] {
    std::mt19937_64 random(99);
    while (!stop) {
      uint64_t at = Rig::RingAt(0) + random() % (64u << rig::kRingLog2);
      r.Store(at & ~7ull, random() % 12);
      if (random() % 64 == 0) r.Store(rig::kTables + 0x2000 + random() % 0x1000 / 8 * 8, random());
    }
  });
  for (uint32_t i = 0; i < 2000; ++i) {
    r.Submit(0, rig::Copy(Dev(kOut + 0x1000), Dev(kOut), 512));
    if (r.SlotGet(0, NPU_MG_SLOT_STATE) == NPU_SLOT_FAULTED) r.Command(0, NPU_MG_SLOT_CMD_FLUSH);
    if (i % 10 == 0) r.Set(NPU_REG_TLB_INV, 1);
  }
  stop = true;
  scribbler.join();
  r.Submit(1, rig::Packet(NPU_PKT_NOP));
  assert_true(r.Done(1));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {NPU_CASE(ManyQueuesOnFewSlots), NPU_CASE(Garbage), NPU_CASE(MovingTargets)};
  return cmocka_run_group_tests_name("device.stress", tests, nullptr, nullptr);
}
