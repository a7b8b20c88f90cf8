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

// D[m][n] = init + sum over ascending k of A * B.  Pitches and strides in elements.  D overlaps no other operand.
struct GemmF32 {
  float* d;
  const float* a;
  const float* b;
  const float* bias;  // n elements, or nullptr
  ptrdiff_t d_pitch;
  ptrdiff_t a_row;  // from A[m][k] to A[m + 1][k]
  ptrdiff_t a_k;    // from A[m][k] to A[m][k + 1]
  ptrdiff_t b_k;
  ptrdiff_t b_col;
  uint32_t m, n, k;
  bool accumulate, relu;
  void* scratch;  // kGemmScratchBytes, 64-byte aligned
};

struct GemmI8 {
  int32_t* d;
  const int8_t* a;
  const int8_t* b;
  const int32_t* bias;
  ptrdiff_t d_pitch;
  ptrdiff_t a_row, a_k, b_k, b_col;
  uint32_t m, n, k;
  bool accumulate, relu;
  void* scratch;
};

inline constexpr uint32_t kGemmPanel = 32;   // columns of B in one packed panel
inline constexpr uint32_t kGemmDepth = 256;  // steps of k in one packed panel
inline constexpr uint32_t kGemmRows = 64;    // rows of A that GemmI8 packs at once
inline constexpr size_t kGemmScratchBytes = (kGemmPanel + kGemmRows) * kGemmDepth * sizeof(float);

// One row: d[i] = f(a[i], b[i], c[i]), i < n.  d may be the same row as a source, but not overlap one otherwise.
// Operands that an operation does not have are not touched.  Element types depend on the operation.
using RowFn = void (*)(void* d, const void* a, const void* b, const void* c, size_t n);

// One result for each of `rows` rows of n elements; pitches in bytes.
using ReduceFn = void (*)(void* d, size_t d_pitch, const void* a, size_t a_pitch, size_t rows, size_t n);

// d (cols x rows) = transpose of a (rows x cols); pitches in bytes.
using TransposeFn = void (*)(void* d, size_t d_pitch, const void* a, size_t a_pitch, size_t rows, size_t cols);

inline constexpr unsigned kVectorOps = 72;  // NPU_V_OPS
inline constexpr unsigned kDtypes = 12;     // NPU_DTYPES

struct Kernels {
  void (*gemm_f32)(const GemmF32&);
  void (*gemm_i8)(const GemmI8&);
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
  // d[i] = start + (first + i) * step
  void (*iota_f32)(float* d, float start, float step, uint32_t first, size_t n);
};

extern const Kernels kKernelsBaseline;
#if defined(__x86_64__)
extern const Kernels kKernelsAvx2;
extern const Kernels kKernelsAvx512;
#endif

// The table that SelectSimd chose.
const Kernels& ActiveKernels();

}  // namespace npu::model
