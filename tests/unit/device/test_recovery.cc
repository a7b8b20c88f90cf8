// SPDX-License-Identifier: Apache-2.0
//
// What recovery is made of: write indices that survive, stops at a packet, resets of single cores, hangs of three
// kinds.
#include <cstring>

#include "suite.h"

using rig::Dev;
using rig::Rig;
using rig::Signal;
using rig::Wait;

namespace {

constexpr uint64_t kFence = rig::kData, kArgs = rig::kData + 0x100, kOut = rig::kData + 0x1000,
                   kBuffer = rig::kData + 0x8000;

uint64_t DoorbellAt(uint32_t queue) {
  return NPU_DOORBELL_OFFSET + uint64_t{queue} * NPU_DOORBELL_STRIDE + NPU_DB_WPTR;
}

void Inject(Rig& r, uint32_t kind, uint32_t count, uint64_t addr) {
  r.Set(NPU_REG_INJ_KIND, kind);
  r.Set(NPU_REG_INJ_COUNT, count);
  r.Set(NPU_REG_INJ_ADDR, addr, 8);
  r.Set(NPU_REG_INJ_CTRL, 1);
}

// A queue starts where the firmware says, and shows it; the host reads back what it rang.
void StartIndices(void** state) {
  Rig r(Threads(state));
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  constexpr uint64_t kAt = 0x1234567ff0ull;
  const uint64_t ring = 1ull << rig::kRingLog2;
  r.WriteQueue(5, 1);
  r.MgSet(NPU_MG_DB_QUEUE, 5);
  r.MgSet(NPU_MG_DB_CLEAR, 1);
  r.MgSet(NPU_MG_DB_WPTR, kAt + 2, 8);
  assert_true(r.Mg(NPU_MG_DB_WPTR, 8) == kAt + 2);
  for (uint64_t i = 0; i < 2; ++i) {
    const npu_packet packet = Signal(Dev(kFence + 8 * i), i + 1);
    memcpy(r.vram() + Rig::RingAt(5) + ((kAt + i) & (ring - 1)) * NPU_PACKET_BYTES, &packet, sizeof(packet));
  }
  assert_int_equal(r.Map(0, 5, kAt), NPU_ADMIN_OK);
  assert_true(r.Until([&] { return r.Rptr(5) == kAt + 2; }));
  assert_true(r.Load(kFence) == 1 && r.Load(kFence + 8) == 2);
  // Mapped, or heard by the host: not a moment to set it.
  const uint32_t errors = r.guest_errors();
  r.MgSet(NPU_MG_DB_WPTR, 7, 8);
  assert_int_equal(r.guest_errors(), errors + 1);
  r.MgSet(NPU_MG_DB_DEAD, 0);
  assert_true(r.Mg(NPU_MG_DB_WPTR, 8) == kAt + 2);
  // The host's view of the doorbell.
  assert_true(r.Get(DoorbellAt(5), 8) == kAt + 2);
  assert_int_equal(r.Get(DoorbellAt(5), 4), (kAt + 2) & 0xffffffff);
  assert_int_equal(r.Get(DoorbellAt(5) + 4, 4), kAt >> 32);
  assert_int_equal(r.guest_errors(), errors + 1);
  assert_true(r.Get(DoorbellAt(5) + 8, 8) == 0);         // the kick is write-only
  assert_true(r.Get(DoorbellAt(1023) + 0x800, 4) == 0);  // nothing there
  assert_true(r.Get(DoorbellAt(5) + 2, 2) == 0);         // nor in this size
  assert_int_equal(r.guest_errors(), errors + 4);
  // A ring of which nobody has taken notice yet is seen, too.
  r.MakeQueue(6, 1);
  r.Doorbell(6, 3);
  assert_true(r.Get(DoorbellAt(6), 8) == 3);
}

// Each move of the read index wakes whoever has armed the context's word, a resume's as well.
void RptrWakes(void** state) {
  Rig r(Threads(state));
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  r.MakeQueue(0, 1);
  assert_int_equal(r.Map(0, 0), NPU_ADMIN_OK);
  auto* arm =
      reinterpret_cast<uint32_t*>(r.vram() + rig::kCtxTable + sizeof(npu_ctx_desc) + offsetof(npu_ctx_desc, irq_arm));
  const uint32_t vector = NPU_IRQ_FENCE0 + 1;
  for (uint32_t i = 1; i <= 20; ++i) {
    __atomic_store_n(arm, 1, __ATOMIC_SEQ_CST);
    r.Submit(0, rig::Packet(NPU_PKT_NOP));
    assert_true(r.Until([&] { return r.irqs(vector) == i; }));
    assert_true(r.Rptr(0) == i && __atomic_load_n(arm, __ATOMIC_SEQ_CST) == 0);
  }
  r.Submit(0, rig::Packet(NPU_PKT_INVALID));
  assert_true(r.SlotIs(0, NPU_SLOT_FAULTED));
  const uint32_t before = r.irqs(vector);
  __atomic_store_n(arm, 1, __ATOMIC_SEQ_CST);
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_SKIP), NPU_ADMIN_OK);
  assert_true(r.Until([&] { return r.irqs(vector) == before + 1; }));
  assert_true(r.Rptr(0) == r.wptr(0));
}

// UNMAP keeps a launch's rest in the device; DRAIN comes to the end of the packet, and starts no other.
void DrainOfLaunch(void** state) {
  Rig r(Threads(state), 1);
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  r.MakeQueue(0, 1);
  assert_int_equal(r.Map(0, 0), NPU_ADMIN_OK);
  const auto blocks = [&r] { return r.Get(NPU_CORE_OFFSET + NPU_CORE_BLOCKS, 8); };
  for (const bool drain : {false, true}) {
    const uint64_t first = r.Rptr(0), done = blocks();
    r.Store(kArgs, 0);
    r.Store(kFence, 0);
    r.Push(0, rig::Launch(rig::kUntil, Dev(kArgs), 50));
    r.Submit(0, Signal(Dev(kFence), 1));
    assert_true(r.Until([&] { return r.Get(NPU_CORE_OFFSET + NPU_CORE_QUEUE) == 1; }));
    assert_int_equal(r.Command(0, drain ? NPU_MG_SLOT_CMD_DRAIN : NPU_MG_SLOT_CMD_UNMAP), NPU_ADMIN_OK);
    assert_int_equal(r.SlotGet(0, NPU_MG_SLOT_STATE), NPU_SLOT_DRAINING);
    r.Store(kArgs, 1);  // the first block ends
    assert_true(r.SlotIs(0, NPU_SLOT_EMPTY));
    assert_true(blocks() == done + (drain ? 50 : 1));
    assert_int_equal(r.SlotGet(0, NPU_MG_SLOT_PARTIAL), !drain);
    assert_true(r.SlotGet(0, NPU_MG_SLOT_RPTR, 8) == first + drain && r.Rptr(0) == first + drain);
    assert_true(r.Load(kFence) == 0);
    assert_int_equal(r.Map(0, 0, first + drain), NPU_ADMIN_OK);
    assert_true(r.Done(0));
    assert_true(r.Load(kFence) == 1 && blocks() == done + 50);
    assert_true(r.SlotIs(0, NPU_SLOT_IDLE));
  }
}

// The place in an indirect buffer is no part of the index: a drain comes to its end, whatever is in it.
void DrainOfIndirect(void** state) {
  Rig r(Threads(state));
  MapTwoQueues(r);
  npu_packet inner[4] = {Signal(Dev(kFence + 8), 1), Wait(Dev(kFence), 1), rig::Launch(rig::kNull, 0, 8),
                         Signal(Dev(kFence + 8), 2)};
  memcpy(r.vram() + kBuffer, inner, sizeof(inner));
  npu_packet indirect = rig::Packet(NPU_PKT_INDIRECT);
  indirect.u.indirect.addr = Dev(kBuffer);
  indirect.u.indirect.count = 4;
  r.Push(0, indirect);
  r.Submit(0, Signal(Dev(kFence + 16), 1));
  assert_true(r.SlotIs(0, NPU_SLOT_WAITING));
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_DRAIN), NPU_ADMIN_OK);
  assert_int_equal(r.SlotGet(0, NPU_MG_SLOT_STATE), NPU_SLOT_WAITING);  // a wait is no hang, drained or not
  r.Submit(1, Signal(Dev(kFence), 1));
  assert_true(r.SlotIs(0, NPU_SLOT_EMPTY));
  assert_true(r.SlotGet(0, NPU_MG_SLOT_RPTR, 8) == 1 && r.Rptr(0) == 1);
  assert_int_equal(r.SlotGet(0, NPU_MG_SLOT_PARTIAL), 0);
  assert_true(r.Load(kFence + 8) == 2 && r.Load(kFence + 16) == 0);
  // An unmap stops in the middle, and overrules a drain.
  assert_int_equal(r.Map(0, 0, 1), NPU_ADMIN_OK);
  assert_true(r.Done(0));
  r.Store(kFence, 0);
  r.Submit(0, indirect);
  assert_true(r.SlotIs(0, NPU_SLOT_WAITING));
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_DRAIN), NPU_ADMIN_OK);
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_UNMAP), NPU_ADMIN_OK);
  assert_true(r.SlotIs(0, NPU_SLOT_EMPTY));
  assert_true(r.SlotGet(0, NPU_MG_SLOT_RPTR, 8) == 2);
  assert_int_equal(r.SlotGet(0, NPU_MG_SLOT_PARTIAL), 1);
  r.Store(kFence, 1);
  assert_int_equal(r.Map(3, 0, 2), NPU_ADMIN_OK);
  assert_true(r.Done(0));
}

// A stream of short packets of every kind, drained again and again: nothing is lost, nothing runs twice.
void DrainStress(void** state) {
  Rig r(Threads(state));
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  r.MakeQueue(0, 1);
  uint64_t rptr = 0;
  uint32_t drains = 0;
  for (uint32_t round = 0; round < 60; ++round) {
    assert_int_equal(r.Map(round % 3, 0, rptr), NPU_ADMIN_OK);
    for (uint32_t i = 0; i < 20; ++i) {
      r.Push(0, rig::Copy(Dev(kOut + 0x10000), Dev(kOut), 4096));
      r.Push(0, rig::Launch(rig::kNull, 0, 1 + i % 6));
      r.Push(0, Signal(Dev(kFence), r.wptr(0) + 1));
    }
    r.Ring(0);
    assert_int_equal(r.Command(round % 3, NPU_MG_SLOT_CMD_DRAIN), NPU_ADMIN_OK);
    assert_true(r.SlotIs(round % 3, NPU_SLOT_EMPTY));
    const uint64_t at = r.SlotGet(round % 3, NPU_MG_SLOT_RPTR, 8);
    assert_true(at >= rptr && at <= r.wptr(0) && r.Rptr(0) == at);
    assert_true(r.Load(kFence) == at / 3 * 3);
    drains += at != r.wptr(0);
    rptr = at;
    // The ring has 256 places.
    if (r.wptr(0) - rptr > 120) {
      assert_int_equal(r.Map(0, 0, rptr), NPU_ADMIN_OK);
      assert_true(r.Done(0));
      assert_true(r.SlotIs(0, NPU_SLOT_IDLE));
      assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_UNMAP), NPU_ADMIN_OK);
      rptr = r.wptr(0);
    }
  }
  assert_true(drains > 0);
  assert_int_equal(r.Map(0, 0, rptr), NPU_ADMIN_OK);
  assert_true(r.Done(0));
  assert_true(r.Load(kFence) == r.wptr(0));
  uint64_t launches = r.Status(0).counters.launches;
  assert_true(launches == r.wptr(0) / 3);
}

// A core that is reset loses its block, and only the queue of that block hears of it.
void CoreReset(void** state) {
  Rig r(Threads(state));
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  for (uint32_t q = 0; q < 2; ++q) {
    r.MakeQueue(q, 1);
    assert_int_equal(r.Map(q, q), NPU_ADMIN_OK);
  }
  r.Submit(0, rig::Launch(rig::kSpin, 0, 2));  // cores 0 and 1
  assert_true(r.Until([&] { return r.Get(NPU_CORE_OFFSET + NPU_CORE_STRIDE + NPU_CORE_QUEUE) == 1; }));
  assert_true(r.Mg(NPU_MG_CORE_STUCK, 8) == 0);
  r.MgSet(NPU_MG_CORE_RESET, 0xc, 8);  // nobody's
  r.Submit(1, Signal(Dev(kFence), 1));
  assert_true(r.Done(1));
  assert_int_equal(r.SlotGet(0, NPU_MG_SLOT_STATE), NPU_SLOT_RUNNING);
  r.MgSet(NPU_MG_CORE_RESET, 0x2, 8);
  assert_true(r.SlotIs(0, NPU_SLOT_FAULTED));
  assert_int_equal(r.Fault(1, 0).kind, NPU_FAULT_RESET);
  assert_int_equal(r.SlotGet(0, NPU_MG_SLOT_FAULT), NPU_FAULT_RESET);
  assert_true(r.Until([&] { return r.Mg(NPU_MG_CORE_STUCK, 8) == 0; }));
  assert_int_equal(r.QueueState(1), NPU_QUEUE_OK);
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_SKIP), NPU_ADMIN_OK);
  r.Store(kArgs, Dev(kOut));
  r.Submit(0, rig::Launch(rig::kStore, Dev(kArgs), 8));
  assert_true(r.Done(0));
  for (uint32_t b = 0; b < 8; ++b) assert_true(r.Load(kOut + 8 * b) == b + 1);
}

// Hangs that end by a kill, by a reset of the core, by a reset of the device; other cores go on meanwhile.
void Hangs(void** state) {
  Rig r(Threads(state));
  for (uint64_t level = 0; level < 3; ++level) {
    assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
    for (uint32_t q = 0; q < 2; ++q) {
      r.MakeQueue(q, 1);
      assert_int_equal(r.Map(q, q), NPU_ADMIN_OK);
    }
    Inject(r, NPU_INJ_HANG, 1, level);
    assert_int_equal(r.Get(NPU_REG_INJ_STATUS), 0);
    r.Submit(0, rig::Launch(rig::kNull, 0, 8));
    const uint64_t core = level ? 1 : 0;  // cores that it holds
    assert_true(r.Until([&] { return r.Get(NPU_REG_INJ_DONE, 8) == 1; }));
    uint64_t held = 0;
    assert_true(r.Until([&] {
      held = 0;
      for (uint32_t i = 0; i < 4; ++i) held += r.Get(NPU_CORE_OFFSET + i * NPU_CORE_STRIDE + NPU_CORE_QUEUE) == 1;
      return held == core;
    }));
    assert_int_equal(r.SlotGet(0, NPU_MG_SLOT_STATE), NPU_SLOT_RUNNING);
    assert_int_equal(r.SlotGet(0, NPU_MG_SLOT_STARVED), 0);
    uint32_t stuck = 4;
    for (uint32_t i = 0; i < 4; ++i)
      if (r.Get(NPU_CORE_OFFSET + i * NPU_CORE_STRIDE + NPU_CORE_QUEUE) == 1) stuck = i;
    // What needs the core that is held waits, and is known to be innocent; the rest goes on.
    r.Submit(1, rig::Copy(Dev(kOut + 0x10000), Dev(kOut), 4096));
    assert_true(r.Done(1));
    r.Store(kArgs, Dev(kOut));
    r.Submit(1, rig::Launch(rig::kBarrier, Dev(kArgs), 4));
    if (level) {
      assert_true(r.Until([&] { return r.SlotGet(1, NPU_MG_SLOT_STARVED) == 1; }));
      assert_true(r.Rptr(1) == 1);
    } else {
      assert_true(r.Done(1));
    }
    r.SlotSet(0, NPU_MG_SLOT_KILL_KIND, NPU_FAULT_TIMEOUT);
    assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_KILL), NPU_ADMIN_OK);
    if (level) {
      assert_int_equal(r.SlotGet(0, NPU_MG_SLOT_STATE), NPU_SLOT_RUNNING);
      assert_true(r.Mg(NPU_MG_CORE_STUCK, 8) == 1ull << stuck);
      r.MgSet(NPU_MG_CORE_RESET, 1ull << stuck, 8);
    }
    if (level < 2) {
      assert_true(r.SlotIs(0, NPU_SLOT_FAULTED));
      const npu_fault_record fault = r.Fault(1, 0);
      assert_int_equal(fault.kind, NPU_FAULT_TIMEOUT);  // the reason of the kill, not of the reset
      if (level) assert_int_equal(fault.core, stuck);
      assert_true(r.Done(1));
      assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_SKIP), NPU_ADMIN_OK);
      r.Submit(0, rig::Launch(rig::kNull, 0, 8));
      assert_true(r.Done(0));
    } else {
      assert_int_equal(r.SlotGet(0, NPU_MG_SLOT_STATE), NPU_SLOT_RUNNING);
      assert_true(r.Mg(NPU_MG_CORE_STUCK, 8) == 1ull << stuck);
    }
    // A reset of the device ends them all.
    if (level == 1)
      r.device().Reset(NPU_MODEL_RESET_FLR);
    else
      r.Set(NPU_REG_CTRL, NPU_CTRL_RESET);
    assert_true(r.Until([&] { return r.Get(NPU_REG_MAGIC) == NPU_MAGIC; }));
    assert_true(r.Mg(NPU_MG_CORE_STUCK, 8) == 0);
    r.Set(NPU_REG_CTX_TABLE, rig::kCtxTable, 8);
    r.Set(NPU_REG_QUEUE_TABLE, rig::kQueueTable, 8);
    r.Forget();
    memset(r.host(), 0, rig::kHost);
  }
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  r.MakeQueue(0, 1);
  assert_int_equal(r.Map(0, 0), NPU_ADMIN_OK);
  r.Submit(0, rig::Launch(rig::kNull, 0, 8));
  assert_true(r.Done(0));
  // There is no fourth kind.
  Inject(r, NPU_INJ_HANG, 1, 3);
  assert_int_equal(r.Get(NPU_REG_INJ_STATUS), 22);
  r.Submit(0, rig::Launch(rig::kNull, 0, 8));
  assert_true(r.Done(0));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      NPU_CASE(StartIndices), NPU_CASE(RptrWakes), NPU_CASE(DrainOfLaunch), NPU_CASE(DrainOfIndirect),
      NPU_CASE(DrainStress),  NPU_CASE(CoreReset), NPU_CASE(Hangs)};
  return cmocka_run_group_tests_name("device.recovery", tests, nullptr, nullptr);
}
