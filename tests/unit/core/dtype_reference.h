// SPDX-License-Identifier: Apache-2.0
//
// What the bits of an element mean, and rounding by its definition: the two neighbours of a number in a type, and a
// choice between them.  Slow, in double precision, which holds all numbers of all types.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "npu_isa.h"

namespace npu::test {

struct TypeFacts {
  const char* name;
  int bits;
  int exponent_bits, mantissa_bits;  // floating-point types; 0: an integer
  bool is_signed;
};

inline const TypeFacts& FactsOf(uint8_t type) {
  static const TypeFacts kFacts[NPU_DTYPES] = {
      {"f32", 32, 8, 23, true}, {"f16", 16, 5, 10, true}, {"bf16", 16, 8, 7, true}, {"tf32", 32, 8, 10, true},
      {"e4m3", 8, 4, 3, true},  {"e5m2", 8, 5, 2, true},  {"i8", 8, 0, 0, true},    {"u8", 8, 0, 0, false},
      {"i32", 32, 0, 0, true},  {"i16", 16, 0, 0, true},  {"i4", 4, 0, 0, true},    {"u32", 32, 0, 0, false},
  };
  return kFacts[type];
}
inline bool IsFloatType(uint8_t type) {
  return FactsOf(type).exponent_bits;
}

inline double Meaning(uint8_t type, uint32_t bits) {
  const TypeFacts& f = FactsOf(type);
  if (!f.exponent_bits) {
    const double span = std::ldexp(1.0, f.bits);
    const double v = bits;
    return f.is_signed && v >= span / 2 ? v - span : v;
  }
  if (type == NPU_TF32) bits >>= 13;
  const uint32_t sign = bits >> (f.exponent_bits + f.mantissa_bits) & 1;
  const uint32_t e = bits >> f.mantissa_bits & ((1u << f.exponent_bits) - 1), m = bits & ((1u << f.mantissa_bits) - 1);
  const int bias = (1 << (f.exponent_bits - 1)) - 1;
  const bool top = e == (1u << f.exponent_bits) - 1;
  double v;
  if (type == NPU_F8E4M3 && top && m == 7)
    v = NAN;
  else if (type != NPU_F8E4M3 && top)
    v = m ? NAN : INFINITY;
  else
    v = e ? std::ldexp(1.0 + std::ldexp(m, -f.mantissa_bits), static_cast<int>(e) - bias)
          : std::ldexp(m, 1 - bias - f.mantissa_bits);
  return sign ? -v : v;
}

// Magnitude bits (without a sign) of the largest finite number.
inline uint32_t LargestBits(uint8_t type) {
  const TypeFacts& f = FactsOf(type);
  const uint32_t all = (1u << (f.exponent_bits + f.mantissa_bits)) - 1;
  return type == NPU_F8E4M3 ? all - 1 : all - (1u << f.mantissa_bits);
}
inline uint32_t CanonicalNan(uint8_t type) {
  const TypeFacts& f = FactsOf(type);
  const uint32_t bits = LargestBits(type) + 1;  // infinity, or e4m3's NaN
  const uint32_t nan = type == NPU_F8E4M3 ? bits : bits | 1u << (f.mantissa_bits - 1);
  return type == NPU_TF32 ? nan << 13 : nan;
}

struct RoundingRule {
  uint8_t mode;
  bool saturate;
  uint32_t seed;
};

// As the manual has it.
inline uint32_t ManualRandom(uint32_t seed, uint32_t number) {
  const auto mix = [](uint32_t x) {
    x ^= x >> 16;
    x *= 0x85ebca6b;
    x ^= x >> 13;
    x *= 0xc2b2ae35;
    return x ^ (x >> 16);
  };
  return mix(mix(number + 0x9e3779b9) ^ seed);
}

// Whether the larger of the two magnitudes around |x| is taken; part: of the way from the smaller to the larger.
inline bool TakesLarger(double part, bool smaller_even, bool negative, const RoundingRule& rule, uint32_t number) {
  if (part == 0) return false;
  switch (rule.mode) {
    case NPU_ROUND_NEAREST:
      return part > 0.5 || (part == 0.5 && !smaller_even);
    case NPU_ROUND_AWAY:
      return part >= 0.5;
    case NPU_ROUND_DOWN:
      return negative;
    case NPU_ROUND_UP:
      return !negative;
    case NPU_ROUND_STOCHASTIC:
      return ManualRandom(rule.seed, number) < std::floor(part * 0x1p32);
    default:
      return false;
  }
}

inline uint32_t RoundToFloat(uint8_t type, double x, const RoundingRule& rule, uint32_t number) {
  const TypeFacts& f = FactsOf(type);
  const int shift = type == NPU_TF32 ? 13 : 0;
  if (std::isnan(x)) return CanonicalNan(type);
  const bool negative = std::signbit(x);
  const double a = std::fabs(x);
  const uint32_t largest = LargestBits(type), sign_bit = negative ? 1u << (f.exponent_bits + f.mantissa_bits) : 0;
  uint32_t bits = largest + 1;
  if (!std::isinf(x)) {
    const int bias = (1 << (f.exponent_bits - 1)) - 1;
    int e = a == 0 ? -bias : std::ilogb(a);
    e = std::max(e, 1 - bias);
    const double ulp = std::ldexp(1.0, e - f.mantissa_bits);
    const double smaller = std::floor(a / ulp);
    const double rounded = smaller + TakesLarger(a / ulp - smaller, std::fmod(smaller, 2) == 0, negative, rule, number);
    const double result = rounded * ulp, limit = Meaning(type, largest << shift);
    if (result > limit) {
      const bool infinite = rule.mode == NPU_ROUND_NEAREST || rule.mode == NPU_ROUND_AWAY ||
                            rule.mode == NPU_ROUND_STOCHASTIC || (rule.mode == NPU_ROUND_DOWN && negative) ||
                            (rule.mode == NPU_ROUND_UP && !negative);
      bits = infinite ? largest + 1 : largest;
    } else {
      // The bits of a positive number ascend with it.
      uint32_t low = 0, high = largest;
      while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (Meaning(type, middle << shift) < result)
          low = middle + 1;
        else
          high = middle;
      }
      bits = low;
    }
  }
  if (bits > largest && rule.saturate) bits = largest;
  if (bits > largest && type == NPU_F8E4M3) return CanonicalNan(type);
  return (bits | sign_bit) << shift;
}

inline uint32_t RoundToInteger(uint8_t type, double x, const RoundingRule& rule, uint32_t number) {
  const TypeFacts& f = FactsOf(type);
  if (std::isnan(x)) return 0;
  const double low = f.is_signed ? -std::ldexp(1.0, f.bits - 1) : 0;
  const double high = std::ldexp(1.0, f.is_signed ? f.bits - 1 : f.bits) - 1;
  double v = x;
  if (!std::isinf(x)) {
    const double a = std::fabs(x), smaller = std::floor(a);
    const double rounded =
        smaller + TakesLarger(a - smaller, std::fmod(smaller, 2) == 0, std::signbit(x), rule, number);
    v = std::signbit(x) ? -rounded : rounded;
  }
  v = std::min(std::max(v, low), high);
  const auto bits = static_cast<uint32_t>(static_cast<int64_t>(v));
  return f.bits == 32 ? bits : bits & ((1u << f.bits) - 1);
}

inline uint32_t ConvertBits(uint8_t dst_type, uint8_t src_type, uint32_t bits, const RoundingRule& rule,
                            uint32_t number) {
  if (dst_type == src_type) return bits;
  const double x = Meaning(src_type, bits);
  return IsFloatType(dst_type) ? RoundToFloat(dst_type, x, rule, number) : RoundToInteger(dst_type, x, rule, number);
}

// Element i of an array in memory.
inline uint32_t ElementAt(const uint8_t* base, uint8_t type, size_t i) {
  uint32_t v = 0;
  const int bits = FactsOf(type).bits;
  if (bits == 4) return base[i / 2] >> (i % 2 * 4) & 15;
  std::memcpy(&v, base + i * static_cast<size_t>(bits / 8), static_cast<size_t>(bits / 8));
  return v;
}
inline void PutElement(uint8_t* base, uint8_t type, size_t i, uint32_t v) {
  const int bits = FactsOf(type).bits;
  if (bits == 4)
    base[i / 2] = static_cast<uint8_t>(i % 2 ? (base[i / 2] & 15) | v << 4 : (base[i / 2] & 0xf0) | (v & 15));
  else
    std::memcpy(base + i * static_cast<size_t>(bits / 8), &v, static_cast<size_t>(bits / 8));
}

}  // namespace npu::test
