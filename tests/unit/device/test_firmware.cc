// SPDX-License-Identifier: Apache-2.0
//
// The device with the real control firmware: load, mailbox, many queues, faults, hangs, crash, reset.
#include "firmware_host.h"

namespace {

void ManyQueues(void** state) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  h.CreateContext(2);
  constexpr uint32_t kQueues = 60;
  for (uint32_t q = 0; q < kQueues; ++q) h.CreateQueue(q, 1 + q % 2);
  assert_int_equal(h.Get(NPU_REG_ACTIVE_QUEUES), kQueues);
  constexpr uint32_t kRounds = rig::kSanitized ? 20 : 100;
  for (uint32_t round = 1; round <= kRounds; ++round)
    for (uint32_t q = 0; q < kQueues; ++q) {
      h.Push(q, rig::Launch(rig::kNull, 0, 1 + q % 5));
      h.Submit(q, Signal(Dev(kFence + q * 8), round));
    }
  for (uint32_t q = 0; q < kQueues; ++q) {
    assert_true(h.Done(q));
    assert_true(h.Load(kFence + q * 8) == kRounds);
    assert_int_equal(h.QueueState(q), NPU_QUEUE_OK);
  }
  // Queues that wait for one that has no slot yet: 40 waiters on 16 slots.
  for (uint32_t q = 0; q < 40; ++q) {
    h.Push(q, rig::Wait(Dev(kFence + 0x800), 1));
    h.Submit(q, Signal(Dev(kFence + q * 8), 200));
  }
  h.Submit(50, Signal(Dev(kFence + 0x800), 1));
  for (uint32_t q = 0; q < 40; ++q) {
    assert_true(h.Done(q));
    assert_true(h.Load(kFence + q * 8) == 200);
  }
  for (uint32_t q = 0; q < kQueues; ++q) assert_int_equal(h.Admin(NPU_ADMIN_QUEUE_DESTROY, q), NPU_ADMIN_OK);
  assert_int_equal(h.Admin(NPU_ADMIN_CTX_DESTROY, 1), NPU_ADMIN_OK);
  assert_int_equal(h.Admin(NPU_ADMIN_CTX_DESTROY, 2), NPU_ADMIN_OK);
  assert_int_equal(h.Get(NPU_REG_ACTIVE_QUEUES), 0);
}

void FaultAndResume(void** state) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  h.CreateQueue(3, 1);
  for (uint32_t round = 0; round < 5; ++round) {
    h.Push(3, Signal(0, 1));
    h.Submit(3, Signal(Dev(kFence), round + 1));
    assert_true(h.Faulted(3));
    assert_int_equal(h.Fault(1, round).kind, NPU_FAULT_NULL);
    assert_true(h.Until([&] {
      h.Admin(NPU_ADMIN_GET_EVENT);
      return h.mbox().arg[0] == NPU_FW_EVENT_QUEUE_FAULT;
    }));
    assert_true(h.mbox().arg[1] == 3 && h.mbox().arg[2] == NPU_FAULT_NULL);
    assert_int_equal(h.Admin(NPU_ADMIN_QUEUE_RESUME, 3, round % 2 ? NPU_RESUME_FLUSH : NPU_RESUME_SKIP), NPU_ADMIN_OK);
    assert_true(h.Done(3));
    assert_true(h.Until([&] { return h.QueueState(3) == NPU_QUEUE_OK; }));
    assert_true(h.Load(kFence) == (round % 2 ? round : round + 1));
  }
}

void Hang(void** state) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  h.CreateQueue(0, 1, 30000000);
  h.CreateQueue(1, 1);
  h.Submit(0, rig::Launch(rig::kSpin, 0, 4));
  h.Submit(1, rig::Copy(Dev(0x2000000), Dev(0x1800000), 4 << 20));
  assert_true(h.Done(1));
  assert_true(h.Faulted(0));
  npu_fault_record f = h.Fault(1, 0);
  assert_int_equal(f.kind, NPU_FAULT_TIMEOUT);
  assert_int_equal(f.packet_type, NPU_PKT_LAUNCH);
  assert_true(NPU_PTR_VA(f.pc) == rig::kVram + rig::kCode + rig::kSpin);
  h.Submit(1, rig::Launch(rig::kNull, 0, 8));
  assert_true(h.Done(1));
  // Destroyed while it hangs again.
  h.Resume(0, NPU_RESUME_SKIP);
  h.Submit(0, rig::Launch(rig::kSpin, 0, 4));
  assert_int_equal(h.Admin(NPU_ADMIN_QUEUE_DESTROY, 0), NPU_ADMIN_OK);
  h.Submit(1, rig::Launch(rig::kNull, 0, 8));
  assert_true(h.Done(1));
}

// A launch that waits for the cores of a hanging one outlives it, although its own limit is the shorter one.
void InnocentOfAHang(void** state) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  h.CreateQueue(0, 1, 10000000);
  h.CreateQueue(1, 1, 60000000);
  h.Submit(1, rig::Launch(rig::kSpin, 0, 4));
  assert_true(h.Until([&] { return h.Get(NPU_CORE_OFFSET + NPU_CORE_QUEUE) == 1 + 1; }));
  h.Submit(0, rig::Launch(rig::kNull, 0, 8));
  assert_true(h.Faulted(1));
  assert_int_equal(h.Fault(1, 0).kind, NPU_FAULT_TIMEOUT);
  assert_int_equal(h.Fault(1, 0).queue, 1);
  assert_true(h.Done(0));
  assert_int_equal(h.QueueState(0), NPU_QUEUE_OK);
}

void CrashAndReload(void** state) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  h.CreateQueue(0, 1);
  h.Set(NPU_REG_EVENT_MASK, NPU_EVENT_FW_STATE);
  h.Set(NPU_REG_INJ_KIND, NPU_INJ_FW_CRASH);
  h.Set(NPU_REG_INJ_CTRL, 1);
  assert_int_equal(h.Get(NPU_REG_INJ_STATUS), 0);
  assert_true(h.Until([&] { return h.Get(NPU_REG_FW_STATE) == NPU_FW_STATE_CRASHED; }));
  assert_true(h.Until([&] { return h.irqs(NPU_IRQ_ADMIN) > 0; }));
  h.device().Reset(NPU_MODEL_RESET_FLR);
  assert_int_equal(h.Get(NPU_REG_FW_STATE), NPU_FW_STATE_OFF);
  h.Forget();
  h.Boot();
  h.CreateContext(1);
  h.CreateQueue(0, 1);
  h.Submit(0, Signal(Dev(kFence), 9));
  assert_true(h.Done(0));
  assert_true(h.Load(kFence) == 9);
}

void PauseWithFirmware(void** state) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  for (uint32_t q = 0; q < 30; ++q) h.CreateQueue(q, 1);
  for (uint32_t round = 1; round <= 20; ++round) {
    for (uint32_t q = 0; q < 30; ++q) h.Submit(q, Signal(Dev(kFence + q * 8), round));
    h.device().Pause();
    uint64_t ops = h.dma_ops(), heartbeat = h.Get(NPU_REG_FW_HEARTBEAT);
    h.Submit(0, Signal(Dev(kFence), 1000 + round));
    assert_true(h.dma_ops() == ops && h.Get(NPU_REG_FW_HEARTBEAT) == heartbeat);
    h.device().Resume();
    for (uint32_t q = 0; q < 30; ++q) assert_true(h.Done(q));
    assert_true(h.Load(kFence) == 1000 + round);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {NPU_CASE(ManyQueues),      NPU_CASE(FaultAndResume), NPU_CASE(Hang),
                              NPU_CASE(InnocentOfAHang), NPU_CASE(CrashAndReload), NPU_CASE(PauseWithFirmware)};
  return cmocka_run_group_tests_name("device.firmware", tests, nullptr, nullptr);
}
