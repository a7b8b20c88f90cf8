// SPDX-License-Identifier: Apache-2.0
//
// Packets but launches: order, signals, waits, copies, fills, indirect buffers, time, counters, every malformed one,
// and the interrupt protocol.
#include <cstring>
#include <functional>
#include <vector>

#include "core/timing.h"
#include "suite.h"

using rig::Copy;
using rig::Dev;
using rig::Hst;
using rig::Packet;
using rig::Rig;
using rig::Signal;
using rig::Wait;
using rig::WithSignal;

namespace {

constexpr uint64_t kFence = rig::kData, kArray = rig::kData + 0x10000;

// Context 1 with queue 5 in slot 0.
struct OneQueue : Rig {
  explicit OneQueue(void** state) : Rig(Threads(state)) {
    assert_int_equal(EnableContext(1), NPU_ADMIN_OK);
    MakeQueue(5, 1);
    assert_int_equal(Map(0, 5), NPU_ADMIN_OK);
  }
  uint32_t FenceVector() { return NPU_IRQ_FENCE0 + 1; }
};

void InOrder(void** state) {
  OneQueue r(state);
  for (uint64_t i = 1; i <= 200; ++i) r.Push(5, i % 3 ? Signal(Dev(kFence), i) : Packet(NPU_PKT_NOP));
  r.Push(5, Signal(Hst(rig::kHostData), 77));
  r.Ring(5);
  assert_true(r.Done(5));
  assert_true(r.Load(kFence) == 200);
  assert_true(r.LoadHost(rig::kHostData) == 77);
  assert_int_equal(r.QueueState(5), NPU_QUEUE_OK);
  assert_true(r.SlotIs(0, NPU_SLOT_IDLE));
  assert_true(r.Get(NPU_SLOT_OFFSET + NPU_SLOT_RPTR, 8) == 201);
  assert_int_equal(r.Get(NPU_SLOT_OFFSET + NPU_SLOT_QUEUE), 6);
  // Many times round the ring, one at a time, through 32-bit doorbells.
  for (uint64_t i = 0; i < 1000; ++i) {
    r.Push(5, Signal(Dev(kFence), i));
    r.Set(NPU_DOORBELL_OFFSET + 5 * NPU_DOORBELL_STRIDE, static_cast<uint32_t>(r.wptr(5)));
    assert_true(r.Done(5));
    assert_true(r.Load(kFence) == i);
  }
}

void CopiesAndFills(void** state) {
  OneQueue r(state);
  constexpr uint64_t kBytes = (3u << 20) + 13;
  for (uint64_t i = 0; i < kBytes; ++i) r.vram()[kArray + i] = static_cast<uint8_t>(i * 7 + (i >> 9));
  r.Push(5, Copy(Dev(kArray + 0x800001), Dev(kArray), kBytes));
  npu_packet fill = Packet(NPU_PKT_FILL);
  fill.u.fill.dst = Dev(kArray + 0x1000000);
  fill.u.fill.bytes = (2u << 20) + 12;
  fill.u.fill.pattern = 0x11223344;
  fill.u.fill.pattern_bytes = 4;
  r.Push(5, fill);
  npu_packet box = Copy(Hst(rig::kHostData + 3), Dev(kArray + 1), 10);
  box.u.copy.rows = 7;
  box.u.copy.dst_pitch = 16;
  box.u.copy.src_pitch = 100;
  r.Push(5, box);
  npu_packet counters = Packet(NPU_PKT_COUNTERS);
  counters.u.counters.addr = Dev(kFence + 64);
  r.Push(5, counters);
  r.Submit(5, Signal(Dev(kFence), 1));
  assert_true(r.Done(5));
  assert_int_equal(r.QueueState(5), NPU_QUEUE_OK);
  assert_memory_equal(r.vram() + kArray, r.vram() + kArray + 0x800001, kBytes);
  assert_int_equal(r.vram()[kArray + 0x800000], 0);
  assert_int_equal(r.vram()[kArray + 0x800001 + kBytes], 0);
  for (uint32_t i = 0; i < fill.u.fill.bytes; i += 4)
    assert_int_equal(*reinterpret_cast<uint32_t*>(r.vram() + kArray + 0x1000000 + i), 0x11223344);
  assert_int_equal(r.vram()[kArray + 0x1000000 + fill.u.fill.bytes], 0);
  for (uint32_t row = 0; row < 7; ++row)
    assert_memory_equal(r.host() + rig::kHostData + 3 + row * 16, r.vram() + kArray + 1 + row * 100, 10);
  assert_int_equal(r.host()[rig::kHostData + 13], 0);
  npu_queue_status status = r.Status(5);
  const npu::model::Timing& t = npu::model::kTiming;
  auto cycles = [&t](uint64_t bytes) {
    return t.copy_startup_cycles + (bytes + t.copy_bytes_per_cycle - 1) / t.copy_bytes_per_cycle;
  };
  assert_true(status.counters.copy_bytes == kBytes + fill.u.fill.bytes + 70);
  assert_true(status.counters.cycles == cycles(kBytes) + cycles(fill.u.fill.bytes) + cycles(70));
  assert_memory_equal(r.vram() + kFence + 64, &status.counters, sizeof(status.counters));
  assert_true(r.Get(NPU_REG_TIME_CYCLES, 8) == status.counters.cycles);
}

void Waits(void** state) {
  OneQueue r(state);
  r.MakeQueue(6, 1);
  assert_int_equal(r.Map(1, 6), NPU_ADMIN_OK);
  // By another queue's signal.
  r.Push(5, Wait(Dev(kFence), 3));
  r.Submit(5, Signal(Dev(kFence + 8), 1));
  assert_true(r.SlotIs(0, NPU_SLOT_WAITING));
  r.Submit(6, Signal(Dev(kFence), 2));
  assert_true(r.Done(6));
  assert_true(r.SlotIs(0, NPU_SLOT_WAITING));
  assert_true(r.Load(kFence + 8) == 0);
  r.Submit(6, Signal(Dev(kFence), 3));
  assert_true(r.Done(5));
  assert_true(r.Load(kFence + 8) == 1);
  // By the CPU and a kick.
  r.Submit(5, Wait(Dev(kFence), 10, NPU_WAIT_EQ));
  assert_true(r.SlotIs(0, NPU_SLOT_WAITING));
  r.Store(kFence, 11);
  r.Kick(5);
  r.Store(kFence, 10);
  r.Kick(5);
  assert_true(r.Done(5));
  // Timelines wrap: 2^63 + 5 is before 5.
  r.Store(kFence, (1ull << 63) + 5);
  r.Submit(5, Wait(Dev(kFence), 5));
  assert_true(r.SlotIs(0, NPU_SLOT_WAITING));
  r.Store(kFence, 5);
  r.Kick(5);
  assert_true(r.Done(5));
  r.Submit(5, Wait(Dev(kFence), 5, NPU_WAIT_NE));
  assert_true(r.SlotIs(0, NPU_SLOT_WAITING));
  r.Submit(6, Copy(Dev(kFence), Dev(kArray), 8));  // a copy changes it
  assert_true(r.Done(5));
  // On host memory.
  r.Submit(5, Wait(Hst(rig::kHostData), 1));
  assert_true(r.SlotIs(0, NPU_SLOT_WAITING));
  r.Submit(6, Signal(Hst(rig::kHostData), 1));
  assert_true(r.Done(5));
}

// A word that a queue waits for, and looks at again and again, while all that writes memory in passing writes it.
void PolledWhileWritten(void** state) {
  OneQueue r(state);
  r.MakeQueue(6, 1);
  assert_int_equal(r.Map(1, 6), NPU_ADMIN_OK);
  constexpr uint64_t kEnd = 0x1122334455667788ull;  // no part of it is ever written before
  r.Submit(5, Wait(Dev(kFence), kEnd, NPU_WAIT_EQ));
  assert_true(r.SlotIs(0, NPU_SLOT_WAITING));
  npu_packet fill = Packet(NPU_PKT_FILL), box = Copy(Dev(kFence - 8), Dev(kArray), 24);
  fill.u.fill = {Dev(kFence - 3), 16, 7, 1, {}};
  box.u.copy.rows = 2;
  box.u.copy.dst_pitch = box.u.copy.src_pitch = 24;
  npu_packet stamp = Packet(NPU_PKT_TIMESTAMP), counters = Packet(NPU_PKT_COUNTERS);
  stamp.u.timestamp.addr = Dev(kFence);
  counters.u.counters.addr = Dev(kFence - 16);
  r.Store(kArray + 64, Dev(kFence));
  npu_packet launch = rig::Launch(rig::kStore, Dev(kArray + 64), 1);
  for (uint32_t round = 0; round < 30; ++round) {
    for (const npu_packet& p : {fill, box, stamp, counters, launch, Copy(Dev(kFence), Dev(kArray + 8), 8)})
      r.Push(6, p);
    r.Ring(6);
    assert_true(r.Until([&] {
      r.Kick(5);
      return r.Rptr(6) == r.wptr(6);
    }));
  }
  assert_true(r.Rptr(5) == 0);
  r.Store(kArray, kEnd);
  r.Submit(6, Copy(Dev(kFence), Dev(kArray), 8));
  assert_true(r.Done(5));
  assert_int_equal(r.QueueState(6), NPU_QUEUE_OK);
}

// Two queues that hand a token to and fro: a lost wake-up would end it.
void PingPong(void** state) {
  OneQueue r(state);
  r.MakeQueue(6, 1);
  assert_int_equal(r.Map(1, 6), NPU_ADMIN_OK);
  for (uint64_t round = 0; round < 20; ++round) {
    for (uint64_t i = 1; i <= 50; ++i) {
      uint64_t n = round * 50 + i;
      r.Push(5, Wait(Dev(kFence), n - 1));
      r.Push(5, Signal(Dev(kFence + 8), n));
      r.Push(6, Wait(Dev(kFence + 8), n));
      r.Push(6, Signal(Dev(kFence), n));
    }
    r.Ring(5);
    r.Ring(6);
    assert_true(r.Done(5));
    assert_true(r.Done(6));
  }
  assert_true(r.Load(kFence) == 1000);
}

void Indirect(void** state) {
  OneQueue r(state);
  npu_packet inner[3] = {Signal(Dev(kFence), 1), Wait(Dev(kFence + 8), 1), Signal(Dev(kFence), 3)};
  memcpy(r.vram() + kArray, inner, sizeof(inner));
  npu_packet outer = WithSignal(Packet(NPU_PKT_INDIRECT, 9), Dev(kFence + 16), 4);
  outer.u.indirect.addr = Dev(kArray);
  outer.u.indirect.count = 3;
  r.Push(5, outer);
  r.Submit(5, Signal(Dev(kFence + 24), 5));
  assert_true(r.SlotIs(0, NPU_SLOT_WAITING));
  assert_true(r.Load(kFence) == 1);
  assert_true(r.Rptr(5) == 0);
  r.Store(kFence + 8, 1);
  r.Kick(5);
  assert_true(r.Done(5));
  assert_true(r.Load(kFence) == 3 && r.Load(kFence + 16) == 4 && r.Load(kFence + 24) == 5);
  // Nested: refused at the ring's packet, and nothing behind it runs.
  memcpy(r.vram() + kArray + 64, &outer, sizeof(outer));
  r.Push(5, outer);
  r.Submit(5, Signal(Dev(kFence + 24), 6));
  assert_true(r.Faulted(5));
  assert_int_equal(r.Fault(1, 0).detail, NPU_PKT_ERR_NESTED);
  assert_true(r.Fault(1, 0).packet == 2);
  assert_true(r.SlotIs(0, NPU_SLOT_FAULTED));
  assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_SKIP), NPU_ADMIN_OK);
  assert_true(r.Done(5));
  assert_true(r.Load(kFence + 24) == 6);
  assert_true(r.Load(kFence + 16) == 4);
}

void Timestamp(void** state) {
  OneQueue r(state);
  npu_packet packet = Packet(NPU_PKT_TIMESTAMP);
  packet.u.timestamp.addr = Hst(rig::kHostData + 32);
  uint64_t before = r.Get(NPU_REG_TIME_NS, 8);
  r.Push(5, Copy(Dev(kArray), Dev(kArray + 4096), 64));
  r.Submit(5, packet);
  assert_true(r.Done(5));
  assert_true(r.LoadHost(rig::kHostData + 32) >= before);
  assert_true(r.LoadHost(rig::kHostData + 32) <= r.Get(NPU_REG_TIME_NS, 8));
  assert_true(r.LoadHost(rig::kHostData + 40) == r.Status(5).counters.cycles);
}

void Malformed(void** state) {
  OneQueue r(state);
  struct Case {
    npu_packet_error error;
    std::function<npu_packet()> make;
  };
  auto with = [](npu_packet p, auto change) {
    return [p, change]() mutable {
      change(p);
      return p;
    };
  };
  npu_packet nop = Packet(NPU_PKT_NOP), copy = Copy(Dev(kArray), Dev(kArray + 4096), 64), fill = Packet(NPU_PKT_FILL),
             launch = rig::Launch(rig::kNull, 0, 1), wait = Wait(Dev(kFence), 0);
  fill.u.fill = {Dev(kArray), 64, 0, 4, {}};
  const Case cases[] = {
      {NPU_PKT_ERR_TYPE, with(nop, [](npu_packet& p) { p.type = NPU_PKT_INVALID; })},
      {NPU_PKT_ERR_TYPE, with(nop, [](npu_packet& p) { p.type = NPU_PKT_TYPES; })},
      {NPU_PKT_ERR_TYPE, with(nop, [](npu_packet& p) { p.type = 255; })},
      {NPU_PKT_ERR_FLAGS, with(nop, [](npu_packet& p) { p.flags = 2; })},
      {NPU_PKT_ERR_RESERVED, with(nop, [](npu_packet& p) { p.reserved = 1; })},
      {NPU_PKT_ERR_RESERVED, with(nop, [](npu_packet& p) { p.u.raw[4] = 1; })},
      {NPU_PKT_ERR_RESERVED, with(launch, [](npu_packet& p) { p.u.launch.reserved[1] = 1; })},
      {NPU_PKT_ERR_RESERVED, with(copy, [](npu_packet& p) { p.u.copy.reserved = 1; })},
      {NPU_PKT_ERR_RESERVED, with(fill, [](npu_packet& p) { p.u.fill.reserved[2] = 1; })},
      {NPU_PKT_ERR_RESERVED, with(wait, [](npu_packet& p) { p.u.wait.reserved[0] = 1; })},
      {NPU_PKT_ERR_GRID, with(launch, [](npu_packet& p) { p.u.launch.grid[1] = 0; })},
      {NPU_PKT_ERR_GRID, with(launch, [](npu_packet& p) { p.u.launch.grid[0] = 0x80000000; })},
      {NPU_PKT_ERR_GRID,
       with(launch, [](npu_packet& p) { p.u.launch.grid[0] = p.u.launch.grid[1] = p.u.launch.grid[2] = 0xffffffff; })},
      {NPU_PKT_ERR_ARGS, with(launch, [](npu_packet& p) { p.u.launch.args_bytes = NPU_LAUNCH_ARGS_MAX + 8; })},
      {NPU_PKT_ERR_ARGS, with(launch, [](npu_packet& p) { p.u.launch.args_bytes = 4; })},
      {NPU_PKT_ERR_ALIGN, with(launch, [](npu_packet& p) { p.u.launch.args = Dev(kArray + 4); })},
      {NPU_PKT_ERR_ALIGN, with(nop, [](npu_packet& p) { p = Signal(Dev(kFence + 4), 1); })},
      {NPU_PKT_ERR_ALIGN, with(wait, [](npu_packet& p) { p.u.wait.addr += 1; })},
      {NPU_PKT_ERR_COND, with(wait, [](npu_packet& p) { p.u.wait.cond = 3; })},
      {NPU_PKT_ERR_RANGE, with(copy, [](npu_packet& p) { p.u.copy.row_bytes = ~0ull; })},
      {NPU_PKT_ERR_RANGE, with(copy, [](npu_packet& p) { p.u.copy.rows = 0; })},
      {NPU_PKT_ERR_RANGE,
       with(copy, [](npu_packet& p) { p.u.copy.rows = p.u.copy.src_pitch = p.u.copy.dst_pitch = 0xffffffff; })},
      {NPU_PKT_ERR_RANGE, with(copy, [](npu_packet& p) { p.u.copy.rows = 2; })},  // rows on top of each other
      {NPU_PKT_ERR_RANGE, with(fill, [](npu_packet& p) { p.u.fill.pattern_bytes = 3; })},
      {NPU_PKT_ERR_RANGE, with(fill, [](npu_packet& p) { p.u.fill.bytes = 66; })},
      {NPU_PKT_ERR_RANGE, with(fill, [](npu_packet& p) { p.u.fill.bytes = ~3ull; })},
  };
  uint64_t seq = 0;
  for (const Case& c : cases) {
    npu_packet packet = c.make();
    packet.tag = 1000 + static_cast<uint32_t>(seq);
    uint64_t at = r.wptr(5);
    r.Push(5, packet);
    r.Submit(5, Signal(Dev(kFence), seq + 1));
    assert_true(r.Faulted(5));
    npu_fault_record fault = r.Fault(1, static_cast<uint32_t>(seq % rig::kFaultEntries));
    assert_int_equal(fault.kind, NPU_FAULT_BAD_PACKET);
    assert_int_equal(fault.detail, c.error);
    assert_int_equal(fault.engine, NPU_ENGINE_DISPATCHER);
    assert_int_equal(fault.packet_tag, packet.tag);
    assert_int_equal(fault.packet_type, packet.type);
    assert_int_equal(fault.queue, 5);
    assert_int_equal(fault.context, 1);
    assert_true(fault.packet == at && fault.seq == seq + 1);
    assert_true(r.Status(5).fault_seq == fault.seq && r.Status(5).error == NPU_FAULT_BAD_PACKET);
    assert_true(r.Rptr(5) == at);
    // The reader takes the record; the queue goes on behind the packet.
    uint64_t read = ++seq;
    memcpy(r.host() + rig::kFaultRings + 0x1000 + offsetof(npu_fault_ring, read), &read, 8);
    assert_true(r.SlotIs(0, NPU_SLOT_FAULTED));
    assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_SKIP), NPU_ADMIN_OK);
    assert_true(r.Done(5));
    assert_int_equal(r.QueueState(5), NPU_QUEUE_OK);
    assert_true(r.Load(kFence) == seq);
  }
  assert_true(r.Get(NPU_REG_FAULT_COUNT, 8) == seq);
  assert_true(r.FaultRing(1).dropped == 0);
}

void MemoryFaults(void** state) {
  OneQueue r(state);
  r.Set(NPU_REG_EVENT_MASK, NPU_EVENT_FAULT);
  auto fault = [&r](const npu_packet& packet) {
    uint64_t seq = r.FaultRing(1).written;
    r.Submit(5, packet);
    assert_true(r.Faulted(5));
    assert_true(r.SlotIs(0, NPU_SLOT_FAULTED));
    assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_SKIP), NPU_ADMIN_OK);
    assert_true(r.Done(5));
    return r.Fault(1, static_cast<uint32_t>(seq));
  };
  // Past the end of the buffer by one byte: nothing is written, not even the good part.
  npu_fault_record f = fault(Copy(Dev(rig::kMemory - 63), Dev(kArray), 64));
  assert_int_equal(f.kind, NPU_FAULT_OOB);
  assert_int_equal(f.engine, NPU_ENGINE_COPY);
  assert_int_equal(f.access, NPU_ACCESS_WRITE);
  assert_int_equal(f.operand, 0);
  assert_int_equal(f.bad_bytes, 1);
  assert_true(f.bad_addr == rig::kVram + rig::kMemory);
  f = fault(Copy(Dev(kArray), NPU_PTR(1, 2, rig::kVram), 64));
  assert_int_equal(f.kind, NPU_FAULT_STALE);
  assert_int_equal(f.operand, 1);
  assert_int_equal(fault(Signal(NPU_PTR(3, 1, rig::kVram), 1)).kind, NPU_FAULT_UNKNOWN_BUF);
  assert_int_equal(fault(Signal(0, 1)).kind, NPU_FAULT_NULL);
  f = fault(Wait(Dev(rig::kMemory), 1));
  assert_int_equal(f.kind, NPU_FAULT_OOB);
  assert_int_equal(f.engine, NPU_ENGINE_DISPATCHER);
  npu_packet counters = Packet(NPU_PKT_COUNTERS);
  counters.u.counters.addr = Dev(rig::kMemory - 8);
  assert_int_equal(fault(counters).kind, NPU_FAULT_OOB);
  npu_packet outer = Packet(NPU_PKT_INDIRECT);
  outer.u.indirect.addr = Dev(rig::kMemory);
  outer.u.indirect.count = 1;
  f = fault(outer);
  assert_int_equal(f.kind, NPU_FAULT_OOB);
  assert_int_equal(f.packet_type, NPU_PKT_INDIRECT);
  // Host memory that answers with an error.
  r.Set(NPU_REG_INJ_KIND, NPU_INJ_DMA_ERROR);
  r.Set(NPU_REG_INJ_COUNT, 1);
  r.Set(NPU_REG_INJ_CTRL, 1);
  f = fault(Signal(Hst(rig::kHostData), 1));
  assert_int_equal(f.kind, NPU_FAULT_BUS);
  assert_true(r.Get(NPU_REG_INJ_DONE, 8) == 1);
  // The ninth record finds the ring full.
  uint32_t irqs = r.irqs(NPU_IRQ_ERROR);
  assert_int_equal(irqs, 8);
  fault(Signal(0, 1));
  assert_true(r.FaultRing(1).dropped == 1 && r.FaultRing(1).written == 8);
  assert_true(r.Get(NPU_REG_FAULT_COUNT, 8) == 9);
}

void Doorbells(void** state) {
  OneQueue r(state);
  r.Submit(5, Signal(Dev(kFence), 1));
  assert_true(r.Done(5));
  for (int64_t bad : {int64_t{-1}, int64_t{257}, INT64_MAX}) {  // behind, one too far, and far out
    r.Doorbell(5, r.wptr(5) + static_cast<uint64_t>(bad));
    assert_true(r.Faulted(5));
    assert_int_equal(r.Status(5).error, NPU_FAULT_BAD_DOORBELL);
    assert_true(r.SlotIs(0, NPU_SLOT_FAULTED));
    r.Ring(5);
    assert_int_equal(r.Command(0, NPU_MG_SLOT_CMD_FLUSH), NPU_ADMIN_OK);
    assert_true(r.Until([&] { return r.QueueState(5) == NPU_QUEUE_OK; }));
    r.Submit(5, Signal(Dev(kFence), 2));
    assert_true(r.Done(5));
    r.Doorbell(5, r.wptr(5));
  }
  // Queues that nobody made.
  r.Doorbell(9, 1);
  r.Doorbell(1023, 1);
  assert_int_equal(r.Mg(NPU_MG_DB_NEXT), 0);
  uint32_t errors = r.guest_errors();
  r.Set(NPU_DOORBELL_OFFSET + 0x800, 1);
  assert_int_equal(r.guest_errors(), errors + 1);
}

// A copy of many pieces whose very last byte is refused changes nothing, and its record is about the whole.
void BigCopyFaults(void** state) {
  OneQueue r(state);
  constexpr uint64_t kBytes = 6u << 20;
  r.Store(rig::kMemory - kBytes + 8, 0x55aa);
  r.Store(kArray, 1);
  r.Submit(5, Copy(Dev(rig::kMemory - kBytes + 1), Dev(kArray), kBytes));
  assert_true(r.Faulted(5));
  npu_fault_record f = r.Fault(1, 0);
  assert_int_equal(f.kind, NPU_FAULT_OOB);
  assert_int_equal(f.operand, 0);
  assert_true(f.size == kBytes && f.bad_bytes == 1 && f.bad_addr == rig::kVram + rig::kMemory);
  assert_true(r.Load(rig::kMemory - kBytes + 8) == 0x55aa);
  assert_true(r.SlotIs(0, NPU_SLOT_FAULTED));
  r.Command(0, NPU_MG_SLOT_CMD_SKIP);
  assert_true(r.Done(5));
  // Source, in rows: the last of 40,000 sticks out.
  npu_packet rows = Copy(Dev(kArray), Dev(rig::kMemory - 40000 * 100), 101);
  rows.u.copy.rows = 40000;
  rows.u.copy.src_pitch = 100;
  rows.u.copy.dst_pitch = 128;
  r.Submit(5, rows);
  assert_true(r.Faulted(5));
  f = r.Fault(1, 1);
  assert_int_equal(f.kind, NPU_FAULT_OOB);
  assert_int_equal(f.access, NPU_ACCESS_READ);
  assert_int_equal(f.operand, 1);
  assert_true(f.addr == Dev(rig::kMemory - 40000 * 100) && f.size == 40000 * 100 + 1 && f.bad_bytes == 1);
  assert_true(r.Load(kArray) == 1);
  assert_true(r.SlotIs(0, NPU_SLOT_FAULTED));
  r.Command(0, NPU_MG_SLOT_CMD_SKIP);
  assert_true(r.Done(5));
}

// A fence store raises the context's vector if, and only if, somebody armed it.
void FenceInterrupt(void** state) {
  OneQueue r(state);
  auto* arm =
      reinterpret_cast<uint32_t*>(r.vram() + rig::kCtxTable + sizeof(npu_ctx_desc) + offsetof(npu_ctx_desc, irq_arm));
  r.Submit(5, Signal(Dev(kFence), 1));
  assert_true(r.SlotIs(0, NPU_SLOT_IDLE));
  assert_true(r.Done(5));
  assert_int_equal(r.irqs(r.FenceVector()), 0);
  for (uint32_t i = 0; i < 500; ++i) {
    // As the kernel sleeps: arm, look, sleep.
    uint64_t value = 2 + i;
    r.Push(5, Signal(Dev(kFence), value));
    if (i % 2) r.Ring(5);
    __atomic_store_n(arm, 1u, __ATOMIC_SEQ_CST);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    uint32_t seen = r.irqs(r.FenceVector());
    if (i % 2 == 0) r.Ring(5);
    if (r.Load(kFence) < value)
      assert_true(r.Until([&] { return r.irqs(r.FenceVector()) > seen || r.Load(kFence) >= value; }));
    assert_true(r.Done(5));
    assert_true(r.SlotIs(0, NPU_SLOT_IDLE));
    // Only rounds whose store came before the arming may have left the word set.
    if (i % 2 == 0) assert_true(r.Until([&] { return r.irqs(r.FenceVector()) == seen + 1; }));
    const uint32_t left = __atomic_exchange_n(arm, 0u, __ATOMIC_SEQ_CST);
    if (i % 2 == 0) assert_int_equal(left, 0);
  }
}

// The arm word names the vector; what is none is the context's own.
void FenceVectorByName(void** state) {
  OneQueue r(state);
  auto* arm =
      reinterpret_cast<uint32_t*>(r.vram() + rig::kCtxTable + sizeof(npu_ctx_desc) + offsetof(npu_ctx_desc, irq_arm));
  const uint32_t own = r.FenceVector();
  const uint32_t words[] = {1,       NPU_IRQ_FENCE0,  NPU_NUM_VECTORS - 1,   own,
                            own + 1, NPU_NUM_VECTORS, NPU_NUM_VECTORS + own, ~0u};
  uint64_t value = 0;
  for (uint32_t word : words) {
    const uint32_t vector = word >= NPU_IRQ_FENCE0 && word < NPU_NUM_VECTORS ? word : own;
    std::vector<uint32_t> before;
    for (uint32_t i = 0; i < NPU_NUM_VECTORS; ++i) before.push_back(r.irqs(i));
    __atomic_store_n(arm, word, __ATOMIC_SEQ_CST);
    r.Submit(5, Signal(Dev(kFence), ++value));
    assert_true(r.Done(5));
    assert_true(r.SlotIs(0, NPU_SLOT_IDLE));
    assert_true(r.Until([&] { return r.irqs(vector) != before[vector]; }));
    assert_int_equal(__atomic_load_n(arm, __ATOMIC_SEQ_CST), 0);
    for (uint32_t i = NPU_IRQ_FENCE0; i < NPU_NUM_VECTORS; ++i)
      assert_int_equal(r.irqs(i) - before[i], i == vector ? 1 : 0);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      NPU_CASE(InOrder),          NPU_CASE(CopiesAndFills), NPU_CASE(Waits),         NPU_CASE(PolledWhileWritten),
      NPU_CASE(PingPong),         NPU_CASE(Indirect),       NPU_CASE(Timestamp),     NPU_CASE(Malformed),
      NPU_CASE(MemoryFaults),     NPU_CASE(Doorbells),      NPU_CASE(BigCopyFaults), NPU_CASE(FenceInterrupt),
      NPU_CASE(FenceVectorByName)};
  return cmocka_run_group_tests_name("device.packets", tests, nullptr, nullptr);
}
