// SPDX-License-Identifier: Apache-2.0
//
// Bounds, pages and strided footprints of the address space; nothing changes on a fault.
#include <cstring>
#include <thread>

#include "core/footprint.h"
#include "suite.h"

namespace {

using namespace npu::model;
using namespace npu::test;

// The access fails with this kind and changes nothing.
#define REFUSED(world, expected, call)      \
  do {                                      \
    const Snapshot before = (world).Save(); \
    FaultInfo f;                            \
    FaultInfo* fault = &f;                  \
    assert_false(call);                     \
    assert_int_equal(f.kind, expected);     \
    assert_true(before == (world).Save());  \
    last = f;                               \
  } while (0)
FaultInfo last;

void TestReadWrite(void**) {
  World w;
  FaultInfo f;
  for (const bool host : {false, true}) {
    const uint64_t p = w.Buffer(3 * NPU_PAGE_SIZE + 5, host);
    uint8_t data[9000], back[9000];
    for (size_t i = 0; i < sizeof(data); ++i) data[i] = static_cast<uint8_t>(i * 31);
    assert_true(w.space->Write(p + 100, data, sizeof(data), &f));
    assert_true(w.space->Read(p + 100, back, sizeof(back), &f));
    assert_memory_equal(data, back, sizeof(data));
    uint64_t value = 0;
    assert_true(w.space->Store64(p + 8, 0x1122334455667788, &f));
    assert_true(w.space->Load64(p + 8, &value, &f));
    assert_int_equal(value, 0x1122334455667788);
    uint64_t expected = 5;
    assert_true(w.space->CompareExchange(p + 8, &expected, 9, 8, &f));
    assert_int_equal(expected, 0x1122334455667788);
    assert_true(w.space->CompareExchange(p + 8, &expected, 9, 8, &f));
    assert_true(w.space->Load64(p + 8, &value, &f));
    assert_int_equal(value, 9);
    assert_true(w.space->Check(p, 0, NPU_ACCESS_WRITE, &f));
  }
}

void TestFill(void**) {
  World w;
  FaultInfo f;
  for (const bool host : {false, true}) {
    for (const unsigned size : {1u, 2u, 4u, 8u}) {
      const uint64_t p = w.Buffer(20000, host);
      const uint64_t pattern = 0x8877665544332211;
      assert_true(w.space->Fill(p + 8, 12344, pattern, size, &f));
      for (uint64_t i = 0; i < 12344; ++i) assert_int_equal(*w.At(p + 8 + i), (pattern >> (8 * (i % size))) & 0xff);
      REFUSED(w, NPU_FAULT_OOB, w.space->Fill(p + 8, 20000, pattern, size, fault));
    }
  }
}

void TestCopy(void**) {
  World w;
  FaultInfo f;
  for (const bool from_host : {false, true}) {
    for (const bool to_host : {false, true}) {
      const uint64_t src = w.Buffer(40000, from_host), dst = w.Buffer(50000, to_host);
      assert_true(w.space->Copy(dst + 3, 300, src + 1, 250, 200, 150, &f));
      for (uint64_t r = 0; r < 150; ++r)
        for (uint64_t i = 0; i < 200; ++i) assert_int_equal(*w.At(dst + 3 + r * 300 + i), *w.At(src + 1 + r * 250 + i));
      // Row 166 of the destination ends behind its buffer: 3 + 166 * 300 + 200 = 50003.
      REFUSED(w, NPU_FAULT_OOB, w.space->Copy(dst + 3, 300, src, 0, 200, 167, fault));
      assert_int_equal(last.operand, 0);
      assert_int_equal(last.bad_bytes, 3);
      assert_int_equal(last.bad_index[0], 197);
      assert_int_equal(last.bad_index[1], 166);
      assert_int_equal(last.bad_addr, NPU_PTR_VA(dst) + 50000);
      REFUSED(w, NPU_FAULT_OOB, w.space->Copy(dst, 0, src, 200, 200, 201, fault));
      assert_int_equal(last.operand, 1);
      assert_int_equal(last.bad_index[1], 200);
      assert_int_equal(last.bad_bytes, 200);
    }
  }
}

void TestKinds(void**) {
  World w;
  uint8_t b[64] = {};
  const uint64_t p = w.Buffer(100), neighbour = w.Buffer(100);
  (void)neighbour;
  REFUSED(w, NPU_FAULT_NULL, w.space->Write(8, b, 8, fault));
  REFUSED(w, NPU_FAULT_LOCAL_OOB, w.space->Write(NPU_LOCAL_SRAM_BASE, b, 8, fault));
  REFUSED(w, NPU_FAULT_UNKNOWN_BUF, w.space->Write(0x4040000000, b, 8, fault));
  REFUSED(w, NPU_FAULT_UNKNOWN_BUF, w.space->Write(NPU_PTR(999, 0, 0x40000000), b, 8, fault));
  REFUSED(w, NPU_FAULT_OOB, w.space->Write(p + 96, b, 8, fault));
  assert_int_equal(last.bad_addr, NPU_PTR_VA(p) + 100);
  assert_int_equal(last.bad_bytes, 4);
  assert_int_equal(last.addr, p + 96);
  assert_int_equal(last.size, 8);
  assert_int_equal(last.buf_base, NPU_PTR_VA(p));
  assert_int_equal(last.buf_size, 100);
  assert_int_equal(last.buf_number, NPU_PTR_BUF(p));
  // The neighbour is mapped and live; the pointer does not name it.
  REFUSED(w, NPU_FAULT_OOB, w.space->Write(p + NPU_PAGE_SIZE, b, 8, fault));
  assert_int_equal(last.bad_bytes, 8);
  REFUSED(w, NPU_FAULT_OOB, w.space->Write(p - 4, b, 8, fault));
  assert_int_equal(last.bad_addr, NPU_PTR_VA(p) - 4);
  assert_int_equal(last.bad_bytes, 4);
  REFUSED(w, NPU_FAULT_STALE, w.space->Write(p + (uint64_t{1} << NPU_GEN_SHIFT), b, 8, fault));
  REFUSED(w, NPU_FAULT_MISALIGNED, w.space->Store64(p + 4, 1, fault));
  npu_bounds_entry& entry = w.Bounds(static_cast<uint32_t>(NPU_PTR_BUF(p)));
  const uint32_t ctl = entry.ctl;
  entry.ctl = ctl & ~NPU_BOUNDS_WRITE;
  REFUSED(w, NPU_FAULT_PERM, w.space->Write(p, b, 8, fault));
  REFUSED(w, NPU_FAULT_PERM, w.space->Store64(p, 1, fault));
  REFUSED(w, NPU_FAULT_OOB, w.space->Write(p + 100, b, 8, fault));
  entry.ctl = ctl & ~NPU_BOUNDS_READ;
  REFUSED(w, NPU_FAULT_PERM, w.space->Read(p, b, 8, fault));
  REFUSED(w, NPU_FAULT_PERM, w.space->Check(p, 8, NPU_ACCESS_EXEC, fault));
  entry.ctl = (ctl & ~NPU_BOUNDS_STATE_MASK) | NPU_BOUNDS_STATE_FREED << NPU_BOUNDS_STATE_SHIFT;
  REFUSED(w, NPU_FAULT_STALE, w.space->Read(p, b, 8, fault));
  assert_int_equal(last.buf_ctl, entry.ctl);
  entry.ctl = ctl;
  const uint64_t pte = *w.Pte(NPU_PTR_VA(p));
  *w.Pte(NPU_PTR_VA(p)) = pte & ~NPU_PTE_WRITE;
  REFUSED(w, NPU_FAULT_PAGE_PERM, w.space->Write(p, b, 8, fault));
  REFUSED(w, NPU_FAULT_PAGE_PERM, w.space->Store64(p, 1, fault));
  *w.Pte(NPU_PTR_VA(p)) = pte & ~NPU_PTE_VALID;
  REFUSED(w, NPU_FAULT_PAGE, w.space->Write(p, b, 8, fault));
}

void TestPagesInTheMiddle(void**) {
  World w;
  std::vector<uint8_t> b(5 * NPU_PAGE_SIZE);
  const uint64_t p = w.Buffer(5 * NPU_PAGE_SIZE);
  w.Unmap(NPU_PTR_VA(p) + 2 * NPU_PAGE_SIZE);
  *w.Pte(NPU_PTR_VA(p) + 3 * NPU_PAGE_SIZE) &= ~NPU_PTE_WRITE;
  REFUSED(w, NPU_FAULT_PAGE, w.space->Write(p + 10, b.data(), 4 * NPU_PAGE_SIZE, fault));
  assert_int_equal(last.bad_addr, NPU_PTR_VA(p) + 2 * NPU_PAGE_SIZE);
  assert_int_equal(last.bad_bytes, 2 * NPU_PAGE_SIZE);
  assert_int_equal(last.bad_index[0], 2 * NPU_PAGE_SIZE - 10);
  REFUSED(w, NPU_FAULT_PAGE, w.space->Fill(p, 5 * NPU_PAGE_SIZE, 0, 1, fault));
  REFUSED(w, NPU_FAULT_PAGE, w.space->Copy(p, 0, p + 2 * NPU_PAGE_SIZE, 0, 8, 1, fault));
  assert_int_equal(last.operand, 1);
}

// What one stretch of device memory is, and what is left to the general way.
void TestStretch(void**) {
  World w;
  const uint64_t p = w.Buffer(4 * NPU_PAGE_SIZE - 100), va = NPU_PTR_VA(p);
  Box box;
  box.ptr = p + 3000;
  box.count[0] = 1000;
  box.count[1] = 4;
  box.stride[1] = 4000;
  uint8_t* const at = w.At(p);
  assert_ptr_equal(w.space->ResolveStretch(box, NPU_ACCESS_READ), at + 3000);
  Box down = box;
  down.ptr = p + 3000 + 3 * 4000;
  down.stride[1] = -4000;
  assert_ptr_equal(w.space->ResolveStretch(down, NPU_ACCESS_WRITE), at + 3000 + 3 * 4000);
  const auto general = [&](const Box& b) { assert_null(w.space->ResolveStretch(b, NPU_ACCESS_WRITE)); };
  Box longer = box;
  longer.stride[1] = 4200;  // 3000 + 3 * 4200 + 1000 is behind the end, by 316
  general(longer);
  Box before = box;
  before.stride[1] = -1001;
  general(before);
  general(Box{.ptr = p + (uint64_t{1} << NPU_GEN_SHIFT)});
  npu_bounds_entry& entry = w.Bounds(static_cast<uint32_t>(NPU_PTR_BUF(p)));
  entry.ctl &= ~NPU_BOUNDS_WRITE;
  general(box);
  entry.ctl |= NPU_BOUNDS_WRITE;
  // Pages that are not there, in host memory, elsewhere in device memory, or not to be written.
  uint64_t* const pte = w.Pte(va + 2 * NPU_PAGE_SIZE);
  const uint64_t good = *pte, address = good & NPU_PTE_ADDR_MASK;
  const std::initializer_list<uint64_t> elsewhere = {0, kHostBus | kReadWrite | NPU_PTE_VALID | NPU_PTE_HOST,
                                                     (address + NPU_PAGE_SIZE) | kReadWrite | NPU_PTE_VALID,
                                                     good & ~uint64_t{NPU_PTE_WRITE}};
  for (const uint64_t bad : elsewhere) {
    *pte = bad;
    general(box);
  }
  assert_ptr_equal(w.space->ResolveStretch(box, NPU_ACCESS_READ), at + 3000);
  *pte = good;
  assert_true(w.ecc.Inject(NPU_PAGE_SIZE, reinterpret_cast<uint64_t*>(&w.vram[NPU_PAGE_SIZE]), 3, 1));
  general(box);
  w.ecc.Disarm();
  assert_ptr_equal(w.space->ResolveStretch(box, NPU_ACCESS_WRITE), at + 3000);
}

void TestHostileTables(void**) {
  World w;
  uint8_t b[64] = {};
  const uint64_t p = w.Buffer(100);
  uint64_t* pte = w.Pte(NPU_PTR_VA(p));
  for (const uint64_t bad : std::initializer_list<uint64_t>{kVram, NPU_PTE_ADDR_MASK, uint64_t{1} << 51}) {
    *pte = (bad & NPU_PTE_ADDR_MASK) | kReadWrite | NPU_PTE_VALID;
    REFUSED(w, NPU_FAULT_PAGE, w.space->Write(p, b, 8, fault));
  }
  // A level-1 table behind the end of memory, and a leaf that is not aligned.
  auto* root = reinterpret_cast<uint64_t*>(w.vram.data() + w.ctx.pt_root) + (NPU_PTR_VA(p) >> NPU_PT_ROOT_SHIFT);
  const uint64_t good = *root;
  *root = (kVram & NPU_PTE_ADDR_MASK) | NPU_PTE_VALID;
  REFUSED(w, NPU_FAULT_PAGE, w.space->Write(p, b, 8, fault));
  *root = good;
  auto* mid = reinterpret_cast<uint64_t*>(w.vram.data() + (good & NPU_PTE_ADDR_MASK)) +
              ((NPU_PTR_VA(p) >> NPU_PT_MID_SHIFT) & (NPU_PT_ENTRIES - 1));
  *mid = 0x1000 | kReadWrite | NPU_PTE_VALID | NPU_PTE_LEAF;
  REFUSED(w, NPU_FAULT_PAGE, w.space->Write(p, b, 8, fault));
  // Bounds that wrap around.
  npu_bounds_entry& entry = w.Bounds(static_cast<uint32_t>(NPU_PTR_BUF(p)));
  entry.base = ~uint64_t{0} - 10;
  entry.size = ~uint64_t{0};
  REFUSED(w, NPU_FAULT_OOB, w.space->Write(p, b, 8, fault));
  entry.base = NPU_VA_MASK - 3;
  const uint64_t top = NPU_PTR(NPU_PTR_BUF(p), NPU_PTR_GEN(p), NPU_VA_MASK - 3);
  REFUSED(w, NPU_FAULT_OOB, w.space->Write(top, b, 8, fault));
  assert_int_equal(last.bad_bytes, 4);
  // Roots and bounds tables outside of memory make an address space in which nothing can be reached.
  for (const uint64_t bad : std::initializer_list<uint64_t>{kVram - 8, kVram, UINT64_MAX, 0x4001}) {
    npu_ctx_desc desc = w.ctx;
    desc.pt_root = bad;
    AddressSpace no_pages(w.platform, 1, desc);
    FaultInfo f;
    assert_int_equal(no_pages.Lookup(NPU_PTR_VA(p)).bytes, 0);
    desc = w.ctx;
    desc.bounds_addr = bad;
    AddressSpace no_bounds(w.platform, 1, desc);
    assert_false(no_bounds.Check(p, 8, NPU_ACCESS_READ, &f));
    assert_int_equal(f.kind, NPU_FAULT_UNKNOWN_BUF);
  }
}

void TestBigPages(void**) {
  World w;
  FaultInfo f;
  const uint64_t va = 0x80000000;
  w.Map(va, 32u << 20, 2 * NPU_BIG_PAGE_SIZE, kReadWrite, false, true);
  npu_bounds_entry& entry = w.Bounds(500);
  entry.base = va;
  entry.size = 2 * NPU_BIG_PAGE_SIZE;
  entry.ctl = kLiveReadWrite;
  const uint64_t p = NPU_PTR(500, 0, va);
  std::vector<uint8_t> data(3u << 20, 0x5a);
  assert_true(w.space->Write(p + 1000, data.data(), data.size(), &f));
  assert_memory_equal(w.vram.data() + (32u << 20) + 1000, data.data(), data.size());
  assert_int_equal(w.space->Lookup(va + 5).bytes, NPU_BIG_PAGE_SIZE);
}

void TestBusErrors(void**) {
  World w;
  uint8_t b[9000] = {};
  const uint64_t p = w.Buffer(3 * NPU_PAGE_SIZE, true), q = w.Buffer(3 * NPU_PAGE_SIZE);
  w.bus_error_at = (*w.Pte(NPU_PTR_VA(p)) & NPU_PTE_ADDR_MASK) + 16;
  REFUSED(w, NPU_FAULT_BUS, w.space->Read(p, b, sizeof(b), fault));
  REFUSED(w, NPU_FAULT_BUS, w.space->Write(p, b, sizeof(b), fault));
  REFUSED(w, NPU_FAULT_BUS, w.space->Store64(p + 16, 1, fault));
  REFUSED(w, NPU_FAULT_BUS, w.space->Copy(q, 0, p, 0, 4096, 1, fault));
  assert_int_equal(last.operand, 1);
  REFUSED(w, NPU_FAULT_BUS, w.space->Copy(p, 0, q, 0, 4096, 1, fault));
  assert_int_equal(last.operand, 0);
}

// Strided boxes against a byte-by-byte walk.
void TestStridedOutside(void**) {
  Random random(1);
  for (int round = 0; round < 20000; ++round) {
    Box box;
    box.ptr = 100000 + random.Below(64);
    box.elem_bytes = 1u << random.Below(3);
    for (int d = 0; d < 4; ++d) {
      box.count[d] = 1 + random.Below(d ? 4 : 9);
      if (d) box.stride[d] = static_cast<int64_t>(random.Below(81)) - 40;
    }
    const uint64_t low = 100000 + random.Below(100) - 50, high = low + random.Below(200);
    uint64_t bad = 0, first = 0;
    uint32_t index[4] = {};
    for (uint32_t i3 = 0; i3 < box.count[3]; ++i3)
      for (uint32_t i2 = 0; i2 < box.count[2]; ++i2)
        for (uint32_t i1 = 0; i1 < box.count[1]; ++i1)
          for (uint32_t i0 = 0; i0 < box.count[0] * box.elem_bytes; ++i0) {
            const uint64_t va =
                box.ptr + i0 + static_cast<uint64_t>(i1 * box.stride[1] + i2 * box.stride[2] + i3 * box.stride[3]);
            if (va >= low && va < high) continue;
            if (!bad++) {
              first = va;
              index[0] = i0 / box.elem_bytes;
              index[1] = i1, index[2] = i2, index[3] = i3;
            }
          }
    const Outside out = FindOutside(box, low, high);
    assert_int_equal(out.any, bad != 0);
    assert_int_equal(out.bad_bytes, bad);
    if (!bad) continue;
    assert_int_equal(out.bad_addr, first);
    assert_memory_equal(out.index, index, sizeof(index));
  }
}

void TestHugeBoxesDoNotWrap(void**) {
  World w;
  const uint64_t p = w.Buffer(4096);
  FaultInfo f;
  Box box;
  box.ptr = p;
  box.count[0] = 16;
  for (const int64_t stride : {INT64_MAX, INT64_MIN, int64_t{1} << 40, -(int64_t{1} << 40), int64_t{1} << 62}) {
    box.count[1] = 3;
    box.stride[1] = stride;
    assert_false(w.space->CheckBox(box, NPU_ACCESS_WRITE, &f));
    assert_int_equal(f.kind, NPU_FAULT_OOB);
    assert_int_equal(f.bad_index[1], 1);
    assert_int_equal(f.bad_bytes, 32);
  }
  // 2^32 - 1 rows of the largest stride: the sum needs more than 64 bits.
  box.count[1] = UINT32_MAX;
  box.stride[1] = INT64_MAX;
  assert_false(w.space->CheckBox(box, NPU_ACCESS_WRITE, &f));
  assert_int_equal(f.bad_bytes, 16 * (uint64_t{UINT32_MAX} - 1));
}

// A runtime that frees a buffer and reuses its number while the device checks: the access passes until some moment and
// is stale from then on.  It never sees the next owner's base with its own generation.
void TestTornEntries(void**) {
  World w;
  const uint64_t p = w.Buffer(4096);
  npu_bounds_entry& entry = w.Bounds(static_cast<uint32_t>(NPU_PTR_BUF(p)));
  const npu_bounds_entry first = entry;
  for (int round = 0; round < 300; ++round) {
    entry = first;
    std::atomic<bool> go{false};
    std::thread runtime([&] {
      while (!go.load()) std::this_thread::yield();
      for (uint32_t i = 1; i < 100; ++i) {
        const uint32_t ctl = (first.ctl & ~NPU_BOUNDS_GEN_MASK) | ((first.ctl + i) & NPU_BOUNDS_GEN_MASK);
        __atomic_store_n(&entry.ctl, ctl & ~NPU_BOUNDS_STATE_MASK, __ATOMIC_SEQ_CST);
        __atomic_store_n(&entry.base, first.base + i * 0x100000, __ATOMIC_SEQ_CST);
        __atomic_store_n(&entry.ctl, ctl, __ATOMIC_SEQ_CST);
      }
    });
    FaultInfo f;
    assert_true(w.space->Check(p, 8, NPU_ACCESS_READ, &f));
    go = true;
    int after = 0;
    while (after < 50) {
      const bool ok = w.space->Check(p, 8, NPU_ACCESS_READ, &f);
      assert_true(!ok || !after);
      if (ok) continue;
      ++after;
      assert_true(f.kind == NPU_FAULT_STALE || f.kind == NPU_FAULT_UNKNOWN_BUF);
    }
    runtime.join();
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(TestReadWrite),
      cmocka_unit_test(TestFill),
      cmocka_unit_test(TestCopy),
      cmocka_unit_test(TestKinds),
      cmocka_unit_test(TestPagesInTheMiddle),
      cmocka_unit_test(TestStretch),
      cmocka_unit_test(TestHostileTables),
      cmocka_unit_test(TestBigPages),
      cmocka_unit_test(TestBusErrors),
      cmocka_unit_test(TestStridedOutside),
      cmocka_unit_test(TestHugeBoxesDoNotWrap),
      cmocka_unit_test(TestTornEntries),
  };
  return cmocka_run_group_tests_name("core.address_space", tests, nullptr, nullptr);
}
