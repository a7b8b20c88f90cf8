// SPDX-License-Identifier: Apache-2.0
//
// npuOpsConv2d: checks, geometry and the choice of tiles.  The kernel is firmware/ops/conv2d.cc.
#include "internal.h"

namespace npu::ops {
namespace {

constexpr char kName[] = "npuOpsConv2d";

npuError_t Check(const npuOpsConv2dDesc* d) {
  if (!d) return Refuse(npuErrorInvalidValue, "%s: the description is NULL", kName);
  const struct {
    const char* name;
    uint32_t value, most;
  } dimensions[] = {
      {"n", d->n, kMaxDimension}, {"h", d->h, kMaxDimension},          {"w", d->w, kMaxDimension},
      {"c", d->c, kMaxDimension}, {"o", d->o, kMaxDimension},          {"kh", d->kh, kMaxWindow},
      {"kw", d->kw, kMaxWindow},  {"strideH", d->strideH, kMaxWindow}, {"strideW", d->strideW, kMaxWindow}};
  for (const auto& v : dimensions) {
    if (npuError_t e = CheckDimension(kName, v.name, v.value, v.most)) return e;
  }
  if (npuError_t e = CheckWindow(kName, "height", d->h, d->kh, d->padTop, d->padBottom)) return e;
  if (npuError_t e = CheckWindow(kName, "width", d->w, d->kw, d->padLeft, d->padRight)) return e;
  if (d->activation != npuOpsActivationNone && d->activation != npuOpsActivationRelu) {
    return Refuse(npuErrorInvalidValue, "%s: activation %d; a convolution has none or relu", kName,
                  static_cast<int>(d->activation));
  }
  if (d->maxPool2x2 > 1) return Refuse(npuErrorInvalidValue, "%s: maxPool2x2 = %u; it is 0 or 1", kName, d->maxPool2x2);
  return npuSuccess;
}

// Shapes that do not depend on the tiles.
npuError_t Geometry(const npuOpsConv2dDesc& d, NpuConv2dArgs* a) {
  WindowGeometry(d, a);
  a->o = d.o;
  if (d.maxPool2x2 && (a->oh < 2 || a->ow < 2)) {
    return Refuse(npuErrorInvalidValue, "%s: maxPool2x2 needs at least 2 x 2 results, the convolution gives %u x %u",
                  kName, a->oh, a->ow);
  }
  if (d.strideH == 1 && d.strideW == 1) {
    // The border to the right of one row is the border to the left of the next.
    a->in_pitch = d.w + std::max(d.padLeft, d.padRight);
    a->tail = std::min(d.padLeft, d.padRight);
  } else {
    a->in_pitch = static_cast<uint32_t>(RoundUp(uint64_t{a->ow - 1} * d.strideW + d.kw, d.strideW));
    a->tail = 0;
  }
  a->flags = (d.activation == npuOpsActivationRelu ? NPU_OP_F_RELU : 0) | (d.maxPool2x2 ? NPU_OP_F_POOL : 0);
  return npuSuccess;
}

uint64_t InputPixels(const NpuConv2dArgs& a, uint32_t rows) {
  uint64_t pixels = a.tail;
  for (uint32_t p = 0; p < std::min(a.stride_h, a.kh); ++p) {
    pixels += uint64_t{rows + (a.kh - 1 - p) / a.stride_h} * a.in_pitch;
  }
  return pixels;
}

// SRAM of a plan, as allocate() in the kernel takes it.
uint64_t SramNeeded(const NpuConv2dArgs& a, uint32_t rows, uint32_t o_tile) {
  uint64_t bytes = SramFloats(Wide{a.kh} * a.kw * a.c * o_tile) + SramFloats(o_tile);
  bytes += 2 * SramFloats(Wide{InputPixels(a, rows)} * a.c);
  bytes += 2 * SramFloats(Wide{rows} * (a.in_pitch / a.stride_w) * o_tile);
  if (a.flags & NPU_OP_F_POOL) {
    const Wide half = Wide{rows / 2} * (a.ow / 2 * 2) * o_tile;
    bytes += SramFloats(half) + 2 * SramFloats(half / 2);
  }
  return bytes;
}

// Modelled cycles of a plan: the longest pipe of an item, times the items of a core, and the weights once a block.
uint64_t PlanCost(const NpuConv2dArgs& a, const DeviceFacts& device, uint32_t rows, uint32_t row_tiles,
                  uint32_t o_tile) {
  const uint64_t o_tiles = DivUp(a.o, o_tile), items = uint64_t{a.n} * row_tiles;
  const uint64_t m = uint64_t{rows} * (a.in_pitch / a.stride_w);
  const uint64_t mma = a.kh * Cost::Mma(m, o_tile, uint64_t{a.kw} * a.c);
  const uint64_t in = Cost::Dma(DivUp(InputPixels(a, rows), a.in_pitch), uint64_t{a.in_pitch} * a.c * 4);
  const bool pool = a.flags & NPU_OP_F_POOL, whole = o_tile == a.o;
  const uint64_t pixels = pool ? uint64_t{rows / 2} * (a.ow / 2) : uint64_t{rows} * a.ow;
  const uint64_t out = whole ? Cost::Dma(pool ? 1 : rows, pixels / (pool ? 1 : rows) * o_tile * 4)
                             : Cost::Dma(pixels, uint64_t{o_tile} * 4);
  const uint64_t weights = Cost::Dma(uint64_t{a.kh} * a.kw * a.c, uint64_t{o_tile} * 4);
  const uint64_t blocks = uint64_t{BlocksFor(device, items)} * o_tiles;
  const uint64_t one = std::max({mma, in, out});
  return DivUp(items * o_tiles, device.cores) * one + DivUp(blocks, device.cores) * (weights + in + mma + out);
}

// The cheapest tiles that fit.
npuError_t ChooseTiles(const DeviceFacts& device, NpuConv2dArgs* a) {
  const bool pool = a->flags & NPU_OP_F_POOL;
  const uint32_t rows_all = pool ? a->oh / 2 * 2 : a->oh, least = pool ? 2 : 1;
  uint64_t best = UINT64_MAX, smallest = UINT64_MAX;
  for (uint32_t o_tile = a->o;; o_tile = static_cast<uint32_t>(RoundUp(DivUp(o_tile, 2), Cost::kArray))) {
    for (uint32_t cut = 1;; cut = cut < 4 ? cut + 1 : cut + cut / 2) {
      const uint32_t rows = static_cast<uint32_t>(RoundUp(DivUp(rows_all, std::min(cut, rows_all)), least));
      const uint64_t need = SramNeeded(*a, rows, o_tile);
      smallest = std::min(smallest, need);
      if (need <= device.sram_bytes) {
        const uint32_t row_tiles = static_cast<uint32_t>(DivUp(rows_all, rows));
        const uint64_t cost = PlanCost(*a, device, rows, row_tiles, o_tile);
        if (cost < best) {
          best = cost;
          a->row_tile = rows;
          a->row_tiles = row_tiles;
          a->o_tile = o_tile;
        }
      }
      if (rows == least) break;
    }
    if (o_tile <= Cost::kArray) break;
  }
  if (best == UINT64_MAX) {
    return Refuse(
        npuErrorNotSupported,
        "%s: one output row of %u channels needs %llu bytes of local memory, a core has %llu; make width, channels "
        "(%u) or window (%u x %u) smaller",
        kName, std::min<uint32_t>(a->o, Cost::kArray), static_cast<unsigned long long>(smallest),
        static_cast<unsigned long long>(device.sram_bytes), a->c, a->kh, a->kw);
  }
  a->in_pixels = static_cast<uint32_t>(InputPixels(*a, a->row_tile));
  return npuSuccess;
}

}  // namespace
}  // namespace npu::ops

using namespace npu::ops;

extern "C" npuError_t npuOpsConv2dOutput(const npuOpsConv2dDesc* desc, uint32_t* oh, uint32_t* ow) {
  if (npuError_t e = Check(desc)) return e;
  if (!oh || !ow) return Refuse(npuErrorInvalidValue, "npuOpsConv2dOutput: oh or ow is NULL");
  NpuConv2dArgs a = {};
  if (npuError_t e = Geometry(*desc, &a)) return e;
  *oh = desc->maxPool2x2 ? a.oh / 2 : a.oh;
  *ow = desc->maxPool2x2 ? a.ow / 2 : a.ow;
  return npuSuccess;
}

extern "C" npuError_t npuOpsConv2d(const npuOpsConv2dDesc* desc, const void* x, const void* w, const void* bias,
                                   void* y, npuStream_t stream) {
  if (npuError_t e = Check(desc)) return e;
  if (npuError_t e = CheckPointer(kName, "x", x)) return e;
  if (npuError_t e = CheckPointer(kName, "w", w)) return e;
  if (npuError_t e = bias ? CheckPointer(kName, "bias", bias) : npuSuccess) return e;
  if (npuError_t e = CheckPointer(kName, "y", y)) return e;
  DeviceFacts device;
  if (npuError_t e = GetDeviceFacts(&device)) return e;
  NpuConv2dArgs a = {};
  if (npuError_t e = Geometry(*desc, &a)) return e;
  if (bias) a.flags |= NPU_OP_F_BIAS;
  if (npuError_t e = ChooseTiles(device, &a)) return e;
  a.x = Bits(x);
  a.w = Bits(w);
  a.bias = Bits(bias);
  a.y = Bits(y);
  const npuDim3 grid = {BlocksFor(device, uint64_t{a.n} * a.row_tiles), static_cast<uint32_t>(DivUp(a.o, a.o_tile)), 1};
  return Launch(device, "conv2d", "conv2d_f32", grid, &a, sizeof a, stream);
}
