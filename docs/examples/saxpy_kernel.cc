// SPDX-License-Identifier: Apache-2.0
// y = a * x + y, a tile at a time: DMA into local SRAM, vector unit, DMA out, with two buffers so that they overlap.
#include "npu_device.h"

struct SaxpyArgs {
  const float* x;
  float* y;
  uint32_t n;
  float a;
};

NPU_KERNEL saxpy(const SaxpyArgs* args) {
  constexpr uint32_t kTile = 16384;
  npu::Sram sram;
  float* x[2] = {sram.alloc<float>(kTile), sram.alloc<float>(kTile)};
  float* y[2] = {sram.alloc<float>(kTile), sram.alloc<float>(kTile)};
  const uint32_t tiles = npu::div_up(args->n, kTile);
  uint32_t count = 0;
  for (uint32_t tile = npu::block(); tile < tiles; tile += npu::blocks(), ++count) {
    const uint32_t first = tile * kTile, n = npu::min(kTile, args->n - first), b = count % 2;
    // Each pipe runs its own operations in order; a flag holds the next pipe until buffer b is ready for it.
    if (count >= 2) npu::wait_flag<npu::kDmaOut, npu::kDmaIn>(b);
    npu::dma_in(npu::dma(x[b], args->x + first, n * sizeof(float)));
    npu::dma_in(npu::dma(y[b], args->y + first, n * sizeof(float)));
    npu::set_flag<npu::kDmaIn, npu::kVector>(b);

    npu::wait_flag<npu::kDmaIn, npu::kVector>(b);
    npu::vec<float>(NPU_V_FMA, y[b], 1, n, 0).operand(0, x[b], 0).constant(1, args->a).operand(2, y[b], 0).issue();
    npu::set_flag<npu::kVector, npu::kDmaOut>(b);

    npu::wait_flag<npu::kVector, npu::kDmaOut>(b);
    npu::dma_out(npu::dma(args->y + first, y[b], n * sizeof(float)));
    npu::set_flag<npu::kDmaOut, npu::kDmaIn>(b);
  }
  // Every flag that was set is waited for: the last stores of each buffer.
  for (uint32_t i = count < 2 ? 0 : count - 2; i < count; ++i) npu::wait_flag<npu::kDmaOut, npu::kDmaIn>(i % 2);
}
