// SPDX-License-Identifier: Apache-2.0
//
// What the firmware sees: contexts, queue descriptors, slot commands, doorbell and slot marks.
#include <cstring>

#include "suite.h"

using rig::Dev;
using rig::Rig;
using rig::Signal;
using rig::Wait;

namespace {

constexpr uint64_t kFence = rig::kData;

void Contexts(void** state) {
  Rig r(Threads(state));
  auto enable = [&r](uint32_t id) {
    r.MgSet(NPU_MG_CTX_ENABLE, id);
    return static_cast<uint32_t>(r.Mg(NPU_MG_CTX_RESULT));
  };
  auto refused = [&](auto change) {
    npu_ctx_desc desc;
    r.WriteContext(3, &desc);
    change(desc);
    memcpy(r.vram() + rig::kCtxTable + 3 * sizeof(desc), &desc, sizeof(desc));
    assert_int_equal(enable(3), NPU_ADMIN_EINVAL);
  };
  assert_int_equal(enable(0), NPU_ADMIN_ENOENT);
  assert_int_equal(enable(NPU_MAX_CONTEXTS), NPU_ADMIN_ENOENT);
  assert_int_equal(enable(9), NPU_ADMIN_EINVAL);  // all zeros
  refused([](npu_ctx_desc& d) { d.flags = 3; });
  refused([](npu_ctx_desc& d) { d.irq_vector = NPU_NUM_VECTORS; });
  refused([](npu_ctx_desc& d) { d.pt_root += 8; });
  refused([](npu_ctx_desc& d) { d.pt_root = rig::kMemory - 4096; });
  refused([](npu_ctx_desc& d) { d.pt_root = ~uint64_t{4095}; });
  refused([](npu_ctx_desc& d) { d.bounds_addr = rig::kMemory - 32; });
  refused([](npu_ctx_desc& d) { d.bounds_entries = 0xffffffff; });
  refused([](npu_ctx_desc& d) { d.fault_ring += 8; });
  refused([](npu_ctx_desc& d) { d.fault_entries = 9; });
  assert_int_equal(r.EnableContext(3), NPU_ADMIN_OK);
  assert_int_equal(enable(3), NPU_ADMIN_EEXIST);
  r.MakeQueue(1, 3);
  assert_int_equal(r.Map(0, 1), NPU_ADMIN_OK);
  r.MgSet(NPU_MG_CTX_DISABLE, 3);
  assert_int_equal(r.Mg(NPU_MG_CTX_RESULT), NPU_ADMIN_EBUSY);
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_UNMAP), NPU_ADMIN_OK);
  assert_true(r.SlotIs(0, NPU_SLOT_EMPTY));
  r.MgSet(NPU_MG_CTX_DISABLE, 3);
  assert_int_equal(r.Mg(NPU_MG_CTX_RESULT), NPU_ADMIN_OK);
  r.MgSet(NPU_MG_CTX_DISABLE, 3);
  assert_int_equal(r.Mg(NPU_MG_CTX_RESULT), NPU_ADMIN_ENOENT);
  assert_int_equal(r.Map(0, 1), NPU_ADMIN_ENOENT);
  // A table that does not lie in device memory.
  r.Set(NPU_REG_CTX_TABLE, rig::kMemory - 128, 8);
  assert_int_equal(enable(3), NPU_ADMIN_EINVAL);
  r.Set(NPU_REG_CTX_TABLE, ~uint64_t{7}, 8);
  assert_int_equal(enable(3), NPU_ADMIN_EINVAL);
}

void QueueDescriptors(void** state) {
  Rig r(Threads(state));
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  auto refused = [&r](auto change, uint32_t status = NPU_ADMIN_EINVAL) {
    r.WriteQueue(4, 1);
    npu_queue_desc desc;
    uint8_t* at = r.vram() + rig::kQueueTable + 4 * sizeof(desc);
    memcpy(&desc, at, sizeof(desc));
    change(desc);
    memcpy(at, &desc, sizeof(desc));
    assert_int_equal(r.Map(2, 4), status);
    assert_int_equal(r.SlotGet(2, NPU_MG_SLOT_STATE), NPU_SLOT_EMPTY);
  };
  refused([](npu_queue_desc& d) { d.flags = 0; });
  refused([](npu_queue_desc& d) { d.priority = 4; });
  refused([](npu_queue_desc& d) { d.ring_log2 = 3; });
  refused([](npu_queue_desc& d) { d.ring_log2 = 17; });
  refused([](npu_queue_desc& d) { d.ring_log2 = 0xffffffff; });
  refused([](npu_queue_desc& d) { d.ring_addr += 64; });
  refused([](npu_queue_desc& d) { d.ring_addr = rig::kMemory - 4096; });
  refused([](npu_queue_desc& d) { d.ring_addr = ~uint64_t{4095}; });
  refused([](npu_queue_desc& d) { d.status_addr = 0; });
  refused([](npu_queue_desc& d) { d.status_addr += 4; });
  refused([](npu_queue_desc& d) { d.status_addr = rig::kBus + 4096 - 128; });
  refused([](npu_queue_desc& d) { d.context = 0; }, NPU_ADMIN_ENOENT);
  refused([](npu_queue_desc& d) { d.context = 2; }, NPU_ADMIN_ENOENT);
  refused([](npu_queue_desc& d) { d.context = 0xffffffff; }, NPU_ADMIN_ENOENT);
  assert_int_equal(r.Map(2, NPU_MAX_QUEUES), NPU_ADMIN_ENOENT);
  r.WriteQueue(4, 1);
  assert_int_equal(r.Map(2, 4), NPU_ADMIN_OK);
  assert_int_equal(r.Map(3, 4), NPU_ADMIN_EBUSY);
  assert_int_equal(r.Map(2, 5), NPU_ADMIN_EBUSY);
  assert_int_equal(r.Command(3, NPU_MG_SLOT_CMD_UNMAP), NPU_ADMIN_ENOENT);
  assert_int_equal(r.Command(3, NPU_MG_SLOT_CMD_KILL), NPU_ADMIN_ENOENT);
  assert_int_equal(r.Command(2, NPU_MG_SLOT_CMD_SKIP), NPU_ADMIN_EINVAL);
  assert_int_equal(r.Command(2, 99), NPU_ADMIN_EINVAL);
  r.Set(NPU_REG_QUEUE_TABLE, rig::kMemory - 256, 8);
  assert_int_equal(r.Map(3, 1), NPU_ADMIN_EINVAL);
}

void DoorbellMarks(void** state) {
  Rig r(Threads(state));
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  r.MakeQueue(70, 1);
  r.MakeQueue(3, 1);
  assert_int_equal(r.Mg(NPU_MG_DB_NEXT), 0);
  r.Submit(70, Signal(Dev(kFence), 1));
  r.Submit(3, Signal(Dev(kFence), 1));
  assert_int_equal(r.Mg(NPU_MG_DB_NEXT), 4);
  assert_int_equal(r.Mg(NPU_MG_DB_NEXT), 71);
  assert_int_equal(r.Mg(NPU_MG_DB_NEXT), 0);
  r.MgSet(NPU_MG_DB_QUEUE, 70);
  assert_true(r.Mg(NPU_MG_DB_WPTR, 8) == 1);
  assert_int_equal(r.Map(7, 70), NPU_ADMIN_OK);
  assert_true(r.Done(70));
  assert_true(r.SlotIs(7, NPU_SLOT_IDLE));
  r.Submit(70, Signal(Dev(kFence), 2));
  assert_true(r.Done(70));
  assert_int_equal(r.Mg(NPU_MG_DB_NEXT), 0);  // it has a slot
  // Dead queues are not heard.
  r.MgSet(NPU_MG_DB_QUEUE, 3);
  r.MgSet(NPU_MG_DB_DEAD, 1);
  r.Ring(3);
  r.Kick(3);
  assert_int_equal(r.Mg(NPU_MG_DB_NEXT), 0);
  // Selecting a queue that the device does not have is harmless.
  r.MgSet(NPU_MG_DB_QUEUE, 5000);
  assert_true(r.Mg(NPU_MG_DB_WPTR, 8) == 0);
  r.MgSet(NPU_MG_DB_CLEAR, 1);
  r.MgSet(NPU_MG_DB_DEAD, 0);
}

void SlotMarks(void** state) {
  Rig r(Threads(state));
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  r.MakeQueue(0, 1);
  assert_int_equal(r.Map(4, 0), NPU_ADMIN_OK);
  r.Submit(0, rig::Packet(NPU_PKT_INVALID));
  assert_true(r.SlotIs(4, NPU_SLOT_FAULTED));
  assert_int_equal(r.Mg(NPU_MG_SLOT_NEXT), 5);
  assert_int_equal(r.Mg(NPU_MG_SLOT_NEXT), 0);
  assert_int_equal(r.Command(4, NPU_MG_SLOT_CMD_UNMAP), NPU_ADMIN_OK);
  assert_int_equal(r.Mg(NPU_MG_SLOT_NEXT), 5);
  assert_true(r.SlotGet(4, NPU_MG_SLOT_RPTR, 8) == 0 && r.SlotGet(4, NPU_MG_SLOT_WPTR, 8) == 1);
  assert_int_equal(r.SlotGet(4, NPU_MG_SLOT_QUEUE), 0);
  assert_int_equal(r.QueueState(0), NPU_QUEUE_FAULTED);
}

// Takes queue q, which stands at a wait packet in slot 0, out of it.  A slot that was just about to look again is
// announced as it leaves, so that its queue looks: then it does, and leaves once more.
void Park(Rig& r, uint32_t q) {
  for (;;) {
    assert_true(r.SlotIs(0, NPU_SLOT_WAITING));
    assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_UNMAP), NPU_ADMIN_OK);
    assert_true(r.SlotIs(0, NPU_SLOT_EMPTY));
    const uint64_t announced = r.Mg(NPU_MG_DB_NEXT);
    if (announced == 0) return;
    assert_int_equal(announced, q + 1);
    assert_int_equal(r.Map(0, q), NPU_ADMIN_OK);
  }
}

// A queue that loses its slot at a wait packet is announced when somebody signals.
void ParkedWaiter(void** state) {
  Rig r(Threads(state));
  MapTwoQueues(r);
  r.Push(0, Wait(Dev(kFence), 1));
  r.Submit(0, Signal(Dev(kFence + 8), 1));
  Park(r, 0);
  assert_int_equal(r.Mg(NPU_MG_DB_NEXT), 0);
  r.Submit(1, Signal(Dev(kFence), 1));
  assert_true(r.Until([&] { return r.Mg(NPU_MG_DB_NEXT) == 1; }));
  assert_int_equal(r.Map(2, 0), NPU_ADMIN_OK);
  assert_true(r.Done(0));
  assert_true(r.Load(kFence + 8) == 1);
}

void Kills(void** state) {
  Rig r(Threads(state));
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  r.MakeQueue(0, 1);
  assert_int_equal(r.Map(0, 0), NPU_ADMIN_OK);
  // At a wait packet, with a record.
  r.Push(0, Wait(Dev(kFence), 1));
  r.Submit(0, Signal(Dev(kFence + 8), 1));
  assert_true(r.SlotIs(0, NPU_SLOT_WAITING));
  r.SlotSet(0, NPU_MG_SLOT_KILL_KIND, NPU_FAULT_TIMEOUT);
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_KILL), NPU_ADMIN_OK);
  assert_true(r.SlotIs(0, NPU_SLOT_FAULTED));
  assert_int_equal(r.Fault(1, 0).kind, NPU_FAULT_TIMEOUT);
  assert_int_equal(r.Fault(1, 0).packet_type, NPU_PKT_WAIT);
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_SKIP), NPU_ADMIN_OK);
  assert_true(r.Done(0));
  assert_true(r.Load(kFence + 8) == 1);
  // In the middle of a long copy, without a record.
  r.SlotSet(0, NPU_MG_SLOT_KILL_KIND, NPU_FAULT_NONE);
  for (uint32_t i = 0; i < 50; ++i) r.Push(0, rig::Copy(Dev(0x2000000), Dev(0x1800000), 8 << 20));
  r.Ring(0);
  assert_true(r.SlotIs(0, NPU_SLOT_RUNNING));
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_KILL), NPU_ADMIN_OK);
  assert_true(r.SlotIs(0, NPU_SLOT_FAULTED));
  assert_true(r.Rptr(0) < r.wptr(0));
  assert_true(r.FaultRing(1).written == 1);
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_FLUSH), NPU_ADMIN_OK);
  assert_true(r.Done(0));
  // Idle: there is nothing to abort.
  assert_true(r.SlotIs(0, NPU_SLOT_IDLE));
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_KILL), NPU_ADMIN_ENOENT);
  assert_true(r.SlotIs(0, NPU_SLOT_IDLE));
  r.Submit(0, Signal(Dev(kFence), 5));
  assert_true(r.Done(0));
  assert_true(r.Load(kFence) == 5);
}

void Priorities(void** state) {
  Rig r(Threads(state), 1);
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  for (uint32_t q = 0; q < 3; ++q) {
    r.MakeQueue(q, 1, q);
    assert_int_equal(r.Map(q, q), NPU_ADMIN_OK);
    assert_int_equal(r.SlotGet(q, NPU_MG_SLOT_PRIORITY), q);
  }
  // The low queue has a long launch; the high ones pass it between its blocks.
  r.Store(rig::kData + 64, 2000000);
  r.Store(rig::kData + 72, 10);
  r.Submit(0, rig::Launch(rig::kLoop, Dev(rig::kData + 64), 20));
  r.Until([&] { return r.Get(NPU_CORE_OFFSET + NPU_CORE_QUEUE) == 1; });
  r.Submit(2, rig::Launch(rig::kLoop, Dev(rig::kData + 72), 40));
  r.Submit(1, rig::Launch(rig::kLoop, Dev(rig::kData + 72), 40));
  assert_true(r.Done(2));
  assert_true(r.Done(1));
  assert_true(r.Rptr(0) == 0);
  assert_true(r.Done(0));
}

// A queue has 20,000 blocks for the only core, one of low priority has a single block; then it copies what the last of
// the 20,000 stores.  On one thread one thing comes after the other, so the copy says who came first.
uint64_t LastBlockSeenByLow(uint32_t high_priority) {
  constexpr uint32_t kBlocks = 20000;
  constexpr uint64_t kArgs = rig::kData + 64, kOut = rig::kData + 0x10000, kSeen = rig::kData + 128;
  Rig r(1, 1);
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  r.MakeQueue(0, 1, 0);
  r.MakeQueue(1, 1, high_priority);
  r.Store(kArgs, Dev(kOut));
  r.Push(1, rig::Launch(rig::kStore, Dev(kArgs), kBlocks));
  r.Push(0, rig::Launch(rig::kNull, 0, 1));
  r.Push(0, rig::Copy(Dev(kSeen), Dev(kOut + 8 * (kBlocks - 1)), 8));
  r.device().Pause();
  assert_int_equal(r.Map(0, 0), NPU_ADMIN_OK);
  assert_int_equal(r.Map(1, 1), NPU_ADMIN_OK);
  r.Ring(0);
  r.Ring(1);
  r.device().Resume();
  assert_true(r.Done(0));
  assert_true(r.Done(1));
  assert_true(r.Load(kOut + 8 * (kBlocks - 1)) == kBlocks);
  return r.Load(kSeen);
}

// Priorities are strict, but who is passed over for long gets a turn; only the highest priority goes before everything.
void Starving(void**) {
  assert_true(LastBlockSeenByLow(1) == 0);
  assert_true(LastBlockSeenByLow(2) == 0);
  assert_true(LastBlockSeenByLow(3) == 20000);
}

// Of queues that lost their slots at wait packets, a signal announces those whose condition it makes true.
void ParkedAmongMany(void** state) {
  constexpr uint32_t kMany = 40;
  constexpr uint64_t kWords = kFence + 0x1000;
  Rig r(Threads(state));
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  for (uint32_t q = 0; q <= kMany; ++q) r.MakeQueue(q, 1);
  assert_int_equal(r.Map(1, kMany), NPU_ADMIN_OK);
  // Even ones wait in device memory, odd ones in host memory.
  const auto word = [](uint32_t q) { return q % 2 ? rig::Hst(rig::kHostData + 8 * q) : Dev(kWords + 8 * q); };
  for (uint32_t q = 0; q < kMany; ++q) {
    assert_int_equal(r.Map(0, q), NPU_ADMIN_OK);
    r.Submit(q, Wait(word(q), 2, q % 4 < 2 ? NPU_WAIT_GE : NPU_WAIT_EQ));
    Park(r, q);
  }
  const auto signal = [&](uint64_t address, uint64_t value) {
    r.Submit(kMany, Signal(address, value));
    assert_true(r.Done(kMany));
  };
  for (uint32_t q = 0; q < kMany; ++q) {
    signal(word(q), 1);
    assert_int_equal(r.Mg(NPU_MG_DB_NEXT), 0);
    signal(word(q), q % 8 < 4 ? 2 : 3);
    const bool holds = q % 8 < 4 || q % 4 < 2;
    if (holds) assert_true(r.Until([&] { return r.Mg(NPU_MG_DB_NEXT) == q + 1; }));
    assert_int_equal(r.Mg(NPU_MG_DB_NEXT), 0);
    if (holds) continue;
    // By a copy, which says nothing about what it stores.
    r.Store(kFence, 2);
    r.Submit(kMany, rig::Copy(word(q), Dev(kFence), 8));
    assert_true(r.Until([&] { return r.Mg(NPU_MG_DB_NEXT) == q + 1; }));
  }
}

// The word that a queue without slot waits for moves to another page, as buffers do.
void ParkedAndMoved(void** state) {
  constexpr uint64_t kOld = 0x1400000, kNew = 0x1600000;
  Rig r(Threads(state));
  MapTwoQueues(r);
  r.Submit(0, Wait(Dev(kOld), 1));
  Park(r, 0);
  // Now the address is that of kNew's page.
  uint64_t* entry = r.VramEntry(kOld);
  assert_true((*entry & NPU_PTE_ADDR_MASK) == kOld);
  __atomic_store_n(entry, *entry - kOld + kNew, __ATOMIC_SEQ_CST);
  r.Set(NPU_REG_TLB_INV, 1);
  assert_true(r.Until([&] { return r.Get(NPU_REG_TLB_ACK) == r.Get(NPU_REG_TLB_REQ); }));
  r.Submit(1, Signal(Dev(kOld), 1));
  assert_true(r.Done(1));
  assert_true(r.Load(kNew) == 1 && r.Load(kOld) == 0);
  // A change of the tables may wake the queue as well: it is asked to look, no more.
  assert_true(r.Until([&] { return r.Mg(NPU_MG_DB_NEXT) == 1; }));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {NPU_CASE(Contexts),        NPU_CASE(QueueDescriptors), NPU_CASE(DoorbellMarks),
                              NPU_CASE(SlotMarks),       NPU_CASE(ParkedWaiter),     NPU_CASE(Kills),
                              NPU_CASE(Priorities),      NPU_CASE(ParkedAmongMany),  NPU_CASE(ParkedAndMoved),
                              cmocka_unit_test(Starving)};
  return cmocka_run_group_tests_name("device.slots", tests, nullptr, nullptr);
}
