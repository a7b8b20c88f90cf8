// SPDX-License-Identifier: Apache-2.0
//
// Decoded code is kept from one launch to the next, which must not show but in time.
#include <cstring>

#include "suite.h"

namespace {

using namespace npu::model;
using namespace npu::test;

constexpr uint32_t kRet = 0x00008067, kFenceI = 0x0000100f;
constexpr uint32_t kLoadOut = 0x00053603;    // ld a2, 0(a0)
constexpr uint32_t kStoreOut = 0x00b63023;   // sd a1, 0(a2)
constexpr uint32_t kLoadCode = 0x00853683;   // ld a3, 8(a0)
constexpr uint32_t kStoreCode = 0x00b6a023;  // sw a1, 0(a3)

constexpr uint32_t Addi(uint32_t rd, uint32_t rs, uint32_t imm) {
  return imm << 20 | rs << 15 | rd << 7 | 0x13;
}

// A program at the end of one page and the beginning of the next: out = 1.
struct Rig : World {
  static constexpr uint64_t kAt = NPU_PAGE_SIZE - 8;
  Rig() : core(0, platform) {
    code = Buffer(2 * NPU_PAGE_SIZE, false, kLiveCode);
    args = Buffer(16);
    out = Buffer(8);
    std::memcpy(At(args), &out, 8);
    launch.space = space.get();
    launch.entry = code + kAt;
    launch.args = args;
    launch.args_bytes = 8;
    Put(0, Addi(11, 0, 1));
    Put(1, kLoadOut);
    Put(2, kStoreOut);
    Put(3, kRet);
  }
  uint8_t* Insn(uint32_t index) { return At(code + kAt + index * 4); }
  void Put(uint32_t index, uint32_t insn) { std::memcpy(Insn(index), &insn, 4); }
  Outcome Run() {
    core.Begin(launch, 0);
    return core.Run(1000);
  }
  uint64_t Result() {
    if (Run() != Outcome::kDone) return 0;
    uint64_t value;
    std::memcpy(&value, At(out), 8);
    return value;
  }
  // Whether a run decodes anything.
  bool Decodes(uint64_t want) {
    const uint64_t before = core.decoded();
    assert_int_equal(Result(), want);
    return core.decoded() != before;
  }
  npu_bounds_entry& Entry() { return Bounds(static_cast<uint32_t>(NPU_PTR_BUF(code))); }
  Core core;
  LaunchContext launch;
  uint64_t code, args, out;
};

void TestKept(void**) {
  Rig r;
  assert_true(r.Decodes(1));
  const npu_counters first = r.core.cost();
  assert_false(r.Decodes(1));
  const npu_counters second = r.core.cost();
  assert_memory_equal(&first, &second, sizeof(first));
  // Rights were taken away, and pages moved, but not this code's.
  ++r.Bounds(0).ctl;
  assert_false(r.Decodes(1));
  r.space->InvalidateTranslations();
  assert_false(r.Decodes(1));
  r.core.Reset();
  assert_true(r.Decodes(1));
}

// Nobody tells the core that code is new.
void TestNewCode(void**) {
  Rig r;
  assert_int_equal(r.Result(), 1);
  for (uint32_t i = 2; i < 6; ++i) {
    r.Put(0, Addi(11, 0, i));
    assert_true(r.Decodes(i));
    assert_false(r.Decodes(i));
  }
  // In the second page, and in a part of it that runs later.
  r.Put(2, Addi(11, 11, 7));
  r.Put(3, kStoreOut);
  r.Put(4, kRet);
  assert_true(r.Decodes(12));
  assert_false(r.Decodes(12));
  // The same bytes in another page.
  const uint64_t other = r.Buffer(NPU_PAGE_SIZE, false, kLiveCode);
  std::memcpy(r.At(other), r.At(r.code), NPU_PAGE_SIZE);
  std::swap(*r.Pte(NPU_PTR_VA(other)), *r.Pte(NPU_PTR_VA(r.code)));
  r.space->InvalidateTranslations();
  assert_false(r.Decodes(12));
  // Other bytes in another page.
  const uint32_t insn = Addi(11, 0, 20);
  std::memcpy(r.At(other) + Rig::kAt, &insn, 4);
  std::swap(*r.Pte(NPU_PTR_VA(other)), *r.Pte(NPU_PTR_VA(r.code)));
  r.space->InvalidateTranslations();
  assert_true(r.Decodes(27));
}

void TestRights(void**) {
  Rig r;
  assert_int_equal(r.Result(), 1);
  const auto refused = [&r](uint32_t why) {
    ++r.Bounds(0).ctl;
    r.space->InvalidateTranslations();
    assert_int_equal(r.Run(), Outcome::kFault);
    assert_int_equal(r.core.fault().kind, NPU_FAULT_FETCH);
    assert_int_equal(r.core.fault().detail, why);
  };
  const auto granted = [&r] {
    ++r.Bounds(0).ctl;
    r.space->InvalidateTranslations();
    assert_int_equal(r.Result(), 1);
  };
  const uint32_t ctl = r.Entry().ctl;
  r.Entry().ctl = ctl & ~NPU_BOUNDS_EXEC;
  refused(NPU_FAULT_PERM);
  r.Entry().ctl = ctl + 1;
  refused(NPU_FAULT_STALE);
  r.Entry().ctl = ctl;
  granted();
  r.Entry().size = Rig::kAt;
  refused(NPU_FAULT_OOB);
  r.Entry().size = Rig::kAt + 12;  // the return lies outside
  refused(NPU_FAULT_OOB);
  r.Entry().size = ~uint64_t{0};  // the guest's numbers are its own business
  granted();
  r.Entry().size = 2 * NPU_PAGE_SIZE;
  granted();
  uint64_t& second = *r.Pte(NPU_PTR_VA(r.code) + NPU_PAGE_SIZE);
  second &= ~uint64_t{NPU_PTE_EXEC};
  refused(NPU_FAULT_PAGE_PERM);
  second |= NPU_PTE_EXEC;
  granted();
  // Without an epoch, but in a new launch.
  r.Entry().ctl = ctl & ~NPU_BOUNDS_EXEC;
  assert_int_equal(r.Run(), Outcome::kFault);
}

// A program that overwrites itself: what it decoded is not what the next launch finds.
void TestSelfModified(void**) {
  Rig r;
  // out = 1, then the first instruction becomes the word at args + 8, and only then anything is decoded again.
  const uint64_t at = r.code + Rig::kAt;
  std::memcpy(r.At(r.args) + 8, &at, 8);
  r.launch.args_bytes = 16;
  const uint32_t program[] = {Addi(11, 0, 1),     kLoadOut,   kStoreOut, kLoadCode,
                              Addi(11, 0, 0x7ff), kStoreCode, kFenceI,   kRet};
  for (uint32_t i = 0; i < 8; ++i) r.Put(i, program[i]);
  assert_int_equal(r.Run(), Outcome::kDone);
  uint32_t now;
  std::memcpy(&now, r.Insn(0), 4);
  assert_int_equal(now, 0x7ff);
  assert_int_equal(r.Run(), Outcome::kFault);
  assert_int_equal(r.core.fault().kind, NPU_FAULT_ILLEGAL);
  // The same without the fence.
  r.Put(0, program[0]);
  r.Put(6, kRet);
  assert_int_equal(r.Run(), Outcome::kDone);
  assert_int_equal(r.Run(), Outcome::kFault);
  assert_int_equal(r.core.fault().kind, NPU_FAULT_ILLEGAL);
}

// Where comparing would be an access of its own, nothing is kept.
void TestNotKept(void**) {
  Rig r;
  assert_true(r.Decodes(1));
  auto* far = reinterpret_cast<uint64_t*>(r.At(r.out));
  assert_true(r.ecc.Inject(static_cast<uint64_t>(reinterpret_cast<uint8_t*>(far) - r.vram.data()), far, 0, 1000));
  assert_true(r.Decodes(1));
  assert_true(r.Decodes(1));
  Rig h;
  const uint64_t host = h.Buffer(2 * NPU_PAGE_SIZE, true, kLiveCode);
  std::memcpy(h.At(host) + Rig::kAt, h.At(h.code) + Rig::kAt, 8);
  std::memcpy(h.At(host + NPU_PAGE_SIZE), h.At(h.code + NPU_PAGE_SIZE), 8);
  h.launch.entry = host + Rig::kAt;
  assert_true(h.Decodes(1));
  assert_true(h.Decodes(1));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(TestKept), cmocka_unit_test(TestNewCode), cmocka_unit_test(TestRights),
                              cmocka_unit_test(TestSelfModified), cmocka_unit_test(TestNotKept)};
  return cmocka_run_group_tests_name("core.code", tests, nullptr, nullptr);
}
