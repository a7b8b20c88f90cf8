// SPDX-License-Identifier: Apache-2.0
// The two floating-point paths against each other and against known answers: software (fp_soft) and the host's unit.
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <random>

#include "hart/fp_host.h"
#include "hart/fp_soft.h"

extern "C" {
#include <cmocka.h>
}

namespace {

namespace fp = npu::model::fp;
namespace soft = npu::model::fp::soft;
namespace host = npu::model::fp::host;

constexpr uint32_t kValues[] = {
    0x00000000, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345, 0x7f800001, 0xffbfffff, 0x00000001,
    0x80000001, 0x007fffff, 0x807fffff, 0x00800000, 0x80800000, 0x00800001, 0x00ffffff, 0x01000000, 0x7f7fffff,
    0xff7fffff, 0x7f000000, 0x3f800000, 0xbf800000, 0x3f7fffff, 0x3f800001, 0x3f000000, 0xbf000000, 0x3fc00000,
    0x40000000, 0x40200000, 0xc0200000, 0x4b000001, 0x4b7fffff, 0x4effffff, 0x4f000000, 0xcf000000, 0x4f7fffff,
    0x4f800000, 0x5effffff, 0x5f000000, 0xdf000000, 0x5f7fffff, 0x5f800000, 0x33800000, 0x33800001, 0x1f800000,
    0x20000000, 0x5f3504f3, 0x0b800000, 0x7e800000, 0x3eaaaaab};

struct Result {
  uint32_t bits;
  uint32_t flags;
};

// Runs one operation on the host's unit as the interpreter does.
template <class Operation>
Result OnHost(uint32_t rm, Operation operation) {
  const uint32_t saved = fp::GetMxcsr();
  Result r{0, 0};
  fp::SetMxcsr(fp::MxcsrOf(rm));
  r.bits = operation(&r.flags);
  r.flags |= fp::FlagsOf(fp::GetMxcsr());
  fp::SetMxcsr(saved);
  return r;
}

void Same(const char* what, uint32_t rm, uint32_t a, uint32_t b, uint32_t c, Result on_host, Result in_soft) {
  if (on_host.bits == in_soft.bits && on_host.flags == in_soft.flags) return;
  fail_msg("%s(%08x, %08x, %08x) rounding %u: host %08x flags %02x, software %08x flags %02x", what, a, b, c, rm,
           on_host.bits, on_host.flags, in_soft.bits, in_soft.flags);
}

void CompareAll(uint32_t rm, uint32_t a, uint32_t b, uint32_t c) {
  Result s{0, 0};
  s.bits = soft::Add(a, b, rm, &s.flags);
  Same("add", rm, a, b, 0, OnHost(rm, [=](uint32_t*) { return host::Add(a, b); }), s);
  s = {0, 0};
  s.bits = soft::Mul(a, b, rm, &s.flags);
  Same("mul", rm, a, b, 0, OnHost(rm, [=](uint32_t*) { return host::Mul(a, b); }), s);
  s = {0, 0};
  s.bits = soft::Div(a, b, rm, &s.flags);
  Same("div", rm, a, b, 0, OnHost(rm, [=](uint32_t*) { return host::Div(a, b); }), s);
  s = {0, 0};
  s.bits = soft::Sqrt(a, rm, &s.flags);
  Same("sqrt", rm, a, 0, 0, OnHost(rm, [=](uint32_t*) { return host::Sqrt(a); }), s);
  if (!host::HasFma()) return;
  s = {0, 0};
  s.bits = soft::Fma(a, b, c, rm, &s.flags);
  Same("fma", rm, a, b, c, OnHost(rm, [=](uint32_t* flags) { return host::Fma(a, b, c, flags); }), s);
}

void EverySpecialTriple(void**) {
  for (uint32_t rm = fp::kRne; rm <= fp::kRup; ++rm) {
    for (const uint32_t a : kValues) {
      for (const uint32_t b : kValues) {
        for (const uint32_t c : kValues) CompareAll(rm, a, b, c);
      }
    }
  }
}

void RandomOperands(void**) {
  std::mt19937 random(20);
  for (unsigned i = 0; i < 400000; ++i) {
    const uint32_t rm = random() % 4;
    uint32_t v[3];
    const uint32_t base = random() % 256;
    for (uint32_t& x : v) {
      x = static_cast<uint32_t>(random());
      // Mostly exponents that meet: alignment, cancellation, the border of the denormals.
      if (i % 4 != 0) x = (x & 0x807fffff) | ((base + random() % 52) % 256) << 23;
      if (i % 8 == 5) x &= 0xffff0000;  // ties
    }
    CompareAll(rm, v[0], v[1], v[2]);
  }
}

// The product or quotient at the lower border, where tininess is decided after rounding.
void Tininess(void**) {
  uint32_t flags = 0;
  // 0x1.fffffep-1 * 0x1p-126 = 0x0.ffffffp-126: a tie at the last denormal place that rounds up to the smallest normal
  // number.  With an unbounded exponent it is exact, and below the border: tiny.
  assert_int_equal(soft::Mul(0x3f7fffff, 0x00800000, fp::kRne, &flags), 0x00800000);
  assert_int_equal(flags, fp::kUnderflow | fp::kInexact);
  // A hair below 2^-126: rounds to it at full precision too, so it is not tiny, only inexact.
  flags = 0;
  assert_int_equal(soft::Fma(0x33800000, 0x80000001, 0x00800000, fp::kRne, &flags), 0x00800000);
  assert_int_equal(flags, fp::kInexact);
}

void TiesToMaxMagnitude(void**) {
  uint32_t flags = 0;
  // 1 + 2^-24 lies halfway: even keeps 1, max magnitude goes up, on both sides of zero.
  assert_int_equal(soft::Add(0x3f800000, 0x33800000, fp::kRne, &flags), 0x3f800000);
  assert_int_equal(flags, fp::kInexact);
  assert_int_equal(soft::Add(0x3f800000, 0x33800000, fp::kRmm, &flags), 0x3f800001);
  assert_int_equal(soft::Add(0xbf800000, 0xb3800000, fp::kRmm, &flags), 0xbf800001);
  assert_int_equal(soft::ToI32(0x40200000, fp::kRmm, &flags), 3);  // 2.5
  assert_int_equal(soft::ToI32(0x40200000, fp::kRne, &flags), 2);
  assert_int_equal(soft::ToI32(0xc0200000, fp::kRmm, &flags), static_cast<uint64_t>(-3));
  assert_int_equal(soft::FromI64((int64_t{1} << 24) + 1, fp::kRmm, &flags), 0x4b800001);
  assert_int_equal(soft::FromI64((int64_t{1} << 24) + 1, fp::kRne, &flags), 0x4b800000);
  flags = 0;
  assert_int_equal(soft::Add(0x7f7fffff, 0x73000000, fp::kRmm, &flags), 0x7f800000);  // half an ulp above the maximum
  assert_int_equal(flags, fp::kOverflow | fp::kInexact);
}

void InfinityTimesZeroPlusNan(void**) {
  const uint32_t factors[][2] = {{0x7f800000, 0}, {0x80000000, 0xff800000}};
  for (const auto& f : factors) {
    uint32_t flags = 0;
    assert_int_equal(soft::Fma(f[0], f[1], 0x7fc00001, fp::kRne, &flags), fp::kCanonicalNan);
    assert_int_equal(flags, fp::kInvalid);
    if (!host::HasFma()) continue;
    const Result r = OnHost(fp::kRne, [&](uint32_t* raised) { return host::Fma(f[0], f[1], 0x7fc00001, raised); });
    assert_int_equal(r.bits, fp::kCanonicalNan);
    assert_int_equal(r.flags, fp::kInvalid);
  }
}

void ConversionsSaturate(void**) {
  struct Case {
    uint32_t bits;
    uint64_t i32, u32, i64, u64;
    uint32_t f_i32, f_u32, f_i64, f_u64;  // flags
  };
  constexpr uint64_t kMinI32 = 0xffffffff80000000, kMaxU32 = ~uint64_t{0};
  constexpr uint64_t kMinI64 = uint64_t{1} << 63, kMaxI64 = kMinI64 - 1, kMaxU64 = ~uint64_t{0};
  constexpr uint32_t kNv = fp::kInvalid, kNx = fp::kInexact;
  const Case cases[] = {
      {0x7fc00000, 0x7fffffff, kMaxU32, kMaxI64, kMaxU64, kNv, kNv, kNv, kNv},
      {0x7f800000, 0x7fffffff, kMaxU32, kMaxI64, kMaxU64, kNv, kNv, kNv, kNv},
      {0xff800000, kMinI32, 0, kMinI64, 0, kNv, kNv, kNv, kNv},
      {0xbf400000, 0, 0, 0, 0, kNx, kNx, kNx, kNx},                             // -0.75 toward zero
      {0xbf800000, ~uint64_t{0}, 0, ~uint64_t{0}, 0, 0, kNv, 0, kNv},           // -1
      {0x4f000000, 0x7fffffff, kMinI32, 0x80000000, 0x80000000, kNv, 0, 0, 0},  // 2^31, sign-extended
      {0xcf000000, kMinI32, 0, kMinI32, 0, 0, kNv, 0, kNv},                     // -2^31
      {0x5f000000, 0x7fffffff, kMaxU32, kMaxI64, kMinI64, kNv, kNv, kNv, 0},    // 2^63
      {0xdf000000, kMinI32, 0, kMinI64, 0, kNv, kNv, 0, kNv},                   // -2^63
      {0x5f800000, 0x7fffffff, kMaxU32, kMaxI64, kMaxU64, kNv, kNv, kNv, kNv},  // 2^64
      {0x00000001, 0, 0, 0, 0, kNx, kNx, kNx, kNx},
  };
  for (const Case& c : cases) {
    uint32_t flags[4] = {};
    assert_int_equal(soft::ToI32(c.bits, fp::kRtz, &flags[0]), c.i32);
    assert_int_equal(soft::ToU32(c.bits, fp::kRtz, &flags[1]), c.u32);
    assert_int_equal(soft::ToI64(c.bits, fp::kRtz, &flags[2]), c.i64);
    assert_int_equal(soft::ToU64(c.bits, fp::kRtz, &flags[3]), c.u64);
    assert_int_equal(flags[0], c.f_i32);
    assert_int_equal(flags[1], c.f_u32);
    assert_int_equal(flags[2], c.f_i64);
    assert_int_equal(flags[3], c.f_u64);
  }
}

void MinimumAndMaximum(void**) {
  uint32_t flags = 0;
  assert_int_equal(fp::Min(0x00000000, 0x80000000, &flags), 0x80000000);
  assert_int_equal(fp::Max(0x80000000, 0x00000000, &flags), 0x00000000);
  assert_int_equal(fp::Min(0x7fc00000, 0x3f800000, &flags), 0x3f800000);
  assert_int_equal(fp::Max(0xbf800000, 0xffc00001, &flags), 0xbf800000);
  assert_int_equal(fp::Max(0xffc00001, 0x7fc00002, &flags), fp::kCanonicalNan);
  assert_int_equal(flags, 0);
  assert_int_equal(fp::Min(0x7f800001, 0x3f800000, &flags), 0x3f800000);
  assert_int_equal(flags, fp::kInvalid);
  flags = 0;
  assert_int_equal(fp::Min(0xbf800000, 0xc0000000, &flags), 0xc0000000);
  assert_int_equal(fp::Max(0xff800000, 0xff7fffff, &flags), 0xff7fffff);
}

void Classes(void**) {
  const uint32_t values[] = {0xff800000, 0xbf800000, 0x80000001, 0x80000000, 0x00000000,
                             0x007fffff, 0x00800000, 0x7f800000, 0x7f800001, 0x7fc00000};
  for (unsigned i = 0; i < std::size(values); ++i) assert_int_equal(fp::Classify(values[i]), 1u << i);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(EverySpecialTriple),
      cmocka_unit_test(RandomOperands),
      cmocka_unit_test(Tininess),
      cmocka_unit_test(TiesToMaxMagnitude),
      cmocka_unit_test(InfinityTimesZeroPlusNan),
      cmocka_unit_test(ConversionsSaturate),
      cmocka_unit_test(MinimumAndMaximum),
      cmocka_unit_test(Classes),
  };
  return cmocka_run_group_tests_name("hart.float", tests, nullptr, nullptr);
}
