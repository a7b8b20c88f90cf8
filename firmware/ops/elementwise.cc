// SPDX-License-Identifier: Apache-2.0
//
// Element by element over contiguous tensors: two operands, one operand, x * scale + offset, and the same from bytes.
#include "npu_device.h"
#include "npu_op_args.h"
#include "work.h"

namespace npu {
namespace {

// Tiles through the vector unit.  load(slot, first, n) queues the DMA, work(y, slot, n) the vector operations.
template <class Load, class Work>
void for_tiles(const NpuElementwiseArgs& a, Sram& sram, Load load, Work work) {
  float* out_tile[2];
  for (float*& p : out_tile) p = sram.alloc<float>(a.tile);
  Channel<kDmaIn, kVector> in;
  Channel<kVector, kDmaOut> out;
  const Range range = my_items(a.count / a.tile + (a.count % a.tile != 0));
  for (uint64_t i = range.first; i < range.last; ++i) {
    const uint64_t first = i * a.tile;
    const uint32_t n = static_cast<uint32_t>(min<uint64_t>(a.tile, a.count - first));
    in.acquire();
    load(in.index(), first, n);
    in.publish();
    in.receive();
    out.acquire();
    work(out_tile[out.index()], in.taken(), n);
    in.release();
    out.publish();
    out.receive();
    dma_out(dma(device_pointer<float>(a.y, first), out_tile[out.taken()], n * sizeof(float)));
    out.release();
  }
  in.drain();
  out.drain();
}

template <class T>
void load_tile(T* dst, uint64_t base, uint64_t first, uint32_t n) {
  dma_in(dma(dst, device_pointer<const T>(base, first), n * sizeof(T)));
}

// y = x * scale + offset, fused.
void affine(float* y, const float* x, uint32_t n, float scale, float offset) {
  vec<float>(NPU_V_FMA, y, 1, n, 0).operand(0, x, 0).constant(1, scale).constant(2, offset).issue();
}

// Tiles of one operand of type T: work(y, x, n) queues the vector operations of one.
template <class T, class Work>
void map_tiles(const NpuElementwiseArgs& a, Work work) {
  Sram sram;
  T* x[2];
  for (T*& p : x) p = sram.alloc<T>(a.tile);
  for_tiles(
      a, sram, [&](uint32_t slot, uint64_t first, uint32_t n) { load_tile(x[slot], a.x0, first, n); },
      [&](float* y, uint32_t slot, uint32_t n) { work(y, x[slot], n); });
}

}  // namespace
}  // namespace npu

NPU_KERNEL binary_f32(const NpuElementwiseArgs* args) {
  using namespace npu;
  const NpuElementwiseArgs a = *args;
  Sram sram;
  float *x0[2], *x1[2];
  for (float*& p : x0) p = sram.alloc<float>(a.tile);
  for (float*& p : x1) p = sram.alloc<float>(a.tile);
  for_tiles(
      a, sram,
      [&](uint32_t slot, uint64_t first, uint32_t n) {
        load_tile(x0[slot], a.x0, first, n);
        load_tile(x1[slot], a.x1, first, n);
      },
      [&](float* y, uint32_t slot, uint32_t n) {
        vec<float>(static_cast<npu_vector_op>(a.op), y, 1, n, 0)
            .operand(0, x0[slot], 0)
            .operand(1, x1[slot], 0)
            .issue();
      });
}

NPU_KERNEL unary_f32(const NpuElementwiseArgs* args) {
  using namespace npu;
  const NpuElementwiseArgs a = *args;
  map_tiles<float>(a, [&](float* y, const float* x, uint32_t n) {
    vec<float>(static_cast<npu_vector_op>(a.op), y, 1, n, 0).operand(0, x, 0).issue();
  });
}

NPU_KERNEL affine_f32(const NpuElementwiseArgs* args) {
  using namespace npu;
  const NpuElementwiseArgs a = *args;
  map_tiles<float>(a, [&](float* y, const float* x, uint32_t n) { affine(y, x, n, a.scale, a.offset); });
}

NPU_KERNEL normalize_u8_f32(const NpuElementwiseArgs* args) {
  using namespace npu;
  const NpuElementwiseArgs a = *args;
  map_tiles<uint8_t>(a, [&](float* y, const uint8_t* x, uint32_t n) {
    vec<float, uint8_t>(NPU_V_CONVERT, y, 1, n, 0).operand(0, x, 0).issue();
    affine(y, y, n, a.scale, a.offset);
  });
}
