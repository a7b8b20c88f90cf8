// SPDX-License-Identifier: Apache-2.0
//
// The vector pipe: functions' errors, the same bits on every SIMD level, every operation against a scalar reference,
// and its refusals.
#include <cmath>
#include <cstring>
#include <functional>

#include "suite.h"

namespace {

using namespace npu::model;
using namespace npu::test;

constexpr uint64_t kSram = NPU_LOCAL_SRAM_BASE;
constexpr uint32_t kDst = 0, kSrc0 = 0x40000, kSrc1 = 0x80000, kSrc2 = 0xc0000;

npu_vector_desc Shape(uint16_t op, uint8_t type, uint32_t rows, uint32_t cols) {
  npu_vector_desc d{};
  d.op = op;
  d.dst_type = d.src_type = type;
  d.dst = kSram + kDst;
  d.src[0] = kSram + kSrc0, d.src[1] = kSram + kSrc1, d.src[2] = kSram + kSrc2;
  d.rows = rows, d.cols = cols;
  for (int32_t& pitch : d.row_pitch) pitch = static_cast<int32_t>(cols * 4);
  return d;
}

float FloatOf(uint32_t u) {
  float x;
  std::memcpy(&x, &u, 4);
  return x;
}
uint32_t BitsOf(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return std::isnan(x) ? 0x7fc00000 : u;
}

// Distance in units in the last place of the f32 result; 0 for two NaNs or equal infinities.
double Ulps(float got, double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0 : 1e9;
  const auto rounded = static_cast<float>(want);
  if (std::isinf(got) || std::isinf(rounded)) return got == rounded ? 0 : 1e9;
  int exponent = 0;
  std::frexp(want, &exponent);
  const double ulp = std::ldexp(1.0, std::max(exponent - 24, -149));
  return std::fabs(static_cast<double>(got) - want) / ulp;
}

struct Function {
  const char* name;
  uint16_t op;
  double (*reference)(double);
  double limit;
};

double Sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}
double Rsqrt(double x) {
  return 1 / std::sqrt(x);
}
double Recip(double x) {
  return 1 / x;
}

// What is special about some function: ends, neighbours of 1, places where formulas change.
std::vector<float> Specials() {
  std::vector<float> out;
  for (const float x : {0.0f,
                        0x1p-149f,
                        0x1p-126f,
                        0x1.fffffcp-127f,
                        0x1p-64f,
                        0x1p-25f,
                        0x1p-24f,
                        0x1p-12f,
                        0.25f,
                        0.5f,
                        0x1.6a09e6p-1f,
                        1.0f,
                        2.0f,
                        4.0f,
                        0x1.921fb6p+0f,
                        0x1.921fb6p+1f,
                        16.0f,
                        17.0f,
                        87.0f,
                        88.72284f,
                        89.0f,
                        103.97208f,
                        104.0f,
                        110.0f,
                        0x1p24f,
                        0x1p25f,
                        0x1p32f,
                        0x1p64f,
                        0x1.fffffep127f,
                        INFINITY,
                        FloatOf(0x7fc00000),
                        FloatOf(0x7f800001),
                        FloatOf(0x7fffffff)})
    for (const uint32_t step : {0u, 1u, UINT32_MAX})
      for (const uint32_t sign : {0u, 0x80000000u}) {
        uint32_t u;
        std::memcpy(&u, &x, 4);
        out.push_back(FloatOf((u + step) ^ sign));
      }
  return out;
}

// Every 2048th bit pattern of f32 (at another place in each stretch), and the specials: the bounds that the manual
// states, and the same bits on every level.
void TestFunctions(void**) {
  World w;
  Units u(w);
  const Function functions[] = {
      {"exp", NPU_V_EXP, std::exp, 0.501},        {"log", NPU_V_LOG, std::log, 0.501},
      {"tanh", NPU_V_TANH, std::tanh, 0.501},     {"erf", NPU_V_ERF, std::erf, 0.501},
      {"sin", NPU_V_SIN, std::sin, 0.501},        {"cos", NPU_V_COS, std::cos, 0.501},
      {"sigmoid", NPU_V_SIGMOID, Sigmoid, 0.501}, {"sqrt", NPU_V_SQRT, std::sqrt, 0.5},
      {"rsqrt", NPU_V_RSQRT, Rsqrt, 0.501},       {"recip", NPU_V_RECIP, Recip, 0.5},
  };
  const uint32_t cols = 0x10000;
  const std::vector<float> specials = Specials();
  for (const Function& f : functions) {
    double worst = 0;
    float worst_at = 0;
    for (uint32_t part = 0; part < 32; ++part) {
      std::vector<float> in(cols), out(cols);
      for (uint32_t i = 0; i < cols; ++i) in[i] = FloatOf((part << 27) + i * 2048 + i * 37 % 2048);
      if (part == 0) std::copy(specials.begin(), specials.end(), in.begin());
      std::memcpy(u.local.sram() + kSrc0, in.data(), cols * 4);
      RunVector(&u, Shape(f.op, NPU_F32, 1, cols));
      std::memcpy(out.data(), u.local.sram() + kDst, cols * 4);
      for (uint32_t i = 0; i < cols; ++i) {
        const double error = Ulps(out[i], f.reference(in[i]));
        if (error > worst) worst = error, worst_at = in[i];
        if (std::isnan(out[i])) assert_int_equal(*reinterpret_cast<uint32_t*>(&out[i]), 0x7fc00000);
      }
    }
    print_message("%-8s %.4f ulp at %a\n", f.name, worst, static_cast<double>(worst_at));
    assert_true(worst <= f.limit);
  }
}

// Scalar references on bit patterns.
using Reference = std::function<uint32_t(uint32_t, uint32_t, uint32_t)>;

float MaxOf(float x, float y) {
  if (std::isnan(x) || std::isnan(y)) return NAN;
  if (x == y) return std::signbit(x) ? y : x;
  return x > y ? x : y;
}
float MinOf(float x, float y) {
  if (std::isnan(x) || std::isnan(y)) return NAN;
  if (x == y) return std::signbit(x) ? x : y;
  return x < y ? x : y;
}

Reference F(float (*f)(float, float, float)) {
  return [f](uint32_t x, uint32_t y, uint32_t z) { return BitsOf(f(FloatOf(x), FloatOf(y), FloatOf(z))); };
}

struct RowOp {
  uint16_t op;
  uint8_t type;
  int sources;
  Reference reference;
};

std::vector<RowOp> RowOps() {
  const auto i = [](uint32_t x) { return static_cast<int32_t>(x); };
  return {
      {NPU_V_COPY, NPU_F32, 1, [](uint32_t x, uint32_t, uint32_t) { return x; }},
      {NPU_V_ADD, NPU_F32, 2, F([](float x, float y, float) { return x + y; })},
      {NPU_V_SUB, NPU_F32, 2, F([](float x, float y, float) { return x - y; })},
      {NPU_V_MUL, NPU_F32, 2, F([](float x, float y, float) { return x * y; })},
      {NPU_V_DIV, NPU_F32, 2, F([](float x, float y, float) { return x / y; })},
      {NPU_V_MAX, NPU_F32, 2, F([](float x, float y, float) { return MaxOf(x, y); })},
      {NPU_V_MIN, NPU_F32, 2, F([](float x, float y, float) { return MinOf(x, y); })},
      {NPU_V_FMA, NPU_F32, 3, F([](float x, float y, float z) { return std::fma(x, y, z); })},
      {NPU_V_CLIP, NPU_F32, 3, F([](float x, float y, float z) { return MinOf(MaxOf(x, y), z); })},
      {NPU_V_NEG, NPU_F32, 1, [](uint32_t x, uint32_t, uint32_t) { return x ^ 0x80000000; }},
      {NPU_V_ABS, NPU_F32, 1, [](uint32_t x, uint32_t, uint32_t) { return x & 0x7fffffff; }},
      {NPU_V_RELU, NPU_F32, 1, F([](float x, float, float) { return std::isnan(x) ? x
                                                                    : x > 0       ? x
                                                                                  : 0.0f; })},
      {NPU_V_CMP_LT, NPU_F32, 2, F([](float x, float y, float) { return x < y ? 1.0f : 0.0f; })},
      {NPU_V_CMP_LE, NPU_F32, 2, F([](float x, float y, float) { return x <= y ? 1.0f : 0.0f; })},
      {NPU_V_CMP_EQ, NPU_F32, 2, F([](float x, float y, float) { return x == y ? 1.0f : 0.0f; })},
      {NPU_V_SELECT, NPU_F32, 3, [](uint32_t x, uint32_t y, uint32_t z) { return FloatOf(x) != 0 ? y : z; }},
      {NPU_V_ADD, NPU_I32, 2, [](uint32_t x, uint32_t y, uint32_t) { return x + y; }},
      {NPU_V_SUB, NPU_I32, 2, [](uint32_t x, uint32_t y, uint32_t) { return x - y; }},
      {NPU_V_MUL, NPU_I32, 2, [](uint32_t x, uint32_t y, uint32_t) { return x * y; }},
      {NPU_V_FMA, NPU_I32, 3, [](uint32_t x, uint32_t y, uint32_t z) { return x * y + z; }},
      {NPU_V_MAX, NPU_I32, 2, [i](uint32_t x, uint32_t y, uint32_t) { return i(x) > i(y) ? x : y; }},
      {NPU_V_MIN, NPU_I32, 2, [i](uint32_t x, uint32_t y, uint32_t) { return i(x) < i(y) ? x : y; }},
      {NPU_V_NEG, NPU_I32, 1, [](uint32_t x, uint32_t, uint32_t) { return 0 - x; }},
      {NPU_V_ABS, NPU_I32, 1, [i](uint32_t x, uint32_t, uint32_t) { return i(x) < 0 ? 0 - x : x; }},
      {NPU_V_RELU, NPU_I32, 1, [i](uint32_t x, uint32_t, uint32_t) { return i(x) < 0 ? 0 : x; }},
      {NPU_V_CMP_LT, NPU_I32, 2, [i](uint32_t x, uint32_t y, uint32_t) { return i(x) < i(y) ? 1u : 0u; }},
      {NPU_V_CMP_EQ, NPU_I32, 2, [](uint32_t x, uint32_t y, uint32_t) { return x == y ? 1u : 0u; }},
      {NPU_V_SELECT, NPU_I32, 3, [](uint32_t x, uint32_t y, uint32_t z) { return x ? y : z; }},
  };
}

// Numbers, with special values and equal pairs among them.
void FillSram(Units* u, Random* random) {
  const uint32_t special[] = {0, 0x80000000, 1, 0x7f800000, 0xff800000, 0x7fc00001, 0x00800000, 0x7f7fffff, 0x3f800000};
  for (uint32_t i = 0; i < kSramBytes; i += 4) {
    uint32_t bits = static_cast<uint32_t>(random->Next() >> 32);
    if (random->Below(2)) bits = BitsOf(random->Float());
    if (random->Below(6) == 0) bits = special[random->Below(9)];
    std::memcpy(u->local.sram() + i, &bits, 4);
  }
}

uint32_t Load(const uint8_t* p) {
  uint32_t v;
  std::memcpy(&v, p, 4);
  return v;
}

void TestRowOps(void**) {
  World w;
  Units u(w);
  Random random(7);
  for (const RowOp& op : RowOps()) {
    for (int round = 0; round < 6; ++round) {
      FillSram(&u, &random);
      npu_vector_desc d = Shape(op.op, op.type, 1 + random.Below(5), 1 + random.Below(round ? 80 : 3000));
      for (int32_t& pitch : d.row_pitch) pitch += 4 * static_cast<int32_t>(random.Below(3));
      for (int s = 0; s < op.sources; ++s) {
        const uint32_t mode = random.Below(5);
        if (mode == 0) d.row_pitch[s + 1] = 0;
        if (mode == 1) d.flags |= NPU_VEC_COL_BCAST0 << s;
        if (mode == 2 && s) d.flags |= s == 1 ? NPU_VEC_IMM1 : NPU_VEC_IMM2;
      }
      d.imm[0] = static_cast<uint32_t>(random.Next());
      d.imm[1] = BitsOf(random.Float());
      const bool in_place = random.Below(4) == 0 && !(d.flags & NPU_VEC_COL_BCAST0);
      if (in_place) d.dst = d.src[0], d.row_pitch[0] = d.row_pitch[1] = static_cast<int32_t>(d.cols * 4);
      const std::vector<uint8_t> before(u.local.sram(), u.local.sram() + kSramBytes);
      RunVector(&u, d);
      std::vector<uint8_t> expected = before;
      for (uint32_t r = 0; r < d.rows; ++r)
        for (uint32_t c = 0; c < d.cols; ++c) {
          uint32_t x[3] = {};
          for (int s = 0; s < op.sources; ++s) {
            const bool broadcast = d.flags & (NPU_VEC_COL_BCAST0 << s);
            const bool constant = s && (d.flags & (s == 1 ? NPU_VEC_IMM1 : NPU_VEC_IMM2));
            x[s] = constant
                       ? d.imm[s - 1]
                       : Load(before.data() + (d.src[s] - kSram) + r * d.row_pitch[s + 1] + (broadcast ? 0 : c * 4));
          }
          const uint32_t y = op.reference(x[0], x[1], x[2]);
          std::memcpy(expected.data() + (d.dst - kSram) + r * d.row_pitch[0] + c * 4, &y, 4);
        }
      if (std::memcmp(expected.data(), u.local.sram(), kSramBytes)) {
        print_error("operation %u type %u flags %#x\n", op.op, op.type, d.flags);
        fail();
      }
    }
  }
}

void TestReductions(void**) {
  World w;
  Units u(w);
  Random random(8);
  for (int round = 0; round < 60; ++round) {
    const bool wild = round % 3 == 0;
    const uint32_t rows = 1 + random.Below(21), cols = 1 + random.Below(200);
    for (uint32_t i = 0; i < rows * cols; ++i) {
      const uint32_t bits = wild && random.Below(30) == 0 ? 0x7fc00000u + random.Below(9) : BitsOf(random.Float());
      std::memcpy(u.local.sram() + kSrc0 + 4 * i, &bits, 4);
    }
    for (const uint16_t op : std::initializer_list<uint16_t>{NPU_V_RSUM, NPU_V_RMAX, NPU_V_RMIN, NPU_V_RARGMAX}) {
      for (const uint8_t type : std::initializer_list<uint8_t>{NPU_F32, NPU_I32}) {
        npu_vector_desc d = Shape(op, type, rows, cols);
        d.row_pitch[0] = 8;
        if (op == NPU_V_RARGMAX) d.dst_type = NPU_I32;
        RunVector(&u, d);
        for (uint32_t r = 0; r < rows; ++r) {
          const uint8_t* row = u.local.sram() + kSrc0 + r * cols * 4;
          uint32_t arg = 0, want = Load(row), isum = 0;
          float fsum = 0, best = FloatOf(want);
          for (uint32_t c = 0; c < cols; ++c) {
            const uint32_t v = Load(row + 4 * c);
            const float x = FloatOf(v);
            fsum += x;
            isum += v;
            if (type == NPU_F32) {
              if (op == NPU_V_RMIN)
                best = MinOf(best, x);
              else if (op == NPU_V_RMAX)
                best = MaxOf(best, x);
              if (!std::isnan(FloatOf(Load(row + 4 * arg))) && (std::isnan(x) || x > FloatOf(Load(row + 4 * arg))))
                arg = c;
            } else {
              const auto now = static_cast<int32_t>(v), old = static_cast<int32_t>(want);
              if (op == NPU_V_RMIN ? now < old : now > old) want = v, arg = c;
            }
          }
          if (type == NPU_F32) want = BitsOf(best);
          if (op == NPU_V_RSUM) want = type == NPU_F32 ? BitsOf(fsum) : isum;
          if (op == NPU_V_RARGMAX) want = arg;
          assert_int_equal(Load(u.local.sram() + kDst + r * 8), want);
        }
      }
    }
  }
}

void TestConvert(void**) {
  World w;
  Units u(w);
  const float in[] = {0.5f,     1.5f,      2.5f,      -0.5f,      -1.5f,        126.5f,         127.5f,   300.f,
                      -300.f,   255.5f,    254.5f,    3e9f,       -3e9f,        0x1.fffffep30f, -0x1p31f, NAN,
                      INFINITY, -INFINITY, 8388609.f, 4194303.5f, -0.49999997f, 0.49999997f};
  const int32_t want[] = {0,         2,         2,       0,         -2,        126,        128,       300,
                          -300,      256,       254,     INT32_MAX, INT32_MIN, 2147483520, INT32_MIN, 0,
                          INT32_MAX, INT32_MIN, 8388609, 4194304,   0,         0};
  constexpr uint32_t n = sizeof(in) / sizeof(*in);
  std::memcpy(u.local.sram() + kSrc0, in, sizeof(in));
  npu_vector_desc d = Shape(NPU_V_CONVERT, NPU_F32, 1, n);
  d.dst_type = NPU_I32;
  RunVector(&u, d);
  assert_memory_equal(u.local.sram() + kDst, want, sizeof(want));
  const auto limit = [](int32_t v, int32_t low, int32_t high) { return std::min(std::max(v, low), high); };
  d.dst_type = NPU_I8;
  RunVector(&u, d);
  for (uint32_t i = 0; i < n; ++i)
    assert_int_equal(static_cast<int8_t>(u.local.sram()[kDst + i]), limit(want[i], -128, 127));
  d.dst_type = NPU_U8;
  RunVector(&u, d);
  for (uint32_t i = 0; i < n; ++i) assert_int_equal(u.local.sram()[kDst + i], limit(want[i], 0, 255));
  // From the small types, and i32 -> f32, which rounds.
  for (uint32_t i = 0; i < 256; ++i) u.local.sram()[kSrc1 + i] = static_cast<uint8_t>(i);
  d = Shape(NPU_V_CONVERT, NPU_I8, 1, 256);
  d.src[0] = kSram + kSrc1;
  d.dst_type = NPU_F32;
  RunVector(&u, d);
  for (uint32_t i = 0; i < 256; ++i)
    assert_int_equal(Load(u.local.sram() + kDst + 4 * i), BitsOf(static_cast<float>(static_cast<int8_t>(i))));
  d.src_type = NPU_U8;
  d.dst_type = NPU_I8;
  RunVector(&u, d);
  for (uint32_t i = 0; i < 256; ++i) assert_int_equal(u.local.sram()[kDst + i], std::min(i, 127u));
  const int32_t wide[] = {16777217, 16777219, -16777217, INT32_MAX, INT32_MIN};
  std::memcpy(u.local.sram() + kSrc0, wide, sizeof(wide));
  d = Shape(NPU_V_CONVERT, NPU_I32, 1, 5);
  d.dst_type = NPU_F32;
  RunVector(&u, d);
  for (uint32_t i = 0; i < 5; ++i)
    assert_int_equal(Load(u.local.sram() + kDst + 4 * i), BitsOf(static_cast<float>(wide[i])));
}

void TestLayout(void**) {
  World w;
  Units u(w);
  Random random(9);
  FillSram(&u, &random);
  npu_vector_desc d = Shape(NPU_V_TRANSPOSE, NPU_F32, 37, 21);
  d.row_pitch[0] = 38 * 4;
  RunVector(&u, d);
  for (uint32_t r = 0; r < 37; ++r)
    for (uint32_t c = 0; c < 21; ++c)
      assert_int_equal(Load(u.local.sram() + kDst + c * 38 * 4 + r * 4),
                       Load(u.local.sram() + kSrc0 + (r * 21 + c) * 4));
  d = Shape(NPU_V_TRANSPOSE, NPU_I8, 19, 50);
  d.row_pitch[0] = 20, d.row_pitch[1] = 51;
  RunVector(&u, d);
  for (uint32_t r = 0; r < 19; ++r)
    for (uint32_t c = 0; c < 50; ++c)
      assert_int_equal(u.local.sram()[kDst + c * 20 + r], u.local.sram()[kSrc0 + r * 51 + c]);
  d = Shape(NPU_V_FILL, NPU_I32, 3, 2000);
  d.row_pitch[0] = 8008;
  d.imm[0] = 0xdeadbeef;
  const uint32_t gap = Load(u.local.sram() + 8004);
  RunVector(&u, d);
  for (uint32_t r = 0; r < 3; ++r)
    for (uint32_t c = 0; c < 2000; ++c) assert_int_equal(Load(u.local.sram() + r * 8008 + c * 4), 0xdeadbeef);
  assert_int_equal(Load(u.local.sram() + 8004), gap);
  d = Shape(NPU_V_IOTA, NPU_F32, 2, 100);
  d.imm[0] = BitsOf(0.25f), d.imm[1] = BitsOf(0.1f);
  RunVector(&u, d);
  for (uint32_t i = 0; i < 200; ++i)
    assert_int_equal(Load(u.local.sram() + 4 * i), BitsOf(0.25f + static_cast<float>(i % 100) * 0.1f));
}

#define REFUSED(expected)                           \
  do {                                              \
    const Snapshot before = w.Save(u.local.sram()); \
    assert_int_equal(u.Vector(d), expected);        \
    assert_true(before == w.Save(u.local.sram()));  \
  } while (0)

void TestRefusals(void**) {
  World w;
  Units u(w);
  const npu_vector_desc good = Shape(NPU_V_ADD, NPU_F32, 4, 100);
  npu_vector_desc d = good;
  assert_int_equal(u.Vector(d), NPU_FAULT_NONE);
  assert_int_equal(u.cost.busy, 16 + 7);  // 400 elements without gaps
  assert_int_equal(u.counters.vector_elements, 400);
  d.row_pitch[1] = 404;
  assert_int_equal(u.Vector(d), NPU_FAULT_NONE);
  assert_int_equal(u.cost.busy, 16 + 4 * 2);
  const auto expect = [&](int detail, int operand) {
    REFUSED(NPU_FAULT_BAD_DESC);
    assert_int_equal(u.fault.detail, detail);
    assert_int_equal(u.fault.operand, operand);
    d = good;
  };
  d = good, d.op = 15;
  expect(NPU_DESC_ERR_OP, kNoOperand);
  d.op = 60000;
  expect(NPU_DESC_ERR_OP, kNoOperand);
  d.flags = 0x1000;
  expect(NPU_DESC_ERR_FLAGS, kNoOperand);
  d.flags = NPU_VEC_IMM2;
  expect(NPU_DESC_ERR_FLAGS, kNoOperand);
  d.flags = NPU_VEC_IMM1 | NPU_VEC_COL_BCAST1;
  expect(NPU_DESC_ERR_FLAGS, kNoOperand);
  d.reserved = 1;
  expect(NPU_DESC_ERR_RESERVED, kNoOperand);
  d.src_type = NPU_F16;
  expect(NPU_DESC_ERR_DTYPE, kNoOperand);
  d.dst_type = NPU_I32;
  expect(NPU_DESC_ERR_DTYPE, kNoOperand);
  d.op = NPU_V_EXP, d.dst_type = d.src_type = NPU_I32;
  expect(NPU_DESC_ERR_DTYPE, kNoOperand);
  d.rows = 0;
  expect(NPU_DESC_ERR_SHAPE, kNoOperand);
  d.rows = d.cols = UINT32_MAX;
  expect(NPU_DESC_ERR_SHAPE, kNoOperand);
  d.row_pitch[0] = 396;
  expect(NPU_DESC_ERR_STRIDE, 0);
  d.row_pitch[2] = -400;
  expect(NPU_DESC_ERR_STRIDE, 2);
  d.row_pitch[1] = 401;
  expect(NPU_DESC_ERR_STRIDE, 1);
  d.src[1] = w.Buffer(4096);
  expect(NPU_DESC_ERR_SPACE, 2);
  d.src[0] = d.dst + 4;
  expect(NPU_DESC_ERR_OVERLAP, 1);
  d.dst += 1;
  REFUSED(NPU_FAULT_MISALIGNED);
  assert_int_equal(u.fault.operand, 0);
  d = good, d.src[1] = kSram + kSramBytes - 1596;
  REFUSED(NPU_FAULT_LOCAL_OOB);
  assert_int_equal(u.fault.operand, 2);
  assert_int_equal(u.fault.bad_index[0], 99);
  assert_int_equal(u.fault.bad_index[1], 3);
  assert_int_equal(u.fault.bad_bytes, 4);
  assert_int_equal(u.fault.bad_addr, kSram + kSramBytes);
  d = good, d.dst = 0;
  REFUSED(NPU_FAULT_NULL);
  d = good, d.src[0] = 0x4000000000;
  REFUSED(NPU_FAULT_UNKNOWN_BUF);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(TestFunctions), cmocka_unit_test(TestRowOps), cmocka_unit_test(TestReductions),
      cmocka_unit_test(TestConvert),   cmocka_unit_test(TestLayout), cmocka_unit_test(TestRefusals),
  };
  return cmocka_run_group_tests_name("core.vector", tests, nullptr, nullptr);
}
