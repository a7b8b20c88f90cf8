// SPDX-License-Identifier: Apache-2.0
//
// Operators along the rows of a matrix: softmax and argmax.  Whole rows lie in SRAM.
#include "npu_device.h"
#include "npu_op_args.h"
#include "work.h"

namespace npu {
namespace {

constexpr uint32_t kBytes = sizeof(float);

// exp(x - max) / sum, the sum over columns ascending.
void softmax(float* y, const float* x, float* column, uint32_t rows, uint32_t cols) {
  const uint32_t pitch = cols * kBytes;
  vec<float>(NPU_V_RMAX, column, rows, cols, kBytes).operand(0, x, pitch).issue();
  vec<float>(NPU_V_SUB, y, rows, cols, pitch).operand(0, x, pitch).column(1, column, kBytes).issue();
  vec<float>(NPU_V_EXP, y, rows, cols, pitch).operand(0, y, pitch).issue();
  vec<float>(NPU_V_RSUM, column, rows, cols, kBytes).operand(0, y, pitch).issue();
  vec<float>(NPU_V_DIV, y, rows, cols, pitch).operand(0, y, pitch).column(1, column, kBytes).issue();
}

void argmax(int32_t* y, const float* x, uint32_t rows, uint32_t cols) {
  vec<int32_t, float>(NPU_V_RARGMAX, y, rows, cols, sizeof(int32_t)).operand(0, x, cols * kBytes).issue();
}

// Tiles of whole rows through the vector unit.  work(out, in, rows) issues the operations of one tile; every row gives
// out_cols elements of T.
template <class T, class Work>
void for_row_tiles(const NpuRowsArgs& a, uint32_t out_cols, Sram& sram, Work work) {
  float* in_tile[2];
  T* out_tile[2];
  for (float*& p : in_tile) p = sram.alloc<float>(static_cast<uint64_t>(a.row_tile) * a.cols);
  for (T*& p : out_tile) p = sram.alloc<T>(static_cast<uint64_t>(a.row_tile) * out_cols);
  Channel<kDmaIn, kVector> in;
  Channel<kVector, kDmaOut> out;
  const Range range = my_items(div_up(a.rows, a.row_tile));
  for (uint64_t i = range.first; i < range.last; ++i) {
    const uint64_t first = i * a.row_tile;
    const uint32_t rows = static_cast<uint32_t>(min<uint64_t>(a.row_tile, a.rows - first));
    in.acquire();
    dma_in(dma(in_tile[in.index()], device_pointer<const float>(a.x, first * a.cols),
               static_cast<uint64_t>(rows) * a.cols * kBytes));
    in.publish();
    in.receive();
    out.acquire();
    work(out_tile[out.index()], in_tile[in.taken()], rows);
    in.release();
    out.publish();
    out.receive();
    dma_out(dma(device_pointer<T>(a.y, first * out_cols), out_tile[out.taken()],
                static_cast<uint64_t>(rows) * out_cols * sizeof(T)));
    out.release();
  }
  in.drain();
  out.drain();
}

}  // namespace
}  // namespace npu

NPU_KERNEL softmax_f32(const NpuRowsArgs* args) {
  using namespace npu;
  const NpuRowsArgs a = *args;
  Sram sram;
  float* column = sram.alloc<float>(a.row_tile);
  for_row_tiles<float>(a, a.cols, sram,
                       [&](float* y, const float* x, uint32_t rows) { softmax(y, x, column, rows, a.cols); });
}

NPU_KERNEL argmax_f32(const NpuRowsArgs* args) {
  using namespace npu;
  const NpuRowsArgs a = *args;
  Sram sram;
  for_row_tiles<int32_t>(a, 1, sram, [&](int32_t* y, const float* x, uint32_t rows) { argmax(y, x, rows, a.cols); });
}
