// SPDX-License-Identifier: Apache-2.0
//
// Arguments of the operators' kernels: written by the host side (runtime/src/ops), read by the device code.  Both
// include this file, so they cannot disagree.  Freestanding; every structure is a multiple of 8 bytes without holes.
//
// Fields named x, w, y, a, b, d, bias are device pointers.  Sizes are in elements.  How the work is cut into tiles is
// decided by the host, which knows the shapes, the number of cores and the SRAM; the kernels only follow.  A kernel's
// items (images, tiles, rows) are dealt out evenly over grid.x in order.
#pragma once

#include <stdint.h>

#define NPU_OP_F_BIAS 1u     // a bias of one element an output channel or column is added
#define NPU_OP_F_RELU 2u     // max(result, 0)
#define NPU_OP_F_POOL 4u     // conv2d: 2x2 maximum with stride 2 on the result (after relu)
#define NPU_OP_F_TRANS_A 8u  // matmul: a is stored [k][m]
#define NPU_OP_F_TRANS_B 16u
#define NPU_OP_F_AVERAGE 32u  // pool: mean instead of maximum

// conv2d.elf: conv2d_f32.  Grid (blocks, output channel tiles).
struct NpuConv2dArgs {
  uint64_t x, w, bias, y;  // NHWC; [kh][kw][c][o]; [o]; NHWC (with POOL of half the height and width)
  uint32_t n, h, width, c;
  uint32_t kh, kw, oh, ow;  // oh, ow: before POOL
  uint32_t o, o_tile;
  uint32_t stride_h, stride_w;
  uint32_t pad_top, pad_left;
  uint32_t row_tile, row_tiles;  // output rows in a tile (even with POOL), tiles in an image
  uint32_t in_pitch;             // pixels from row to row of the input tile; a multiple of stride_w
  uint32_t tail;                 // zero pixels behind the last row of the input tile
  uint32_t in_pixels;            // size of the input tile
  uint32_t flags;
};

// matmul.elf: matmul_f32, matmul_f16 and matmul_bf16 (d and bias f32), matmul_i8 (d and bias i32); and matmul_sigmoid_f32
// and matmul_tanh_f32 with the function on the vector unit.  Grid (blocks).
struct NpuMatmulArgs {
  uint64_t a, b, bias, d;
  uint64_t batch_a, batch_b, batch_d;  // elements from one matrix of the batch to the next
  uint32_t m, n, k, batch;
  uint32_t lda, ldb, ldd;  // elements from row to row as stored
  uint32_t m_tile, n_tile, k_tile;
  uint32_t m_tiles, n_tiles;
  uint32_t flags;
  uint32_t reserved;
};

// pool.elf: pool_f32.  Grid (blocks).
struct NpuPoolArgs {
  uint64_t x, y;
  uint32_t n, h, width, c;
  uint32_t kh, kw, oh, ow;
  uint32_t stride_h, stride_w;
  uint32_t pad_top, pad_left;
  uint32_t row_tile, row_tiles;
  uint32_t in_pitch;  // pixels from row to row of the input tile
  uint32_t flags;
  float factor;  // AVERAGE: what the sum is multiplied with
  uint32_t reserved;
};

// softmax.elf: softmax_f32 (y: f32 [rows][cols]) and argmax_f32 (y: i32 [rows]).  Grid (blocks).
struct NpuRowsArgs {
  uint64_t x, y;
  uint32_t rows, cols;
  uint32_t row_tile;
  uint32_t reserved;
};

// elementwise.elf: binary_f32, unary_f32, affine_f32, normalize_u8_f32.  Grid (blocks).
struct NpuElementwiseArgs {
  uint64_t x0, x1, y;
  uint64_t count;
  uint32_t tile;        // elements
  uint32_t op;          // enum npu_vector_op of binary_f32 and unary_f32
  float scale, offset;  // affine_f32, normalize_u8_f32: x * scale + offset, one rounding
};

// select.elf: cast.  Grid (blocks).  Types and mode are enum npu_dtype and enum npu_round; tile is even.
struct NpuCastArgs {
  uint64_t x, y;
  uint64_t count;
  uint32_t tile;  // elements
  uint32_t src_type, dst_type;
  uint32_t mode, saturate, seed;
};

// select.elf: gather_rows.  Grid (blocks).  y[i] = table[index[i]]
struct NpuGatherRowsArgs {
  uint64_t table, index, y;
  uint32_t rows, row_bytes;  // of the table
  uint32_t count;            // of y
  uint32_t row_tile;
};

// select.elf: topk_f32.  Grid (blocks).
struct NpuTopkArgs {
  uint64_t x, values, columns;
  uint32_t rows, cols, k;
  uint32_t row_tile;
};

// demo_faults.elf: scale_off_by_one (scalar), copy_off_by_one (DMA).  y[i] = x[i] * factor.  Grid (1).
struct NpuDemoFaultArgs {
  uint64_t x, y;
  uint32_t count;
  float factor;
};

static_assert(sizeof(NpuConv2dArgs) == 112, "conv2d arguments");
static_assert(sizeof(NpuMatmulArgs) == 112, "matmul arguments");
static_assert(sizeof(NpuPoolArgs) == 88, "pool arguments");
static_assert(sizeof(NpuRowsArgs) == 32, "row arguments");
static_assert(sizeof(NpuElementwiseArgs) == 48, "elementwise arguments");
static_assert(sizeof(NpuCastArgs) == 48, "cast arguments");
static_assert(sizeof(NpuGatherRowsArgs) == 40, "gather arguments");
static_assert(sizeof(NpuTopkArgs) == 40, "top-k arguments");
static_assert(sizeof(NpuDemoFaultArgs) == 24, "fault arguments");
