// SPDX-License-Identifier: Apache-2.0
//
// The control firmware's scheduling, fault handling and watchdog, on simulated slots.
#include <algorithm>
#include <thread>

#include "npu_fault.h"
#include "rig.h"
#include "suite.h"

namespace {

constexpr uint32_t kSlots = NPU_MAX_SLOTS;
constexpr uint64_t kMs = 1'000'000;

// Boots with context 1.
struct Booted : Rig {
  Booted() {
    Boot();
    CreateContext(1);
  }
  void CreateHeld(uint32_t queue, uint32_t priority, Behaviour behaviour = Behaviour::kHold) {
    device.SetBehaviour(queue, behaviour);
    CreateQueue(queue, priority);
    device.Ring(queue, 1000);
  }
  bool HasSlot(uint32_t queue) {
    bool has = false;
    device.With([&] { has = device.queues[queue].slot >= 0; });
    return has;
  }
  void WaitSlot(uint32_t queue) {
    if (!device.WaitFor([&] { return device.queues[queue].slot >= 0; })) {
      print_error("queue %u gets no slot\n", queue);
      fail();
    }
  }
  void WaitDone(uint32_t queue, uint64_t packets) {
    const auto done = [&] {
      const FakeDevice::Queue& q = device.queues[queue];
      return (q.slot >= 0 ? device.slots[static_cast<size_t>(q.slot)].rptr : q.rptr) == packets;
    };
    if (!device.WaitFor(done)) {
      print_error("queue %u does not finish %llu packets\n", queue, static_cast<unsigned long long>(packets));
      fail();
    }
  }
};

// Eight times as many queues as slots, all with work: everybody's work gets done, over and over.
void MoreQueuesThanSlots(void**) {
  Booted rig;
  constexpr uint32_t kQueues = 128;
  for (uint32_t q = 0; q < kQueues; ++q) rig.CreateQueue(q, q % 3);
  for (uint64_t round = 1; round <= 5; ++round) {
    for (uint32_t q = 0; q < kQueues; ++q) rig.device.Ring(q, round * 3);
    for (uint32_t q = 0; q < kQueues; ++q) rig.WaitDone(q, round * 3);
  }
  for (uint32_t q = 0; q < kQueues; ++q)
    assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_DESTROY, {q}).status, NPU_ADMIN_OK);
  assert_int_equal(rig.Command(NPU_ADMIN_CTX_DESTROY, {1}).status, NPU_ADMIN_OK);
}

void AllQueues(void**) {
  Booted rig;
  for (uint32_t q = 0; q < NPU_MAX_QUEUES; ++q) rig.CreateQueue(q);
  rig.device.With([&] { assert_int_equal(rig.device.active_queues, NPU_MAX_QUEUES); });
  for (uint32_t q = 0; q < NPU_MAX_QUEUES; ++q) rig.device.Ring(q, 1);
  for (uint32_t q = 0; q < NPU_MAX_QUEUES; ++q) rig.WaitDone(q, 1);
}

// Queues that never end share the slots by time slices: 20 on 16, each gets its turns.
void TimeSlicesAreFair(void**) {
  Booted rig;
  constexpr uint32_t kQueues = 20;
  for (uint32_t q = 0; q < kQueues; ++q) rig.CreateHeld(q, 1);
  // Counted from when all are there: the first ones have had turns before the last one was made.
  int before[kQueues];
  rig.device.With([&] {
    for (uint32_t q = 0; q < kQueues; ++q) before[q] = rig.device.queues[q].maps;
  });
  int least = 0, most = 0;
  const auto ten_turns = [&] {
    least = 1 << 30, most = 0;
    for (uint32_t q = 0; q < kQueues; ++q) {
      least = std::min(least, rig.device.queues[q].maps - before[q]);
      most = std::max(most, rig.device.queues[q].maps - before[q]);
    }
    return least >= 10;
  };
  assert_true(rig.device.WaitFor(ten_turns));
  assert_true(most - least <= 2);
}

// A running queue of higher priority turns out one of lower priority at once, never the other way round.
void PriorityPreempts(void**) {
  Booted rig;
  for (uint32_t q = 0; q < kSlots; ++q) rig.CreateHeld(q, 1);
  rig.CreateHeld(100, 3);
  rig.WaitSlot(100);
  const auto start = std::chrono::steady_clock::now();
  rig.CreateHeld(101, 0);
  // The low one stays out while the others run, though they take turns among themselves.
  int before = 0;
  rig.device.With([&] { before = rig.device.queues[3].maps; });
  assert_true(rig.device.WaitFor([&] { return rig.device.queues[3].maps >= before + 3; }));
  rig.device.With([&] {
    // Nobody starves: on a slow host the low one may have been raised, once in 50 ms at the most.
    const auto raises = (std::chrono::steady_clock::now() - start) / std::chrono::milliseconds(50);
    assert_true(rig.device.queues[101].maps <= raises);
    assert_int_equal(rig.device.queues[100].maps, 1);
  });
  // When the others are done it runs.
  for (uint32_t q = 0; q < kSlots; ++q) rig.device.SetBehaviour(q, Behaviour::kInstant);
  rig.WaitSlot(101);
}

// Sixteen high-priority waiters do not keep out the low-priority queue that they wait for.
void WaitersGiveWay(void**) {
  Booted rig;
  for (uint32_t q = 0; q < kSlots + 4; ++q) rig.CreateHeld(q, 3, Behaviour::kWait);
  rig.device.SetBehaviour(200, Behaviour::kInstant);
  rig.CreateQueue(200, 0);
  rig.device.Ring(200, 7);
  rig.WaitDone(200, 7);
  // Their conditions come true: all of them finish, those without a slot as well.
  for (uint32_t q = 0; q < kSlots + 4; ++q) rig.device.SetBehaviour(q, Behaviour::kInstant);
  for (uint32_t q = 0; q < kSlots + 4; ++q) rig.WaitDone(q, 1000);
}

// An idle slot goes first, however low the priority of who wants it.
void IdleGivesWay(void**) {
  Booted rig;
  for (uint32_t q = 0; q < kSlots; ++q) rig.CreateQueue(q, 3);
  for (uint32_t q = 0; q + 1 < kSlots; ++q) {
    rig.device.SetBehaviour(q, Behaviour::kHold);
    rig.device.Ring(q, 1);
  }
  rig.CreateHeld(50, 0);
  rig.WaitSlot(50);
  assert_false(rig.HasSlot(kSlots - 1));
}

// A slot that only empties at its next block boundary: the mapping waits for its event.
void SlowUnmap(void**) {
  Booted rig;
  rig.device.With([&] { rig.device.slow_unmap = true; });
  for (uint32_t q = 0; q < kSlots; ++q) rig.CreateHeld(q, 1);
  rig.CreateHeld(30, 2);
  assert_true(rig.device.WaitFor([&] {
    return std::any_of(rig.device.slots.begin(), rig.device.slots.end(),
                       [](const FakeDevice::Slot& s) { return s.state == NPU_SLOT_DRAINING; });
  }));
  assert_false(rig.HasSlot(30));
  uint32_t leaving = 0;
  rig.device.With([&] {
    for (const FakeDevice::Slot& slot : rig.device.slots)
      if (slot.state == NPU_SLOT_DRAINING) leaving = static_cast<uint32_t>(slot.queue);
  });
  rig.device.FinishPackets(leaving, 1);
  rig.WaitSlot(30);
}

void FaultAndSkip(void**) {
  Booted rig;
  rig.device.SetBehaviour(4, Behaviour::kFault);
  rig.CreateQueue(4);
  rig.CreateQueue(5);
  rig.device.Ring(4, 3);
  assert_true(rig.device.WaitFor([&] { return (rig.device.host_events & NPU_EVENT_FW_MSG) != 0; }));
  rig.device.Ring(5, 9);
  rig.WaitDone(5, 9);  // others go on
  const Rig::Answer event = rig.Command(NPU_ADMIN_GET_EVENT);
  assert_int_equal(event.arg[0], NPU_FW_EVENT_QUEUE_FAULT);
  assert_int_equal(event.arg[1], 4);
  assert_int_equal(event.arg[2], NPU_FAULT_OOB);
  assert_int_equal(rig.Command(NPU_ADMIN_GET_EVENT).arg[0], NPU_FW_EVENT_NONE);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_INFO, {4}).arg[1], NPU_SLOT_FAULTED);
  rig.device.With([&] { rig.device.queues[4].behaviour = Behaviour::kInstant; });
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_RESUME, {4, NPU_RESUME_SKIP}).status, NPU_ADMIN_OK);
  rig.WaitDone(4, 3);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_RESUME, {4, NPU_RESUME_SKIP}).status, NPU_ADMIN_EINVAL);
}

// A faulted queue gives its slot away, and is resumed without one.
void FaultedWithoutSlot(void**) {
  Booted rig;
  for (uint32_t mode : {NPU_RESUME_SKIP, NPU_RESUME_FLUSH}) {
    const uint32_t base = 100 * (mode + 1);
    rig.device.SetBehaviour(base, Behaviour::kFault);
    rig.CreateQueue(base);
    rig.device.Ring(base, 10);
    assert_true(rig.device.WaitFor([&] { return rig.LogContains("queue " + std::to_string(base) + " of"); }));
    for (uint32_t q = 1; q <= kSlots; ++q) rig.CreateHeld(base + q, 1);
    rig.WaitSlot(base + kSlots);
    assert_true(rig.device.WaitFor([&] { return rig.device.queues[base].slot < 0; }));
    rig.device.Ring(base, 12);  // rings of a faulted queue wait for the resume
    rig.device.With([&] { rig.device.queues[base].behaviour = Behaviour::kHold; });
    assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_RESUME, {base, mode}).status, NPU_ADMIN_OK);
    // It gets its turn; without work it may have lost the slot again when we look.
    assert_true(rig.device.WaitFor([&] { return rig.device.queues[base].maps >= 2; }));
    const Rig::Answer info = rig.Command(NPU_ADMIN_QUEUE_INFO, {base});
    assert_int_equal(info.arg[2], mode == NPU_RESUME_SKIP ? 1 : 12);
    for (uint32_t q = 0; q <= kSlots; ++q)
      assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_DESTROY, {base + q}).status, NPU_ADMIN_OK);
  }
}

// No progress for the queue's timeout: killed, reported as a hang; progress in time keeps it alive.
void HangIsKilled(void**) {
  Booted rig;
  rig.device.SetBehaviour(1, Behaviour::kHold);
  rig.device.SetBehaviour(2, Behaviour::kHold);
  rig.CreateQueue(1, 1, 100 * kMs);
  rig.CreateQueue(2, 1, 60'000 * kMs);
  const auto start = std::chrono::steady_clock::now();
  rig.device.Ring(2, 1);
  rig.device.Ring(1, 1);
  assert_true(rig.device.WaitFor([&] { return (rig.device.host_events & NPU_EVENT_FW_MSG) != 0; }));
  assert_true(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(100));
  const Rig::Answer event = rig.Command(NPU_ADMIN_GET_EVENT);
  assert_int_equal(event.arg[0], NPU_FW_EVENT_QUEUE_HANG);
  assert_int_equal(event.arg[1], 1);
  assert_int_equal(event.arg[2], NPU_FAULT_TIMEOUT);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_INFO, {2}).arg[1], NPU_SLOT_RUNNING);
  rig.device.With([&] { rig.device.queues[1].behaviour = Behaviour::kInstant; });
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_RESUME, {1, NPU_RESUME_FLUSH}).status, NPU_ADMIN_OK);
}

// A queue that moves for longer than its timeout.  On a host that was away for as long it does look like a hang, which
// proves nothing: then once more.
void ProgressIsNoHang(void**) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kTimeout = std::chrono::milliseconds(400);
  for (int tries = 0; tries < 50; ++tries) {
    Booted rig;
    rig.device.SetBehaviour(1, Behaviour::kHold);
    rig.CreateQueue(1, 1, 400 * kMs);
    const auto start = Clock::now();
    auto last = start;
    Clock::duration longest{0};
    rig.device.Ring(1, 1);
    while (last - start < 5 * kTimeout / 2 && longest < kTimeout / 2) {
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
      rig.device.Progress(1);
      const auto now = Clock::now();
      longest = std::max(longest, now - last);
      last = now;
    }
    const uint64_t event = rig.Command(NPU_ADMIN_GET_EVENT).arg[0];
    const uint64_t slot = rig.Command(NPU_ADMIN_QUEUE_INFO, {1}).arg[1];
    if (Clock::now() - last + longest >= kTimeout / 2) continue;
    assert_int_equal(event, NPU_FW_EVENT_NONE);
    assert_int_equal(slot, NPU_SLOT_RUNNING);
    return;
  }
  fail_msg("this host never gave the test %d ms in time", 200);
}

// A wait packet may take for ever.  The watchdog has looked at it when it finds a later queue of a longer timeout.
void WaitingIsNoHang(void**) {
  Booted rig;
  rig.device.SetBehaviour(1, Behaviour::kWait);
  rig.device.SetBehaviour(2, Behaviour::kHold);
  rig.CreateQueue(1, 1, 20 * kMs);
  rig.CreateQueue(2, 1, 200 * kMs);
  rig.device.Ring(1, 1);
  rig.device.Ring(2, 1);
  assert_true(rig.device.WaitFor([&] { return (rig.device.host_events & NPU_EVENT_FW_MSG) != 0; }));
  const Rig::Answer event = rig.Command(NPU_ADMIN_GET_EVENT);
  assert_int_equal(event.arg[0], NPU_FW_EVENT_QUEUE_HANG);
  assert_int_equal(event.arg[1], 2);
  assert_int_equal(rig.Command(NPU_ADMIN_GET_EVENT).arg[0], NPU_FW_EVENT_NONE);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_INFO, {1}).arg[1], NPU_SLOT_WAITING);
}

void DestroyKills(void**) {
  Booted rig;
  rig.CreateHeld(1, 1);
  rig.CreateHeld(2, 1, Behaviour::kWait);
  rig.CreateHeld(3, 1, Behaviour::kFault);
  for (uint32_t q = 1; q <= 3; ++q) {
    assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_DESTROY, {q}).status, NPU_ADMIN_OK);
    assert_false(rig.HasSlot(q));
  }
  // The event of a queue that is gone is gone; no kill of a destroy is reported as a fault.
  assert_int_equal(rig.Command(NPU_ADMIN_GET_EVENT).arg[0], NPU_FW_EVENT_NONE);
}

// A destroy while the slot drains; and a slot that does not obey: EIO, the device wants a reset.
void DestroyOfDeafSlot(void**) {
  Booted rig;
  rig.device.With([&] { rig.device.slow_unmap = rig.device.deaf = true; });
  rig.CreateHeld(1, 1);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_DESTROY, {1}).status, NPU_ADMIN_EIO);
  assert_int_equal(rig.Command(NPU_ADMIN_HELLO, {NPU_ADMIN_PROTOCOL, NPU_CONTRACT_VERSION}).status, NPU_ADMIN_OK);
  rig.device.With([&] { assert_int_equal(rig.device.health, NPU_HEALTH_RESET_REQUIRED); });
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_CREATE, {1}).status, NPU_ADMIN_EEXIST);
}

// A new firmware finds slots and contexts as a crashed one left them.
void ReloadReclaims(void**) {
  Booted rig;
  rig.CreateHeld(1, 1);
  rig.CreateHeld(2, 1, Behaviour::kFault);
  rig.CreateQueue(3);
  assert_true(rig.mgmt->InjectCrash());
  rig.Expect(NPU_FW_STATE_CRASHED);
  rig.Boot();
  rig.device.With([&] {
    for (const FakeDevice::Slot& slot : rig.device.slots) assert_int_equal(slot.state, NPU_SLOT_EMPTY);
    for (uint32_t q = 0; q < 10; ++q) assert_true(rig.device.queues[q].dead);
    assert_true(rig.device.contexts.empty());
  });
  rig.CreateContext(1);
  rig.CreateQueue(1);
}

// A queue that runs one short launch after the other wakes the core for the first one, not for each.
void ShortLaunchesDoNotWake(void**) {
  Booted rig;
  rig.device.SetBehaviour(1, Behaviour::kHold);
  rig.CreateQueue(1);
  const uint32_t before = rig.mgmt->heartbeat();
  for (uint64_t i = 1; i <= 200; ++i) {
    rig.device.Ring(1, i);
    rig.device.FinishPackets(1, 1);
    std::this_thread::sleep_for(std::chrono::microseconds(500));  // time enough for it to wake each time
  }
  assert_true(rig.mgmt->heartbeat() - before < 100);
  rig.WaitDone(1, 200);
}

// Nothing runs, nothing waits for a slot: no timer.
void IdleAfterWork(void**) {
  Booted rig;
  for (uint32_t q = 0; q < 2 * kSlots; ++q) rig.CreateQueue(q);
  for (uint32_t q = 0; q < 2 * kSlots; ++q) rig.device.Ring(q, 4);
  for (uint32_t q = 0; q < 2 * kSlots; ++q) rig.WaitDone(q, 4);
  // The sensors rest one period after the last work, the watchdog after its own.
  uint32_t last = 0;
  for (int i = 0; i < 40; ++i) {
    last = rig.mgmt->heartbeat();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    if (rig.mgmt->heartbeat() == last) break;
  }
  assert_int_equal(rig.mgmt->heartbeat(), last);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(MoreQueuesThanSlots), cmocka_unit_test(AllQueues),
      cmocka_unit_test(TimeSlicesAreFair),   cmocka_unit_test(PriorityPreempts),
      cmocka_unit_test(WaitersGiveWay),      cmocka_unit_test(IdleGivesWay),
      cmocka_unit_test(SlowUnmap),           cmocka_unit_test(FaultAndSkip),
      cmocka_unit_test(FaultedWithoutSlot),  cmocka_unit_test(HangIsKilled),
      cmocka_unit_test(ProgressIsNoHang),    cmocka_unit_test(WaitingIsNoHang),
      cmocka_unit_test(DestroyKills),        cmocka_unit_test(DestroyOfDeafSlot),
      cmocka_unit_test(ReloadReclaims),      cmocka_unit_test(ShortLaunchesDoNotWake),
      cmocka_unit_test(IdleAfterWork),
  };
  return cmocka_run_group_tests_name("mgmt.slots", tests, nullptr, nullptr);
}
