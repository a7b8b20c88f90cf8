// SPDX-License-Identifier: Apache-2.0
//
// The control firmware: start indices, suspension at blocks and packets, the ladder from a kill to a reset of the
// device.
#include "npu_fault.h"
#include "rig.h"
#include "suite.h"

namespace {

constexpr uint64_t kMs = 1'000'000;

struct Booted : Rig {
  Booted() {
    Boot();
    CreateContext(1);
  }
  void CreateHeld(uint32_t queue, uint64_t timeout_ns = 0) {
    device.SetBehaviour(queue, Behaviour::kHold);
    CreateQueue(queue, 1, timeout_ns);
    device.Ring(queue, 1000);
  }
  uint32_t State(uint32_t queue) {  // with the lock
    const int slot = device.queues[queue].slot;
    return slot < 0 ? static_cast<uint32_t>(NPU_SLOT_EMPTY) : device.slots[static_cast<size_t>(slot)].state;
  }
  void WaitState(uint32_t queue, uint32_t state) {
    assert_true(device.WaitFor([&] { return State(queue) == state; }));
  }
  // Asks for a suspension and lets the queue finish one packet as soon as it drains.  A host that is too slow for the
  // limit is answered EIO, and asks again.
  void SuspendWhileRunning(uint32_t queue, uint64_t mode) {
    for (int attempt = 0; attempt < 50; ++attempt) {
      WaitState(queue, NPU_SLOT_RUNNING);
      const uint32_t seq = Send(NPU_ADMIN_QUEUE_SUSPEND, {queue, mode});
      WaitState(queue, NPU_SLOT_DRAINING);
      device.FinishPackets(queue, 1);
      const uint32_t status = Receive(seq).status;
      if (status == NPU_ADMIN_OK) return;
      assert_int_equal(status, NPU_ADMIN_EIO);
    }
    fail_msg("the queue could not be suspended");
  }
  Answer NextEvent(uint32_t kind) {
    for (;;) {
      assert_true(device.WaitFor([&] { return (device.host_events & NPU_EVENT_FW_MSG) != 0; }));
      const Answer event = Command(NPU_ADMIN_GET_EVENT);
      if (event.arg[0] == kind) return event;
      if (event.arg[0] == NPU_FW_EVENT_NONE) device.With([&] { device.host_events &= ~NPU_EVENT_FW_MSG; });
    }
  }
};

// A queue goes on where it was before a reset: with packets, without, with a slot, without.
void StartIndices(void**) {
  Booted rig;
  rig.device.SetBehaviour(1, Behaviour::kHold);
  rig.DescribeQueue(1, 1, 1, 0);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_CREATE, {1, 70, 73}).status, NPU_ADMIN_OK);
  Rig::Answer info = rig.Command(NPU_ADMIN_QUEUE_INFO, {1});
  assert_true(info.arg[2] == 70 && info.arg[3] == 73);
  assert_int_equal(info.arg[1], NPU_SLOT_RUNNING);
  // A ring of 2^n packets holds no more than that, and an index never goes back.
  const uint64_t ring = uint64_t{1} << rig.queue(1)->ring_log2;
  rig.DescribeQueue(2, 1, 1, 0);
  for (const uint64_t wptr : {uint64_t{70} + ring + 1, uint64_t{69}}) {
    const Rig::Answer bad = rig.Command(NPU_ADMIN_QUEUE_CREATE, {2, 70, wptr});
    assert_int_equal(bad.status, NPU_ADMIN_EINVAL);
    assert_int_equal(bad.detail, 2);
  }
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_INFO, {2}).status, NPU_ADMIN_ENOENT);
  // With all slots taken it gets one in turn, although nobody rings.
  for (uint32_t q = 10; q < 10 + NPU_MAX_SLOTS; ++q) rig.CreateHeld(q);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_CREATE, {2, 70, 70 + ring}).status, NPU_ADMIN_OK);
  assert_true(rig.device.WaitFor([&] {
    const FakeDevice::Queue& q = rig.device.queues[2];
    return q.slot < 0 && q.maps > 0 && q.rptr == 70 + ring;
  }));
  // A queue of that number that is made anew starts at 0.
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_DESTROY, {2}).status, NPU_ADMIN_OK);
  rig.CreateQueue(2);
  info = rig.Command(NPU_ADMIN_QUEUE_INFO, {2});
  assert_true(info.arg[2] == 0 && info.arg[3] == 0);
}

void SuspendModes(void**) {
  Booted rig;
  rig.device.With([&] { rig.device.slow_unmap = true; });
  rig.CreateHeld(1);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_SUSPEND, {1, 2}).status, NPU_ADMIN_EINVAL);
  for (const uint64_t mode : {NPU_SUSPEND_BLOCK, NPU_SUSPEND_PACKET}) {
    rig.SuspendWhileRunning(1, mode);
    const Rig::Answer at = rig.Command(NPU_ADMIN_QUEUE_INFO, {1});
    assert_int_equal(at.arg[0], 0);
    rig.device.Ring(1, 1001 + mode);  // heard, but not acted upon
    // Suspending it again is nothing new.
    assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_SUSPEND, {1, mode}).status, NPU_ADMIN_OK);
    assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_INFO, {1}).arg[0], 0);
    assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_RESUME, {1, 3}).status, NPU_ADMIN_EINVAL);
    assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_RESUME, {1, NPU_RESUME_CONTINUE}).status, NPU_ADMIN_OK);
    rig.WaitState(1, NPU_SLOT_RUNNING);
    const Rig::Answer on = rig.Command(NPU_ADMIN_QUEUE_INFO, {1});
    assert_true(on.arg[2] == at.arg[2] && on.arg[3] == 1001 + mode);
    assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_RESUME, {1, NPU_RESUME_CONTINUE}).status, NPU_ADMIN_EINVAL);
  }
}

// A queue that was turned out of its slot inside a launch gets a slot again to come to the end of the packet.
void SuspendPacketOfPartial(void**) {
  Booted rig;
  rig.CreateHeld(1);
  rig.device.With([&] { rig.device.partial = true; });
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_SUSPEND, {1, NPU_SUSPEND_BLOCK}).status, NPU_ADMIN_OK);
  for (int attempt = 0; attempt < 50; ++attempt) {
    const uint32_t seq = rig.Send(NPU_ADMIN_QUEUE_SUSPEND, {1, NPU_SUSPEND_PACKET});
    rig.WaitState(1, NPU_SLOT_DRAINING);
    rig.device.FinishPackets(1, 1);
    if (rig.Receive(seq).status == NPU_ADMIN_OK) break;
    assert_true(attempt < 49);
  }
  rig.device.With([&] { assert_int_equal(rig.State(1), NPU_SLOT_EMPTY); });
  const int maps = rig.device.queues[1].maps;
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_SUSPEND, {1, NPU_SUSPEND_PACKET}).status, NPU_ADMIN_OK);
  rig.device.With([&] { assert_int_equal(rig.device.queues[1].maps, maps); });
}

// A queue that does not come to the point in time goes on, and can be suspended later.
void SuspendLimit(void**) {
  Booted rig;
  rig.CreateHeld(1);
  const auto start = std::chrono::steady_clock::now();
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_SUSPEND, {1, NPU_SUSPEND_PACKET}).status, NPU_ADMIN_EIO);
  assert_true(std::chrono::steady_clock::now() - start >= std::chrono::nanoseconds(NPU_SUSPEND_LIMIT_NS));
  rig.WaitState(1, NPU_SLOT_RUNNING);
  rig.device.With([&] { assert_true(rig.device.health != NPU_HEALTH_RESET_REQUIRED); });
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_RESUME, {1, NPU_RESUME_CONTINUE}).status, NPU_ADMIN_EINVAL);
  rig.SuspendWhileRunning(1, NPU_SUSPEND_PACKET);
}

// A queue that faults on its way out is suspended and faulted: only a resume that deals with the fault sets it going.
void SuspendOfFaulted(void**) {
  Booted rig;
  rig.device.SetBehaviour(1, Behaviour::kFault);
  rig.CreateQueue(1);
  rig.device.Ring(1, 5);
  rig.NextEvent(NPU_FW_EVENT_QUEUE_FAULT);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_SUSPEND, {1, NPU_SUSPEND_PACKET}).status, NPU_ADMIN_OK);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_RESUME, {1, NPU_RESUME_CONTINUE}).status, NPU_ADMIN_EINVAL);
  rig.device.With([&] { rig.device.queues[1].behaviour = Behaviour::kHold; });
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_RESUME, {1, NPU_RESUME_SKIP}).status, NPU_ADMIN_OK);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_INFO, {1}).arg[2], 1);
}

// A kill that does not end the packet is followed by a reset of the cores that hold it.
void LadderCoreReset(void**) {
  Booted rig;
  rig.device.With([&] {
    rig.device.deaf = true;
    rig.device.stuck = 0x6;
  });
  rig.CreateHeld(7, 50 * kMs);
  const Rig::Answer reset = rig.NextEvent(NPU_FW_EVENT_CORE_RESET);
  assert_true(reset.arg[1] == 0x6 && reset.arg[2] == 7);
  assert_true(rig.device.WaitFor([&] { return rig.LogContains("queue 7 of context 1 stopped"); }));
  rig.WaitState(7, NPU_SLOT_FAULTED);
  rig.device.With([&] {
    assert_int_equal(rig.device.core_resets, 1);
    assert_true(rig.device.health != NPU_HEALTH_RESET_REQUIRED);
    rig.device.deaf = false;
    rig.device.queues[7].behaviour = Behaviour::kHold;
  });
  // The slot is as good as before.
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_RESUME, {7, NPU_RESUME_SKIP}).status, NPU_ADMIN_OK);
  rig.NextEvent(NPU_FW_EVENT_QUEUE_HANG);
}

// Cores that do not come back: the host is told that the device needs a reset.
void LadderDeviceHang(void**) {
  Booted rig;
  rig.device.With([&] {
    rig.device.deaf = true;
    rig.device.stuck = 0x3;
    rig.device.hung = 0x1;
  });
  rig.CreateHeld(7, 50 * kMs);
  const Rig::Answer reset = rig.NextEvent(NPU_FW_EVENT_CORE_RESET);
  assert_true(reset.arg[1] == 0x3);
  const Rig::Answer hang = rig.NextEvent(NPU_FW_EVENT_DEVICE_HANG);
  assert_true(hang.arg[1] == 0x1 && hang.arg[2] == 7);
  rig.device.With([&] { assert_int_equal(rig.device.health, NPU_HEALTH_RESET_REQUIRED); });
}

void CoreResetCommand(void**) {
  Booted rig;
  assert_int_equal(rig.Command(NPU_ADMIN_CORE_RESET, {0}).status, NPU_ADMIN_EINVAL);
  assert_int_equal(rig.Command(NPU_ADMIN_CORE_RESET, {0x10}).status, NPU_ADMIN_EINVAL);  // four cores
  rig.device.With([&] { assert_int_equal(rig.device.core_resets, 0); });
  Rig::Answer answer = rig.Command(NPU_ADMIN_CORE_RESET, {0xf});
  assert_int_equal(answer.status, NPU_ADMIN_OK);
  assert_int_equal(answer.arg[0], 0xf);
  // One of them does not come back; the others are reported when the time is over.
  rig.device.With([&] { rig.device.stuck = rig.device.hung = 0x4; });
  answer = rig.Command(NPU_ADMIN_CORE_RESET, {0xf});
  assert_int_equal(answer.status, NPU_ADMIN_OK);
  assert_int_equal(answer.arg[0], 0xb);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(StartIndices),     cmocka_unit_test(SuspendModes),     cmocka_unit_test(SuspendPacketOfPartial),
      cmocka_unit_test(SuspendLimit),     cmocka_unit_test(SuspendOfFaulted), cmocka_unit_test(LadderCoreReset),
      cmocka_unit_test(LadderDeviceHang), cmocka_unit_test(CoreResetCommand),
  };
  return cmocka_run_group_tests_name("mgmt.recovery", tests, nullptr, nullptr);
}
