// SPDX-License-Identifier: Apache-2.0
//
// Memory errors: what is corrected, what is refused and to the byte where, what mends, for every engine of a core.
#include <cstring>

#include "ops/poke.h"
#include "suite.h"

namespace {

using namespace npu::model;
using namespace npu::test;

constexpr uint64_t kSram = NPU_LOCAL_SRAM_BASE;
constexpr uint64_t kFlip = 1ull << 5 | 1ull << 40;

uint64_t* Word(uint8_t* at) {
  return reinterpret_cast<uint64_t*>(at);
}

// Errors in the word of a buffer's byte.
struct Flawed : World {
  uint64_t Place(uint64_t ptr) { return static_cast<uint64_t>(At(ptr) - vram.data()) & ~uint64_t{7}; }
  void Uncorrectable(uint64_t ptr) {
    assert_true(ecc.Inject(Place(ptr), Word(vram.data() + Place(ptr)), kFlip, 0));
    space->InvalidateTranslations();  // as the device does
  }
  void Correctable(uint64_t ptr, uint32_t times) {
    assert_true(ecc.Inject(Place(ptr), Word(vram.data() + Place(ptr)), 0, times));
    space->InvalidateTranslations();
  }
};

// The address space's own accesses: reads are refused at the word, whole writes mend it, parts are refused.
void TestAddressSpace(void**) {
  Flawed w;
  const uint64_t p = w.Buffer(16384), q = w.Buffer(16384);
  uint8_t bytes[64] = {};
  FaultInfo fault;
  const uint64_t before = *Word(w.At(p + 4104));
  w.Uncorrectable(p + 4104);
  assert_true(*Word(w.At(p + 4104)) == (before ^ kFlip));
  assert_int_equal(w.ecc_news, 0);
  assert_true(w.space->Read(p + 4096, bytes, 8, &fault) && w.space->Read(p + 4112, bytes, 64, &fault));
  assert_int_equal(w.ecc_news, 0);
  const Snapshot as_was = w.Save();
  assert_false(w.space->Read(p + 4100, bytes, 10, &fault));
  assert_int_equal(fault.kind, NPU_FAULT_ECC);
  assert_int_equal(fault.access, NPU_ACCESS_READ);
  assert_true(fault.bad_addr == NPU_PTR_VA(p) + 4104);
  assert_int_equal(fault.bad_bytes, 6);
  assert_int_equal(fault.bad_index[0], 4);
  assert_int_equal(fault.buf_number, NPU_PTR_BUF(p));
  // From the middle of the word.
  assert_false(w.space->Read(p + 4108, bytes, 32, &fault));
  assert_true(fault.bad_addr == NPU_PTR_VA(p) + 4108 && fault.bad_bytes == 4 && fault.bad_index[0] == 0);
  // Through a copy with rows, and into the bad word.
  assert_false(w.space->Copy(q, 64, p + 4096 - 3 * 128, 128, 32, 5, &fault));
  assert_true(fault.kind == NPU_FAULT_ECC && fault.operand == 1 && fault.bad_addr == NPU_PTR_VA(p) + 4104);
  assert_true(fault.bad_index[0] == 8 && fault.bad_index[1] == 3);
  assert_false(w.space->Copy(p + 4100, 0, q, 0, 8, 1, &fault));
  assert_true(fault.kind == NPU_FAULT_ECC && fault.operand == 0 && fault.access == NPU_ACCESS_WRITE);
  uint64_t value = 0;
  assert_false(w.space->Load64(p + 4104, &value, &fault));
  assert_false(w.space->CompareExchange(p + 4108, &value, 1, 4, &fault));
  assert_int_equal(fault.kind, NPU_FAULT_ECC);
  assert_false(w.space->Fill(p + 4106, 64, 0, 1, &fault));
  assert_true(as_was == w.Save());
  // Counted once, however often it is met.
  assert_int_equal(w.ecc.uncorrected(), 1);
  assert_int_equal(w.ecc_news, 1);
  assert_true(w.ecc.TakeEvent() == (w.Place(p + 4104) | Ecc::kUncorrectable));
  assert_true(w.ecc.TakeEvent() == Ecc::kNone);
  // A write of the whole word mends it.
  assert_true(w.space->Fill(p + 4096, 64, 7, 8, &fault));
  assert_true(w.space->Load64(p + 4104, &value, &fault) && value == 7);
  assert_false(w.ecc.armed());
  // So does a CPU's, of which nobody hears.
  w.Uncorrectable(p);
  assert_false(w.space->Load64(p, &value, &fault));
  *Word(w.At(p)) = 5;
  assert_true(w.space->Load64(p, &value, &fault) && value == 5);
  assert_false(w.ecc.armed());
}

void TestCorrectable(void**) {
  Flawed w;
  const uint64_t p = w.Buffer(4096);
  FaultInfo fault;
  uint64_t value = 0;
  const uint64_t before = *Word(w.At(p + 8));
  w.Correctable(p + 8, 2);
  for (uint32_t i = 1; i <= 3; ++i) {
    assert_true(w.space->Load64(p + 8, &value, &fault) && value == before);
    assert_int_equal(w.ecc.corrected(), i < 2 ? 1 : 2);
  }
  assert_true(w.ecc.TakeEvent() == w.Place(p + 8) && w.ecc.TakeEvent() == w.Place(p + 8));
  assert_true(w.ecc.TakeEvent() == Ecc::kNone);
  assert_int_equal(w.ecc_news, 2);
  assert_false(w.ecc.armed());
  // Overwritten before it was read: nothing to correct.  A part of the word is written: it is read for that.
  w.Correctable(p + 8, 1);
  assert_true(w.space->Store64(p + 8, 1, &fault) && w.space->Load64(p + 8, &value, &fault));
  assert_int_equal(w.ecc.corrected(), 2);
  w.Correctable(p + 8, 1);
  assert_true(w.space->Fill(p + 8, 4, 1, 4, &fault));
  assert_int_equal(w.ecc.corrected(), 3);
  // A scrub finds all of a page and no other.
  w.Correctable(p + 8, 1);
  w.Correctable(p + 4088, 1);
  const uint64_t page = w.Place(p) & ~uint64_t{4095};
  w.ecc.Scrub(page + 4096, 4096);
  assert_int_equal(w.ecc.corrected(), 3);
  w.ecc.Scrub(page, 4096);
  assert_int_equal(w.ecc.corrected(), 5);
  assert_false(w.ecc.armed());
}

void TestLimits(void**) {
  Flawed w;
  const uint64_t before = *Word(w.vram.data());
  for (uint64_t i = 0; i < Ecc::kMaxErrors; ++i)
    assert_true(w.ecc.Inject(8 * i, Word(w.vram.data() + 8 * i), kFlip, 0));
  assert_false(w.ecc.Inject(1 << 20, Word(w.vram.data() + (1 << 20)), kFlip, 0));
  assert_true(w.ecc.Inject(0, Word(w.vram.data()), kFlip, 0));  // it is bad already
  assert_true(*Word(w.vram.data()) == (before ^ kFlip));
  w.ecc.Disarm();
  assert_false(w.ecc.armed());
  assert_true(*Word(w.vram.data()) == before);
  // A reset keeps what is in device memory, unless that is cleared.
  assert_true(w.ecc.Inject(0, Word(w.vram.data()), kFlip, 0));
  assert_true(w.ecc.Inject(NPU_INJ_SRAM(1, 8), Word(w.vram.data() + 64), kFlip, 0));
  w.ecc.Reset(false);
  assert_true(w.ecc.AnyIn(0, 8) && !w.ecc.AnyIn(NPU_INJ_SRAM(1, 0), kSramBytes));
  w.ecc.Reset(true);
  assert_false(w.ecc.armed());
}

// Words of page tables and of the bounds table are read like all others.
void TestTables(void**) {
  Flawed w;
  const uint64_t p = w.Buffer(4096), q = w.Buffer(4096);
  FaultInfo fault;
  uint64_t value = 0;
  uint64_t* pte = w.Pte(NPU_PTR_VA(p));
  const auto table = static_cast<uint64_t>(reinterpret_cast<uint8_t*>(pte) - w.vram.data());
  assert_true(w.ecc.Inject(table, pte, kFlip, 0));
  assert_false(w.space->Load64(p, &value, &fault));
  assert_int_equal(fault.kind, NPU_FAULT_ECC);
  assert_false(w.space->Check(p, 64, NPU_ACCESS_WRITE, &fault));
  assert_int_equal(fault.kind, NPU_FAULT_ECC);
  assert_true(w.space->Load64(q, &value, &fault));
  w.ecc.Disarm();
  assert_true(w.space->Load64(p, &value, &fault));
  auto* entry = reinterpret_cast<uint64_t*>(&w.Bounds(static_cast<uint32_t>(NPU_PTR_BUF(p))));
  const auto at = static_cast<uint64_t>(reinterpret_cast<uint8_t*>(entry) - w.vram.data());
  assert_true(w.ecc.Inject(at + 8, entry + 1, kFlip, 0));
  assert_false(w.space->Load64(p, &value, &fault));
  assert_int_equal(fault.kind, NPU_FAULT_ECC);
  assert_true(w.space->Load64(q, &value, &fault));
}

struct Rig : Flawed {
  Rig() : core(3, platform) {
    code = LoadCode(CORE_TEST_OPS "/poke.bin");
    args = Buffer(sizeof(PokeArgs));
    out = Buffer(256);
    launch.space = space.get();
    launch.entry = code;
    launch.args = args;
    launch.args_bytes = sizeof(PokeArgs);
  }
  Outcome Poke(PokeWhat what, uint64_t a = 0, uint64_t b = 0) {
    const PokeArgs p{static_cast<uint64_t>(what), a, b, out};
    std::memcpy(At(args), &p, sizeof(p));
    core.Begin(launch, 0);
    return core.Run(1000000);
  }
  uint64_t Out() { return *Word(At(out)); }
  // Refused with this access at this address, and nothing has changed.
  void Refused(PokeWhat what, uint64_t a, uint64_t b, npu_access access, uint64_t bad) {
    const PokeArgs p{static_cast<uint64_t>(what), a, b, out};
    std::memcpy(At(args), &p, sizeof(p));
    core.Begin(launch, 0);
    const Snapshot before = Save(core.sram());
    assert_int_equal(core.Run(1000000), Outcome::kFault);
    const npu_fault_record& f = core.fault();
    assert_int_equal(f.kind, NPU_FAULT_ECC);
    assert_int_equal(f.access, access);
    assert_true(f.bad_addr == NPU_PTR_VA(bad));
    assert_true(before == Save(core.sram()));
  }
  Core core;
  LaunchContext launch;
  uint64_t code, args, out;
};

// The hart, whose translations were cached before the error came.
void TestHart(void**) {
  Rig r;
  const uint64_t p = r.Buffer(8192);
  assert_int_equal(r.Poke(kPokeStore, p + 64, 11), Outcome::kDone);
  assert_int_equal(r.Poke(kPokeLoad, p + 64), Outcome::kDone);
  r.Uncorrectable(p + 64);
  assert_int_equal(r.Poke(kPokeLoad, p + 72), Outcome::kDone);  // the rest of the page is good
  r.Refused(kPokeLoad, p + 64, 0, NPU_ACCESS_READ, p + 64);
  assert_int_equal(r.core.fault().engine, NPU_ENGINE_SCALAR);
  assert_int_equal(r.core.fault().bad_bytes, 8);
  r.Refused(kPokeStoreByte, p + 67, 1, NPU_ACCESS_WRITE, p + 67);
  r.Refused(kPokeAmoAdd, p + 68, 1, NPU_ACCESS_ATOMIC, p + 68);
  r.Refused(kPokeReserved, p + 64, 1, NPU_ACCESS_ATOMIC, p + 64);
  assert_int_equal(r.Poke(kPokeStore, p + 64, 12), Outcome::kDone);
  assert_int_equal(r.Poke(kPokeLoad, p + 64), Outcome::kDone);
  assert_int_equal(r.Out(), 12);
  assert_int_equal(r.ecc.uncorrected(), 1);
  // In code: the fetch is refused, and says what it met.
  r.Uncorrectable(r.code);
  r.Poke(kPokeNothing);
  assert_int_equal(r.core.fault().kind, NPU_FAULT_FETCH);
  assert_int_equal(r.core.fault().detail, NPU_FAULT_ECC);
  assert_true(r.core.fault().bad_addr == NPU_PTR_VA(r.code));
  r.ecc.Disarm();
  assert_int_equal(r.Poke(kPokeNothing), Outcome::kDone);
  // In code that is not reached it does not matter; corrected ones are only counted.
  r.Correctable(r.code, 1);
  assert_int_equal(r.Poke(kPokeStore, p, 1), Outcome::kDone);
  assert_int_equal(r.ecc.corrected(), 1);
}

void TestSram(void**) {
  Rig r;
  assert_int_equal(r.Poke(kPokeStore, kSram + 4096, 77), Outcome::kDone);
  auto inject = [&r](uint64_t offset, uint64_t flip) {
    assert_true(r.ecc.Inject(NPU_INJ_SRAM(3, offset), Word(r.core.sram() + offset), flip, flip == 0));
    r.core.CheckSram();
  };
  inject(4096, 0);
  assert_int_equal(r.Poke(kPokeLoad, kSram + 4096), Outcome::kDone);
  assert_int_equal(r.Out(), 77);
  assert_true(r.ecc.TakeEvent() == NPU_INJ_SRAM(3, 4096));
  inject(4096, kFlip);
  r.Refused(kPokeLoad, kSram + 4096, 0, NPU_ACCESS_READ, kSram + 4096);
  r.Refused(kPokeStoreByte, kSram + 4097, 1, NPU_ACCESS_WRITE, kSram + 4097);
  assert_true(r.ecc.TakeEvent() == (NPU_INJ_SRAM(3, 4096) | Ecc::kUncorrectable));
  assert_int_equal(r.Poke(kPokeLoad, kSram + 4104), Outcome::kDone);
  // The same place in another core's SRAM is another place.
  assert_false(r.ecc.AnyIn(NPU_INJ_SRAM(2, 0), kSramBytes));
  assert_int_equal(r.Poke(kPokeStore, kSram + 4096, 78), Outcome::kDone);
  assert_int_equal(r.Poke(kPokeLoad, kSram + 4096), Outcome::kDone);
  assert_int_equal(r.Out(), 78);
  assert_false(r.ecc.armed());
}

// The pipes: an operand with a bad word is refused before anything has moved.
void TestPipes(void**) {
  Flawed w;
  Units u(w);
  const uint64_t p = w.Buffer(65536);
  auto refused = [&](auto call, uint8_t operand, uint64_t bad) {
    const Snapshot before = w.Save(u.local.sram());
    assert_int_equal(call(), NPU_FAULT_ECC);
    assert_int_equal(u.fault.operand, operand);
    assert_true(u.fault.bad_addr == NPU_PTR_VA(bad));
    assert_true(before == w.Save(u.local.sram()));
  };
  npu_dma_desc in{};
  in.op = NPU_DMA_COPY;
  in.dst = kSram;
  in.src = p;
  in.count[0] = 256;
  in.count[1] = 16;
  in.dst_stride[0] = 256;
  in.src_stride[0] = 1024;
  w.Uncorrectable(p + 5 * 1024 + 40);
  refused([&] { return u.Dma(in, NPU_PIPE_DMA_IN); }, 1, p + 5 * 1024 + 40);
  assert_int_equal(u.fault.bad_index[1], 5);
  in.src = p + 256;  // beside it
  assert_int_equal(u.Dma(in, NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  npu_dma_desc out{};
  out.op = NPU_DMA_COPY;
  out.dst = p + 5 * 1024 + 44;
  out.src = kSram;
  out.count[0] = 64;
  refused([&] { return u.Dma(out, NPU_PIPE_DMA_OUT); }, 0, p + 5 * 1024 + 44);
  out.dst = p + 5 * 1024;
  assert_int_equal(u.Dma(out, NPU_PIPE_DMA_OUT), NPU_FAULT_NONE);  // all of the word
  in.src = p;
  assert_int_equal(u.Dma(in, NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  assert_false(w.ecc.armed());

  npu_matrix_desc m{};
  m.op = NPU_MATRIX_MMA;
  m.d_type = m.a_type = m.b_type = NPU_F32;
  m.m = m.n = m.k = 16;
  m.a = kSram, m.b = kSram + 0x1000, m.d = kSram + 0x2000;
  m.a_pitch = m.b_pitch = m.d_pitch = 128;
  std::memset(u.local.sram(), 0, 0x4000);
  assert_int_equal(u.Matrix(m), NPU_FAULT_NONE);
  const auto sram = [&](uint64_t offset) {
    assert_true(w.ecc.Inject(NPU_INJ_SRAM(0, offset), Word(u.local.sram() + offset), kFlip, 0));
  };
  sram(0x1000 + 3 * 128 + 8);
  refused([&] { return u.Matrix(m); }, 2, kSram + 0x1000 + 3 * 128 + 8);
  sram(0x1000 + 3 * 128 + 64);  // between the rows
  w.ecc.Disarm();
  sram(0x1000 + 3 * 128 + 64);
  assert_int_equal(u.Matrix(m), NPU_FAULT_NONE);
  w.ecc.Disarm();

  npu_vector_desc v{};
  v.op = NPU_V_ADD;
  v.dst_type = v.src_type = NPU_F32;
  v.dst = kSram + 0x2000;
  v.src[0] = kSram, v.src[1] = kSram + 0x1000;
  v.rows = 4, v.cols = 16;
  for (int i = 0; i < 3; ++i) v.row_pitch[i] = 64;
  assert_int_equal(u.Vector(v), NPU_FAULT_NONE);
  sram(64 + 16);
  refused([&] { return u.Vector(v); }, 1, kSram + 64 + 16);
  w.ecc.Disarm();
  sram(0x2000 + 128);  // the result covers it
  assert_int_equal(u.Vector(v), NPU_FAULT_NONE);
  assert_int_equal(w.ecc.Access(NPU_INJ_SRAM(0, 0x2000), 256, NPU_ACCESS_READ) == Ecc::kNone, 1);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(TestAddressSpace), cmocka_unit_test(TestCorrectable),
                              cmocka_unit_test(TestLimits),       cmocka_unit_test(TestTables),
                              cmocka_unit_test(TestHart),         cmocka_unit_test(TestSram),
                              cmocka_unit_test(TestPipes)};
  return cmocka_run_group_tests_name("core.ecc", tests, nullptr, nullptr);
}
