// SPDX-License-Identifier: Apache-2.0
//
// Conversions among all element types: every rounding mode against its definition, on every SIMD level, and the
// arithmetic of 16-bit types.
#include <cmath>
#include <cstring>
#include <functional>

#include "core/convert.h"
#include "dtype_reference.h"
#include "suite.h"

namespace {

using namespace npu::model;
using namespace npu::test;

constexpr uint64_t kSram = NPU_LOCAL_SRAM_BASE;
constexpr uint32_t kDst = 0, kSrc0 = 0x40000, kSrc1 = 0x80000, kSrc2 = 0xc0000;

uint32_t BitsOf(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return u;
}
float FloatOf(uint32_t u) {
  float x;
  std::memcpy(&x, &u, 4);
  return x;
}

// Bit patterns worth converting: all of them where they are few, otherwise numbers around those of every type (with the
// middles between neighbours), the ends, and random ones.
std::vector<uint32_t> Patterns(uint8_t type, Random* random, uint32_t step) {
  std::vector<uint32_t> out;
  const int bits = FactsOf(type).bits;
  if (bits <= 16) {
    const uint32_t all = 1u << bits;
    for (uint32_t i = 0; i < all; i += bits == 16 ? step : 1) out.push_back(i);
  } else {
    for (uint32_t i = 0; i < 2000; ++i) out.push_back(static_cast<uint32_t>(random->Next() >> 16));
    for (uint32_t i = 0; i < 70; ++i)
      for (const uint32_t base : {0u, 0x7fffffffu, 0x80000000u, 0xffffffc0u, 0x7f800000u - 32, 0xff800000u - 32})
        out.push_back(base + i);
    for (const float x : {0.5f,     1.5f,       2.5f,         127.5f,       128.5f,    255.5f,     448.f,      464.f,
                          465.f,    57344.f,    61440.f,      65504.f,      65519.f,   65520.f,    3.3895e38f, 7.5f,
                          -8.5f,    32767.5f,   2147483648.f, 4294967296.f, 0x1p-24f,  0x1.8p-24f, 0x1p-25f,   0x1p-9f,
                          0x1p-10f, 0x1.8p-10f, 0x1p-16f,     0x1p-17f,     0x1p-133f, 0x1p-134f})
      for (int i = -2; i <= 2; ++i) {
        const uint32_t u = BitsOf(x) + static_cast<uint32_t>(i);
        out.push_back(u);
        out.push_back(u | 0x80000000u);
        out.push_back(static_cast<uint32_t>(static_cast<int64_t>(x)) + static_cast<uint32_t>(i));
      }
    for (uint32_t e = 0; e < 256; ++e)
      for (const uint32_t m : {0u, 1u, 0x1000u, 0x3000u, 0x8000u, 0x80000u, 0x100000u, 0x200000u, 0x7fffffu})
        out.push_back(e << 23 | m | (e * 7 + m) << 31);
  }
  if (out.size() % 2) out.push_back(0);
  return out;
}

// Fails with the numbers when one element is not what the definition says.
void Check(uint8_t to, uint8_t from, const std::vector<uint32_t>& in, const uint8_t* got, const RoundingRule& rule,
           uint32_t first) {
  for (size_t i = 0; i < in.size(); ++i) {
    const uint32_t want = ConvertBits(to, from, in[i], rule, first + static_cast<uint32_t>(i));
    if (ElementAt(got, to, i) == want) continue;
    print_error("%s %#x -> %s: %#x, not %#x (mode %u, saturate %d)\n", FactsOf(from).name, in[i], FactsOf(to).name,
                ElementAt(got, to, i), want, rule.mode, rule.saturate);
    fail();
  }
}

void TestAllPairs(void**) {
  Random random(11);
  for (uint8_t from = 0; from < NPU_DTYPES; ++from) {
    for (uint8_t mode = 0; mode < NPU_ROUNDS; ++mode) {
      const std::vector<uint32_t> in = Patterns(from, &random, mode ? 61 : 3);
      std::vector<uint8_t> source(in.size() * 4), result(in.size() * 4);
      for (size_t i = 0; i < in.size(); ++i) PutElement(source.data(), from, i, in[i]);
      for (uint8_t to = 0; to < NPU_DTYPES; ++to) {
        for (const bool saturate : {false, true}) {
          if (saturate && !IsFloatType(to)) continue;
          const RoundingRule rule{mode, saturate, 12345u + to};
          const Rounding rounding{mode, saturate, rule.seed};
          for (const char* level : SimdLevels()) {
            assert_true(SelectSimd(level, nullptr));
            ConvertElements(result.data(), to, source.data(), from, rounding, 77, in.size());
            Check(to, from, in, result.data(), rule, 77);
            if (mode) break;  // other modes have no kernels of their own
          }
          SelectSimd(nullptr, nullptr);
        }
      }
    }
  }
}

// The kernels for f32 -> f16, bf16 and tf32 over the whole range of f32.
void TestNarrowDense(void**) {
  std::vector<uint32_t> in;
  for (uint64_t u = 0; u < uint64_t{1} << 32; u += 16381) in.push_back(static_cast<uint32_t>(u));
  std::vector<uint8_t> result(in.size() * 4);
  for (const char* level : SimdLevels()) {
    assert_true(SelectSimd(level, nullptr));
    for (const uint8_t to : std::initializer_list<uint8_t>{NPU_F16, NPU_BF16, NPU_TF32}) {
      ConvertElements(result.data(), to, in.data(), NPU_F32, Rounding{}, 0, in.size());
      Check(to, NPU_F32, in, result.data(), RoundingRule{}, 0);
    }
  }
  SelectSimd(nullptr, nullptr);
}

npu_vector_desc Convert(uint8_t to, uint8_t from, uint32_t rows, uint32_t cols) {
  npu_vector_desc d{};
  d.op = NPU_V_CONVERT;
  d.dst_type = to, d.src_type = from;
  d.dst = kSram + kDst, d.src[0] = kSram + kSrc0;
  d.rows = rows, d.cols = cols;
  d.row_pitch[0] = static_cast<int32_t>(cols * static_cast<uint32_t>(FactsOf(to).bits) / 8);
  d.row_pitch[1] = static_cast<int32_t>(cols * static_cast<uint32_t>(FactsOf(from).bits) / 8);
  return d;
}

// Through descriptors: pitches, numbering of the elements, broadcast, packed i4.
void TestOperation(void**) {
  World w;
  Units u(w);
  Random random(12);
  for (uint32_t i = 0; i < kSramBytes; ++i) u.local.sram()[i] = static_cast<uint8_t>(random.Next() >> 32);
  for (int round = 0; round < 300; ++round) {
    const auto from = static_cast<uint8_t>(random.Below(NPU_DTYPES)),
               to = static_cast<uint8_t>(random.Below(NPU_DTYPES));
    const uint32_t rows = 1 + random.Below(4), cols = 2 * (1 + random.Below(round % 10 ? 40 : 1500));
    npu_vector_desc d = Convert(to, from, rows, cols);
    const bool saturate = IsFloatType(to) && random.Below(2);
    const auto mode = static_cast<uint8_t>(random.Below(NPU_ROUNDS));
    d.flags = NPU_VEC_ROUND(mode) | (saturate ? NPU_VEC_SATURATE : 0);
    d.imm[0] = static_cast<uint32_t>(random.Next()), d.imm[1] = static_cast<uint32_t>(random.Next());
    d.row_pitch[0] += 4 * static_cast<int32_t>(random.Below(2));
    d.row_pitch[1] += 4 * static_cast<int32_t>(random.Below(2));
    d.row_pitch[0] += (4 - d.row_pitch[0] % 4) % 4, d.row_pitch[1] += (4 - d.row_pitch[1] % 4) % 4;
    if (from != NPU_I4 && random.Below(4) == 0) d.flags |= NPU_VEC_COL_BCAST0;
    std::vector<uint8_t> want(u.local.sram(), u.local.sram() + kSramBytes);
    for (uint32_t r = 0; r < rows; ++r)
      for (uint32_t c = 0; c < cols; ++c) {
        const uint8_t* row = u.local.sram() + kSrc0 + r * static_cast<uint32_t>(d.row_pitch[1]);
        const uint32_t x = ElementAt(row, from, d.flags & NPU_VEC_COL_BCAST0 ? 0 : c);
        const uint32_t y = ConvertBits(to, from, x, {mode, saturate, d.imm[0]}, d.imm[1] + r * cols + c);
        PutElement(want.data() + kDst + r * static_cast<uint32_t>(d.row_pitch[0]), to, c, y);
      }
    RunVector(&u, d);
    if (std::memcmp(want.data(), u.local.sram(), kSramBytes)) {
      print_error("%s -> %s, mode %u\n", FactsOf(from).name, FactsOf(to).name, mode);
      fail();
    }
  }
  assert_int_equal(u.Vector(Convert(NPU_F16, NPU_F32, 1, 128)), NPU_FAULT_NONE);
  assert_int_equal(u.cost.busy, 16 + 2);
  npu_vector_desc d = Convert(NPU_F16, NPU_F32, 1, 128);
  d.flags = NPU_VEC_ROUND(NPU_ROUND_STOCHASTIC);
  assert_int_equal(u.Vector(d), NPU_FAULT_NONE);
  assert_int_equal(u.cost.busy, 16 + 2 * 2);
}

// 3.25 becomes 3 or 4 with the right frequency, another seed gives another choice, the same seed the same.
void TestStochasticFrequency(void**) {
  constexpr uint32_t kCount = 65536;
  std::vector<float> in(kCount, 3.25f);
  std::vector<int32_t> a(kCount), b(kCount), c(kCount);
  const auto run = [&](std::vector<int32_t>* out, uint32_t seed) {
    ConvertElements(out->data(), NPU_I32, in.data(), NPU_F32, {NPU_ROUND_STOCHASTIC, false, seed}, 0, kCount);
  };
  run(&a, 1), run(&b, 2), run(&c, 1);
  int up = 0, differ = 0;
  for (uint32_t i = 0; i < kCount; ++i) {
    assert_true(a[i] == 3 || a[i] == 4);
    up += a[i] == 4;
    differ += a[i] != b[i];
  }
  assert_in_range(up, kCount / 4 - 600, kCount / 4 + 600);  // five standard deviations
  assert_in_range(differ, kCount * 3 / 8 - 700, kCount * 3 / 8 + 700);
  assert_memory_equal(a.data(), c.data(), kCount * 4);
}

// Random numbers on both sides of the threshold, and the lowest one for an exact number: the seed is computed back.
void TestStochasticThreshold(void**) {
  const auto seed_for = [](uint32_t random, uint32_t number) {
    uint32_t x = random;
    x ^= x >> 16;
    x *= 0x7ed1b41d;  // the inverses of the two factors
    x ^= x >> 13 ^ x >> 26;
    x *= 0xa5cb9243;
    x ^= x >> 16;
    return x ^ MixBits(number + 0x9e3779b9);
  };
  const auto convert = [&](float x, uint32_t random) {
    int32_t y = 0;
    const uint32_t seed = seed_for(random, 7);
    assert_int_equal(StochasticBits(seed, 7), random);
    ConvertElements(&y, NPU_I32, &x, NPU_F32, {NPU_ROUND_STOCHASTIC, false, seed}, 7, 1);
    return y;
  };
  assert_int_equal(convert(3.25f, 0x3fffffff), 4);
  assert_int_equal(convert(3.25f, 0x40000000), 3);
  assert_int_equal(convert(-3.25f, 0x3fffffff), -4);
  assert_int_equal(convert(3.0f, 0), 3);
  assert_int_equal(convert(0x1p-33f, 0), 0);  // the part is below one in 2^32
  assert_int_equal(convert(0x1p-32f, 0), 1);
}

npu_vector_desc Half(uint16_t op, uint8_t type, uint32_t cols) {
  npu_vector_desc d{};
  d.op = op;
  d.dst_type = d.src_type = type;
  d.dst = kSram + kDst;
  d.src[0] = kSram + kSrc0, d.src[1] = kSram + kSrc1, d.src[2] = kSram + kSrc2;
  d.rows = 1, d.cols = cols;
  for (int32_t& pitch : d.row_pitch) pitch = static_cast<int32_t>(cols * 2);
  return d;
}

// add, sub, mul, div, sqrt and recip of 16-bit types are rounded as if once; double precision is wide enough to tell.
void TestHalfArithmetic(void**) {
  World w;
  Units u(w);
  Random random(13);
  struct Op {
    uint16_t op;
    std::function<double(double, double)> exact;
  };
  const Op ops[] = {{NPU_V_ADD, [](double x, double y) { return x + y; }},
                    {NPU_V_SUB, [](double x, double y) { return x - y; }},
                    {NPU_V_MUL, [](double x, double y) { return x * y; }},
                    {NPU_V_DIV, [](double x, double y) { return x / y; }},
                    {NPU_V_SQRT, [](double x, double) { return std::sqrt(x); }},
                    {NPU_V_RECIP, [](double x, double) { return 1 / x; }}};
  constexpr uint32_t kCols = 65536;
  for (const uint8_t type : std::initializer_list<uint8_t>{NPU_F16, NPU_BF16}) {
    for (const Op& op : ops) {
      for (int round = 0; round < 3; ++round) {
        std::vector<uint16_t> x(kCols), y(kCols);
        for (uint32_t i = 0; i < kCols; ++i)
          x[i] = static_cast<uint16_t>(i), y[i] = static_cast<uint16_t>(random.Next() >> 20);
        if (round == 1) std::swap(x, y);
        std::memcpy(u.local.sram() + kSrc0, x.data(), kCols * 2);
        std::memcpy(u.local.sram() + kSrc1, y.data(), kCols * 2);
        const npu_vector_desc d = Half(op.op, type, kCols);
        if (round == 0)
          RunVector(&u, d);
        else
          assert_int_equal(u.Vector(d), NPU_FAULT_NONE);
        for (uint32_t i = 0; i < kCols; ++i) {
          const double exact = op.exact(Meaning(type, x[i]), Meaning(type, y[i]));
          const uint32_t want = RoundToFloat(type, exact, {}, 0), got = ElementAt(u.local.sram(), type, i);
          if (got == want) continue;
          print_error("%s operation %u of %#x, %#x: %#x, not %#x\n", FactsOf(type).name, op.op, x[i], y[i], got, want);
          fail();
        }
      }
    }
  }
}

// Everything else on 16-bit types is the f32 operation, rounded once more.
void TestHalfLikeF32(void**) {
  World w;
  Units u(w);
  Random random(14);
  constexpr uint32_t kCols = 3000;
  const auto run_f32 = [&](uint16_t op, const std::vector<float> in[3], uint8_t dst_type) {
    for (int s = 0; s < 3; ++s) std::memcpy(u.local.sram() + kSrc0 + 0x40000 * s, in[s].data(), kCols * 4);
    npu_vector_desc d = Half(op, NPU_F32, kCols);
    d.dst_type = dst_type;
    assert_int_equal(u.Vector(d), NPU_FAULT_NONE);
    std::vector<uint32_t> out(kCols);
    std::memcpy(out.data(), u.local.sram(), kCols * 4);
    return out;
  };
  for (const uint8_t type : std::initializer_list<uint8_t>{NPU_F16, NPU_BF16}) {
    std::vector<uint16_t> bits[3];
    std::vector<float> wide[3];
    for (int s = 0; s < 3; ++s)
      for (uint32_t i = 0; i < kCols; ++i) {
        bits[s].push_back(static_cast<uint16_t>(random.Next() >> 13));
        wide[s].push_back(static_cast<float>(Meaning(type, bits[s][i])));
      }
    for (const uint16_t op : std::initializer_list<uint16_t>{
             NPU_V_MAX, NPU_V_MIN, NPU_V_FMA, NPU_V_RELU, NPU_V_CLIP, NPU_V_EXP, NPU_V_LOG, NPU_V_TANH, NPU_V_ERF,
             NPU_V_RSQRT, NPU_V_SIN, NPU_V_COS, NPU_V_SIGMOID, NPU_V_CMP_LT, NPU_V_CMP_NE, NPU_V_CMP_GE}) {
      const std::vector<uint32_t> f32 = run_f32(op, wide, NPU_F32);
      for (int s = 0; s < 3; ++s) std::memcpy(u.local.sram() + kSrc0 + 0x40000 * s, bits[s].data(), kCols * 2);
      RunVector(&u, Half(op, type, kCols));
      for (uint32_t i = 0; i < kCols; ++i)
        assert_int_equal(ElementAt(u.local.sram(), type, i), RoundToFloat(type, FloatOf(f32[i]), {}, 0));
    }
    // Constants and one element a row take the same way.
    npu_vector_desc d = Half(NPU_V_FMA, type, kCols);
    d.flags = NPU_VEC_IMM1 | NPU_VEC_COL_BCAST2;
    d.imm[0] = bits[1][0];
    RunVector(&u, d);
    for (uint32_t i = 0; i < kCols; ++i) {
      const float f = std::fmaf(wide[0][i], wide[1][0], wide[2][0]);
      assert_int_equal(ElementAt(u.local.sram(), type, i), RoundToFloat(type, f, {}, 0));
    }
    // Sign operations do not look at the number.
    RunVector(&u, Half(NPU_V_NEG, type, kCols));
    for (uint32_t i = 0; i < kCols; ++i) assert_int_equal(ElementAt(u.local.sram(), type, i), bits[0][i] ^ 0x8000);
    RunVector(&u, Half(NPU_V_ABS, type, kCols));
    for (uint32_t i = 0; i < kCols; ++i) assert_int_equal(ElementAt(u.local.sram(), type, i), bits[0][i] & 0x7fff);
    // Sums are kept in f32.
    d = Half(NPU_V_RSUM, type, kCols);
    d.rows = 1;
    for (uint32_t i = 0; i < kCols; ++i)
      bits[0][i] = static_cast<uint16_t>(type == NPU_F16 ? 0x3c00 + i % 512 : 0x3f80 + i % 64);
    std::memcpy(u.local.sram() + kSrc0, bits[0].data(), kCols * 2);
    RunVector(&u, d);
    float sum = 0;
    for (uint32_t i = 0; i < kCols; ++i) sum += static_cast<float>(Meaning(type, bits[0][i]));
    assert_int_equal(ElementAt(u.local.sram(), type, 0), RoundToFloat(type, sum, {}, 0));
  }
}

void TestRefusals(void**) {
  World w;
  Units u(w);
  const auto expect = [&](const npu_vector_desc& d, int detail) {
    const Snapshot before = w.Save(u.local.sram());
    assert_int_equal(u.Vector(d), NPU_FAULT_BAD_DESC);
    assert_int_equal(u.fault.detail, detail);
    assert_true(before == w.Save(u.local.sram()));
  };
  npu_vector_desc d = Convert(NPU_I4, NPU_F32, 2, 7);
  expect(d, NPU_DESC_ERR_SHAPE);
  d = Convert(NPU_F32, NPU_I4, 2, 8), d.flags = NPU_VEC_COL_BCAST0;
  expect(d, NPU_DESC_ERR_FLAGS);
  d = Convert(NPU_I8, NPU_F32, 2, 8), d.flags = NPU_VEC_SATURATE;
  expect(d, NPU_DESC_ERR_FLAGS);
  d = Convert(NPU_F16, NPU_F32, 2, 8), d.flags = NPU_VEC_ROUND(6);
  expect(d, NPU_DESC_ERR_FLAGS);
  d = Convert(12, NPU_F32, 2, 8);
  expect(d, NPU_DESC_ERR_DTYPE);
  d = Half(NPU_V_ADD, NPU_F16, 8), d.flags = NPU_VEC_ROUND(1);
  expect(d, NPU_DESC_ERR_FLAGS);
  for (const uint8_t type : std::initializer_list<uint8_t>{NPU_TF32, NPU_F8E4M3, NPU_I16, NPU_I4, NPU_U32, NPU_I8}) {
    d = Half(NPU_V_ADD, type, 8);
    expect(d, NPU_DESC_ERR_DTYPE);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(TestAllPairs),
      cmocka_unit_test(TestNarrowDense),
      cmocka_unit_test(TestOperation),
      cmocka_unit_test(TestStochasticFrequency),
      cmocka_unit_test(TestStochasticThreshold),
      cmocka_unit_test(TestHalfArithmetic),
      cmocka_unit_test(TestHalfLikeF32),
      cmocka_unit_test(TestRefusals),
  };
  return cmocka_run_group_tests_name("core.convert", tests, nullptr, nullptr);
}
