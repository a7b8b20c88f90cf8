// SPDX-License-Identifier: Apache-2.0
//
// npuOpsSoftmax and npuOpsArgmax.  The kernels are in firmware/ops/softmax.cc.
#include "internal.h"

namespace npu::ops {
namespace {

// SRAM of tiles of so many rows: input twice, output twice, and a column.
uint64_t SramNeeded(uint64_t rows, uint64_t cols, uint64_t out_cols) {
  return 2 * SramFloats(Wide{rows} * cols) + 2 * SramFloats(Wide{rows} * out_cols) + SramFloats(rows);
}

npuError_t Run(const char* name, const char* kernel, uint32_t rows, uint32_t cols, uint32_t out_cols, const void* x,
               void* y, npuStream_t stream) {
  if (npuError_t e = CheckDimension(name, "rows", rows, UINT32_MAX)) return e;
  if (npuError_t e = CheckDimension(name, "cols", cols, kMaxDimension)) return e;
  if (npuError_t e = CheckPointer(name, "x", x)) return e;
  if (npuError_t e = CheckPointer(name, "y", y)) return e;
  DeviceFacts device;
  if (npuError_t e = GetDeviceFacts(&device)) return e;
  // Two tiles a core at least, so that copies run beside the arithmetic.
  uint64_t row_tile = std::clamp<uint64_t>(DivUp(rows, device.cores * 2), 1, 4096);
  while (row_tile > 1 && SramNeeded(row_tile, cols, out_cols) > device.sram_bytes) row_tile = DivUp(row_tile, 2);
  if (SramNeeded(row_tile, cols, out_cols) > device.sram_bytes) {
    return Refuse(npuErrorNotSupported, "%s: a row of %u columns needs %llu bytes of local memory, a core has %llu",
                  name, cols, static_cast<unsigned long long>(SramNeeded(1, cols, out_cols)),
                  static_cast<unsigned long long>(device.sram_bytes));
  }
  const NpuRowsArgs a = {Bits(x), Bits(y), rows, cols, static_cast<uint32_t>(row_tile), 0};
  const npuDim3 grid = {BlocksFor(device, DivUp(rows, row_tile)), 1, 1};
  return Launch(device, "softmax", kernel, grid, &a, sizeof a, stream);
}

}  // namespace
}  // namespace npu::ops

using namespace npu::ops;

extern "C" npuError_t npuOpsSoftmax(uint32_t rows, uint32_t cols, const void* x, void* y, npuStream_t stream) {
  return Run("npuOpsSoftmax", "softmax_f32", rows, cols, cols, x, y, stream);
}

extern "C" npuError_t npuOpsArgmax(uint32_t rows, uint32_t cols, const void* x, void* y, npuStream_t stream) {
  return Run("npuOpsArgmax", "argmax_f32", rows, cols, 1, x, y, stream);
}
