// SPDX-License-Identifier: Apache-2.0
//
// Pause, resume, reset and destruction with work in flight.
#include <thread>

#include "suite.h"

using rig::Dev;
using rig::Rig;
using rig::Signal;

namespace {

constexpr uint64_t kFence = rig::kData;

void Start(Rig& r) {
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  for (uint32_t q = 0; q < 4; ++q) {
    r.MakeQueue(q, 1);
    assert_int_equal(r.Map(q, q), NPU_ADMIN_OK);
  }
  r.Submit(0, rig::Launch(rig::kSpin, 0, 4));
  for (uint32_t i = 0; i < 40; ++i) r.Push(1, rig::Copy(Dev(0x2000000), Dev(0x1800000), 8 << 20));
  r.Ring(1);
  r.Submit(2, rig::Wait(Dev(kFence), 1));
}

void PauseAndResume(void** state) {
  Rig r(Threads(state));
  Start(r);
  assert_true(r.SlotIs(2, NPU_SLOT_WAITING));
  for (uint32_t i = 0; i < 20; ++i) {
    r.device().Pause();
    uint64_t ops = r.dma_ops(), rptr = r.Rptr(1);
    // Doorbells are latched.
    r.Submit(3, Signal(Dev(kFence + 8), i + 1));
    std::this_thread::yield();
    assert_true(r.dma_ops() == ops && r.Rptr(1) == rptr);
    assert_true(r.Load(kFence + 8) == i);
    r.device().Resume();
    assert_true(r.Done(3));
    assert_true(r.Load(kFence + 8) == i + 1);
  }
  assert_true(r.Done(1));
}

void CheckPowerOn(Rig& r) {
  assert_int_equal(r.Get(NPU_REG_MAGIC), NPU_MAGIC);
  assert_int_equal(r.Get(NPU_REG_EVENTS), 0);
  assert_int_equal(r.Get(NPU_REG_EVENT_MASK), 0);
  assert_true(r.Get(NPU_REG_CTX_TABLE, 8) == 0);
  assert_true(r.Get(NPU_REG_TIME_CYCLES, 8) == 0);
  assert_int_equal(r.Get(NPU_REG_TLB_REQ), 0);
  assert_int_equal(r.Get(NPU_REG_TLB_ACK), 0);
  for (uint32_t slot = 0; slot < NPU_MAX_SLOTS; ++slot)
    assert_int_equal(r.Get(NPU_SLOT_OFFSET + slot * NPU_SLOT_STRIDE + NPU_SLOT_STATE), NPU_SLOT_EMPTY);
  uint64_t ops = r.dma_ops();
  r.Ring(3);  // dead
  assert_int_equal(r.Mg(NPU_MG_DB_NEXT), 0);
  assert_true(r.dma_ops() == ops);
}

void ResetInTheMiddle(void** state) {
  Rig r(Threads(state));
  r.Store(0x1234560, 42);
  for (npu_model_reset kind : {NPU_MODEL_RESET_FLR, NPU_MODEL_RESET_FLR, NPU_MODEL_RESET_COLD}) {
    Start(r);
    assert_true(r.SlotIs(2, NPU_SLOT_WAITING));
    r.Set(NPU_REG_EVENT_MASK, 0xff);
    r.Set(NPU_REG_TLB_INV, 1);
    r.device().Reset(kind);
    uint64_t ops = r.dma_ops();
    CheckPowerOn(r);
    assert_true(r.dma_ops() == ops);
    assert_true(r.Load(0x1234560) == (kind == NPU_MODEL_RESET_COLD ? 0 : 42));
    if (kind == NPU_MODEL_RESET_COLD) break;
    r.Set(NPU_REG_CTX_TABLE, rig::kCtxTable, 8);
    r.Set(NPU_REG_QUEUE_TABLE, rig::kQueueTable, 8);
    r.Forget();
  }
}

void ResetRegister(void** state) {
  Rig r(Threads(state));
  Start(r);
  r.Set(NPU_REG_EVENT_MASK, NPU_EVENT_MBOX);
  r.Set(NPU_REG_CTRL, NPU_CTRL_RESET);
  assert_true(r.Until([&] { return r.Get(NPU_REG_MAGIC) == NPU_MAGIC; }));
  CheckPowerOn(r);
  // And it works as before.
  r.Forget();
  r.Set(NPU_REG_CTX_TABLE, rig::kCtxTable, 8);
  r.Set(NPU_REG_QUEUE_TABLE, rig::kQueueTable, 8);
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  r.MakeQueue(0, 1);
  assert_int_equal(r.Map(0, 0), NPU_ADMIN_OK);
  r.Push(0, rig::Launch(rig::kNull, 0, 9));
  r.Submit(0, Signal(Dev(kFence), 3));
  assert_true(r.Done(0));
  assert_true(r.Load(kFence) == 3);
}

// A reset that the register asked for does not come after the host's own.
void ResetOvertakesRegister(void** state) {
  Rig r(Threads(state));
  for (uint32_t i = 0; i < 200; ++i) {
    r.Set(NPU_REG_CTRL, NPU_CTRL_RESET);
    r.device().Reset(NPU_MODEL_RESET_FLR);
    assert_int_equal(r.Get(NPU_REG_MAGIC), NPU_MAGIC);
    r.Set(NPU_REG_CTX_TABLE, rig::kCtxTable, 8);
    std::this_thread::yield();
    assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
    assert_true(r.Get(NPU_REG_CTX_TABLE, 8) == rig::kCtxTable);
  }
}

void ResetWhilePaused(void** state) {
  Rig r(Threads(state));
  Start(r);
  r.device().Pause();
  r.device().Reset(NPU_MODEL_RESET_FLR);
  CheckPowerOn(r);
  r.device().Resume();
  CheckPowerOn(r);
}

void DestroyInTheMiddle(void** state) {
  for (uint32_t i = 0; i < 10; ++i) {
    Rig r(Threads(state));
    Start(r);
    if (i % 2) r.device().Pause();
  }
}

// A guest may write requests as fast as it likes while an engine is nowhere near a quiescent point: all are
// acknowledged in the end, none before.
void ManyInvalidations(void** state) {
  Rig r(Threads(state));
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  r.MakeQueue(0, 1);
  assert_int_equal(r.Map(0, 0), NPU_ADMIN_OK);
  assert_int_equal(r.Get(NPU_REG_TLB_ACK), 0);
  const uint64_t before = r.dma_ops();
  r.HoldDma(true);
  r.Submit(0, rig::Copy(rig::Hst(rig::kHostData), Dev(0x1800000), 4096));
  assert_true(r.Until([&] { return r.dma_ops() > before; }));
  constexpr uint32_t kRequests = 1000;
  for (uint32_t i = 0; i < kRequests; ++i) r.Set(NPU_REG_TLB_INV, i % 2 ? 1 : NPU_TLB_INV_ALL);
  assert_int_equal(r.Get(NPU_REG_TLB_REQ), kRequests);
  assert_int_equal(r.Get(NPU_REG_TLB_ACK), 0);
  r.HoldDma(false);
  assert_true(r.Until([&] { return r.Get(NPU_REG_TLB_ACK) == kRequests; }));
  assert_true(r.Done(0));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {NPU_CASE(PauseAndResume),   NPU_CASE(ResetInTheMiddle),
                              NPU_CASE(ResetRegister),    NPU_CASE(ResetOvertakesRegister),
                              NPU_CASE(ResetWhilePaused), NPU_CASE(DestroyInTheMiddle),
                              NPU_CASE(ManyInvalidations)};
  return cmocka_run_group_tests_name("device.reset", tests, nullptr, nullptr);
}
