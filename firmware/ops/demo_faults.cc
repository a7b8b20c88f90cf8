// SPDX-License-Identifier: Apache-2.0
//
// Operators with a planted mistake, for the demonstration and the tests of fault detection.  Both mean to write
// y[i] = x[i] * factor for count elements, and both go one element too far.
#include "npu_device.h"
#include "npu_op_args.h"

// The classic: <= where < was meant.  The last store goes behind the tensor.
NPU_KERNEL scale_off_by_one(const NpuDemoFaultArgs* args) {
  const float* x = npu::device_pointer<const float>(args->x);
  float* y = npu::device_pointer<float>(args->y);
  const float factor = args->factor;
  const uint32_t count = args->count;
  for (uint32_t i = 0; i <= count; ++i) {
    const float value = i < count ? x[i] * factor : 0.0f;
    y[i] = value;
  }
}

// The same through the pipes: the DMA out stores one element more than the tensor has.
NPU_KERNEL copy_off_by_one(const NpuDemoFaultArgs* args) {
  using namespace npu;
  const uint32_t count = args->count;
  Sram sram;
  float* tile = sram.alloc<float>(count + 1);
  dma_in(dma(tile, device_pointer<const float>(args->x), count * sizeof(float)));
  set_flag<kDmaIn, kVector>(0);
  wait_flag<kDmaIn, kVector>(0);
  vec<float>(NPU_V_MUL, tile, 1, count, 0).operand(0, tile, 0).constant(1, args->factor).issue();
  set_flag<kVector, kDmaOut>(0);
  wait_flag<kVector, kDmaOut>(0);
  dma_out(dma(device_pointer<float>(args->y), tile, (count + 1) * sizeof(float)));
}
