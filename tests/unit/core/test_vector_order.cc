// SPDX-License-Identifier: Apache-2.0
//
// The vector pipe's operations that look across a row, compares and selection of all types, and what they refuse.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "dtype_reference.h"
#include "suite.h"

namespace {

using namespace npu::model;
using namespace npu::test;

constexpr uint64_t kSram = NPU_LOCAL_SRAM_BASE;
constexpr uint32_t kDst = 0, kSrc0 = 0x40000, kSrc1 = 0x80000, kSrc2 = 0xc0000, kDst2 = 0xe0000;
constexpr uint8_t kSortTypes[] = {NPU_F32, NPU_F16, NPU_BF16, NPU_TF32, NPU_F8E4M3, NPU_F8E5M2,
                                  NPU_I8,  NPU_U8,  NPU_I32,  NPU_I16,  NPU_U32};

uint32_t Bytes(uint8_t type) {
  return static_cast<uint32_t>(FactsOf(type).bits) / 8;
}

npu_vector_desc Shape(uint16_t op, uint8_t type, uint32_t rows, uint32_t cols) {
  npu_vector_desc d{};
  d.op = op;
  d.dst_type = d.src_type = type;
  d.dst = kSram + kDst;
  d.src[0] = kSram + kSrc0, d.src[1] = kSram + kSrc1, d.src[2] = kSram + kSrc2;
  d.rows = rows, d.cols = cols;
  for (int32_t& pitch : d.row_pitch) pitch = static_cast<int32_t>(cols * Bytes(type) + Bytes(type));
  return d;
}

void WithIndex(npu_vector_desc* d, uint32_t cols) {
  d->flags |= NPU_VEC_INDEX;
  d->dst2 = kSram + kDst2;
  d->dst2_pitch = static_cast<int32_t>(cols * 4 + 8);
}

struct Bench : World {
  Units u{*this};
  Random random{21};
  uint8_t* sram = u.local.sram();

  // Few different values, so that there are ties, or any bits.
  void Fill(uint8_t type, bool few) {
    for (uint32_t i = 0; i < 0x8000 / Bytes(type); ++i) {
      uint32_t v = static_cast<uint32_t>(random.Next() >> 24);
      if (few) v = IsFloatType(type) ? RoundToFloat(type, static_cast<int>(v % 7) - 3, {}, 0) : v % 7 - (v & 8 ? 3 : 0);
      if (few && IsFloatType(type) && v == 0 && random.Below(2)) v = 1u << (FactsOf(type).bits - 1);  // -0
      PutElement(sram + kSrc0, type, i, v);
    }
  }
  void Refuses(const npu_vector_desc& d, int kind, int detail, int operand) {
    const Snapshot before = Save(sram);
    assert_int_equal(u.Vector(d), kind);
    assert_int_equal(u.fault.detail, detail);
    assert_int_equal(u.fault.operand, operand);
    assert_true(before == Save(sram));
  }
  uint8_t* RowOf(uint64_t ptr, int32_t pitch, uint32_t r) {
    return sram + (ptr - kSram) + r * static_cast<uint32_t>(pitch);
  }
};

bool Below(uint8_t type, uint32_t a, uint32_t b) {
  const double x = Meaning(type, a), y = Meaning(type, b);
  if (std::isnan(y)) return !std::isnan(x);  // NaN is above everything
  return x < y;
}

void TestSortAndTopk(void**) {
  Bench b;
  for (int round = 0; round < 60; ++round) {
    for (const uint8_t type : kSortTypes) {
      b.Fill(type, round % 2);
      const bool descending = round / 2 % 2, topk = round % 3 == 0;
      const uint32_t rows = 1 + b.random.Below(3), cols = 1 + b.random.Below(round % 7 ? 60 : 900);
      npu_vector_desc d = Shape(topk ? NPU_V_TOPK : NPU_V_SORT, type, rows, cols);
      if (topk) d.count = 1 + b.random.Below(cols);
      if (descending) d.flags |= NPU_VEC_DESCENDING;
      const bool in_place = !topk && round % 5 == 0;
      if (in_place) d.dst = d.src[0];
      if (round % 4) WithIndex(&d, cols);
      const std::vector<uint8_t> before(b.sram, b.sram + kSramBytes);
      RunVector(&b.u, d);
      std::vector<uint8_t> want = before;
      for (uint32_t r = 0; r < rows; ++r) {
        const uint8_t* row = before.data() + kSrc0 + r * static_cast<uint32_t>(d.row_pitch[1]);
        std::vector<uint32_t> order(cols);
        std::iota(order.begin(), order.end(), 0u);
        std::stable_sort(order.begin(), order.end(), [&](uint32_t i, uint32_t j) {
          const uint32_t x = ElementAt(row, type, i), y = ElementAt(row, type, j);
          return descending ? Below(type, y, x) : Below(type, x, y);
        });
        for (uint32_t c = 0; c < (topk ? d.count : cols); ++c) {
          PutElement(want.data() + (d.dst - kSram) + r * static_cast<uint32_t>(d.row_pitch[0]), type, c,
                     ElementAt(row, type, order[c]));
          if (d.dst2) PutElement(want.data() + kDst2 + r * static_cast<uint32_t>(d.dst2_pitch), NPU_I32, c, order[c]);
        }
      }
      assert_memory_equal(want.data(), b.sram, kSramBytes);
    }
  }
}

// The first of a top-k is what the reduction finds.
void TestTopkIsArgmax(void**) {
  Bench b;
  b.Fill(NPU_F32, true);
  npu_vector_desc d = Shape(NPU_V_TOPK, NPU_F32, 50, 30);
  d.count = 1;
  d.flags = NPU_VEC_DESCENDING;
  WithIndex(&d, 1);
  RunVector(&b.u, d);
  d = Shape(NPU_V_RARGMAX, NPU_F32, 50, 30);
  d.dst_type = NPU_I32;
  d.row_pitch[0] = 12;
  RunVector(&b.u, d);
  for (uint32_t r = 0; r < 50; ++r) assert_memory_equal(b.sram + 12 * r, b.sram + kDst2 + 12 * r, 4);
}

void TestScans(void**) {
  Bench b;
  for (int round = 0; round < 40; ++round) {
    for (const uint8_t type : std::initializer_list<uint8_t>{NPU_F32, NPU_I32, NPU_F16, NPU_BF16}) {
      for (const uint16_t op : std::initializer_list<uint16_t>{NPU_V_SCAN_SUM, NPU_V_SCAN_MAX, NPU_V_SCAN_MIN}) {
        b.Fill(type, round % 2);
        npu_vector_desc d = Shape(op, type, 1 + b.random.Below(3), 1 + b.random.Below(300));
        if (round % 4 == 0) d.dst = d.src[0];
        std::vector<uint8_t> want(b.sram, b.sram + kSramBytes);
        for (uint32_t r = 0; r < d.rows; ++r) {
          const uint8_t* row = b.RowOf(d.src[0], d.row_pitch[1], r);
          float f = op == NPU_V_SCAN_SUM ? 0 : static_cast<float>(Meaning(type, ElementAt(row, type, 0)));
          uint32_t n = op == NPU_V_SCAN_SUM ? 0 : ElementAt(row, type, 0);
          for (uint32_t c = 0; c < d.cols; ++c) {
            const uint32_t bits = ElementAt(row, type, c);
            const auto x = static_cast<float>(Meaning(type, bits));
            const auto i = static_cast<int32_t>(bits), m = static_cast<int32_t>(n);
            if (op == NPU_V_SCAN_SUM) {
              f = f + x;
              n += bits;
            } else if (op == NPU_V_SCAN_MAX) {
              if (std::isnan(x) || std::isnan(f))
                f = NAN;
              else if (x > f || (x == f && !std::signbit(x)))
                f = x;
              n = static_cast<uint32_t>(std::max(i, m));
            } else {
              if (std::isnan(x) || std::isnan(f))
                f = NAN;
              else if (x < f || (x == f && std::signbit(x)))
                f = x;
              n = static_cast<uint32_t>(std::min(i, m));
            }
            const uint32_t y = type == NPU_I32 ? n : RoundToFloat(type, f, {}, 0);
            PutElement(want.data() + (d.dst - kSram) + r * static_cast<uint32_t>(d.row_pitch[0]), type, c, y);
          }
        }
        RunVector(&b.u, d);
        assert_memory_equal(want.data(), b.sram, kSramBytes);
      }
    }
  }
}

void TestGatherScatterPad(void**) {
  Bench b;
  constexpr uint8_t kTypes[] = {NPU_F32, NPU_F16, NPU_U8};
  for (int round = 0; round < 90; ++round) {
    const uint8_t type = kTypes[round % 3];
    const uint16_t op = static_cast<uint16_t>(NPU_V_GATHER + round / 3 % 4);
    b.Fill(type, false);
    for (uint32_t i = 0; i < 0x1000; ++i) PutElement(b.sram + kDst, NPU_U32, i, 0xa5a50000 + i);
    npu_vector_desc d = Shape(op, type, 1 + b.random.Below(5), 1 + b.random.Below(70));
    d.count = 1 + b.random.Below(50);
    const auto wide = static_cast<int32_t>((d.cols + d.count + 3) * 4);
    d.row_pitch[0] = d.row_pitch[1] = d.row_pitch[2] = wide;
    if (op == NPU_V_GATHER_ROWS && round % 2) d.row_pitch[2] = 4;
    if (op == NPU_V_PAD) {
      d.count += d.cols;
      d.imm[0] = b.random.Below(d.count - d.cols + 1);
      d.imm[1] = 0x12345678;
    }
    for (uint32_t r = 0; r < d.rows; ++r)
      for (uint32_t c = 0; c < d.cols; ++c)
        PutElement(b.RowOf(d.src[1], d.row_pitch[2], r), NPU_I32, c, b.random.Below(d.count));
    if (d.row_pitch[2] == 4)
      for (uint32_t r = 0; r < d.rows; ++r) PutElement(b.sram + kSrc1, NPU_I32, r, b.random.Below(d.count));
    std::vector<uint8_t> want(b.sram, b.sram + kSramBytes);
    for (uint32_t r = 0; r < d.rows; ++r) {
      uint8_t* out = want.data() + kDst + r * static_cast<uint32_t>(wide);
      const uint8_t *in = b.RowOf(d.src[0], wide, r), *index = b.RowOf(d.src[1], d.row_pitch[2], r);
      if (op == NPU_V_PAD)
        for (uint32_t c = 0; c < d.count; ++c) PutElement(out, type, c, d.imm[1]);
      for (uint32_t c = 0; c < d.cols; ++c) {
        const uint32_t i = ElementAt(index, NPU_I32, c);
        if (op == NPU_V_GATHER) PutElement(out, type, c, ElementAt(in, type, i));
        if (op == NPU_V_SCATTER) PutElement(out, type, i, ElementAt(in, type, c));
        if (op == NPU_V_GATHER_ROWS)
          PutElement(out, type, c, ElementAt(b.RowOf(d.src[0], wide, ElementAt(index, NPU_I32, 0)), type, c));
        if (op == NPU_V_PAD) PutElement(out, type, d.imm[0] + c, ElementAt(in, type, c));
      }
    }
    RunVector(&b.u, d);
    assert_memory_equal(want.data(), b.sram, kSramBytes);
  }
}

void TestBadIndex(void**) {
  Bench b;
  for (const uint16_t op : std::initializer_list<uint16_t>{NPU_V_GATHER, NPU_V_SCATTER, NPU_V_GATHER_ROWS}) {
    for (const int32_t bad : {10, -1, INT32_MAX, INT32_MIN}) {
      npu_vector_desc d = Shape(op, NPU_F32, 5, 8);
      d.count = 10;
      d.row_pitch[0] = d.row_pitch[1] = 48;
      d.row_pitch[2] = 32;
      std::memset(b.sram + kSrc1, 0, 256);
      assert_int_equal(b.u.Vector(d), NPU_FAULT_NONE);
      const uint32_t column = op == NPU_V_GATHER_ROWS ? 0 : 6;
      for (const uint32_t row : {3u, 4u})
        PutElement(b.sram + kSrc1 + 32 * row, NPU_I32, column, static_cast<uint32_t>(bad));
      const uint8_t table = op == NPU_V_SCATTER ? 0 : 1;
      b.Refuses(d, NPU_FAULT_LOCAL_OOB, NPU_DESC_ERR_INDEX, table);
      const FaultInfo& f = b.u.fault;
      assert_int_equal(f.bad_index[0], column);
      assert_int_equal(f.bad_index[1], 3);
      assert_int_equal(f.access, table ? NPU_ACCESS_READ : NPU_ACCESS_WRITE);
      const uint64_t base = kSram + (table ? kSrc0 : kDst);
      const int64_t offset = op == NPU_V_GATHER_ROWS ? int64_t{48} * bad : 48 * 3 + int64_t{4} * bad;
      assert_int_equal(f.bad_addr, (base + static_cast<uint64_t>(offset)) & NPU_VA_MASK);
      assert_int_equal(f.bad_bytes, 2 * (op == NPU_V_GATHER_ROWS ? 32 : 4));
      assert_int_equal(f.addr, base);
      assert_int_equal(f.buf_base, base);
    }
  }
}

void TestCompareAndSelect(void**) {
  Bench b;
  struct Compare {
    uint16_t op;
    bool (*f)(double, double);
  };
  const Compare compares[] = {{NPU_V_CMP_LT, [](double x, double y) { return x < y; }},
                              {NPU_V_CMP_LE, [](double x, double y) { return x <= y; }},
                              {NPU_V_CMP_EQ, [](double x, double y) { return x == y; }},
                              {NPU_V_CMP_NE, [](double x, double y) { return x != y; }},
                              {NPU_V_CMP_GT, [](double x, double y) { return x > y; }},
                              {NPU_V_CMP_GE, [](double x, double y) { return x >= y; }}};
  constexpr uint32_t kCols = 1500;
  for (const uint8_t type : std::initializer_list<uint8_t>{NPU_F32, NPU_I32, NPU_F16, NPU_BF16}) {
    for (const uint8_t to : std::initializer_list<uint8_t>{NPU_F32, NPU_I32, NPU_F16, NPU_BF16, NPU_I8, NPU_U8}) {
      for (const Compare& compare : compares) {
        b.Fill(type, b.random.Below(2));
        std::memcpy(b.sram + kSrc1, b.sram + kSrc0 + 128, kCols * 4);
        npu_vector_desc d = Shape(compare.op, type, 1, kCols);
        d.dst_type = to;
        for (int32_t& pitch : d.row_pitch) pitch = kCols * 4;
        RunVector(&b.u, d);
        for (uint32_t c = 0; c < kCols; ++c) {
          const double x = Meaning(type, ElementAt(b.sram + kSrc0, type, c));
          const double y = Meaning(type, ElementAt(b.sram + kSrc1, type, c));
          const double want = compare.f(x, y);
          assert_true(Meaning(to, ElementAt(b.sram + kDst, to, c)) == want);
        }
      }
    }
  }
  for (const uint8_t mask : std::initializer_list<uint8_t>{NPU_F32, NPU_I32, NPU_F16, NPU_BF16, NPU_I8, NPU_U8}) {
    for (const uint8_t type : kSortTypes) {
      b.Fill(mask, true);
      npu_vector_desc d = Shape(NPU_V_SELECT, type, 1, kCols);
      d.src_type = mask;
      for (int32_t& pitch : d.row_pitch) pitch = kCols * 4;
      d.flags = NPU_VEC_IMM2;
      d.imm[1] = 0x01020304;
      RunVector(&b.u, d);
      for (uint32_t c = 0; c < kCols; ++c) {
        const bool yes = Meaning(mask, ElementAt(b.sram + kSrc0, mask, c)) != 0;
        const uint32_t constant =
            type == NPU_F32 || Bytes(type) == 4 ? d.imm[1] : d.imm[1] & ((1u << Bytes(type) * 8) - 1);
        assert_int_equal(ElementAt(b.sram, type, c), yes ? ElementAt(b.sram + kSrc1, type, c) : constant);
      }
    }
  }
}

void TestTranspose16(void**) {
  Bench b;
  b.Fill(NPU_U32, false);
  npu_vector_desc d = Shape(NPU_V_TRANSPOSE, NPU_BF16, 37, 21);
  d.row_pitch[0] = 80;
  RunVector(&b.u, d);
  for (uint32_t r = 0; r < 37; ++r)
    for (uint32_t c = 0; c < 21; ++c)
      assert_int_equal(ElementAt(b.sram + 80 * c, NPU_BF16, r),
                       ElementAt(b.RowOf(d.src[0], d.row_pitch[1], r), NPU_BF16, c));
}

void TestCosts(void**) {
  Bench b;
  const auto cost = [&](npu_vector_desc d) {
    assert_int_equal(b.u.Vector(d), NPU_FAULT_NONE);
    return b.u.cost.busy;
  };
  npu_vector_desc d = Shape(NPU_V_SORT, NPU_F32, 3, 100);
  assert_int_equal(cost(d), 16 + 3 * 2 * 28);  // 7 levels
  d = Shape(NPU_V_TOPK, NPU_F32, 3, 100), d.count = 5;
  assert_int_equal(cost(d), 16 + 3 * 2 * (1 + 6));
  assert_int_equal(cost(Shape(NPU_V_SCAN_SUM, NPU_F32, 3, 100)), 16 + 3 * 2 * 7);
  std::memset(b.sram + kSrc1, 0, 4096);
  d = Shape(NPU_V_GATHER, NPU_F32, 3, 100), d.count = 100;
  assert_int_equal(cost(d), 16 + 3 * 2 * 4);
  d = Shape(NPU_V_GATHER_ROWS, NPU_F32, 3, 100), d.count = 3;
  assert_int_equal(cost(d), 16 + 3 * (2 + 4));
  d = Shape(NPU_V_PAD, NPU_F32, 3, 100), d.count = 101;
  assert_int_equal(cost(d), 16 + 3 * 2);
}

void TestRefusals(void**) {
  Bench b;
  const npu_vector_desc sort = Shape(NPU_V_SORT, NPU_F32, 4, 100);
  npu_vector_desc d = sort;
  d.count = 4;
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_RESERVED, kNoOperand);
  d = sort, d.dst2 = kSram + kDst2;
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_RESERVED, kNoOperand);
  d = sort, d.flags = NPU_VEC_COL_BCAST0;
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_FLAGS, kNoOperand);
  d = sort, d.dst_type = d.src_type = NPU_I4;
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_DTYPE, kNoOperand);
  d = sort, WithIndex(&d, 100), d.dst2 = d.dst + 64;
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_OVERLAP, 4);
  d = sort, WithIndex(&d, 100), d.dst2 = d.src[0];
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_OVERLAP, 4);
  d = sort, WithIndex(&d, 100), d.dst2_pitch = 396;
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_STRIDE, 4);
  d = sort, WithIndex(&d, 100), d.dst2 += 2;
  b.Refuses(d, NPU_FAULT_MISALIGNED, 0, 4);
  d = sort, WithIndex(&d, 100), d.dst2 = kSram + kSramBytes - 1000;
  b.Refuses(d, NPU_FAULT_LOCAL_OOB, 0, 4);
  d = Shape(NPU_V_TOPK, NPU_F32, 4, 100);
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_SHAPE, kNoOperand);
  d.count = 101;
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_SHAPE, kNoOperand);
  d = Shape(NPU_V_PAD, NPU_F32, 4, 100), d.count = 110, d.imm[0] = 11;
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_SHAPE, kNoOperand);
  d.imm[0] = UINT32_MAX;
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_SHAPE, kNoOperand);
  d = Shape(NPU_V_GATHER, NPU_F32, 4, 100);
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_SHAPE, kNoOperand);
  d.count = 1u << 20;
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_SHAPE, kNoOperand);
  d.count = 10, d.src[0] = d.dst;
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_OVERLAP, 1);
  d = Shape(NPU_V_GATHER, NPU_F32, 4, 100), d.count = 10, d.src[1] = d.dst;
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_OVERLAP, 2);
  d = Shape(NPU_V_GATHER, NPU_F32, 4, 100), d.count = 10, d.src_type = NPU_I32;
  b.Refuses(d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_DTYPE, kNoOperand);
  // The whole table is the footprint, whatever the indices say.
  d = Shape(NPU_V_SCATTER, NPU_F32, 1, 4), d.count = 10, d.dst = kSram + kSramBytes - 36;
  b.Refuses(d, NPU_FAULT_LOCAL_OOB, 0, 0);
  assert_int_equal(b.u.fault.bad_index[0], 9);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(TestSortAndTopk), cmocka_unit_test(TestTopkIsArgmax),
      cmocka_unit_test(TestScans),       cmocka_unit_test(TestGatherScatterPad),
      cmocka_unit_test(TestBadIndex),    cmocka_unit_test(TestCompareAndSelect),
      cmocka_unit_test(TestTranspose16), cmocka_unit_test(TestCosts),
      cmocka_unit_test(TestRefusals),
  };
  return cmocka_run_group_tests_name("core.vector_order", tests, nullptr, nullptr);
}
