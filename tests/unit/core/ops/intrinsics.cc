// SPDX-License-Identifier: Apache-2.0
//
// The vector and DMA intrinsics of npu_device.h, one after another on a small matrix.
#include "intrinsics.h"

#include "npu_device.h"

extern "C" __attribute__((section(".entry"), used)) void intrinsics(const IntrinsicsArgs* args) {
  using namespace npu;
  Sram sram;
  auto* narrow = sram.alloc<f16>(kRows * kCols);
  auto* r = sram.alloc<IntrinsicsResult>(1);
  auto* back = sram.alloc<int32_t>(kRows);
  constexpr uint32_t kPitch = kCols * 4, kBestPitch = kBest * 4;
  for (int i = 0; i < kRows; ++i) back[i] = kRows - 1 - i;
  Round zero;
  zero.mode = NPU_ROUND_ZERO;
  dma_in(dma_convert(narrow, device_pointer<const float>(args->x), kRows * kCols, zero));
  set_flag<kDmaIn, kVector>(0);
  wait_flag<kDmaIn, kVector>(0);
  float* half = &r->half[0][0];
  convert(half, kPitch, narrow, kCols * 2, kRows, kCols);
  scan(NPU_V_SCAN_SUM, &r->sums[0][0], kPitch, half, kPitch, kRows, kCols);
  sort(&r->sorted[0][0], kPitch, half, kPitch, kRows, kCols);
  topk(&r->best[0][0], kBestPitch, &r->columns[0][0], kBestPitch, half, kPitch, kRows, kCols, kBest);
  gather(&r->gathered[0][0], kBestPitch, half, kPitch, kCols, &r->columns[0][0], kBestPitch, kRows, kBest);
  Vec fill = vec<float>(NPU_V_FILL, &r->scattered[0][0], kRows, kCols, kPitch);
  fill.imm[0] = bits(7.0f);
  fill.issue();
  scatter(&r->scattered[0][0], kPitch, kCols, &r->best[0][0], kBestPitch, &r->columns[0][0], kBestPitch, kRows, kBest);
  gather_rows(&r->rows[0][0], kPitch, half, kPitch, kRows, back, kRows, kCols);
  pad(&r->padded[0][0], kPadded * 4, kPadded, half, kPitch, kRows, kCols, 2, bits(9.0f));
  set_flag<kVector, kDmaOut>(0);
  wait_flag<kVector, kDmaOut>(0);
  dma_out(dma(device_pointer<IntrinsicsResult>(args->out), r, sizeof(*r)));
}
