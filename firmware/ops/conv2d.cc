// SPDX-License-Identifier: Apache-2.0
//
// Two-dimensional convolution of NHWC images, with bias, relu and 2x2 max-pooling fused.
//
// No im2col matrix is ever built.  The input tile lies in SRAM as rows of in_pitch pixels, borders already zero (the
// DMA pads in flight).  With channels innermost, the kw * c values under one row of the window are contiguous, and the
// window of the next output pixel starts stride_w * c values later: so the tile itself, read with overlapping rows, is
// the im2col matrix of one window row, and a convolution is kh accumulating matrix operations.  The rows of that matrix
// run on over the pixels between the end of an output row and the start of the next one; these few results are left out
// when the tile is stored.  Sums run over (ky, kx, c) in ascending order.
//
// With a vertical stride the input rows are stored by phase (row modulo stride), so that the rows under one window row
// stay equidistant.
#include "npu_device.h"
#include "npu_op_args.h"
#include "work.h"

namespace npu {
namespace {

struct Item {
  uint32_t image;
  uint32_t row;   // first output row
  uint32_t rows;  // output rows
};

Item item_at(const NpuConv2dArgs& a, uint64_t index) {
  Item t;
  t.image = static_cast<uint32_t>(index / a.row_tiles);
  t.row = static_cast<uint32_t>(index % a.row_tiles) * a.row_tile;
  t.rows = min(a.row_tile, a.oh - t.row);
  return t;
}

// Rows of phase p that a tile with so many output rows needs.
uint32_t phase_rows(const NpuConv2dArgs& a, uint32_t rows, uint32_t p) {
  return rows + (a.kh - 1 - p) / a.stride_h;
}

// Loads the rows of one phase, borders zero.
void load_phase(const NpuConv2dArgs& a, const Item& t, uint32_t p, float* dst) {
  const uint32_t pixel = a.c * sizeof(float), pitch = a.in_pitch * pixel, rows = phase_rows(a, t.rows, p);
  const int32_t step = static_cast<int32_t>(a.stride_h), height = static_cast<int32_t>(a.h);
  const int32_t top = static_cast<int32_t>(t.row * a.stride_h + p) - static_cast<int32_t>(a.pad_top);
  const int32_t lo = top < 0 ? (-top + step - 1) / step : 0;
  const int32_t end = top < height ? (height - 1 - top) / step + 1 : 0;
  const int32_t hi = min(static_cast<int32_t>(rows), end);
  if (hi <= lo) {
    dma_in(dma_fill(dst, 0, static_cast<uint64_t>(rows) * pitch));
    return;
  }
  const uint32_t across = min(a.width, a.in_pitch - a.pad_left);
  const uint64_t first =
      (static_cast<uint64_t>(t.image) * a.h + static_cast<uint32_t>(top + lo * step)) * a.width * a.c;
  Dma d = dma(dst, device_pointer<const float>(a.x, first), pitch);
  d.dim(1, rows, pitch, static_cast<int64_t>(a.stride_h) * a.width * pixel);
  d.pad(0, a.pad_left * pixel, across * pixel).pad(1, static_cast<uint32_t>(lo), static_cast<uint32_t>(hi - lo));
  d.pad(2, 0, 1).pad(3, 0, 1);
  dma_in(d);
}

void load_input(const NpuConv2dArgs& a, const Item& t, float* dst) {
  for (uint32_t p = 0; p < min(a.stride_h, a.kh); ++p) {
    load_phase(a, t, p, dst);
    dst += static_cast<uint64_t>(phase_rows(a, t.rows, p)) * a.in_pitch * a.c;
  }
  if (a.tail) dma_in(dma_fill(dst, 0, static_cast<uint64_t>(a.tail) * a.c * sizeof(float)));
}

void load_weights(const NpuConv2dArgs& a, uint32_t o0, uint32_t os, float* w, float* bias) {
  const uint32_t k = a.kh * a.kw * a.c;
  Dma d = dma(w, device_pointer<const float>(a.w, o0), os * sizeof(float));
  d.dim(1, k, os * sizeof(float), static_cast<int64_t>(a.o) * sizeof(float));
  dma_in(d);
  if (a.flags & NPU_OP_F_BIAS) dma_in(dma(bias, device_pointer<const float>(a.bias, o0), os * sizeof(float)));
}

// The kh matrix operations of a tile: d[rows][in_pitch / stride_w][os].
void convolve(const NpuConv2dArgs& a, const Item& t, const float* in, const float* w, const float* bias, uint32_t os,
              float* d) {
  const uint32_t across = a.in_pitch / a.stride_w, k = a.kw * a.c;
  const uint32_t m = t.rows * across - (across - a.ow);
  const uint32_t pitch = os * sizeof(float);
  const float* phase = in;
  for (uint32_t ky = 0; ky < a.kh; ++ky) {
    // Window rows come in the order of ky; the tile has them by phase.
    const uint32_t p = ky % a.stride_h;
    if (p == 0) phase = in;
    uint32_t flags = ky ? NPU_MATRIX_ACCUMULATE : (a.flags & NPU_OP_F_BIAS) ? NPU_MATRIX_BIAS : 0;
    if (ky + 1 == a.kh && (a.flags & NPU_OP_F_RELU)) flags |= NPU_MATRIX_RELU;
    const float* top = phase + static_cast<uint64_t>(ky / a.stride_h) * a.in_pitch * a.c;
    mma<float, float>({d, pitch}, {top, static_cast<uint32_t>(a.stride_w * a.c * sizeof(float))},
                      {w + static_cast<uint64_t>(ky) * k * os, pitch}, m, os, k, flags, bias);
    phase += static_cast<uint64_t>(phase_rows(a, t.rows, p)) * a.in_pitch * a.c;
  }
}

void store(const NpuConv2dArgs& a, const Item& t, const float* d, uint32_t o0, uint32_t os) {
  const uint32_t across = a.in_pitch / a.stride_w;
  const int64_t element = sizeof(float);
  const uint64_t first = (static_cast<uint64_t>(t.image) * a.oh + t.row) * a.ow * a.o + o0;
  Dma out = dma(device_pointer<float>(a.y, first), d, os * element);
  out.dim(1, a.ow, a.o * element, os * element);
  out.dim(2, t.rows, static_cast<int64_t>(a.ow) * a.o * element, static_cast<int64_t>(across) * os * element);
  dma_out(out);
}

// 2x2 maximum: rows first (into half, without the pixels between rows), then columns.
void pool(const NpuConv2dArgs& a, const Item& t, const float* d, float* half, float* out, uint32_t os) {
  const uint32_t pixel = os * sizeof(float), across = a.in_pitch / a.stride_w * pixel;
  const uint32_t pw = a.ow / 2, ph = t.rows / 2;
  vec<float>(NPU_V_MAX, half, ph, 2 * pw * os, 2 * pw * pixel)
      .operand(0, d, 2 * across)
      .operand(1, reinterpret_cast<const char*>(d) + across, 2 * across)
      .issue();
  vec<float>(NPU_V_MAX, out, ph * pw, os, pixel).operand(0, half, 2 * pixel).operand(1, half + os, 2 * pixel).issue();
}

void store_pooled(const NpuConv2dArgs& a, const Item& t, const float* d, uint32_t o0, uint32_t os) {
  const uint32_t pw = a.ow / 2, ph = t.rows / 2;
  const uint64_t first = (static_cast<uint64_t>(t.image) * (a.oh / 2) + t.row / 2) * pw * a.o + o0;
  Dma out = dma(device_pointer<float>(a.y, first), d, os * sizeof(float));
  out.dim(1, ph * pw, static_cast<int64_t>(a.o) * sizeof(float), os * sizeof(float));
  dma_out(out);
}

struct Buffers {
  float *w, *bias, *in[2], *d[2];
  float *half, *pooled[2];
};

Buffers allocate(const NpuConv2dArgs& a, uint32_t os) {
  Sram sram;
  Buffers b = {};
  const uint64_t in = static_cast<uint64_t>(a.in_pixels) * a.c;
  const uint64_t out = static_cast<uint64_t>(a.row_tile) * (a.in_pitch / a.stride_w) * os;
  b.w = sram.alloc<float>(static_cast<uint64_t>(a.kh) * a.kw * a.c * os);
  b.bias = sram.alloc<float>(os);
  for (float*& p : b.in) p = sram.alloc<float>(in);
  for (float*& p : b.d) p = sram.alloc<float>(out);
  if (a.flags & NPU_OP_F_POOL) {
    const uint64_t half = static_cast<uint64_t>(a.row_tile / 2) * (a.ow / 2 * 2) * os;
    b.half = sram.alloc<float>(half);
    for (float*& p : b.pooled) p = sram.alloc<float>(half / 2);
  }
  return b;
}

// One step of the pipeline after the matrix unit: straight to memory.
void run_plain(const NpuConv2dArgs& a, const Buffers& b, Range range, uint32_t o0, uint32_t os) {
  Channel<kDmaIn, kMatrix> in;
  Channel<kMatrix, kDmaOut> out;
  for (uint64_t i = range.first; i < range.last; ++i) {
    const Item t = item_at(a, i);
    in.acquire();
    load_input(a, t, b.in[in.index()]);
    in.publish();
    in.receive();
    out.acquire();
    convolve(a, t, b.in[in.taken()], b.w, b.bias, os, b.d[out.index()]);
    in.release();
    out.publish();
    out.receive();
    store(a, t, b.d[out.taken()], o0, os);
    out.release();
  }
  in.drain();
  out.drain();
}

// Through the vector unit: convolution of tile i + 1 beside pooling of tile i.
void run_pooled(const NpuConv2dArgs& a, const Buffers& b, Range range, uint32_t o0, uint32_t os) {
  Channel<kDmaIn, kMatrix> in;
  Channel<kMatrix, kVector> mid;
  Channel<kVector, kDmaOut> out;
  for (uint64_t i = range.first; i < range.last; ++i) {
    Item t = item_at(a, i);
    t.rows &= ~1u;  // an odd last row has no partner
    in.acquire();
    load_input(a, t, b.in[in.index()]);
    in.publish();
    in.receive();
    mid.acquire();
    convolve(a, t, b.in[in.taken()], b.w, b.bias, os, b.d[mid.index()]);
    in.release();
    mid.publish();
    mid.receive();
    out.acquire();
    pool(a, t, b.d[mid.taken()], b.half, b.pooled[out.index()], os);
    mid.release();
    out.publish();
    out.receive();
    store_pooled(a, t, b.pooled[out.taken()], o0, os);
    out.release();
  }
  in.drain();
  mid.drain();
  out.drain();
}

}  // namespace
}  // namespace npu

NPU_KERNEL conv2d_f32(const NpuConv2dArgs* args) {
  using namespace npu;
  const NpuConv2dArgs a = *args;
  const uint32_t o0 = block_y() * a.o_tile, os = min(a.o_tile, a.o - o0);
  const Buffers b = allocate(a, os);
  load_weights(a, o0, os, b.w, b.bias);
  const Range range = my_items(static_cast<uint64_t>(a.n) * a.row_tiles);
  if (a.flags & NPU_OP_F_POOL) {
    run_pooled(a, b, range, o0, os);
  } else {
    run_plain(a, b, range, o0, os);
  }
}
