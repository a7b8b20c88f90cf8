// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Integer matrix multiplication with AVX-512 VNNI: a cell holds four numbers of 8 bits, A's without sign, B's with
// sign. An A with sign is moved up by 128, and 128 times the sum of B's column is taken off again; all of it modulo
// 2^32, so the results are those of the other levels.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "core/kernels.h"
#include "npu_isa.h"

namespace npu::model {
namespace {

#include "core/kernels_gemm.inc"

struct VnniMath {
  typedef uint8_t Raw;
  typedef __m512i Vec;
  enum { kStep = 4, kLanes = 16, kMaxRows = 14 };

  static inline Vec Load(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static inline void Store(uint32_t* p, const Vec& v) { _mm512_storeu_si512(p, v); }
  static inline Vec Splat(uint32_t x) { return _mm512_set1_epi32((int32_t)x); }
  // Not by the intrinsic: GCC 12 keeps a second copy of every accumulator in memory when its type changes on the way.
  static inline Vec Mac(Vec acc, const Vec& a, const Vec& b) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
  }
  static inline Vec Start(const uint32_t* from, const uint32_t* correction) {
    return _mm512_sub_epi32(Load(from), Load(correction));
  }
  static inline Vec End(const Vec& v, Finish finish) {
    return finish == kFinishRelu ? _mm512_max_epi32(v, _mm512_setzero_si512()) : v;
  }

  static bool IsCell(uint8_t) { return false; }
  static bool IsRaw(uint8_t type, bool left) { return type == NPU_U8 || (type == NPU_I8 && !left); }
  static bool IsNarrow(uint8_t) { return false; }
  static void Expand(uint8_t type, bool left, const uint8_t* row, uint32_t first, uint32_t n, Raw* __restrict out) {
    const uint8_t flip = left && type != NPU_U8 ? 0x80 : 0;
    if (type == NPU_I4) {
      const uint8_t* p = row + first / 2;
      for (uint32_t i = 0; i < n / 2; ++i) {
        out[2 * i] = (uint8_t)((int8_t)(p[i] << 4) >> 4) ^ flip;
        out[2 * i + 1] = (uint8_t)((int8_t)p[i] >> 4) ^ flip;
      }
      if (n & 1) out[n - 1] = (uint8_t)((int8_t)(p[n / 2] << 4) >> 4) ^ flip;
      return;
    }
    const uint8_t* p = row + first;
    for (uint32_t i = 0; i < n; ++i) out[i] = p[i] ^ flip;
  }
  // Works on 32 columns at a time: what is behind the last one is garbage that nobody stores.
  static void Interleave(const Raw* rows, size_t pitch, uint32_t n, uint32_t* out) {
    for (uint32_t j = 0; j < n; j += 32, rows += 32, out += 32) {
      const __m256i r0 = _mm256_loadu_si256((const __m256i*)rows);
      const __m256i r1 = _mm256_loadu_si256((const __m256i*)(rows + pitch));
      const __m256i r2 = _mm256_loadu_si256((const __m256i*)(rows + 2 * pitch));
      const __m256i r3 = _mm256_loadu_si256((const __m256i*)(rows + 3 * pitch));
      const __m256i a = _mm256_unpacklo_epi8(r0, r1), b = _mm256_unpackhi_epi8(r0, r1);
      const __m256i c = _mm256_unpacklo_epi8(r2, r3), d = _mm256_unpackhi_epi8(r2, r3);
      // Each holds four columns of the first 16 and four of the second.
      const __m256i q0 = _mm256_unpacklo_epi16(a, c), q1 = _mm256_unpackhi_epi16(a, c);
      const __m256i q2 = _mm256_unpacklo_epi16(b, d), q3 = _mm256_unpackhi_epi16(b, d);
      __m256i* to = (__m256i*)out;
      _mm256_storeu_si256(to, _mm256_permute2x128_si256(q0, q1, 0x20));
      _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(q2, q3, 0x20));
      _mm256_storeu_si256(to + 2, _mm256_permute2x128_si256(q0, q1, 0x31));
      _mm256_storeu_si256(to + 3, _mm256_permute2x128_si256(q2, q3, 0x31));
    }
  }
  static void Correct(uint8_t a_type, const uint32_t* panel, uint32_t steps, uint32_t* correction) {
    // Two chains for each half: one would be waited for.
    Vec low[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()}, high[2] = {low[0], low[0]};
    const Vec offset = _mm512_set1_epi8((char)0x80);
    if (a_type == NPU_U8) steps = 0;
    for (uint32_t s = 0; s < steps / 2; ++s, panel += 2 * kGemmPanel) {
      for (int i = 0; i < 2; ++i) {
        low[i] = Mac(low[i], offset, Load(panel + i * kGemmPanel));
        high[i] = Mac(high[i], offset, Load(panel + i * kGemmPanel + kLanes));
      }
    }
    if (steps % 2) {
      low[0] = Mac(low[0], offset, Load(panel));
      high[0] = Mac(high[0], offset, Load(panel + kLanes));
    }
    Store(correction, _mm512_add_epi32(low[0], low[1]));
    Store(correction + kLanes, _mm512_add_epi32(high[0], high[1]));
  }
  static void Widen(uint8_t, const void* row, uint32_t first, uint32_t n, uint32_t* out) {
    memcpy(out, (const uint32_t*)row + first, n * sizeof(*out));
  }
  static void Narrow(uint8_t, const uint32_t*, uint32_t, void*, uint32_t) {}
};

}  // namespace

void GemmIntVnni(const Gemm& g) {
  GemmAll<VnniMath>(g);
}

}  // namespace npu::model
