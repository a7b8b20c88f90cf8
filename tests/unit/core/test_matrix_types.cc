// SPDX-License-Identifier: Apache-2.0
//
// Every type of the matrix pipe against a scalar reference: the same bits, footprints and counters on every SIMD level,
// for transposed operands, ragged shapes and pitches.
#include <cmath>
#include <cstring>

#include "suite.h"

namespace {

using namespace npu::model;
using namespace npu::test;

constexpr uint64_t kSram = NPU_LOCAL_SRAM_BASE;
constexpr uint32_t kA = 0, kB = 300000, kD = 600000, kBias = 900000;

struct Types {
  const char* name;
  uint8_t a, b, d;
  uint32_t macs_per_cycle;
};
constexpr Types kTypes[] = {
    {"f32", NPU_F32, NPU_F32, NPU_F32, 256},
    {"tf32", NPU_TF32, NPU_TF32, NPU_F32, 512},
    {"f16", NPU_F16, NPU_F16, NPU_F32, 1024},
    {"f16 to f16", NPU_F16, NPU_F16, NPU_F16, 1024},
    {"bf16", NPU_BF16, NPU_BF16, NPU_F32, 1024},
    {"bf16 to bf16", NPU_BF16, NPU_BF16, NPU_BF16, 1024},
    {"f32 to f16", NPU_F32, NPU_F32, NPU_F16, 256},
    {"e4m3", NPU_F8E4M3, NPU_F8E4M3, NPU_F32, 2048},
    {"e5m2", NPU_F8E5M2, NPU_F8E5M2, NPU_F32, 2048},
    {"e4m3 x e5m2", NPU_F8E4M3, NPU_F8E5M2, NPU_F32, 2048},
    {"e5m2 x e4m3 to bf16", NPU_F8E5M2, NPU_F8E4M3, NPU_BF16, 2048},
    {"i8", NPU_I8, NPU_I8, NPU_I32, 2048},
    {"u8 x i8", NPU_U8, NPU_I8, NPU_I32, 2048},
    {"i8 x i4", NPU_I8, NPU_I4, NPU_I32, 2048},
    {"u8 x i4", NPU_U8, NPU_I4, NPU_I32, 2048},
    {"i4 x i8", NPU_I4, NPU_I8, NPU_I32, 2048},
    {"i4", NPU_I4, NPU_I4, NPU_I32, 4096},
};

uint32_t Bits(uint8_t type) {
  switch (type) {
    case NPU_I4:
      return 4;
    case NPU_F8E4M3:
    case NPU_F8E5M2:
    case NPU_I8:
    case NPU_U8:
      return 8;
    case NPU_F16:
    case NPU_BF16:
      return 16;
    default:
      return 32;
  }
}

uint32_t RowBytes(uint8_t type, uint32_t n) {
  return (n * Bits(type) + 7) / 8;
}

// By the definition of the format: sign, exponent and fraction bits; infinities as IEEE has them, or not at all.
double Decode(uint32_t x, int exponent_bits, int fraction_bits, bool infinities) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const uint32_t fraction = x & ((1u << fraction_bits) - 1);
  const uint32_t top = (1u << exponent_bits) - 1, exponent = x >> fraction_bits & top;
  const double sign = x >> (exponent_bits + fraction_bits) & 1 ? -1.0 : 1.0;
  if (infinities && exponent == top) return fraction ? NAN : sign * INFINITY;
  if (!infinities && exponent == top && fraction == (1u << fraction_bits) - 1) return NAN;
  const int e = exponent ? static_cast<int>(exponent) : 1;
  const double significand = std::ldexp(fraction, -fraction_bits) + (exponent ? 1.0 : 0.0);
  return sign * std::ldexp(significand, e - bias);
}

// To nearest even with so many fraction bits, by arithmetic: infinity beyond the format.
uint32_t Encode(double x, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const uint32_t infinity = ((1u << exponent_bits) - 1) << fraction_bits;
  const uint32_t sign = std::signbit(x) ? 1u << (exponent_bits + fraction_bits) : 0;
  if (std::isnan(x)) return infinity | 1u << (fraction_bits - 1);
  if (std::isinf(x)) return sign | infinity;
  int e = 0;
  std::frexp(x, &e);
  const int lowest = x == 0 ? 1 - bias : std::max(e - 1, 1 - bias);
  const double units = std::nearbyint(std::ldexp(std::fabs(x), fraction_bits - lowest));
  // The carry out of the fraction moves the exponent by itself.
  const auto code = static_cast<uint64_t>(units) + (static_cast<uint64_t>(lowest + bias - 1) << fraction_bits);
  return sign | static_cast<uint32_t>(std::min<uint64_t>(code, infinity));
}

uint32_t Raw(const uint8_t* row, uint8_t type, uint32_t i) {
  uint32_t x = 0;
  if (type == NPU_I4) return row[i / 2] >> (i % 2 * 4) & 15;
  std::memcpy(&x, row + i * (Bits(type) / 8), Bits(type) / 8);
  return x;
}

double Value(const uint8_t* row, uint8_t type, uint32_t i) {
  const uint32_t x = Raw(row, type, i);
  switch (type) {
    case NPU_F16:
      return Decode(x, 5, 10, true);
    case NPU_BF16:
      return Decode(x, 8, 7, true);
    case NPU_F8E4M3:
      return Decode(x, 4, 3, false);
    case NPU_F8E5M2:
      return Decode(x, 5, 2, true);
    case NPU_TF32:
      return Decode(Encode(Decode(x, 8, 23, true), 8, 10), 8, 10, true);
    case NPU_I4:
      return static_cast<int32_t>(x ^ 8) - 8;
    case NPU_I8:
      return static_cast<int8_t>(x);
    case NPU_U8:
      return x;
    case NPU_I32:
      return static_cast<int32_t>(x);
    default:
      return Decode(x, 8, 23, true);
  }
}

double OperandA(const npu_matrix_desc& d, const uint8_t* sram, uint32_t m, uint32_t k) {
  const bool t = d.flags & NPU_MATRIX_TRANS_A;
  return Value(sram + kA + size_t{t ? k : m} * d.a_pitch, d.a_type, t ? m : k);
}
double OperandB(const npu_matrix_desc& d, const uint8_t* sram, uint32_t k, uint32_t n) {
  const bool t = d.flags & NPU_MATRIX_TRANS_B;
  return Value(sram + kB + size_t{t ? n : k} * d.b_pitch, d.b_type, t ? k : n);
}

uint32_t FloatResult(const npu_matrix_desc& d, const uint8_t* sram, double start, uint32_t m, uint32_t n) {
  auto acc = static_cast<float>(start);
  for (uint32_t k = 0; k < d.k; ++k)
    acc = std::fma(static_cast<float>(OperandA(d, sram, m, k)), static_cast<float>(OperandB(d, sram, k, n)), acc);
  if ((d.flags & NPU_MATRIX_RELU) && !std::isnan(acc)) acc = acc > 0 ? acc : 0.0f;
  if (d.d_type == NPU_F16) return Encode(acc, 5, 10);
  if (d.d_type == NPU_BF16) return Encode(acc, 8, 7);
  return Encode(acc, 8, 23);
}

uint32_t IntResult(const npu_matrix_desc& d, const uint8_t* sram, double start, uint32_t m, uint32_t n) {
  auto acc = static_cast<uint32_t>(static_cast<int64_t>(start));
  for (uint32_t k = 0; k < d.k; ++k)
    acc += static_cast<uint32_t>(static_cast<int32_t>(OperandA(d, sram, m, k) * OperandB(d, sram, k, n)));
  return (d.flags & NPU_MATRIX_RELU) && acc >> 31 ? 0 : acc;
}

void Reference(const npu_matrix_desc& d, uint8_t* sram) {
  for (uint32_t m = 0; m < d.m; ++m)
    for (uint32_t n = 0; n < d.n; ++n) {
      uint8_t* row = sram + kD + size_t{m} * d.d_pitch;
      double start = 0;
      if (d.flags & NPU_MATRIX_ACCUMULATE)
        start = Value(row, d.d_type, n);
      else if (d.flags & NPU_MATRIX_BIAS)
        start = Value(sram + kBias, d.d_type, n);
      const uint32_t x = d.d_type == NPU_I32 ? IntResult(d, sram, start, m, n) : FloatResult(d, sram, start, m, n);
      std::memcpy(row + n * (Bits(d.d_type) / 8), &x, Bits(d.d_type) / 8);
    }
}

npu_matrix_desc Shape(const Types& t, uint32_t m, uint32_t n, uint32_t k, uint32_t flags, uint32_t slack) {
  npu_matrix_desc d{};
  d.op = NPU_MATRIX_MMA;
  d.d = kSram + kD, d.a = kSram + kA, d.b = kSram + kB, d.bias = kSram + kBias;
  d.m = m, d.n = n, d.k = k;
  d.flags = flags;
  if (Bits(t.d) == 16) d.flags &= ~NPU_MATRIX_ACCUMULATE;
  d.d_type = t.d, d.a_type = t.a, d.b_type = t.b;
  d.a_pitch = RowBytes(t.a, (flags & NPU_MATRIX_TRANS_A) ? m : k) + slack * std::max(1u, Bits(t.a) / 8);
  d.b_pitch = RowBytes(t.b, (flags & NPU_MATRIX_TRANS_B) ? k : n) + slack * std::max(1u, Bits(t.b) / 8);
  d.d_pitch = (n + slack) * (Bits(t.d) / 8);
  return d;
}

// Any bit pattern; with tame, floats of moderate size, so that sums are neither infinite nor NaN.
void Fill(uint8_t* sram, const Types& t, bool tame, Random* random) {
  for (uint32_t i = 0; i < kSramBytes; i += 4) {
    auto x = static_cast<uint32_t>(random->Next() >> 32);
    if (tame && Bits(t.a) == 32) x = (x & 0x81ffffffu) | 0x3e000000u;
    if (tame && t.a == NPU_F16) x = (x & 0x8fff8fffu) | 0x30003000u;
    if (tame && t.a == NPU_BF16) x = (x & 0x81ff81ffu) | 0x3e003e00u;
    if (tame && t.a >= NPU_F8E4M3 && t.a <= NPU_F8E5M2) x &= 0xbfbfbfbfu;
    std::memcpy(sram + i, &x, 4);
  }
  // What is added to: numbers, too.
  for (uint32_t i = kD; tame && t.d == NPU_F32 && i < kSramBytes; i += 4) {
    const float x = random->Float();
    std::memcpy(sram + i, &x, 4);
  }
}

// All levels against the reference.  The whole SRAM is compared, so that nothing else changes.
void Compare(Units* u, const Types& t, const npu_matrix_desc& d) {
  const std::vector<uint8_t> before(u->local.sram(), u->local.sram() + kSramBytes);
  std::vector<uint8_t> expected = before;
  Reference(d, expected.data());
  const uint64_t steps = t.macs_per_cycle / 256;
  const uint64_t cycles = uint64_t{(d.m + 15) / 16} * ((d.n + 15) / 16) * ((d.k + steps - 1) / steps) + 32;
  for (const char* level : SimdLevels()) {
    assert_true(SelectSimd(level, nullptr));
    std::memcpy(u->local.sram(), before.data(), kSramBytes);
    u->counters = {};
    assert_int_equal(u->Matrix(d), NPU_FAULT_NONE);
    assert_int_equal(u->counters.macs, uint64_t{d.m} * d.n * d.k);
    assert_int_equal(u->cost.busy, cycles);
    if (std::memcmp(u->local.sram(), expected.data(), kSramBytes)) {
      print_error("%s, level %s, m %u n %u k %u flags %#x\n", t.name, level, d.m, d.n, d.k, d.flags);
      fail();
    }
  }
  SelectSimd(nullptr, nullptr);
}

// Small ragged shapes: every type with every combination of flags.
void TestFlags(void**) {
  World w;
  Units u(w);
  Random random(20);
  for (const Types& t : kTypes) {
    for (uint32_t flags = 0; flags < 32; ++flags) {
      Fill(u.local.sram(), t, flags % 4 != 3, &random);
      Compare(&u, t,
              Shape(t, 1 + random.Below(40), 1 + random.Below(70), 1 + random.Below(50), flags, random.Below(3)));
    }
  }
}

// Shapes beyond the blocks that the host works in, by one in every dimension.
void TestLarge(void**) {
  World w;
  Units u(w);
  Random random(21);
  for (const Types& t : kTypes) {
    for (uint32_t trans = 0; trans < 4; ++trans) {
      const uint32_t flags = trans * NPU_MATRIX_TRANS_A | (trans & 1 ? NPU_MATRIX_BIAS : 0);
      Fill(u.local.sram(), t, true, &random);
      Compare(&u, t, Shape(t, 5, 33, Bits(t.a) == 32 ? 517 : 1040 + trans, flags, 0));
      Compare(&u, t, Shape(t, 345, 17, 19, flags, 0));
      Compare(&u, t, Shape(t, 31, 261 + trans, 34, flags, 1));
    }
  }
}

// The lowest and highest integers: sums that leave 32 bits wrap, and no step in between saturates.
void TestExtremes(void**) {
  World w;
  Units u(w);
  for (const Types& t : kTypes) {
    if (t.d != NPU_I32) continue;
    for (uint32_t a : {0x80u, 0x7fu, 0xffu, 0x88u})
      for (uint32_t b : {0x80u, 0x7fu, 0x88u}) {
        std::memset(u.local.sram(), static_cast<int>(a), kB);
        std::memset(u.local.sram() + kB, static_cast<int>(b), kD - kB);
        std::memset(u.local.sram() + kD, 0x7f, kSramBytes - kD);
        Compare(&u, t, Shape(t, 3, 35, 1100, NPU_MATRIX_ACCUMULATE | (a & 1 ? NPU_MATRIX_TRANS_A : 0u), 0));
      }
  }
}

// Splitting k over accumulating operations changes nothing.
void TestSplit(void**) {
  World w;
  Units u(w);
  Random random(22);
  for (const Types& t : kTypes) {
    if (Bits(t.d) != 32) continue;
    Fill(u.local.sram(), t, true, &random);
    npu_matrix_desc d = Shape(t, 20, 40, 600, 0, 0);
    assert_int_equal(u.Matrix(d), NPU_FAULT_NONE);
    const std::vector<uint8_t> whole(u.local.sram() + kD, u.local.sram() + kD + 20 * 160);
    for (uint32_t at = 0; at < 600; at += 150) {
      d.k = 150;
      d.a = kSram + kA + RowBytes(t.a, at);
      d.b = kSram + kB + at * d.b_pitch;
      d.flags = at ? NPU_MATRIX_ACCUMULATE : 0;
      assert_int_equal(u.Matrix(d), NPU_FAULT_NONE);
    }
    assert_memory_equal(whole.data(), u.local.sram() + kD, whole.size());
  }
}

void Refused(Units* u, World* w, const npu_matrix_desc& d, int kind, int detail, int operand) {
  const Snapshot before = w->Save(u->local.sram());
  assert_int_equal(u->Matrix(d), kind);
  assert_true(before == w->Save(u->local.sram()));
  assert_int_equal(u->fault.detail, detail);
  assert_int_equal(u->fault.operand, operand);
}

void TestTypesRefused(void**) {
  World w;
  Units u(w);
  unsigned good = 0;
  for (uint32_t a = 0; a <= NPU_DTYPES; ++a)
    for (uint32_t b = 0; b <= NPU_DTYPES; ++b)
      for (uint32_t c = 0; c <= NPU_DTYPES; ++c) {
        npu_matrix_desc d = Shape(kTypes[0], 8, 8, 8, 0, 0);
        d.a_type = static_cast<uint8_t>(a), d.b_type = static_cast<uint8_t>(b), d.d_type = static_cast<uint8_t>(c);
        FaultInfo fault;
        if (ValidateMatrix(d, &fault))
          ++good;
        else
          assert_int_equal(fault.detail, NPU_DESC_ERR_DTYPE);
      }
  // Four types with themselves and the two of f8 with each other, to f32, f16 and bf16; three integer types with two.
  assert_int_equal(good, (4 + 4) * 3 + 3 * 2);
  npu_matrix_desc d = Shape(kTypes[3], 8, 8, 8, 0, 0);
  d.flags = NPU_MATRIX_ACCUMULATE;
  Refused(&u, &w, d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_FLAGS, kNoOperand);
  d = Shape(kTypes[3], 8, 8, 8, 0, 0);
  d.a_pitch = 17;
  Refused(&u, &w, d, NPU_FAULT_BAD_DESC, NPU_DESC_ERR_STRIDE, 1);
  d = Shape(kTypes[3], 8, 8, 8, 0, 0);
  d.d += 1;
  Refused(&u, &w, d, NPU_FAULT_MISALIGNED, 0, 0);
}

// Bounds to the byte: rows of i4 take whole bytes, and the last one may be half used.
void TestPackedBounds(void**) {
  World w;
  Units u(w);
  for (const Types& t : kTypes) {
    const npu_matrix_desc good = Shape(t, 5, 7, 9, 0, 0);
    const uint64_t bytes[3] = {uint64_t{4} * good.d_pitch + RowBytes(t.d, 7),
                               uint64_t{4} * good.a_pitch + RowBytes(t.a, 9),
                               uint64_t{8} * good.b_pitch + RowBytes(t.b, 7)};
    const uint32_t at[3] = {kD, kA, kB};
    for (int which = 0; which < 3; ++which) {
      for (uint32_t less = 0; less < 2; ++less) {
        uint64_t local = 0;
        assert_true(u.local.Set(kSram + at[which], static_cast<uint32_t>(bytes[which] - less), 3, &local, &u.fault));
        npu_matrix_desc d = good;
        (which == 0 ? d.d : which == 1 ? d.a : d.b) = local;
        if (less) {
          Refused(&u, &w, d, NPU_FAULT_LOCAL_OOB, 0, which);
          assert_int_equal(u.fault.bad_bytes, 1);
        } else {
          assert_int_equal(u.Matrix(d), NPU_FAULT_NONE);
        }
        assert_true(u.local.Clear(local, &u.fault));
      }
    }
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(TestFlags), cmocka_unit_test(TestLarge),        cmocka_unit_test(TestExtremes),
      cmocka_unit_test(TestSplit), cmocka_unit_test(TestTypesRefused), cmocka_unit_test(TestPackedBounds),
  };
  return cmocka_run_group_tests_name("core.matrix_types", tests, nullptr, nullptr);
}
