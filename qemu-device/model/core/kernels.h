// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The arithmetic of the matrix and vector units on host memory, one table of functions per SIMD level.  All levels give
// the same bits: the order of operations is part of the definition, fused multiply-adds stand only where they are
// written, and every arithmetic f32 result that is a NaN is the canonical one (0x7fc00000).
//
// Operands are checked by the caller.  The files behind this header use no C++ library, so that no inline function of
// it is compiled for a CPU that the host may not be.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace npu::model {

inline constexpr uint32_t kGemmPanel = 32;     // columns of B in one packed panel
inline constexpr uint32_t kGemmDepth = 256;    // cells of k in one packed panel
inline constexpr uint32_t kGemmRows = 336;     // rows of A that are worked on at once
inline constexpr uint32_t kGemmColumns = 256;  // columns of B likewise

// Working memory of one matrix operation, in cells: 32-bit pieces of k, which hold one f32 or several small integers.
struct alignas(64) GemmScratch {
  uint32_t panel[kGemmDepth * kGemmPanel];
  uint32_t a[(kGemmRows + 16) * (kGemmDepth + 16)];
  uint32_t stage[kGemmPanel * (kGemmDepth + 16)];
  uint32_t d[kGemmRows * kGemmColumns];  // of results that are rounded to 16 bits in the end
  uint32_t tile[16 * kGemmPanel];
  uint32_t start[kGemmColumns];
  uint32_t correction[kGemmPanel];
};

// D[m][n] = start + sum over ascending k of A * B, see npu_isa.h.  Pitches in bytes.  D overlaps no other operand.
struct Gemm {
  void* d;
  const void* a;
  const void* b;
  const void* bias;  // n elements of D's type, or nullptr
  size_t d_pitch, a_pitch, b_pitch;
  uint32_t m, n, k;
  uint8_t d_type, a_type, b_type;  // enum npu_dtype
  bool trans_a, trans_b, accumulate, relu;
  GemmScratch* scratch;
};

// One row: d[i] = f(a[i], b[i], c[i]), i < n.  d may be the same row as a source, but not overlap one otherwise.
// Operands that an operation does not have are not touched.  Element types depend on the operation.
using RowFn = void (*)(void* d, const void* a, const void* b, const void* c, size_t n);

// One result for each of `rows` rows of n elements; pitches in bytes.
using ReduceFn = void (*)(void* d, size_t d_pitch, const void* a, size_t a_pitch, size_t rows, size_t n);

// d (cols x rows) = transpose of a (rows x cols); pitches in bytes.
using TransposeFn = void (*)(void* d, size_t d_pitch, const void* a, size_t a_pitch, size_t rows, size_t cols);

inline constexpr unsigned kVectorOps = 72;  // NPU_V_OPS
inline constexpr unsigned kDtypes = 12;     // NPU_DTYPES

// rows rows of `bytes` bytes, pitches apart; the two do not overlap.  Moves by whole registers where a row has one, so
// who looks meanwhile finds old words or new ones (see shared_bytes.h).
using CopyFn = void (*)(void* to, ptrdiff_t to_pitch, const void* from, ptrdiff_t from_pitch, size_t bytes,
                        size_t rows);

struct Kernels {
  void (*gemm_float)(const Gemm&);
  void (*gemm_int)(const Gemm&);
  // By enum npu_vector_op; nullptr: this device does not have the operation for that type.  Comparisons give i32.
  RowFn f32[kVectorOps];
  RowFn i32[kVectorOps];
  ReduceFn reduce_f32[kVectorOps];
  ReduceFn reduce_i32[kVectorOps];
  // [source][destination], in the order f32, i32, i8, u8.
  RowFn convert[4][4];
  // On 16-bit storage, whatever the type: COPY, FILL, NEG, ABS.
  RowFn row16[kVectorOps];
  // By enum npu_dtype: to f32 exactly, and from f32 to nearest even; nullptr: not here, see convert.h.
  RowFn widen[kDtypes];
  RowFn narrow[kDtypes];
  // NPU_V_SELECT of values of one and two bytes by an f32.
  RowFn select8;
  RowFn select16;
  TransposeFn transpose1;
  TransposeFn transpose2;
  TransposeFn transpose4;
  CopyFn copy_rows;
  // d[i] = start + (first + i) * step
  void (*iota_f32)(float* d, float start, float step, uint32_t first, size_t n);
};

extern const Kernels kKernelsBaseline;
#if defined(__x86_64__)
extern const Kernels kKernelsAvx2;
extern const Kernels kKernelsAvx512;
void GemmIntVnni(const Gemm& g);  // needs AVX-512 with VNNI
#endif

// The table that SelectSimd chose.
const Kernels& ActiveKernels();

}  // namespace npu::model
