// SPDX-License-Identifier: Apache-2.0
//
// npuOpsCast, npuOpsGatherRows and npuOpsTopK.  The kernels are in firmware/ops/select.cc.
#include "internal.h"
#include "npu_isa.h"

namespace npu::ops {
namespace {

constexpr uint64_t kMaxCount = 1ull << 38;  // elements that 40-bit addresses reach

// By npuOpsType, which is enum npu_dtype.
constexpr uint32_t kBits[NPU_DTYPES] = {32, 16, 16, 32, 8, 8, 8, 8, 32, 16, 4, 32};

npuError_t CheckType(const char* operation, const char* name, npuOpsType type) {
  if (static_cast<uint32_t>(type) < NPU_DTYPES) return npuSuccess;
  return Refuse(npuErrorInvalidValue, "%s: %s = %d is no element type", operation, name, static_cast<int>(type));
}

npuError_t CheckTyped(const char* operation, const char* name, const void* pointer, npuOpsType type) {
  return CheckPointer(operation, name, pointer, std::max(kBits[type] / 8, 1u));
}

unsigned long long Long(uint64_t value) {
  return value;
}

// The most rows a tile, at most `wanted`, whose SRAM (needed(rows) bytes) a core has; 0: not even one.
template <class Needed>
uint64_t FitRows(const DeviceFacts& device, uint64_t wanted, Needed needed) {
  while (wanted && needed(wanted) > device.sram_bytes) wanted /= 2;
  return wanted;
}

}  // namespace
}  // namespace npu::ops

using namespace npu::ops;

extern "C" npuError_t npuOpsCast(uint64_t count, npuOpsType xType, const void* x, npuOpsType yType, void* y,
                                 npuOpsRounding rounding, uint32_t flags, uint32_t seed, npuStream_t stream) {
  constexpr char kName[] = "npuOpsCast";
  if (count == 0 || count > kMaxCount) {
    return Refuse(npuErrorInvalidValue, "%s: count = %llu; it must be 1 .. %llu", kName, Long(count), Long(kMaxCount));
  }
  if (npuError_t e = CheckType(kName, "xType", xType)) return e;
  if (npuError_t e = CheckType(kName, "yType", yType)) return e;
  if (static_cast<uint32_t>(rounding) >= NPU_ROUNDS) {
    return Refuse(npuErrorInvalidValue, "%s: rounding %d is unknown", kName, static_cast<int>(rounding));
  }
  if (flags & ~NPU_OPS_CAST_SATURATE) return Refuse(npuErrorInvalidValue, "%s: flags = %#x", kName, flags);
  if ((flags & NPU_OPS_CAST_SATURATE) && yType > npuOpsTypeF8E5M2) {
    return Refuse(npuErrorInvalidValue, "%s: integers saturate always; the flag is for floating-point results", kName);
  }
  if (count % 2 && (xType == npuOpsTypeI4 || yType == npuOpsTypeI4)) {
    return Refuse(npuErrorInvalidValue, "%s: count = %llu; packed 4-bit elements come in pairs", kName, Long(count));
  }
  if (npuError_t e = CheckTyped(kName, "x", x, xType)) return e;
  if (npuError_t e = CheckTyped(kName, "y", y, yType)) return e;
  DeviceFacts device;
  if (npuError_t e = GetDeviceFacts(&device)) return e;
  // Four tiles of at most four bytes an element.
  const uint64_t most = std::min<uint64_t>(16384, device.sram_bytes / 16 / 64 * 64 - 64);
  const uint64_t wanted = RoundUp(DivUp(count, device.cores * 4), 64);
  const uint64_t tile = std::clamp<uint64_t>(wanted, std::min<uint64_t>(1024, most), most);
  const NpuCastArgs a = {Bits(x),
                         Bits(y),
                         count,
                         static_cast<uint32_t>(tile),
                         static_cast<uint32_t>(xType),
                         static_cast<uint32_t>(yType),
                         static_cast<uint32_t>(rounding),
                         flags & NPU_OPS_CAST_SATURATE,
                         seed};
  const npuDim3 grid = {BlocksFor(device, DivUp(count, tile)), 1, 1};
  return Launch(device, "select", "cast", grid, &a, sizeof a, stream);
}

extern "C" npuError_t npuOpsGatherRows(uint32_t rows, uint32_t rowBytes, const void* table, uint32_t count,
                                       const void* index, void* y, npuStream_t stream) {
  constexpr char kName[] = "npuOpsGatherRows";
  if (npuError_t e = CheckDimension(kName, "rows", rows, INT32_MAX)) return e;
  if (npuError_t e = CheckDimension(kName, "rowBytes", rowBytes, kMaxDimension)) return e;
  if (npuError_t e = CheckDimension(kName, "count", count, INT32_MAX)) return e;
  if (npuError_t e = CheckPointer(kName, "table", table, 1)) return e;
  if (npuError_t e = CheckPointer(kName, "index", index)) return e;
  if (npuError_t e = CheckPointer(kName, "y", y, 1)) return e;
  DeviceFacts device;
  if (npuError_t e = GetDeviceFacts(&device)) return e;
  const auto needed = [&](uint64_t tile) { return 2 * RoundUp(tile * rowBytes, 64) + RoundUp(tile * 4, 64); };
  const uint64_t wanted = std::clamp<uint64_t>(DivUp(count, device.cores * 2), 1, 4096);
  const uint64_t tile = FitRows(device, wanted, needed);
  if (!tile) {
    return Refuse(npuErrorNotSupported, "%s: rows of %u bytes need %llu bytes of local memory, a core has %llu", kName,
                  rowBytes, Long(needed(1)), Long(device.sram_bytes));
  }
  const NpuGatherRowsArgs a = {Bits(table), Bits(index), Bits(y), rows, rowBytes, count, static_cast<uint32_t>(tile)};
  const npuDim3 grid = {BlocksFor(device, DivUp(count, tile)), 1, 1};
  return Launch(device, "select", "gather_rows", grid, &a, sizeof a, stream);
}

extern "C" npuError_t npuOpsTopK(uint32_t rows, uint32_t cols, uint32_t k, const void* x, void* values, void* columns,
                                 npuStream_t stream) {
  constexpr char kName[] = "npuOpsTopK";
  if (npuError_t e = CheckDimension(kName, "rows", rows, UINT32_MAX)) return e;
  if (npuError_t e = CheckDimension(kName, "cols", cols, kMaxDimension)) return e;
  if (npuError_t e = CheckDimension(kName, "k", k, cols)) return e;
  if (npuError_t e = CheckPointer(kName, "x", x)) return e;
  if (npuError_t e = CheckPointer(kName, "values", values)) return e;
  if (npuError_t e = CheckPointer(kName, "columns", columns)) return e;
  DeviceFacts device;
  if (npuError_t e = GetDeviceFacts(&device)) return e;
  const auto needed = [&](uint64_t tile) { return 2 * SramFloats(Wide{tile} * cols) + 4 * SramFloats(Wide{tile} * k); };
  const uint64_t wanted = std::clamp<uint64_t>(DivUp(rows, device.cores * 2), 1, 4096);
  const uint64_t tile = FitRows(device, wanted, needed);
  if (!tile) {
    return Refuse(npuErrorNotSupported, "%s: a row of %u columns needs %llu bytes of local memory, a core has %llu",
                  kName, cols, Long(needed(1)), Long(device.sram_bytes));
  }
  const NpuTopkArgs a = {Bits(x), Bits(values), Bits(columns), rows, cols, k, static_cast<uint32_t>(tile)};
  const npuDim3 grid = {BlocksFor(device, DivUp(rows, tile)), 1, 1};
  return Launch(device, "select", "topk_f32", grid, &a, sizeof a, stream);
}
