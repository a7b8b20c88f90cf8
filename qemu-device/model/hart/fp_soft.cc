// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "hart/fp_soft.h"

#include <bit>

namespace npu::model::fp {
namespace {

using u128 = unsigned __int128;

constexpr int kTop = 62;  // bit of the leading one in a normalised 64-bit significand

// A finite number: sig * 2^(exp - kTop), with the leading one of sig at bit kTop; zero has sig 0.
struct Parts {
  bool sign;
  int exp;
  uint64_t sig;
};

bool IsInf(uint32_t a) {
  return (a & 0x7fffffffu) == kInfinity;
}
bool IsZero(uint32_t a) {
  return (a & 0x7fffffffu) == 0;
}
uint32_t SignOf(uint32_t a) {
  return a & kSignBit;
}

Parts Unpack(uint32_t a) {
  Parts p{(a & kSignBit) != 0, static_cast<int>((a >> 23) & 0xff) - 127, a & 0x7fffffu};
  if (p.exp == -127) {
    if (p.sig == 0) return p;
    const int shift = std::countl_zero(p.sig) - 1;
    p.sig <<= shift;
    p.exp = -126 + (kTop - 23) - shift;
    return p;
  }
  p.sig = (p.sig | 0x800000u) << (kTop - 23);
  return p;
}

// Shifts right; a bit that falls out stays visible in bit 0, so that rounding still knows of it.
template <class T>
T ShiftJam(T v, int by) {
  constexpr int kBits = sizeof(T) * 8;
  if (by <= 0) return v;
  if (by >= kBits) return v != 0;
  return (v >> by) | ((v & ((T{1} << by) - 1)) != 0);
}

// Does the magnitude `kept` with the rest `rest` of `half * 2` go up?
bool RoundsUp(bool sign, bool odd, uint64_t rest, uint64_t half, uint32_t rm) {
  switch (rm) {
    case kRne:
      return rest > half || (rest == half && odd);
    case kRdn:
      return sign && rest != 0;
    case kRup:
      return !sign && rest != 0;
    case kRmm:
      return rest >= half;
    default:
      return false;
  }
}

uint32_t Overflow(bool sign, uint32_t rm, uint32_t* flags) {
  *flags |= kOverflow | kInexact;
  const bool to_max = rm == kRtz || (rm == kRdn && !sign) || (rm == kRup && sign);
  return (sign ? kSignBit : 0) | (to_max ? 0x7f7fffffu : kInfinity);
}

// Rounds sig (24 bits are kept) at its present place; true when that carries into the next power of two.
bool CarriesAt24(bool sign, uint64_t sig, uint32_t rm) {
  constexpr int kDrop = kTop - 23;
  constexpr uint64_t kMask = (uint64_t{1} << kDrop) - 1;
  const uint64_t kept = sig >> kDrop;
  return kept == 0xffffff && RoundsUp(sign, true, sig & kMask, uint64_t{1} << (kDrop - 1), rm);
}

// The one place where results are rounded.  sig is normalised (leading one at kTop, sticky in bit 0) or 0.
uint32_t RoundPack(bool sign, int exp, uint64_t sig, uint32_t rm, uint32_t* flags) {
  constexpr int kDrop = kTop - 23;
  constexpr uint64_t kMask = (uint64_t{1} << kDrop) - 1;
  const uint32_t sign_bit = sign ? kSignBit : 0;
  if (sig == 0) return sign_bit;
  if (exp > 127) return Overflow(sign, rm, flags);
  bool tiny = false;
  if (exp < -126) {
    tiny = exp < -127 || !CarriesAt24(sign, sig, rm);
    sig = ShiftJam(sig, -126 - exp);
    exp = -127;  // biased 0; the fraction's carry makes it 1
  }
  const uint64_t rest = sig & kMask;
  uint64_t kept = sig >> kDrop;
  if (RoundsUp(sign, (kept & 1) != 0, rest, uint64_t{1} << (kDrop - 1), rm)) ++kept;
  if (rest != 0) *flags |= kInexact | (tiny ? uint32_t{kUnderflow} : 0);
  // A normal number's hidden bit adds one to the exponent field, hence exp + 126; so does the carry of rounding up.
  const uint64_t bits = exp == -127 ? kept : (static_cast<uint64_t>(exp + 126) << 23) + kept;
  if (bits >= kInfinity) return Overflow(sign, rm, flags);
  return sign_bit | static_cast<uint32_t>(bits);
}

uint32_t Invalid(uint32_t* flags) {
  *flags |= kInvalid;
  return kCanonicalNan;
}

// At least one operand is a NaN.
uint32_t NanResult(uint32_t a, uint32_t b, uint32_t c, uint32_t* flags) {
  if (IsSignalingNan(a) || IsSignalingNan(b) || IsSignalingNan(c)) *flags |= kInvalid;
  return kCanonicalNan;
}

// The sum of two numbers of opposite sign that cancel exactly.
uint32_t ExactZero(bool a_sign, bool b_sign, uint32_t rm) {
  if (a_sign == b_sign) return a_sign ? kSignBit : 0;
  return rm == kRdn ? kSignBit : 0;
}

// Normalised 128-bit significands with the leading one at bit 124.
struct Wide {
  bool sign;
  int exp;
  u128 sig;
};
constexpr int kWideTop = 124;

int LeadingZeros(u128 v) {
  const auto high = static_cast<uint64_t>(v >> 64);
  return high != 0 ? std::countl_zero(high) : 64 + std::countl_zero(static_cast<uint64_t>(v));
}

// Both non-zero.  Bits lost by alignment are kept as sticky: cancellation of more than one bit happens only when the
// exponents are at most one apart, and then nothing is lost.
uint32_t AddWide(Wide a, Wide b, uint32_t rm, uint32_t* flags) {
  if (a.exp < b.exp || (a.exp == b.exp && a.sig < b.sig)) {
    const Wide t = a;
    a = b;
    b = t;
  }
  b.sig = ShiftJam(b.sig, a.exp - b.exp);
  const u128 sum = a.sign == b.sign ? a.sig + b.sig : a.sig - b.sig;
  if (sum == 0) return ExactZero(a.sign, b.sign, rm);
  const int lead = 127 - LeadingZeros(sum);
  const int exp = a.exp + lead - kWideTop;
  const u128 sig = lead >= kTop ? ShiftJam(sum, lead - kTop) : sum << (kTop - lead);
  return RoundPack(a.sign, exp, static_cast<uint64_t>(sig), rm, flags);
}

Wide Widen(const Parts& p) {
  return {p.sign, p.exp, static_cast<u128>(p.sig) << (kWideTop - kTop)};
}

}  // namespace

namespace soft {

uint32_t Add(uint32_t a, uint32_t b, uint32_t rm, uint32_t* flags) {
  if (IsNan(a) || IsNan(b)) return NanResult(a, b, 0, flags);
  if (IsInf(a)) return IsInf(b) && SignOf(a) != SignOf(b) ? Invalid(flags) : a;
  if (IsInf(b)) return b;
  const Parts pa = Unpack(a), pb = Unpack(b);
  if (pa.sig == 0 && pb.sig == 0) return ExactZero(pa.sign, pb.sign, rm);
  if (pa.sig == 0) return b;
  if (pb.sig == 0) return a;
  return AddWide(Widen(pa), Widen(pb), rm, flags);
}

uint32_t Mul(uint32_t a, uint32_t b, uint32_t rm, uint32_t* flags) {
  if (IsNan(a) || IsNan(b)) return NanResult(a, b, 0, flags);
  const uint32_t sign = SignOf(a ^ b);
  if (IsInf(a) || IsInf(b)) return IsZero(a) || IsZero(b) ? Invalid(flags) : sign | kInfinity;
  const Parts pa = Unpack(a), pb = Unpack(b);
  if (pa.sig == 0 || pb.sig == 0) return sign;
  const u128 product = static_cast<u128>(pa.sig) * pb.sig;  // leading one at bit 124 or 125
  const int lead = 127 - LeadingZeros(product);
  const uint64_t sig = static_cast<uint64_t>(ShiftJam(product, lead - kTop));
  return RoundPack(sign != 0, pa.exp + pb.exp + (lead - 2 * kTop), sig, rm, flags);
}

uint32_t Div(uint32_t a, uint32_t b, uint32_t rm, uint32_t* flags) {
  if (IsNan(a) || IsNan(b)) return NanResult(a, b, 0, flags);
  const uint32_t sign = SignOf(a ^ b);
  if (IsInf(a)) return IsInf(b) ? Invalid(flags) : sign | kInfinity;
  if (IsInf(b)) return sign;
  if (IsZero(b)) {
    if (IsZero(a)) return Invalid(flags);
    *flags |= kDivByZero;
    return sign | kInfinity;
  }
  const Parts pa = Unpack(a), pb = Unpack(b);
  if (pa.sig == 0) return sign;
  const u128 dividend = static_cast<u128>(pa.sig) << 63;
  u128 quotient = dividend / pb.sig;  // leading one at bit 63 or 62
  if (dividend % pb.sig != 0) quotient |= 1;
  const int lead = 127 - LeadingZeros(quotient);
  const uint64_t sig = static_cast<uint64_t>(ShiftJam(quotient, lead - kTop));
  return RoundPack(sign != 0, pa.exp - pb.exp + (lead - 63), sig, rm, flags);
}

uint32_t Sqrt(uint32_t a, uint32_t rm, uint32_t* flags) {
  if (IsNan(a)) return NanResult(a, 0, 0, flags);
  if (IsZero(a)) return a;
  if (SignOf(a)) return Invalid(flags);
  if (IsInf(a)) return a;
  Parts p = Unpack(a);
  // sig * 2^(exp - 62): make the exponent even, then take the root of a 124- or 125-bit number: its root has 63 bits.
  u128 radicand = static_cast<u128>(p.sig) << kTop;
  if (p.exp & 1) {
    radicand <<= 1;
    --p.exp;
  }
  u128 root = 0;
  for (int bit = kTop; bit >= 0; --bit) {
    const u128 trial = root | (u128{1} << bit);
    if (trial * trial <= radicand) root = trial;
  }
  uint64_t sig = static_cast<uint64_t>(root);
  if (root * root != radicand) sig |= 1;
  return RoundPack(false, p.exp / 2, sig, rm, flags);
}

uint32_t Fma(uint32_t a, uint32_t b, uint32_t c, uint32_t rm, uint32_t* flags) {
  const bool invalid_product = (IsInf(a) && IsZero(b)) || (IsZero(a) && IsInf(b));
  if (invalid_product) *flags |= kInvalid;  // even when c is a quiet NaN
  if (IsNan(a) || IsNan(b) || IsNan(c)) return NanResult(a, b, c, flags);
  if (invalid_product) return kCanonicalNan;
  const uint32_t sign = SignOf(a ^ b);
  if (IsInf(a) || IsInf(b)) return IsInf(c) && SignOf(c) != sign ? Invalid(flags) : sign | kInfinity;
  if (IsInf(c)) return c;
  const Parts pa = Unpack(a), pb = Unpack(b), pc = Unpack(c);
  if (pa.sig == 0 || pb.sig == 0) return pc.sig == 0 ? ExactZero(sign != 0, pc.sign, rm) : c;
  Wide product{sign != 0, pa.exp + pb.exp, static_cast<u128>(pa.sig) * pb.sig};
  if (LeadingZeros(product.sig) == 127 - (kWideTop + 1)) {  // the product of 24-bit numbers has zeros below
    product.sig >>= 1;
    ++product.exp;
  }
  if (pc.sig == 0) return RoundPack(product.sign, product.exp, static_cast<uint64_t>(product.sig >> kTop), rm, flags);
  return AddWide(product, Widen(pc), rm, flags);
}

namespace {

struct IntegerValue {
  bool sign;
  bool too_large;  // magnitude of 2^64 or more
  uint64_t magnitude;
  bool inexact;
};

// a is no NaN.
IntegerValue RoundToInteger(uint32_t a, uint32_t rm) {
  if (IsInf(a)) return {SignOf(a) != 0, true, 0, false};
  const Parts p = Unpack(a);
  if (p.sig == 0) return {p.sign, false, 0, false};
  if (p.exp > 63) return {p.sign, true, 0, false};
  if (p.exp >= kTop) return {p.sign, false, p.sig << (p.exp - kTop), false};
  // Fixed point with 64 fraction bits: at most 62 integer bits remain.
  const u128 fixed = ShiftJam(static_cast<u128>(p.sig) << 64, kTop - p.exp);
  const auto rest = static_cast<uint64_t>(fixed);
  auto kept = static_cast<uint64_t>(fixed >> 64);
  if (RoundsUp(p.sign, (kept & 1) != 0, rest, uint64_t{1} << 63, rm)) ++kept;
  return {p.sign, false, kept, rest != 0};
}

uint64_t ToInteger(uint32_t a, uint32_t rm, uint64_t min_magnitude, uint64_t max, uint32_t* flags) {
  if (IsNan(a)) {
    *flags |= kInvalid;
    return max;
  }
  const IntegerValue v = RoundToInteger(a, rm);
  if (v.too_large || v.magnitude > (v.sign ? min_magnitude : max)) {
    *flags |= kInvalid;
    return v.sign ? 0 - min_magnitude : max;
  }
  if (v.inexact) *flags |= kInexact;
  return v.sign ? 0 - v.magnitude : v.magnitude;
}

uint64_t SignExtend32(uint64_t v) {
  return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(v)));
}

}  // namespace

uint64_t ToI32(uint32_t a, uint32_t rm, uint32_t* flags) {
  return SignExtend32(ToInteger(a, rm, uint64_t{1} << 31, 0x7fffffffu, flags));
}
uint64_t ToU32(uint32_t a, uint32_t rm, uint32_t* flags) {
  return SignExtend32(ToInteger(a, rm, 0, 0xffffffffu, flags));
}
uint64_t ToI64(uint32_t a, uint32_t rm, uint32_t* flags) {
  return ToInteger(a, rm, uint64_t{1} << 63, ~uint64_t{0} >> 1, flags);
}
uint64_t ToU64(uint32_t a, uint32_t rm, uint32_t* flags) {
  return ToInteger(a, rm, 0, ~uint64_t{0}, flags);
}

uint32_t FromU64(uint64_t v, uint32_t rm, uint32_t* flags) {
  if (v == 0) return 0;
  const int lead = 63 - std::countl_zero(v);
  const uint64_t sig = lead == 63 ? ShiftJam(v, 1) : v << (kTop - lead);
  return RoundPack(false, lead, sig, rm, flags);
}

uint32_t FromI64(int64_t v, uint32_t rm, uint32_t* flags) {
  if (v >= 0) return FromU64(static_cast<uint64_t>(v), rm, flags);
  const uint64_t magnitude = 0 - static_cast<uint64_t>(v);
  const int lead = 63 - std::countl_zero(magnitude);
  const uint64_t sig = lead == 63 ? ShiftJam(magnitude, 1) : magnitude << (kTop - lead);
  return RoundPack(true, lead, sig, rm, flags);
}

}  // namespace soft

namespace {
// Orders bit patterns as the numbers they stand for, -0 below +0.
int32_t OrderKey(uint32_t a) {
  return static_cast<int32_t>(a) < 0 ? static_cast<int32_t>(a ^ 0x7fffffffu) : static_cast<int32_t>(a);
}

bool PickByNan(uint32_t a, uint32_t b, uint32_t* flags, uint32_t* out) {
  if (!IsNan(a) && !IsNan(b)) return false;
  if (IsSignalingNan(a) || IsSignalingNan(b)) *flags |= kInvalid;
  *out = IsNan(a) ? (IsNan(b) ? kCanonicalNan : b) : a;
  return true;
}
}  // namespace

uint32_t Min(uint32_t a, uint32_t b, uint32_t* flags) {
  uint32_t out;
  if (PickByNan(a, b, flags, &out)) return out;
  return OrderKey(a) < OrderKey(b) ? a : b;
}

uint32_t Max(uint32_t a, uint32_t b, uint32_t* flags) {
  uint32_t out;
  if (PickByNan(a, b, flags, &out)) return out;
  return OrderKey(a) > OrderKey(b) ? a : b;
}

uint32_t Classify(uint32_t a) {
  const bool sign = SignOf(a) != 0;
  const uint32_t exponent = (a >> 23) & 0xff;
  if (IsNan(a)) return IsSignalingNan(a) ? 1u << 8 : 1u << 9;
  if (IsInf(a)) return sign ? 1u << 0 : 1u << 7;
  if (IsZero(a)) return sign ? 1u << 3 : 1u << 4;
  if (exponent == 0) return sign ? 1u << 2 : 1u << 5;
  return sign ? 1u << 1 : 1u << 6;
}

}  // namespace npu::model::fp
