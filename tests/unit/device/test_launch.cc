// SPDX-License-Identifier: Apache-2.0
//
// Launches: blocks and counters, many launches at once, grid barriers, faults, preemption, kills, hangs.
#include "core/timing.h"
#include "suite.h"

using rig::Dev;
using rig::Launch;
using rig::Packet;
using rig::Rig;
using rig::Signal;
using rig::WithSignal;

namespace {

constexpr uint64_t kFence = rig::kData, kArgs = rig::kData + 0x1000, kOut = rig::kData + 0x10000;

struct Queues : Rig {
  Queues(void** state, uint32_t count) : Queues(Threads(state), count) {}
  Queues(uint32_t threads, uint32_t count) : Rig(threads) {
    assert_int_equal(EnableContext(1), NPU_ADMIN_OK);
    for (uint32_t i = 0; i < count; ++i) {
      MakeQueue(i, 1);
      assert_int_equal(Map(i, i), NPU_ADMIN_OK);
    }
  }
  // Arguments at a place of their own: those of a launch in flight must not be written.
  uint64_t Args(uint32_t index, uint64_t value) {
    Store(kArgs + index * 8, value);
    return Dev(kArgs + index * 8);
  }
};

void BlocksAndCounters(void** state) {
  Queues r(state, 1);
  npu_packet launch = Launch(rig::kStore, r.Args(0, Dev(kOut)), 37);
  r.Submit(0, WithSignal(launch, Dev(kFence), 1));
  assert_true(r.Done(0));
  assert_int_equal(r.QueueState(0), NPU_QUEUE_OK);
  for (uint32_t i = 0; i < 37; ++i) assert_true(r.Load(kOut + i * 8) == i + 1);
  assert_true(r.Load(kOut + 37 * 8) == 0);
  assert_true(r.Load(kFence) == 1);
  npu_counters c = r.Status(0).counters;
  assert_true(c.launches == 1 && c.blocks == 37 && c.instructions == 37 * 6);
  assert_true(c.core_cycles == c.cycles * 4);
  const npu::model::Timing& t = npu::model::kTiming;
  assert_true(c.cycles > t.launch_cycles + 10 * t.block_cycles);  // the busiest core has 10 blocks
  assert_true(r.Get(NPU_REG_TIME_CYCLES, 8) == c.cycles);
  uint64_t blocks = 0;
  for (uint32_t i = 0; i < 4; ++i) blocks += r.Get(NPU_CORE_OFFSET + i * NPU_CORE_STRIDE + NPU_CORE_BLOCKS, 8);
  assert_true(blocks == 37);
  assert_true(r.Get(NPU_CORE_OFFSET + NPU_CORE_BLOCKS, 8) == 10);
  assert_true(r.Mg(NPU_MG_SENSOR_BUSY, 8) > 0);
  assert_true(r.SlotGet(0, NPU_MG_SLOT_PROGRESS, 8) == 38);
}

// What a launch costs does not depend on threads or on what runs beside it.
npu_counters CountersOf(uint32_t threads, bool company) {
  Queues r(threads, 8);
  if (company)
    for (uint32_t q = 1; q < 8; ++q)
      for (uint32_t i = 0; i < 10; ++i) r.Submit(q, Launch(rig::kLoop, r.Args(32 + q * 10 + i, 20000 + 1000 * q), q));
  for (uint32_t i = 0; i < 20; ++i) {
    r.Push(0, Launch(rig::kStore, r.Args(200 + i, Dev(kOut)), 1 + i));
    r.Submit(0, Launch(rig::kLoop, r.Args(8 + i, 500 * i + 1), 3 + i % 7));
    r.Submit(0, rig::Copy(Dev(kOut + 0x100000), Dev(kOut), 1000 + i));
  }
  for (uint32_t q = 0; q < 8; ++q) assert_true(r.Done(q));
  return r.Status(0).counters;
}

void SameCountersAlways(void** state) {
  npu_counters alone = CountersOf(1, false), here = CountersOf(Threads(state), true);
  assert_memory_equal(&alone, &here, sizeof(alone));
  npu_counters three = CountersOf(3, true);
  assert_memory_equal(&alone, &three, sizeof(alone));
  assert_true(alone.launches == 40 && alone.instructions > 0);
}

void ManyQueues(void** state) {
  Queues r(state, 16);
  for (uint32_t i = 0; i < 50; ++i)
    for (uint32_t q = 0; q < 16; ++q) {
      r.Push(q, Launch(rig::kStore, r.Args(i * 16 + q, Dev(kOut + q * 0x1000)), 1 + (q + i) % 9));
      r.Submit(q, Signal(Dev(kFence + q * 8), i + 1));
    }
  for (uint32_t q = 0; q < 16; ++q) assert_true(r.Done(q));
  for (uint32_t q = 0; q < 16; ++q) {
    assert_true(r.Load(kFence + q * 8) == 50);
    assert_true(r.Status(q).counters.launches == 50);
    for (uint32_t b = 0; b < 9; ++b) assert_true(r.Load(kOut + q * 0x1000 + b * 8) == b + 1);
  }
}

// A long block holds one core for a while; a copy and a launch on the other queue go on beside it.
void NothingStarves(void** state) {
  Queues r(state, 3);
  r.Submit(0, Launch(rig::kSpin, 0, 4));
  assert_true(r.Until([&] { return r.Get(NPU_CORE_OFFSET + 3 * NPU_CORE_STRIDE + NPU_CORE_QUEUE) == 1; }));
  r.Push(1, rig::Copy(Dev(kOut + 0x400000), Dev(kOut), 5 << 20));
  r.Submit(1, Signal(Dev(kFence), 9));
  assert_true(r.Done(1));
  assert_true(r.Load(kFence) == 9);
  assert_true(r.Rptr(0) == 0);
  r.SlotSet(0, NPU_MG_SLOT_KILL_KIND, NPU_FAULT_TIMEOUT);
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_KILL), NPU_ADMIN_OK);
  assert_true(r.Faulted(0));
  npu_fault_record f = r.Fault(1, 0);
  assert_int_equal(f.kind, NPU_FAULT_TIMEOUT);
  assert_int_equal(f.packet_type, NPU_PKT_LAUNCH);
  assert_true(f.kernel == Dev(rig::kCode + rig::kSpin));
  // The cores are free again.
  r.Submit(2, Launch(rig::kNull, 0, 8));
  assert_true(r.Done(2));
}

void GridBarriers(void** state) {
  Queues r(state, 6);
  // Six gangs at once on four cores, of all sizes: none may hold what another waits for.
  for (uint32_t i = 0; i < 40; ++i)
    for (uint32_t q = 0; q < 6; ++q)
      r.Submit(q, Launch(rig::kBarrier, r.Args(i * 6 + q, Dev(kOut + q * 0x1000)), 1 + (q + i) % 4));
  for (uint32_t q = 0; q < 6; ++q) {
    assert_true(r.Done(q));
    assert_int_equal(r.QueueState(q), NPU_QUEUE_OK);
    for (uint32_t b = 0; b < 4; ++b) assert_true(r.Load(kOut + q * 0x1000 + b * 8) == b + 1);
  }
  // A block that stays away, and a grid that does not fit: deadlocks that are told.
  r.Submit(0, Launch(rig::kSome, 0, 4));
  assert_true(r.Faulted(0));
  assert_int_equal(r.Fault(1, 0).kind, NPU_FAULT_DEADLOCK);
  r.Submit(1, Launch(rig::kBarrier, r.Args(1, Dev(kOut)), 5));
  assert_true(r.Faulted(1));
  r.Submit(2, Launch(rig::kNull, 0, 9));
  assert_true(r.Done(2));
}

void Faults(void** state) {
  Queues r(state, 2);
  r.MakeQueue(7, 1);
  r.Set(NPU_REG_EVENT_MASK, NPU_EVENT_FAULT);
  r.Store(kOut, 1234);
  npu_packet wild = Launch(rig::kWild, r.Args(0, NPU_PTR(1, 2, rig::kVram + kOut)), 50);
  wild.tag = 0xbeef;
  r.Push(0, Signal(Dev(kFence + 8), 1));
  r.Push(0, WithSignal(wild, Dev(kFence), 1));
  r.Submit(0, Signal(Dev(kFence), 2));
  r.Submit(1, Launch(rig::kStore, r.Args(1, Dev(kOut + 0x1000)), 20));
  assert_true(r.Faulted(0));
  assert_true(r.Done(1));
  npu_fault_record f = r.Fault(1, 0);
  assert_int_equal(f.kind, NPU_FAULT_STALE);
  assert_int_equal(f.access, NPU_ACCESS_WRITE);
  assert_int_equal(f.engine, NPU_ENGINE_SCALAR);
  assert_true(f.seq == 1 && f.packet == 1 && f.time_ns > 0);
  assert_int_equal(f.queue, 0);
  assert_int_equal(f.context, 1);
  assert_int_equal(f.packet_tag, 0xbeef);
  assert_int_equal(f.packet_type, NPU_PKT_LAUNCH);
  assert_int_equal(f.block, 0);
  assert_int_equal(f.core, 0);
  assert_true(f.kernel == Dev(rig::kCode + rig::kWild));
  assert_true(f.addr == NPU_PTR(1, 2, rig::kVram + kOut));
  assert_true(r.Load(kOut) == 1234 && r.Load(kFence) == 0 && r.Load(kFence + 8) == 1);
  assert_true(r.Rptr(0) == 1);
  assert_true(r.SlotIs(0, NPU_SLOT_FAULTED));
  assert_int_equal(r.SlotGet(0, NPU_MG_SLOT_FAULT), NPU_FAULT_STALE);
  assert_int_equal(r.irqs(NPU_IRQ_ERROR), 1);
  assert_int_equal(r.irqs(NPU_IRQ_FENCE0 + 1), 1);  // sleepers on its fences learn of it
  assert_int_equal(r.Get(NPU_REG_EVENTS) & NPU_EVENT_FAULT, NPU_EVENT_FAULT);
  // The firmware may take the slot away and go on behind the packet later.
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_UNMAP), NPU_ADMIN_OK);
  assert_int_equal(r.Map(5, 0, 2), NPU_ADMIN_OK);
  assert_true(r.Done(0));
  assert_int_equal(r.QueueState(0), NPU_QUEUE_OK);
  assert_true(r.Load(kFence) == 2);
  // Entries that are no code, and a trap.
  npu_packet bad = Launch(rig::kNull, 0, 1);
  bad.u.launch.entry = Dev(rig::kMemory + 64);
  r.Submit(1, bad);
  assert_true(r.Faulted(1));
  r.SlotIs(1, NPU_SLOT_FAULTED);
  r.Command(1, NPU_MG_SLOT_CMD_SKIP);
  assert_true(r.Done(1));
  r.Submit(1, Launch(rig::kTrap, 0, 4));
  assert_true(r.Faulted(1));
  assert_int_equal(r.Fault(1, 2).kind, NPU_FAULT_TRAP);
}

// Unmapped in the middle, mapped elsewhere: every block runs once, and it costs what it costs undisturbed.
void Preemption(void** state) {
  Queues r(state, 1);
  r.Submit(0, Launch(rig::kLoop, r.Args(0, 40000), 64));
  assert_true(r.Done(0));
  npu_counters undisturbed = r.Status(0).counters;
  uint32_t slot = 0, cut = 0, rounds = 0;
  // On a busy machine a round may be over before it was cut.
  for (; rounds < 5 || (cut == 0 && rounds < 1000); ++rounds) {
    uint64_t rptr = r.Rptr(0);
    r.Submit(0, Launch(rig::kLoop, r.Args(0, 40000), 64));
    while (r.Rptr(0) == rptr) {
      uint64_t progress = r.SlotGet(slot, NPU_MG_SLOT_PROGRESS, 8);
      r.Until([&] { return r.SlotGet(slot, NPU_MG_SLOT_PROGRESS, 8) > progress + 10 || r.Rptr(0) != rptr; });
      assert_int_equal(r.Command(slot, NPU_MG_SLOT_CMD_UNMAP), NPU_ADMIN_OK);
      assert_true(r.SlotIs(slot, NPU_SLOT_EMPTY));
      cut += r.Rptr(0) == rptr;
      uint64_t stopped = r.SlotGet(slot, NPU_MG_SLOT_RPTR, 8);
      slot = (slot + 1) % NPU_MAX_SLOTS;
      assert_int_equal(r.Map(slot, 0, stopped), NPU_ADMIN_OK);
    }
  }
  assert_true(cut > 0);
  npu_counters c = r.Status(0).counters;
  assert_true(c.launches == rounds + 1 && c.blocks == (rounds + 1) * 64);
  assert_true(c.cycles == (rounds + 1) * undisturbed.cycles &&
              c.instructions == (rounds + 1) * undisturbed.instructions);
}

void InjectedHang(void** state) {
  Queues r(state, 2);
  r.Set(NPU_REG_INJ_KIND, NPU_INJ_HANG);
  r.Set(NPU_REG_INJ_COUNT, 1);
  r.Set(NPU_REG_INJ_CTRL, 1);
  r.Submit(0, Launch(rig::kNull, 0, 4));
  assert_true(r.Until([&] { return r.Get(NPU_REG_INJ_DONE, 8) == 1; }));
  r.Submit(1, Launch(rig::kNull, 0, 4));
  assert_true(r.Done(1));
  assert_int_equal(r.SlotGet(0, NPU_MG_SLOT_STATE), NPU_SLOT_RUNNING);
  assert_true(r.SlotGet(0, NPU_MG_SLOT_PROGRESS, 8) == 0);
  r.SlotSet(0, NPU_MG_SLOT_KILL_KIND, NPU_FAULT_TIMEOUT);
  r.Command(0, NPU_MG_SLOT_CMD_KILL);
  assert_true(r.Faulted(0));
  assert_int_equal(r.Status(0).error, NPU_FAULT_TIMEOUT);
  assert_true(r.SlotIs(0, NPU_SLOT_FAULTED));
  r.Command(0, NPU_MG_SLOT_CMD_SKIP);
  r.Submit(0, Launch(rig::kNull, 0, 4));
  assert_true(r.Done(0));
}

// Translations are given back while cores and copies are at work.
void Invalidations(void** state) {
  Queues r(state, 2);
  r.Set(NPU_REG_EVENT_MASK, NPU_EVENT_TLB_ACK);
  r.Set(NPU_REG_TLB_INV, 1);  // nobody is at work: at once
  assert_int_equal(r.Get(NPU_REG_TLB_ACK), 1);
  assert_int_equal(r.irqs(NPU_IRQ_ADMIN), 1);
  r.Submit(0, Launch(rig::kSpin, 0, 4));
  for (uint32_t i = 0; i < 100; ++i) {
    r.Submit(1, rig::Copy(Dev(kOut + 0x400000), Dev(kOut), 1 << 20));
    r.Set(NPU_REG_TLB_INV, i % 2 ? NPU_TLB_INV_ALL : 1);
    r.Set(NPU_REG_TLB_INV, 200);
    uint32_t requests = 1 + 2 * (i + 1);
    assert_int_equal(r.Get(NPU_REG_TLB_REQ), requests);
    assert_true(r.Until([&] { return r.Get(NPU_REG_TLB_ACK) == requests; }));
  }
  assert_true(r.Done(1));
  assert_true(r.irqs(NPU_IRQ_ADMIN) >= 2);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {NPU_CASE(BlocksAndCounters), NPU_CASE(SameCountersAlways), NPU_CASE(ManyQueues),
                              NPU_CASE(NothingStarves),    NPU_CASE(GridBarriers),       NPU_CASE(Faults),
                              NPU_CASE(Preemption),        NPU_CASE(InjectedHang),       NPU_CASE(Invalidations)};
  return cmocka_run_group_tests_name("device.launch", tests, nullptr, nullptr);
}
