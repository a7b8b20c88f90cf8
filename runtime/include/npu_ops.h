/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libnpu_ops: ready operators.
 *
 * Conventions, which hold for every function that does not say otherwise:
 * - Tensors are device pointers of libnpu (npu.h) to dense, row-major f32 data, 4-byte aligned.  Images are NHWC:
 * channels innermost.  The caller gives the memory; no operator allocates any.
 * - The call checks shapes, plans the tiles, queues one launch in the stream and returns.  Results are there when the
 * stream has come so far.  A refused call has queued nothing.  NULL is the default stream.
 * - Inputs and output must not overlap, except that elementwise operators may write over one of their inputs.
 * - Whether a tensor is as large as the shapes say is checked by the device, to the byte, on every access: a tensor
 * that is too small gives a fault report with its name, and changes nothing behind it.
 * - Returns npuSuccess, or an error whose sentence npuOpsGetLastErrorMessage has: InvalidValue (shape or pointer),
 *   NotSupported (does not fit into a core's local memory), FileNotFound and InvalidImage (device code), or what libnpu
 * said.
 * - May be called from any thread.  Results and modelled cycles are the same in every run and on every host.
 *
 * The operators' device code (conv2d.elf ...) is loaded at first use, from the folder in the environment variable
 * NPU_OPS_DIR, or else from ../ops or npu/ops beside libnpu_ops.so.
 */
#ifndef NPU_OPS_H
#define NPU_OPS_H

#include "npu.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NPU_OPS_API NPU_API

/* The sentence of this thread's last failed npuOps call, "" if none.  Valid until the thread's next failed call. */
NPU_OPS_API const char* npuOpsGetLastErrorMessage(void);

/* Path of a device-code module ("matmul"), for callers that load kernels of their own from the same folder. */
NPU_OPS_API npuError_t npuOpsGetModulePath(const char* module, char* path, size_t bytes);

/* Element types.  Packed 4-bit integers: two to a byte, the even element in the low half. */
typedef enum npuOpsType {
  npuOpsTypeF32 = 0,
  npuOpsTypeF16 = 1,
  npuOpsTypeBF16 = 2,
  npuOpsTypeTF32 = 3, /* 32 bits, the low 13 are 0 */
  npuOpsTypeF8E4M3 = 4,
  npuOpsTypeF8E5M2 = 5,
  npuOpsTypeI8 = 6,
  npuOpsTypeU8 = 7,
  npuOpsTypeI32 = 8,
  npuOpsTypeI16 = 9,
  npuOpsTypeI4 = 10,
  npuOpsTypeU32 = 11,
} npuOpsType;

typedef enum npuOpsActivation {
  npuOpsActivationNone = 0,
  npuOpsActivationRelu = 1,
  npuOpsActivationSigmoid = 2, /* matmul only */
  npuOpsActivationTanh = 3,    /* matmul only */
} npuOpsActivation;

/* ------------------------------------------------------------------------------------------------ convolution */

/*
 * y[n][oy][ox][o] = act(bias[o] + sum over ky, kx, c ascending of
 *                       x[n][oy * strideH + ky - padTop][ox * strideW + kx - padLeft][c] * w[ky][kx][c][o])
 * with fused multiply-adds, pixels outside of the image being 0.
 * oh = (h + padTop + padBottom - kh) / strideH + 1, ow likewise.
 */
typedef struct npuOpsConv2dDesc {
  uint32_t n, h, w, c;                           /* x: [n][h][w][c] */
  uint32_t o, kh, kw;                            /* weights: [kh][kw][c][o]; bias: [o] */
  uint32_t strideH, strideW;                     /* at least 1 */
  uint32_t padTop, padLeft, padBottom, padRight; /* smaller than the window */
  npuOpsActivation activation;                   /* none or relu */
  uint32_t maxPool2x2; /* 1: 2x2 maximum with stride 2 on the result, an odd last row or column is dropped; y:
                          [n][oh/2][ow/2][o] */
} npuOpsConv2dDesc;

/* Height and width of y. */
NPU_OPS_API npuError_t npuOpsConv2dOutput(const npuOpsConv2dDesc* desc, uint32_t* oh, uint32_t* ow);
/* bias may be NULL. */
NPU_OPS_API npuError_t npuOpsConv2d(const npuOpsConv2dDesc* desc, const void* x, const void* w, const void* bias,
                                    void* y, npuStream_t stream);

/* ------------------------------------------------------------------------------------------------ matrices */

/*
 * d[m][n] = act(bias[n] + sum over k ascending of a[m][k] * b[k][n]), with fused multiply-adds.
 * transA: a is stored as [k][m]; transB: b is stored as [n][k].
 * type: of a and b.  f32, f16, bf16: d and bias are f32, products of f16 and bf16 are exact.  i8: d and bias are i32, sums
 * are exact modulo 2^32.  Sigmoid and tanh are for f32 only (else NotSupported).
 */
typedef struct npuOpsMatmulDesc {
  uint32_t m, n, k;
  uint32_t transA, transB;
  uint32_t lda, ldb, ldd; /* elements from row to row as stored; 0: dense */
  npuOpsActivation activation;
  uint32_t batch;                                    /* matrices; 0 counts as 1 */
  uint64_t batchStrideA, batchStrideB, batchStrideD; /* elements; 0 for a or b: the same matrix for all */
  npuOpsType type;                                   /* of a and b: f32 (0), f16, bf16 or i8 */
} npuOpsMatmulDesc;

/* bias may be NULL. */
NPU_OPS_API npuError_t npuOpsMatmul(const npuOpsMatmulDesc* desc, const void* a, const void* b, const void* bias,
                                    void* d, npuStream_t stream);

/* ------------------------------------------------------------------------------------------------ pooling */

typedef enum npuOpsPoolKind {
  npuOpsPoolMax = 0,
  npuOpsPoolAverage = 1, /* border pixels are counted, as zeros */
} npuOpsPoolKind;

typedef struct npuOpsPool2dDesc {
  npuOpsPoolKind kind;
  uint32_t n, h, w, c;
  uint32_t kh, kw, strideH, strideW;
  uint32_t padTop, padLeft, padBottom, padRight; /* smaller than the window */
} npuOpsPool2dDesc;

NPU_OPS_API npuError_t npuOpsPool2dOutput(const npuOpsPool2dDesc* desc, uint32_t* oh, uint32_t* ow);
NPU_OPS_API npuError_t npuOpsPool2d(const npuOpsPool2dDesc* desc, const void* x, void* y, npuStream_t stream);

/* ------------------------------------------------------------------------------------------------ rows */

/* y[r][c] = exp(x[r][c] - max) / sum over the row. */
NPU_OPS_API npuError_t npuOpsSoftmax(uint32_t rows, uint32_t cols, const void* x, void* y, npuStream_t stream);
/* y: i32 [rows]: the lowest index of the row's maximum. */
NPU_OPS_API npuError_t npuOpsArgmax(uint32_t rows, uint32_t cols, const void* x, void* y, npuStream_t stream);

/* ------------------------------------------------------------------------------------------------ elementwise */

typedef enum npuOpsBinaryOp {
  npuOpsBinaryAdd = 0,
  npuOpsBinarySub = 1,
  npuOpsBinaryMul = 2,
  npuOpsBinaryDiv = 3,
  npuOpsBinaryMax = 4,
  npuOpsBinaryMin = 5,
} npuOpsBinaryOp;

typedef enum npuOpsUnaryOp {
  npuOpsUnaryRelu = 0,
  npuOpsUnaryNeg = 1,
  npuOpsUnaryAbs = 2,
  npuOpsUnaryExp = 3,
  npuOpsUnaryTanh = 4,
  npuOpsUnarySigmoid = 5,
  npuOpsUnarySqrt = 6,
} npuOpsUnaryOp;

/* y[i] = a[i] op b[i]. */
NPU_OPS_API npuError_t npuOpsBinary(npuOpsBinaryOp op, uint64_t count, const void* a, const void* b, void* y,
                                    npuStream_t stream);
/* y[i] = op(x[i]). */
NPU_OPS_API npuError_t npuOpsUnary(npuOpsUnaryOp op, uint64_t count, const void* x, void* y, npuStream_t stream);
/* y[i] = x[i] * scale + offset, rounded once. */
NPU_OPS_API npuError_t npuOpsScale(uint64_t count, const void* x, float scale, float offset, void* y,
                                   npuStream_t stream);
/* The same from unsigned bytes (any alignment): images as they come from a file. */
NPU_OPS_API npuError_t npuOpsNormalizeU8(uint64_t count, const void* x, float scale, float offset, void* y,
                                         npuStream_t stream);

/* ------------------------------------------------------------------------------------------------ types and picking */

typedef enum npuOpsRounding {
  npuOpsRoundNearest = 0, /* ties to even */
  npuOpsRoundZero = 1,
  npuOpsRoundDown = 2,
  npuOpsRoundUp = 3,
  npuOpsRoundAway = 4, /* nearest, ties away from zero */
  npuOpsRoundStochastic = 5,
} npuOpsRounding;

/* A floating-point result that is too large becomes the largest number in place of infinity. */
#define NPU_OPS_CAST_SATURATE 1u

/*
 * y[i] = x[i] in another type, rounded once; integers saturate, NaN becomes 0 there.  Pointers are aligned to their
 * element.  seed matters to stochastic rounding only: element i (modulo 2^32) takes its random number from seed and i,
 * so the same call gives the same bits everywhere.  flags: 0 or NPU_OPS_CAST_SATURATE.  With a 4-bit type count is
 * even.
 */
NPU_OPS_API npuError_t npuOpsCast(uint64_t count, npuOpsType xType, const void* x, npuOpsType yType, void* y,
                                  npuOpsRounding rounding, uint32_t flags, uint32_t seed, npuStream_t stream);

/*
 * y[i] = table[index[i]], rows of rowBytes bytes (an embedding); index: i32 [count].  An index that is not one of the
 * table's rows stops the launch with a trap, whose code has it in bits 63:32; rows before it may have been written.
 */
NPU_OPS_API npuError_t npuOpsGatherRows(uint32_t rows, uint32_t rowBytes, const void* table, uint32_t count,
                                        const void* index, void* y, npuStream_t stream);

/*
 * The k largest elements of every row of x, largest first, and their columns; of equal ones the lower column first, NaN
 * before all numbers.  values: f32 [rows][k]; columns: i32 [rows][k].
 */
NPU_OPS_API npuError_t npuOpsTopK(uint32_t rows, uint32_t cols, uint32_t k, const void* x, void* values, void* columns,
                                  npuStream_t stream);

#ifdef __cplusplus
}
#endif
#endif /* NPU_OPS_H */
