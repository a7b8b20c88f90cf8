// SPDX-License-Identifier: Apache-2.0
//
// Injected errors of memory and link as the data plane meets them, counted and reported, with the real firmware.
#include "firmware_host.h"

namespace {

constexpr uint64_t kSrc = 0x1800000, kDst = 0x2000000, kArgs = rig::kData + 0x100;
constexpr uint64_t kAnywhere = ~uint64_t{0};

struct Ras : Host {
  explicit Ras(void** state) : Host(state) {
    Boot();
    CreateContext(1);
    CreateQueue(0, 1);
  }
  // Errors are put into memory when no engine runs: done when they are counted.
  void Place(uint32_t kind, uint32_t count, uint64_t addr, uint32_t seed = 1) {
    const uint64_t before = Get(NPU_REG_INJ_DONE, 8);
    assert_int_equal(Inject(kind, count, addr, seed), 0);
    assert_true(Until([&] { return Get(NPU_REG_INJ_DONE, 8) == before + count; }));
  }
  // The queue's fault, which must be this one; the queue goes on behind it.
  void Fault(uint32_t queue, uint32_t kind, uint64_t bad) {
    assert_true(Faulted(queue));
    const npu_fault_record f = Rig::Fault(1, static_cast<uint32_t>(faults_++) % rig::kFaultEntries);
    assert_int_equal(f.kind, kind);
    assert_true(f.bad_addr == bad);
    // Whoever reads a record gives its place back.
    const uint64_t ring = rig::kFaultRings + 1 * 0x1000 + offsetof(npu_fault_ring, read);
    memcpy(host() + ring, &faults_, 8);
    NextEvent(NPU_FW_EVENT_QUEUE_FAULT);
    assert_int_equal(Admin(NPU_ADMIN_QUEUE_RESUME, queue, NPU_RESUME_SKIP), NPU_ADMIN_OK);
    assert_true(Done(queue));
    assert_true(Until([&] { return QueueState(queue) == NPU_QUEUE_OK; }));
  }

 private:
  uint64_t faults_ = 0;
};

void Uncorrectable(void** state) {
  Ras h(state);
  for (uint64_t i = 0; i < 512; ++i) h.Store(kSrc + 8 * i, i), h.Store(kDst + 8 * i, ~i);
  h.Set(NPU_REG_EVENT_MASK, NPU_EVENT_RAS);
  h.Place(NPU_INJ_ECC_UE, 1, kSrc + 0x404);
  assert_true(h.Load(kSrc + 0x400) != 0x80);
  assert_true(h.Get(NPU_REG_ECC_UE, 8) == 0 && h.irqs(NPU_IRQ_ERROR) == 0);
  // The copy engine: not a byte moves.
  h.Submit(0, rig::Copy(Dev(kDst), Dev(kSrc), 4096));
  h.Fault(0, NPU_FAULT_ECC, rig::kVram + kSrc + 0x400);
  for (uint64_t i = 0; i < 512; ++i) assert_true(h.Load(kDst + 8 * i) == ~i);
  assert_true(h.Get(NPU_REG_ECC_UE, 8) == 1 && h.irqs(NPU_IRQ_ERROR) == 1);
  // The firmware retires the page and says so.
  h.NextEvent(NPU_FW_EVENT_PAGE);
  assert_true(h.mbox().arg[1] == kSrc);
  assert_int_equal(h.Get(NPU_REG_RETIRED_PAGES), 1);
  // A wait packet, a signal of a part of it, a hart.
  h.Submit(0, rig::Wait(Dev(kSrc + 0x400), 1));
  h.Fault(0, NPU_FAULT_ECC, rig::kVram + kSrc + 0x400);
  h.Store(kArgs, 0);
  h.Place(NPU_INJ_ECC_UE, 1, kArgs);
  h.Submit(0, rig::Launch(rig::kUntil, Dev(kArgs), 1));
  h.Fault(0, NPU_FAULT_ECC, rig::kVram + kArgs);
  // Overwritten: a signal is a whole word, a fill may be.
  h.Push(0, Signal(Dev(kSrc + 0x400), 0x80));
  h.Submit(0, rig::Copy(Dev(kDst), Dev(kSrc), 4096));
  assert_true(h.Done(0));
  for (uint64_t i = 0; i < 512; ++i) assert_true(h.Load(kDst + 8 * i) == i);
  h.Store(kArgs, 1);
  h.Submit(0, rig::Launch(rig::kUntil, Dev(kArgs), 1));
  assert_true(h.Done(0));
  assert_true(h.Get(NPU_REG_ECC_UE, 8) == 2);
  // In a ring: the packet is not executed.
  h.Push(0, Signal(Dev(kFence), 1));
  h.Push(0, Signal(Dev(kFence + 8), 1));
  const uint64_t at = Rig::RingAt(0) + (h.wptr(0) - 2) % (1u << rig::kRingLog2) * NPU_PACKET_BYTES;
  h.Place(NPU_INJ_ECC_UE, 1, at + 16);
  h.Ring(0);
  h.Fault(0, NPU_FAULT_ECC, at + 16);
  assert_true(h.Load(kFence) == 0 && h.Load(kFence + 8) == 1);
  // In an indirect buffer.
  const npu_packet inner = Signal(Dev(kFence), 3);
  memcpy(h.vram() + kDst, &inner, sizeof(inner));
  h.Place(NPU_INJ_ECC_UE, 1, kDst + 8);
  npu_packet indirect = rig::Packet(NPU_PKT_INDIRECT);
  indirect.u.indirect.addr = Dev(kDst);
  indirect.u.indirect.count = 1;
  h.Submit(0, indirect);
  h.Fault(0, NPU_FAULT_ECC, rig::kVram + kDst + 8);
  assert_true(h.Load(kFence) == 0);
}

void CorrectableRetires(void** state) {
  Ras h(state);
  h.Store(kSrc + 64, 99);
  h.Place(NPU_INJ_ECC_CE, 2, kSrc + 64);
  assert_true(h.Load(kSrc + 64) == 99);
  for (uint32_t i = 1; i <= 3; ++i) {
    h.Submit(0, rig::Copy(Dev(kDst), Dev(kSrc), 128));
    assert_true(h.Done(0));
    assert_true(h.Load(kDst + 64) == 99);
    assert_true(h.Get(NPU_REG_ECC_CE, 8) == std::min(i, 2u));
    // The second one at the same place is one too many.
    if (i == 2) {
      h.NextEvent(NPU_FW_EVENT_PAGE);
      assert_true(h.mbox().arg[1] == kSrc);
    }
    assert_int_equal(h.Admin(NPU_ADMIN_GET_RETIRED), NPU_ADMIN_OK);
    assert_true(h.mbox().arg[0] == (i >= 2));
  }
  assert_int_equal(h.Get(NPU_REG_HEALTH), NPU_HEALTH_OK);
}

void Sram(void** state) {
  Ras h(state);
  h.Place(NPU_INJ_ECC_UE, 4, NPU_INJ_SRAM(2, 0x100));
  h.Submit(0, rig::Launch(rig::kNull, 0, 4));  // nobody reads it
  assert_true(h.Done(0));
  assert_true(h.Get(NPU_REG_ECC_UE, 8) == 0);
  // A reset finds SRAM as after power-on.
  h.device().Reset(NPU_MODEL_RESET_FLR);
  assert_true(h.Get(NPU_REG_INJ_DONE, 8) == 0);
}

// The same seed finds the same words; what was not written meanwhile is as before when the errors are taken back.
void SeedAndDisarm(void** state) {
  Ras h(state);
  std::vector<uint8_t> before(h.vram() + kDst, h.vram() + rig::kMemory), first;
  for (int round = 0; round < 2; ++round) {
    h.Place(NPU_INJ_ECC_UE, 500, kAnywhere, 77);
    std::vector<uint8_t> now(h.vram() + kDst, h.vram() + rig::kMemory);
    assert_true(now != before);
    if (round) assert_true(now == first);
    first = std::move(now);
    h.Set(NPU_REG_INJ_CTRL, 2);
    // What is armed later is placed later, and changes no byte.
    h.Place(NPU_INJ_ECC_CE, 1, kSrc);
    assert_true(std::equal(before.begin(), before.end(), h.vram() + kDst));
  }
  h.Place(NPU_INJ_ECC_UE, 500, kAnywhere, 78);
  assert_false(std::equal(first.begin(), first.end(), h.vram() + kDst));
}

void Refused(void** state) {
  Ras h(state);
  const uint64_t done = h.Get(NPU_REG_INJ_DONE, 8);
  for (const uint32_t kind : {NPU_INJ_ECC_CE, NPU_INJ_ECC_UE}) {
    assert_int_equal(h.Inject(kind, 0, 0), 22);
    assert_int_equal(h.Inject(kind, 5000, 0), 22);
    assert_int_equal(h.Inject(kind, 1, rig::kMemory), 22);
    assert_int_equal(h.Inject(kind, 1, NPU_INJ_SRAM(4, 0)), 22);
    assert_int_equal(h.Inject(kind, 1, NPU_INJ_SRAM(0, 1u << 20)), 22);
  }
  assert_int_equal(h.Inject(NPU_INJ_ECC_UE, 2, rig::kMemory - 8), 22);
  assert_int_equal(h.Inject(NPU_INJ_LINK, 1, 2), 22);
  assert_int_equal(h.Inject(NPU_INJ_HANG, 1, 3), 22);
  assert_int_equal(h.Inject(NPU_INJ_TEMP, 1, 300000), 22);
  assert_int_equal(h.Inject(NPU_INJ_KINDS, 1, 0), 22);
  h.Set(NPU_REG_INJ_CTRL, 7);
  assert_int_equal(h.Get(NPU_REG_INJ_STATUS), 22);
  assert_true(h.Get(NPU_REG_INJ_DONE, 8) == done);
  h.Submit(0, Signal(Dev(kFence), 1));
  assert_true(h.Done(0));
}

// A corrected error of the link delays an access; one that is not corrected fails it.
void Link(void** state) {
  Ras h(state);
  memset(h.host() + rig::kHostData, 7, 4096);
  h.Set(NPU_REG_EVENT_MASK, NPU_EVENT_RAS);
  assert_int_equal(h.Inject(NPU_INJ_LINK, 1, 0), 0);
  h.Submit(0, rig::Copy(Dev(kDst), rig::Hst(rig::kHostData), 4096));
  assert_true(h.Done(0));
  assert_true(h.Load(kDst) == 0x0707070707070707);
  assert_true(h.Get(NPU_REG_LINK_ERRORS, 8) == 1 && h.Get(NPU_REG_INJ_DONE, 8) == 1);
  assert_true(h.irqs(NPU_IRQ_ERROR) == 1);
  assert_true(h.Get(NPU_REG_EVENTS) & NPU_EVENT_RAS);
  h.NextEvent(NPU_FW_EVENT_LINK);
  assert_true(h.mbox().arg[1] == 1);
  assert_int_equal(h.Inject(NPU_INJ_LINK, 1, 1), 0);
  h.Submit(0, rig::Copy(Dev(kDst), rig::Hst(rig::kHostData), 4096));
  h.Fault(0, NPU_FAULT_BUS, rig::kHostVa + rig::kHostData);
  h.NextEvent(NPU_FW_EVENT_LINK);
  assert_true(h.mbox().arg[1] == 2 && h.Get(NPU_REG_LINK_ERRORS, 8) == 2);
}

// The clock follows the level, a hot unit throttles and says why, and goes back when it has cooled down.
void PowerAndHeat(void** state) {
  Ras h(state);
  constexpr uint32_t kClocks[] = {400000, 600000, 800000, 1000000};
  for (uint32_t level = 0; level < 4; ++level) {
    assert_int_equal(h.Admin(NPU_ADMIN_SET_POWER, level), NPU_ADMIN_OK);
    assert_int_equal(h.Get(NPU_REG_CLOCK_KHZ), kClocks[level]);
    assert_int_equal(h.Get(NPU_REG_THROTTLE), level < 3 ? NPU_THROTTLE_POWER : 0);
  }
  assert_int_equal(h.Admin(NPU_ADMIN_SET_POWER, 4), NPU_ADMIN_EINVAL);
  assert_int_equal(h.Inject(NPU_INJ_TEMP, 1, 65000), 0);  // an idle unit has 35 degrees
  h.NextEvent(NPU_FW_EVENT_THERMAL);
  assert_in_range(h.mbox().arg[1], 95000, 105000);
  assert_true(h.mbox().arg[2] == NPU_THROTTLE_THERMAL);
  // One level a sample, down to the lowest.
  assert_true(h.Until([&] { return h.Get(NPU_REG_CLOCK_KHZ) == 400000; }));
  assert_int_equal(h.Get(NPU_REG_THROTTLE), NPU_THROTTLE_THERMAL);
  assert_true(h.Until([&] { return h.Get(NPU_REG_HEALTH) == NPU_HEALTH_WARN; }));
  assert_int_equal(h.Inject(NPU_INJ_TEMP, 1, 75000), 0);
  assert_true(h.Until([&] { return h.Get(NPU_REG_HEALTH) == NPU_HEALTH_DEGRADED; }));
  assert_int_equal(h.Inject(NPU_INJ_TEMP, 1, 0), 0);
  assert_true(h.Until([&] { return h.Get(NPU_REG_CLOCK_KHZ) == 1000000 && h.Get(NPU_REG_THROTTLE) == 0; }));
  assert_true(h.Until([&] { return h.Get(NPU_REG_HEALTH) == NPU_HEALTH_OK; }));
  h.NextEvent(NPU_FW_EVENT_THERMAL);
  assert_true(h.mbox().arg[2] == 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      NPU_CASE(Uncorrectable), NPU_CASE(CorrectableRetires), NPU_CASE(Sram), NPU_CASE(SeedAndDisarm), NPU_CASE(Refused),
      NPU_CASE(Link),          NPU_CASE(PowerAndHeat)};
  return cmocka_run_group_tests_name("device.ras", tests, nullptr, nullptr);
}
