// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// Single-precision arithmetic on the host's SSE unit, under the guest's rounding mode and with its sticky flags.
//
// SSE and the F extension agree on values, on the five flags and on tininess after rounding.  They differ in NaN
// results (canonical here) and in inf * 0 + quiet NaN (invalid here), which are set right after the fact.  Everything
// that depends on MXCSR is volatile assembly, so that the compiler cannot move it across a change of mode.
#ifndef NPU_MODEL_HART_FP_HOST_H_
#define NPU_MODEL_HART_FP_HOST_H_

#if !defined(__x86_64__)
#error \
    "the hart's floating point needs an x86-64 host: give fp_host.h a version for this one (fp_soft.h has every operation)"
#endif

#include <xmmintrin.h>

#include <cstdint>
#include <cstring>

#include "hart/fp_soft.h"

namespace npu::model::fp {

// Which of the host's rounding modes stands for frm; those that it lacks never reach the host's unit.
inline uint32_t MxcsrOf(uint32_t frm) {
  static constexpr uint32_t kMode[8] = {0, 3, 1, 2, 0, 0, 0, 0};
  constexpr uint32_t kAllMasked = 0x1f80;
  return kAllMasked | kMode[frm & 7] << 13;
}

inline uint32_t FlagsOf(uint32_t mxcsr) {
  return ((mxcsr >> 5) & 1) * kInexact | ((mxcsr >> 4) & 1) * kUnderflow | ((mxcsr >> 3) & 1) * kOverflow |
         ((mxcsr >> 2) & 1) * kDivByZero | (mxcsr & 1) * kInvalid;
}

inline void SetMxcsr(uint32_t v) {
  asm volatile("ldmxcsr %0" : : "m"(v) : "memory");
}
inline uint32_t GetMxcsr() {
  uint32_t v;
  asm volatile("stmxcsr %0" : "=m"(v) : : "memory");
  return v;
}

inline float ToFloat(uint32_t a) {
  float v;
  std::memcpy(&v, &a, sizeof v);
  return v;
}
inline uint32_t ToBits(float v) {
  uint32_t a;
  std::memcpy(&a, &v, sizeof a);
  return a;
}
inline uint32_t Canonical(float v) {
  return __builtin_expect(v != v, 0) ? kCanonicalNan : ToBits(v);
}

namespace host {

#define NPU_FP_BINARY(Name, insn)                             \
  inline uint32_t Name(uint32_t a, uint32_t b) {              \
    float v = ToFloat(a);                                     \
    asm volatile(insn " %1, %0" : "+x"(v) : "x"(ToFloat(b))); \
    return Canonical(v);                                      \
  }
NPU_FP_BINARY(Add, "addss")
NPU_FP_BINARY(Sub, "subss")
NPU_FP_BINARY(Mul, "mulss")
NPU_FP_BINARY(Div, "divss")
#undef NPU_FP_BINARY

inline uint32_t Sqrt(uint32_t a) {
  float v;
  asm volatile("sqrtss %1, %0" : "=x"(v) : "x"(ToFloat(a)));
  return Canonical(v);
}

inline bool HasFma() {
  static const bool has = __builtin_cpu_supports("fma") != 0;
  return has;
}

// a * b + c.  Only where HasFma().
inline uint32_t Fma(uint32_t a, uint32_t b, uint32_t c, uint32_t* flags) {
  float v = ToFloat(c);
  asm volatile("vfmadd231ss %2, %1, %0" : "+x"(v) : "x"(ToFloat(a)), "x"(ToFloat(b)));
  if (__builtin_expect(v == v, 1)) return ToBits(v);
  const uint32_t x = a & 0x7fffffffu, y = b & 0x7fffffffu;
  if ((x == kInfinity && y == 0) || (x == 0 && y == kInfinity)) *flags |= kInvalid;
  return kCanonicalNan;
}

// Quiet comparison for equality, signaling ones for order: raise invalid as feq, flt and fle do.
inline uint64_t Equal(uint32_t a, uint32_t b) {
  bool ordered, equal;
  asm volatile("ucomiss %3, %2" : "=@ccnp"(ordered), "=@cce"(equal) : "x"(ToFloat(a)), "x"(ToFloat(b)) :);
  return ordered && equal;
}
inline uint64_t Less(uint32_t a, uint32_t b) {  // b above a: false when unordered
  bool above;
  asm volatile("comiss %2, %1" : "=@cca"(above) : "x"(ToFloat(b)), "x"(ToFloat(a)) :);
  return above;
}
inline uint64_t LessEqual(uint32_t a, uint32_t b) {
  bool above_or_equal;
  asm volatile("comiss %2, %1" : "=@ccae"(above_or_equal) : "x"(ToFloat(b)), "x"(ToFloat(a)) :);
  return above_or_equal;
}

// Magnitude below 2^31 or 2^63: the conversion cannot overflow in any rounding mode, as such floats are far apart.
inline bool FitsI32(uint32_t a) {
  return (a & 0x7fffffffu) < 0x4f000000u;
}
inline bool FitsI64(uint32_t a) {
  return (a & 0x7fffffffu) < 0x5f000000u;
}

inline int64_t ToI64(uint32_t a) {
  int64_t r;
  asm volatile("cvtss2siq %1, %0" : "=r"(r) : "x"(ToFloat(a)));
  return r;
}
inline int64_t ToI64Truncated(uint32_t a) {
  int64_t r;
  asm volatile("cvttss2siq %1, %0" : "=r"(r) : "x"(ToFloat(a)));
  return r;
}
inline uint32_t FromI64(int64_t v) {
  float r = 0;
  asm volatile("cvtsi2ssq %1, %0" : "+x"(r) : "r"(v));
  return ToBits(r);
}

}  // namespace host
}  // namespace npu::model::fp

#endif  // NPU_MODEL_HART_FP_HOST_H_
