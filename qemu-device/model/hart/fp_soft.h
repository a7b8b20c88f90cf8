// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// Single-precision arithmetic in integers, to the bit of the RISC-V F extension: all five rounding modes, exact flags,
// tininess after rounding, canonical NaN.  The interpreter uses it where the host's unit cannot help (round to nearest,
// ties to max magnitude; static rounding modes; fused multiply-add on hosts without one), and the tests as an oracle.
#ifndef NPU_MODEL_HART_FP_SOFT_H_
#define NPU_MODEL_HART_FP_SOFT_H_

#include <cstdint>

namespace npu::model::fp {

enum Rounding : uint32_t { kRne = 0, kRtz = 1, kRdn = 2, kRup = 3, kRmm = 4 };
enum Flag : uint32_t { kInexact = 1, kUnderflow = 2, kOverflow = 4, kDivByZero = 8, kInvalid = 16 };

inline constexpr uint32_t kCanonicalNan = 0x7fc00000u;
inline constexpr uint32_t kSignBit = 0x80000000u;
inline constexpr uint32_t kInfinity = 0x7f800000u;

constexpr bool IsNan(uint32_t a) {
  return (a & 0x7fffffffu) > kInfinity;
}
constexpr bool IsSignalingNan(uint32_t a) {
  return IsNan(a) && (a & 0x00400000u) == 0;
}

// Every function ORs the flags that it raises into *flags.  rm is one of Rounding.
namespace soft {
uint32_t Add(uint32_t a, uint32_t b, uint32_t rm, uint32_t* flags);
uint32_t Mul(uint32_t a, uint32_t b, uint32_t rm, uint32_t* flags);
uint32_t Div(uint32_t a, uint32_t b, uint32_t rm, uint32_t* flags);
uint32_t Sqrt(uint32_t a, uint32_t rm, uint32_t* flags);
// a * b + c, rounded once.
uint32_t Fma(uint32_t a, uint32_t b, uint32_t c, uint32_t rm, uint32_t* flags);

// To integer, saturating: NaN and too large give the type's maximum, too small its minimum, with kInvalid alone.
// 32-bit results are sign-extended, those of ToU32 too.
uint64_t ToI32(uint32_t a, uint32_t rm, uint32_t* flags);
uint64_t ToU32(uint32_t a, uint32_t rm, uint32_t* flags);
uint64_t ToI64(uint32_t a, uint32_t rm, uint32_t* flags);
uint64_t ToU64(uint32_t a, uint32_t rm, uint32_t* flags);

uint32_t FromI64(int64_t v, uint32_t rm, uint32_t* flags);
uint32_t FromU64(uint64_t v, uint32_t rm, uint32_t* flags);
}  // namespace soft

// minimumNumber and maximumNumber: a quiet NaN loses against a number, -0 is below +0.
uint32_t Min(uint32_t a, uint32_t b, uint32_t* flags);
uint32_t Max(uint32_t a, uint32_t b, uint32_t* flags);
uint32_t Classify(uint32_t a);  // fclass.s: one bit of ten

}  // namespace npu::model::fp

#endif  // NPU_MODEL_HART_FP_SOFT_H_
