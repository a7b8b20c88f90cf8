// SPDX-License-Identifier: Apache-2.0
//
// Max- and average-pooling of NHWC images on the vector unit: the window's rows first, then its columns.  The order of
// an average's sum is therefore: for each column of the window its rows from top to bottom, then the columns from left
// to right; then one multiplication.  Border pixels count as -infinity for the maximum and as 0 for the average.
#include "npu_device.h"
#include "npu_op_args.h"
#include "work.h"

namespace npu {
namespace {

constexpr uint32_t kMinusInfinity = 0xff800000u;

struct Item {
  uint32_t image, row, rows;
};

Item item_at(const NpuPoolArgs& a, uint64_t index) {
  Item t;
  t.image = static_cast<uint32_t>(index / a.row_tiles);
  t.row = static_cast<uint32_t>(index % a.row_tiles) * a.row_tile;
  t.rows = min(a.row_tile, a.oh - t.row);
  return t;
}

uint32_t input_rows(const NpuPoolArgs& a, uint32_t rows) {
  return (rows - 1) * a.stride_h + a.kh;
}

// The tile with its border: filled first where there is a border, then overwritten by the image's pixels.
void load(const NpuPoolArgs& a, const Item& t, float* dst) {
  const uint32_t pixel = a.c * sizeof(float), rows = input_rows(a, t.rows);
  const int32_t top = static_cast<int32_t>(t.row * a.stride_h) - static_cast<int32_t>(a.pad_top);
  const uint32_t lo = top < 0 ? static_cast<uint32_t>(-top) : 0;
  const uint32_t hi = static_cast<uint32_t>(min(static_cast<int32_t>(rows), static_cast<int32_t>(a.h) - top));
  const uint32_t across = min(a.width, a.in_pitch - a.pad_left);
  if (lo > 0 || hi < rows || across < a.in_pitch) {
    const uint32_t border = (a.flags & NPU_OP_F_AVERAGE) ? 0 : kMinusInfinity;
    dma_in(dma_fill(dst, border, static_cast<uint64_t>(rows) * a.in_pitch * pixel));
  }
  const uint64_t first =
      (static_cast<uint64_t>(t.image) * a.h + static_cast<uint32_t>(top + static_cast<int32_t>(lo))) * a.width * a.c;
  float* at = dst + (static_cast<uint64_t>(lo) * a.in_pitch + a.pad_left) * a.c;
  Dma d = dma(at, device_pointer<const float>(a.x, first), across * pixel);
  d.dim(1, hi - lo, static_cast<int64_t>(a.in_pitch) * pixel, static_cast<int64_t>(a.width) * pixel);
  dma_in(d);
}

// dst (op)= src, or dst = src0 op src1 for the first pair; one operand is enough when the window is one pixel high.
void combine(npu_vector_op op, float* dst, const float* src, uint64_t step, uint32_t taps, uint32_t rows, uint32_t cols,
             uint32_t dst_pitch, uint32_t src_pitch) {
  if (taps == 1) {
    vec<float>(NPU_V_COPY, dst, rows, cols, dst_pitch).operand(0, src, src_pitch).issue();
    return;
  }
  vec<float>(op, dst, rows, cols, dst_pitch).operand(0, src, src_pitch).operand(1, src + step, src_pitch).issue();
  for (uint32_t i = 2; i < taps; ++i) {
    vec<float>(op, dst, rows, cols, dst_pitch).operand(0, dst, dst_pitch).operand(1, src + i * step, src_pitch).issue();
  }
}

void pool(const NpuPoolArgs& a, const Item& t, const float* in, float* half, float* out) {
  const npu_vector_op op = (a.flags & NPU_OP_F_AVERAGE) ? NPU_V_ADD : NPU_V_MAX;
  const uint32_t pixel = a.c * sizeof(float), row = a.in_pitch * pixel;
  combine(op, half, in, static_cast<uint64_t>(a.in_pitch) * a.c, a.kh, t.rows, a.in_pitch * a.c, row, a.stride_h * row);
  if (a.in_pitch == a.ow * a.stride_w) {
    // Windows follow each other across row ends: one operation for all rows.
    combine(op, out, half, a.c, a.kw, t.rows * a.ow, a.c, pixel, a.stride_w * pixel);
  } else {
    for (uint32_t r = 0; r < t.rows; ++r) {
      combine(op, out + static_cast<uint64_t>(r) * a.ow * a.c, half + static_cast<uint64_t>(r) * a.in_pitch * a.c, a.c,
              a.kw, a.ow, a.c, pixel, a.stride_w * pixel);
    }
  }
  if (a.flags & NPU_OP_F_AVERAGE) {
    vec<float>(NPU_V_MUL, out, 1, t.rows * a.ow * a.c, 0).operand(0, out, 0).constant(1, a.factor).issue();
  }
}

void store(const NpuPoolArgs& a, const Item& t, const float* out) {
  const uint64_t first = (static_cast<uint64_t>(t.image) * a.oh + t.row) * a.ow * a.c;
  dma_out(dma(device_pointer<float>(a.y, first), out, static_cast<uint64_t>(t.rows) * a.ow * a.c * sizeof(float)));
}

}  // namespace
}  // namespace npu

NPU_KERNEL pool_f32(const NpuPoolArgs* args) {
  using namespace npu;
  const NpuPoolArgs a = *args;
  Sram sram;
  const uint64_t row = static_cast<uint64_t>(a.in_pitch) * a.c;
  float *in_tile[2], *out_tile[2];
  for (float*& p : in_tile) p = sram.alloc<float>(input_rows(a, a.row_tile) * row);
  for (float*& p : out_tile) p = sram.alloc<float>(static_cast<uint64_t>(a.row_tile) * a.ow * a.c);
  float* half = sram.alloc<float>(a.row_tile * row);
  Channel<kDmaIn, kVector> in;
  Channel<kVector, kDmaOut> out;
  const Range range = my_items(static_cast<uint64_t>(a.n) * a.row_tiles);
  for (uint64_t i = range.first; i < range.last; ++i) {
    const Item t = item_at(a, i);
    in.acquire();
    load(a, t, in_tile[in.index()]);
    in.publish();
    in.receive();
    out.acquire();
    pool(a, t, in_tile[in.taken()], half, out_tile[out.index()]);
    in.release();
    out.publish();
    out.receive();
    store(a, t, out_tile[out.taken()]);
    out.release();
  }
  in.drain();
  out.drain();
}
