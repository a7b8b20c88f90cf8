// SPDX-License-Identifier: Apache-2.0
//
// Operators that convert and pick: cast, rows of a table by their numbers (embedding), the k largest of every row.
#include "npu_device.h"
#include "npu_op_args.h"
#include "work.h"

namespace npu {
namespace {

constexpr uint32_t kDtypeBits[NPU_DTYPES] = {32, 16, 16, 32, 8, 8, 8, 8, 32, 16, 4, 32};

uint64_t bytes_of(uint32_t type, uint64_t elements) {
  return elements * kDtypeBits[type] / 8;
}

}  // namespace
}  // namespace npu

NPU_KERNEL cast(const NpuCastArgs* args) {
  using namespace npu;
  const NpuCastArgs a = *args;
  Sram sram;
  uint8_t *in_tile[2], *out_tile[2];
  for (uint8_t*& p : in_tile) p = sram.alloc<uint8_t>(bytes_of(a.src_type, a.tile));
  for (uint8_t*& p : out_tile) p = sram.alloc<uint8_t>(bytes_of(a.dst_type, a.tile));
  Channel<kDmaIn, kVector> in;
  Channel<kVector, kDmaOut> out;
  const Range range = my_items(a.count / a.tile + (a.count % a.tile != 0));
  for (uint64_t i = range.first; i < range.last; ++i) {
    const uint64_t first = i * a.tile;
    const uint32_t n = static_cast<uint32_t>(min<uint64_t>(a.tile, a.count - first));
    in.acquire();
    dma_in(dma(in_tile[in.index()], device_pointer<const uint8_t>(a.x, bytes_of(a.src_type, first)),
               bytes_of(a.src_type, n)));
    in.publish();
    in.receive();
    out.acquire();
    Vec v = vec<uint8_t>(NPU_V_CONVERT, out_tile[out.index()], 1, n, 0);
    v.dst_type = static_cast<uint8_t>(a.dst_type);
    v.src_type = static_cast<uint8_t>(a.src_type);
    v.operand(0, in_tile[in.taken()], 0)
        .rounding({static_cast<npu_round>(a.mode), a.saturate != 0, a.seed}, static_cast<uint32_t>(first))
        .issue();
    in.release();
    out.publish();
    out.receive();
    dma_out(
        dma(device_pointer<uint8_t>(a.y, bytes_of(a.dst_type, first)), out_tile[out.taken()], bytes_of(a.dst_type, n)));
    out.release();
  }
  in.drain();
  out.drain();
}

NPU_KERNEL gather_rows(const NpuGatherRowsArgs* args) {
  using namespace npu;
  const NpuGatherRowsArgs a = *args;
  Sram sram;
  uint8_t* tile[2];
  for (uint8_t*& p : tile) p = sram.alloc<uint8_t>(uint64_t{a.row_tile} * a.row_bytes);
  auto* numbers = sram.alloc<int32_t>(a.row_tile);
  Channel<kDmaIn, kDmaOut> moved;
  const Range range = my_items(div_up(a.count, a.row_tile));
  for (uint64_t i = range.first; i < range.last; ++i) {
    const uint64_t first = i * a.row_tile;
    const uint32_t n = static_cast<uint32_t>(min<uint64_t>(a.row_tile, a.count - first));
    dma_in(dma(numbers, device_pointer<const int32_t>(a.index, first), n * sizeof(int32_t)));
    set_flag<kDmaIn, kScalar>(0);
    wait_flag<kDmaIn, kScalar>(0);
    moved.acquire();
    for (uint32_t r = 0; r < n; ++r) {
      const auto number = static_cast<uint32_t>(static_cast<volatile int32_t*>(numbers)[r]);
      if (number >= a.rows) trap(kTrapIndex | static_cast<uint64_t>(number) << 32);
      dma_in(dma(tile[moved.index()] + uint64_t{r} * a.row_bytes,
                 device_pointer<const uint8_t>(a.table, uint64_t{number} * a.row_bytes), a.row_bytes));
    }
    moved.publish();
    moved.receive();
    dma_out(dma(device_pointer<uint8_t>(a.y, first * a.row_bytes), tile[moved.taken()], uint64_t{n} * a.row_bytes));
    moved.release();
  }
  moved.drain();
}

NPU_KERNEL topk_f32(const NpuTopkArgs* args) {
  using namespace npu;
  const NpuTopkArgs a = *args;
  Sram sram;
  float *in_tile[2], *values[2];
  int32_t* columns[2];
  for (float*& p : in_tile) p = sram.alloc<float>(uint64_t{a.row_tile} * a.cols);
  for (float*& p : values) p = sram.alloc<float>(uint64_t{a.row_tile} * a.k);
  for (int32_t*& p : columns) p = sram.alloc<int32_t>(uint64_t{a.row_tile} * a.k);
  Channel<kDmaIn, kVector> in;
  Channel<kVector, kDmaOut> out;
  const Range range = my_items(div_up(a.rows, a.row_tile));
  const uint32_t out_pitch = a.k * 4;
  for (uint64_t i = range.first; i < range.last; ++i) {
    const uint64_t first = i * a.row_tile;
    const uint32_t rows = static_cast<uint32_t>(min<uint64_t>(a.row_tile, a.rows - first));
    in.acquire();
    dma_in(dma(in_tile[in.index()], device_pointer<const float>(a.x, first * a.cols), uint64_t{rows} * a.cols * 4));
    in.publish();
    in.receive();
    out.acquire();
    topk(values[out.index()], out_pitch, columns[out.index()], out_pitch, in_tile[in.taken()], a.cols * 4, rows, a.cols,
         a.k);
    in.release();
    out.publish();
    out.receive();
    dma_out(dma(device_pointer<float>(a.values, first * a.k), values[out.taken()], uint64_t{rows} * out_pitch));
    dma_out(dma(device_pointer<int32_t>(a.columns, first * a.k), columns[out.taken()], uint64_t{rows} * out_pitch));
    out.release();
  }
  in.drain();
  out.drain();
}
