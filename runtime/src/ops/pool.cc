// SPDX-License-Identifier: Apache-2.0
//
// npuOpsPool2d: checks, geometry and the choice of tiles.  The kernel is firmware/ops/pool.cc.
#include "internal.h"

namespace npu::ops {
namespace {

constexpr char kName[] = "npuOpsPool2d";

npuError_t Check(const npuOpsPool2dDesc* d) {
  if (!d) return Refuse(npuErrorInvalidValue, "%s: the description is NULL", kName);
  if (d->kind != npuOpsPoolMax && d->kind != npuOpsPoolAverage) {
    return Refuse(npuErrorInvalidValue, "%s: kind %d is unknown", kName, static_cast<int>(d->kind));
  }
  const struct {
    const char* name;
    uint32_t value, most;
  } dimensions[] = {{"n", d->n, kMaxDimension},          {"h", d->h, kMaxDimension},         {"w", d->w, kMaxDimension},
                    {"c", d->c, kMaxDimension},          {"kh", d->kh, kMaxWindow},          {"kw", d->kw, kMaxWindow},
                    {"strideH", d->strideH, kMaxWindow}, {"strideW", d->strideW, kMaxWindow}};
  for (const auto& v : dimensions) {
    if (npuError_t e = CheckDimension(kName, v.name, v.value, v.most)) return e;
  }
  if (npuError_t e = CheckWindow(kName, "height", d->h, d->kh, d->padTop, d->padBottom)) return e;
  return CheckWindow(kName, "width", d->w, d->kw, d->padLeft, d->padRight);
}

void Geometry(const npuOpsPool2dDesc& d, NpuPoolArgs* a) {
  WindowGeometry(d, a);
  // Windows that do not overlap and follow each other across row ends make one operation out of many.
  const uint64_t needed = uint64_t{a->ow - 1} * d.strideW + d.kw, even = uint64_t{a->ow} * d.strideW;
  a->in_pitch = static_cast<uint32_t>(std::max(needed, even));
  if (d.kind == npuOpsPoolAverage) a->flags |= NPU_OP_F_AVERAGE;
  a->factor = 1.0f / static_cast<float>(d.kh * d.kw);
}

uint64_t SramNeeded(const NpuPoolArgs& a, uint64_t rows) {
  const Wide row = Wide{a.in_pitch} * a.c;
  return 2 * SramFloats(((rows - 1) * a.stride_h + a.kh) * row) + 2 * SramFloats(Wide{rows} * a.ow * a.c) +
         SramFloats(rows * row);
}

// As many rows as fit, but enough tiles for all cores.
npuError_t ChooseTiles(const DeviceFacts& device, NpuPoolArgs* a) {
  uint64_t rows = a->oh;
  if (a->n < device.cores) rows = DivUp(a->oh, DivUp(device.cores, a->n));
  while (rows > 1 && SramNeeded(*a, rows) > device.sram_bytes) rows = DivUp(rows, 2);
  if (SramNeeded(*a, rows) > device.sram_bytes) {
    return Refuse(
        npuErrorNotSupported,
        "%s: one output row needs %llu bytes of local memory, a core has %llu; make width (%u), channels (%u) or "
        "window height (%u) smaller",
        kName, static_cast<unsigned long long>(SramNeeded(*a, rows)),
        static_cast<unsigned long long>(device.sram_bytes), a->width, a->c, a->kh);
  }
  a->row_tile = static_cast<uint32_t>(rows);
  a->row_tiles = static_cast<uint32_t>(DivUp(a->oh, rows));
  return npuSuccess;
}

}  // namespace
}  // namespace npu::ops

using namespace npu::ops;

extern "C" npuError_t npuOpsPool2dOutput(const npuOpsPool2dDesc* desc, uint32_t* oh, uint32_t* ow) {
  if (npuError_t e = Check(desc)) return e;
  if (!oh || !ow) return Refuse(npuErrorInvalidValue, "npuOpsPool2dOutput: oh or ow is NULL");
  NpuPoolArgs a = {};
  Geometry(*desc, &a);
  *oh = a.oh;
  *ow = a.ow;
  return npuSuccess;
}

extern "C" npuError_t npuOpsPool2d(const npuOpsPool2dDesc* desc, const void* x, void* y, npuStream_t stream) {
  if (npuError_t e = Check(desc)) return e;
  if (npuError_t e = CheckPointer(kName, "x", x)) return e;
  if (npuError_t e = CheckPointer(kName, "y", y)) return e;
  DeviceFacts device;
  if (npuError_t e = GetDeviceFacts(&device)) return e;
  NpuPoolArgs a = {};
  Geometry(*desc, &a);
  if (npuError_t e = ChooseTiles(device, &a)) return e;
  a.x = Bits(x);
  a.y = Bits(y);
  const npuDim3 grid = {BlocksFor(device, uint64_t{a.n} * a.row_tiles), 1, 1};
  return Launch(device, "pool", "pool_f32", grid, &a, sizeof a, stream);
}
