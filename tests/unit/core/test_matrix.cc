// SPDX-License-Identifier: Apache-2.0
//
// The matrix pipe: the same bits as a naive chain of fused multiply-adds, on every SIMD level, and its refusals.
#include <cmath>
#include <cstring>

#include "suite.h"

namespace {

using namespace npu::model;
using namespace npu::test;

constexpr uint64_t kSram = NPU_LOCAL_SRAM_BASE;

constexpr uint32_t kA = 0, kB = 300000, kD = 600000, kBias = 900000;

float CanonicalNan(float x) {
  const uint32_t quiet = 0x7fc00000;
  if (std::isnan(x)) std::memcpy(&x, &quiet, 4);
  return x;
}

template <class T>
T At(const uint8_t* p, uint64_t row, uint32_t pitch, uint64_t col) {
  T v;
  std::memcpy(&v, p + row * pitch + col * sizeof(T), sizeof(T));
  return v;
}

template <class Out, class In>
void Naive(const npu_matrix_desc& d, uint8_t* sram) {
  const bool ta = d.flags & NPU_MATRIX_TRANS_A, tb = d.flags & NPU_MATRIX_TRANS_B;
  for (uint32_t i = 0; i < d.m; ++i)
    for (uint32_t j = 0; j < d.n; ++j) {
      uint8_t* out = sram + kD + i * d.d_pitch + j * 4;
      Out acc = 0;
      if (d.flags & NPU_MATRIX_ACCUMULATE)
        std::memcpy(&acc, out, 4);
      else if (d.flags & NPU_MATRIX_BIAS)
        acc = At<Out>(sram + kBias, 0, 0, j);
      for (uint32_t k = 0; k < d.k; ++k) {
        const In a = ta ? At<In>(sram + kA, k, d.a_pitch, i) : At<In>(sram + kA, i, d.a_pitch, k);
        const In b = tb ? At<In>(sram + kB, j, d.b_pitch, k) : At<In>(sram + kB, k, d.b_pitch, j);
        if constexpr (std::is_same_v<In, float>)
          acc = std::fma(a, b, acc);
        else
          acc = static_cast<Out>(static_cast<uint32_t>(acc) + static_cast<uint32_t>(int32_t{a} * int32_t{b}));
      }
      if constexpr (std::is_same_v<In, float>) {
        if (d.flags & NPU_MATRIX_RELU) acc = std::isnan(acc) ? acc : acc > 0 ? acc : 0.0f;
        acc = CanonicalNan(acc);
      } else if (d.flags & NPU_MATRIX_RELU) {
        acc = std::max(acc, Out{0});
      }
      std::memcpy(out, &acc, 4);
    }
}

npu_matrix_desc Shape(bool f32, uint32_t m, uint32_t n, uint32_t k, uint32_t flags, uint32_t slack) {
  npu_matrix_desc d{};
  d.op = NPU_MATRIX_MMA;
  d.d = kSram + kD, d.a = kSram + kA, d.b = kSram + kB, d.bias = kSram + kBias;
  d.m = m, d.n = n, d.k = k;
  d.flags = flags;
  d.d_type = f32 ? NPU_F32 : NPU_I32;
  d.a_type = d.b_type = f32 ? NPU_F32 : NPU_I8;
  const uint32_t elem = f32 ? 4 : 1;
  d.a_pitch = (((flags & NPU_MATRIX_TRANS_A) ? m : k) + slack) * elem;
  d.b_pitch = (((flags & NPU_MATRIX_TRANS_B) ? k : n) + slack) * elem;
  d.d_pitch = (n + slack) * 4;
  return d;
}

void FillOperands(uint8_t* sram, bool f32, bool wild, Random* random) {
  for (uint32_t i = 0; i < kSramBytes; i += 4) {
    uint32_t bits = static_cast<uint32_t>(random->Next() >> 32);
    if (f32 && !(wild && random->Below(16) == 0)) {
      const float x = random->Float();
      std::memcpy(&bits, &x, 4);
    }
    std::memcpy(sram + i, &bits, 4);
  }
}

// All levels against the reference; the whole SRAM is compared, so that nothing else changes.
void Compare(Units* u, const npu_matrix_desc& d, bool f32) {
  const std::vector<uint8_t> before(u->local.sram(), u->local.sram() + kSramBytes);
  std::vector<uint8_t> expected = before;
  if (f32)
    Naive<float, float>(d, expected.data());
  else
    Naive<int32_t, int8_t>(d, expected.data());
  for (const char* level : SimdLevels()) {
    assert_true(SelectSimd(level, nullptr));
    std::memcpy(u->local.sram(), before.data(), kSramBytes);
    assert_int_equal(u->Matrix(d), NPU_FAULT_NONE);
    if (std::memcmp(u->local.sram(), expected.data(), kSramBytes)) {
      print_error("level %s, m %u n %u k %u flags %#x\n", level, d.m, d.n, d.k, d.flags);
      fail();
    }
  }
  SelectSimd(nullptr, nullptr);
}

void RandomShapes(bool f32) {
  World w;
  Units u(w);
  Random random(f32 ? 3 : 4);
  for (int round = 0; round < 120; ++round) {
    const uint32_t m = 1 + random.Below(70), n = 1 + random.Below(70);
    const uint32_t k = 1 + random.Below(random.Below(8) ? 80 : 700);
    FillOperands(u.local.sram(), f32, random.Below(3) == 0, &random);
    Compare(&u, Shape(f32, m, n, k, random.Below(32), random.Below(3)), f32);
  }
}
void TestF32(void**) {
  RandomShapes(true);
}
void TestI8(void**) {
  RandomShapes(false);
}

// Denormals, infinities, NaNs, overflow and cancellation in every position.
void TestSpecialValues(void**) {
  World w;
  Units u(w);
  Random random(5);
  const uint32_t special[] = {0,          0x80000000, 1,          0x807fffff, 0x00800000, 0x7f7fffff, 0x7f800000,
                              0xff800000, 0x7fc12345, 0xff812345, 0x3f800001, 0xbf7fffff, 0x33800000, 0x4b800001};
  for (int round = 0; round < 40; ++round) {
    for (uint32_t i = 0; i < kSramBytes; i += 4)
      std::memcpy(u.local.sram() + i, &special[random.Below(random.Below(2) ? 6 : 14)], 4);
    Compare(&u, Shape(true, 9, 37, 1 + random.Below(6), random.Below(32), 0), true);
  }
}

// Splitting k over accumulating operations changes nothing.
void TestSplit(void**) {
  World w;
  Units u(w);
  Random random(6);
  FillOperands(u.local.sram(), true, false, &random);
  npu_matrix_desc d = Shape(true, 20, 40, 600, 0, 0);
  assert_int_equal(u.Matrix(d), NPU_FAULT_NONE);
  const std::vector<uint8_t> whole(u.local.sram() + kD, u.local.sram() + kD + 20 * 160);
  for (uint32_t at = 0; at < 600; at += 150) {
    d.k = 150;
    d.a = kSram + kA + at * 4;
    d.b = kSram + kB + at * d.b_pitch;
    d.flags = at ? NPU_MATRIX_ACCUMULATE : 0;
    assert_int_equal(u.Matrix(d), NPU_FAULT_NONE);
  }
  assert_memory_equal(whole.data(), u.local.sram() + kD, whole.size());
}

#define REFUSED(units, world, expected, call)                   \
  do {                                                          \
    const Snapshot before = (world).Save((units).local.sram()); \
    assert_int_equal(call, expected);                           \
    assert_true(before == (world).Save((units).local.sram()));  \
  } while (0)

#define EXPECT(kind, desc_error, which)           \
  do {                                            \
    REFUSED(u, w, kind, u.Matrix(d));             \
    assert_int_equal(u.fault.detail, desc_error); \
    assert_int_equal(u.fault.operand, which);     \
    d = good;                                     \
  } while (0)

void TestRefusals(void**) {
  World w;
  Units u(w);
  const npu_matrix_desc good = Shape(true, 8, 8, 8, NPU_MATRIX_BIAS, 0);
  assert_int_equal(u.Matrix(good), NPU_FAULT_NONE);
  assert_int_equal(u.counters.macs, 512);
  assert_int_equal(u.cost.busy, 8 + 32);
  npu_matrix_desc d = good;
  d.op = 2;
  EXPECT(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_OP, kNoOperand);
  d.flags = 32;
  EXPECT(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_FLAGS, kNoOperand);
  d.a_type = NPU_BF16;
  EXPECT(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_DTYPE, kNoOperand);
  d.k = 0;
  EXPECT(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_SHAPE, kNoOperand);
  d.m = UINT32_MAX;
  EXPECT(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_SHAPE, kNoOperand);
  d.a_pitch = 30;
  EXPECT(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_STRIDE, 1);
  d.d_pitch = 34;
  EXPECT(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_STRIDE, 0);
  d.d_pitch = 28;
  EXPECT(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_STRIDE, 0);
  d.m = d.n = d.k = 2048;
  d.a_pitch = d.b_pitch = 4;
  EXPECT(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_SHAPE, kNoOperand);
  d.b = w.Buffer(4096);
  EXPECT(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_SPACE, 2);
  d.b = NPU_LOCAL_STACK_BASE + 4096;
  EXPECT(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_SPACE, 2);
  d.a = d.d + 7 * 32 + 28;
  EXPECT(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_OVERLAP, 1);
  d.bias = d.d;
  EXPECT(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_OVERLAP, 3);
  d.a += 2;
  EXPECT(NPU_FAULT_MISALIGNED, 0, 1);
  d.d = kSram + kSramBytes - 8 * 32 + 4;
  EXPECT(NPU_FAULT_LOCAL_OOB, 0, 0);
  assert_int_equal(u.fault.bad_index[0], 7);
  assert_int_equal(u.fault.bad_index[1], 7);
  assert_int_equal(u.fault.bad_bytes, 4);
  d.a = kSram - 32;
  EXPECT(NPU_FAULT_LOCAL_OOB, 0, 1);
  d.bias = 0;
  EXPECT(NPU_FAULT_NULL, 0, 3);
  uint64_t local = 0;
  assert_true(u.local.Set(kSram + kB, 8 * 32 - 1, 3, &local, &u.fault));
  d.b = local;
  EXPECT(NPU_FAULT_LOCAL_OOB, 0, 2);
  assert_int_equal(u.fault.bad_bytes, 1);
  assert_int_equal(u.fault.buf_number, NPU_PTR_BUF(local));
  assert_true(u.local.Clear(local, &u.fault));
  d.b = local;
  EXPECT(NPU_FAULT_STALE, 0, 2);
  uint64_t read_only = 0;
  assert_true(u.local.Set(kSram + kD, 8 * 32, 1, &read_only, &u.fault));
  d.d = read_only;
  EXPECT(NPU_FAULT_PERM, 0, 0);
  assert_int_equal(u.fault.access, NPU_ACCESS_WRITE);
}

// Sources whose rows overlap: a sliding window is read in place.
void TestSlidingWindow(void**) {
  World w;
  Units u(w);
  Random random(10);
  for (const bool f32 : {true, false}) {
    FillOperands(u.local.sram(), f32, false, &random);
    npu_matrix_desc d = Shape(f32, 30, 33, 24, NPU_MATRIX_BIAS, 0);
    d.a_pitch = f32 ? 12 : 3;
    Compare(&u, d, f32);
    d.flags |= NPU_MATRIX_TRANS_B;
    d.b_pitch = 0;
    Compare(&u, d, f32);
  }
}

// Interleaved columns of one matrix do not overlap, although their ranges do.
void TestInterleaved(void**) {
  World w;
  Units u(w);
  npu_matrix_desc d = Shape(true, 4, 4, 4, 0, 0);
  d.a_pitch = d.d_pitch = 32;
  d.d = d.a + 16;
  assert_int_equal(u.Matrix(d), NPU_FAULT_NONE);
  d.d = d.a + 12;
  assert_int_equal(u.Matrix(d), NPU_FAULT_BAD_DESC);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(TestF32),           cmocka_unit_test(TestI8),       cmocka_unit_test(TestSpecialValues),
      cmocka_unit_test(TestSplit),         cmocka_unit_test(TestRefusals), cmocka_unit_test(TestInterleaved),
      cmocka_unit_test(TestSlidingWindow),
  };
  return cmocka_run_group_tests_name("core.matrix", tests, nullptr, nullptr);
}
