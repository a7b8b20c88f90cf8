// SPDX-License-Identifier: Apache-2.0
//
// The device with the real control firmware: queues that go on after a reset, suspension, and the ladder of recovery.
#include "firmware_host.h"

namespace {

constexpr uint64_t kArgs = rig::kData + 0x100;

// A hang that a kill ends, one that needs its core reset, one that needs the device reset.
void Ladder(void** state) {
  Host h(state);
  for (uint64_t level = 0; level < 3; ++level) {
    h.Boot();
    h.CreateContext(1);
    h.CreateQueue(0, 1, 20000000);
    h.CreateQueue(1, 1);
    assert_int_equal(h.Inject(NPU_INJ_HANG, 1, level), 0);
    h.Submit(0, rig::Launch(rig::kNull, 0, 4));
    if (level == 2) {
      h.NextEvent(NPU_FW_EVENT_CORE_RESET);
      const uint64_t cores = h.mbox().arg[1];
      assert_true(cores != 0 && (cores & (cores - 1)) == 0 && h.mbox().arg[2] == 0);
      h.NextEvent(NPU_FW_EVENT_DEVICE_HANG);
      assert_true(h.mbox().arg[1] == cores && h.mbox().arg[2] == 0);
      assert_int_equal(h.Get(NPU_REG_HEALTH), NPU_HEALTH_RESET_REQUIRED);
      // Nothing else helps; the command comes back all the same.
      assert_int_equal(h.Admin(NPU_ADMIN_CORE_RESET, 0xf), NPU_ADMIN_OK);
      assert_true(h.mbox().arg[0] == (0xf & ~cores));
      h.Set(NPU_REG_CTRL, NPU_CTRL_RESET);
      assert_true(h.Until([&] { return h.Get(NPU_REG_MAGIC) == NPU_MAGIC; }));
    } else {
      assert_true(h.Faulted(0));
      assert_int_equal(h.Fault(1, 0).kind, NPU_FAULT_TIMEOUT);
      if (level == 1) {
        h.NextEvent(NPU_FW_EVENT_CORE_RESET);
        assert_true(h.mbox().arg[1] != 0 && h.mbox().arg[2] == 0);
      } else {
        h.NextEvent(NPU_FW_EVENT_QUEUE_HANG);
      }
      assert_int_equal(h.Get(NPU_REG_HEALTH), NPU_HEALTH_OK);
      assert_int_equal(h.Admin(NPU_ADMIN_QUEUE_RESUME, 0, NPU_RESUME_SKIP), NPU_ADMIN_OK);
      for (uint32_t q = 0; q < 2; ++q) {
        h.Submit(q, rig::Launch(rig::kNull, 0, 8));
        assert_true(h.Done(q));
      }
      h.device().Reset(NPU_MODEL_RESET_FLR);
    }
    h.Forget();
    memset(h.host(), 0, rig::kHost);
  }
  h.Boot();
  assert_int_equal(h.Get(NPU_REG_HEALTH), NPU_HEALTH_OK);
}

// A firmware that is loaded after a crash frees a core that only its reset frees.
void ReloadWithStuckCore(void** state) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  h.CreateQueue(0, 1);
  assert_int_equal(h.Inject(NPU_INJ_HANG, 1, 1), 0);
  h.Submit(0, rig::Launch(rig::kNull, 0, 4));
  assert_true(h.Until([&] { return h.Get(NPU_REG_INJ_DONE, 8) == 1; }));
  assert_int_equal(h.Inject(NPU_INJ_FW_CRASH, 1, 0), 0);
  assert_true(h.Until([&] { return h.Get(NPU_REG_FW_STATE) == NPU_FW_STATE_CRASHED; }));
  h.Boot();
  h.CreateContext(1);
  h.Forget();
  h.CreateQueue(2, 1);
  h.Submit(2, rig::Launch(rig::kNull, 0, 8));
  assert_true(h.Done(2));
}

void CoreResetCommand(void** state) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  h.CreateQueue(0, 1);
  h.CreateQueue(1, 1);
  h.Submit(0, rig::Launch(rig::kSpin, 0, 4));
  assert_true(h.Until([&] { return h.Get(NPU_CORE_OFFSET + NPU_CORE_QUEUE) == 1; }));
  assert_int_equal(h.Admin(NPU_ADMIN_CORE_RESET, 0x10), NPU_ADMIN_EINVAL);
  assert_int_equal(h.Admin(NPU_ADMIN_CORE_RESET, 0x1), NPU_ADMIN_OK);
  assert_true(h.mbox().arg[0] == 0x1);
  assert_true(h.Faulted(0));
  assert_int_equal(h.Fault(1, 0).kind, NPU_FAULT_RESET);
  h.NextEvent(NPU_FW_EVENT_QUEUE_FAULT);
  assert_true(h.mbox().arg[1] == 0 && h.mbox().arg[2] == NPU_FAULT_RESET);
  assert_int_equal(h.QueueState(1), NPU_QUEUE_OK);
  h.Submit(1, rig::Launch(rig::kNull, 0, 8));
  assert_true(h.Done(1));
}

// Queues are suspended at a packet, the device is reset, and they go on as if nothing had been: every packet runs once,
// in order.  Launches in between are whole, because memory and indices are all there is to save.
void SuspendResetGoOn(void** state) {
  Host h(state);
  constexpr uint32_t kQueues = 20, kPackets = 120;
  h.Store(kArgs, 2000);
  h.Boot();
  h.CreateContext(1);
  for (uint32_t q = 0; q < kQueues; ++q) h.CreateQueue(q, 1);
  for (uint32_t i = 0; i < kPackets; i += 2)
    for (uint32_t q = 0; q < kQueues; ++q) {
      h.Push(q, rig::Launch(rig::kLoop, Dev(kArgs), 7));
      h.Submit(q, Signal(Dev(kFence + q * 8), i + 2));
    }
  uint64_t rptr[kQueues], wptr[kQueues];
  for (uint32_t q = 0; q < kQueues; ++q) {
    // A host that is too slow is answered EIO, and asks again.
    assert_true(h.Until([&] { return h.Admin(NPU_ADMIN_QUEUE_SUSPEND, q, NPU_SUSPEND_PACKET) == NPU_ADMIN_OK; }));
    rptr[q] = h.Rptr(q);
    wptr[q] = h.Get(NPU_DOORBELL_OFFSET + q * NPU_DOORBELL_STRIDE, 8);
    assert_true(wptr[q] == kPackets);
    assert_true(h.Load(kFence + q * 8) == rptr[q] / 2 * 2);
  }
  h.device().Reset(NPU_MODEL_RESET_FLR);
  h.Boot();
  h.CreateContext(1);
  uint64_t launches[kQueues];
  for (uint32_t q = 0; q < kQueues; ++q) {
    launches[q] = kPackets / 2 - (rptr[q] + 1) / 2;
    h.WriteQueue(q, 1);
    assert_int_equal(h.Admin(NPU_ADMIN_QUEUE_CREATE, q, rptr[q], wptr[q]), NPU_ADMIN_OK);
  }
  for (uint32_t q = 0; q < kQueues; ++q) {
    assert_true(h.Done(q));
    assert_true(h.Load(kFence + q * 8) == kPackets);
    if (launches[q] != 0) assert_true(h.Status(q).counters.launches == launches[q]);
    h.Submit(q, Signal(Dev(kFence + q * 8), 1000));
    assert_true(h.Done(q));
  }
}

// Suspended at a block, a launch keeps its place; then suspended at a packet, it comes to its end first.
void SuspendAtBlock(void** state) {
  Host h(state, 1);
  h.Boot();
  h.CreateContext(1);
  h.CreateQueue(0, 1);
  const auto blocks = [&h] { return h.Get(NPU_CORE_OFFSET + NPU_CORE_BLOCKS, 8); };
  uint64_t done = 0;
  for (uint32_t attempt = 0;; ++attempt) {
    assert_true(attempt < 50);
    done = blocks();
    h.Store(kArgs, 0);
    h.Submit(0, rig::Launch(rig::kUntil, Dev(kArgs), 30));
    assert_true(h.Until([&] { return h.Get(NPU_CORE_OFFSET + NPU_CORE_QUEUE) == 1; }));
    h.Send(NPU_ADMIN_QUEUE_SUSPEND, 0, NPU_SUSPEND_BLOCK);
    assert_true(h.Until([&] { return h.Get(NPU_SLOT_OFFSET + NPU_SLOT_STATE) == NPU_SLOT_DRAINING; }));
    h.Store(kArgs, 1);
    if (h.Receive() == NPU_ADMIN_OK) break;
    assert_int_equal(h.status(), NPU_ADMIN_EIO);  // a host that is too slow; the queue goes on
    assert_true(h.Done(0));
  }
  const uint64_t rptr = h.Rptr(0);
  assert_true(rptr == h.wptr(0) - 1 && blocks() == done + 1);
  h.Ring(0);
  assert_int_equal(h.Admin(NPU_ADMIN_QUEUE_INFO, 0), NPU_ADMIN_OK);
  assert_true(h.mbox().arg[0] == 0 && blocks() == done + 1);
  assert_true(h.Until([&] { return h.Admin(NPU_ADMIN_QUEUE_SUSPEND, 0, NPU_SUSPEND_PACKET) == NPU_ADMIN_OK; }));
  assert_true(h.Rptr(0) == rptr + 1 && blocks() == done + 30);
  h.Submit(0, Signal(Dev(kFence), 1));
  assert_int_equal(h.Admin(NPU_ADMIN_QUEUE_INFO, 0), NPU_ADMIN_OK);
  assert_true(h.mbox().arg[0] == 0 && h.Load(kFence) == 0);
  assert_int_equal(h.Admin(NPU_ADMIN_QUEUE_RESUME, 0, NPU_RESUME_CONTINUE), NPU_ADMIN_OK);
  assert_true(h.Done(0));
  assert_true(h.Load(kFence) == 1 && blocks() == done + 30);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {NPU_CASE(Ladder), NPU_CASE(ReloadWithStuckCore), NPU_CASE(CoreResetCommand),
                              NPU_CASE(SuspendResetGoOn), NPU_CASE(SuspendAtBlock)};
  return cmocka_run_group_tests_name("device.ladder", tests, nullptr, nullptr);
}
