// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "core/footprint.h"

#include <algorithm>

#include "core/peers.h"

namespace npu::model {

namespace {

// Sum over i in [0, n) of clamp(c - i * t, 0, width), t >= 0.
Wide SumClamped(Wide c, Wide t, Wide n, Wide width) {
  if (t == 0) return n * std::clamp<Wide>(c, 0, width);
  const Wide full = std::clamp<Wide>(c < width ? 0 : (c - width) / t + 1, 0, n);  // terms that are `width`
  const Wide some = std::clamp<Wide>(c <= 0 ? 0 : (c - 1) / t + 1, full, n);      // terms that are above 0
  const Wide ramp = some - full;
  return full * width + ramp * c - t * ((some * (some - 1) - full * (full - 1)) / 2);
}

// Bytes of n rows [start + i * stride, + width) that lie in [low, high).
Wide BytesInside(Wide start, Wide stride, Wide n, Wide width, Wide low, Wide high) {
  if (stride < 0) {
    start += (n - 1) * stride;
    stride = -stride;
  }
  return SumClamped(high - start, stride, n, width) - SumClamped(low - start, stride, n, width);
}

// The first i in [0, n) whose row does not lie in [low, high) entirely; n if all do.
Wide FirstRowOutside(Wide start, Wide stride, Wide n, Wide width, Wide low, Wide high) {
  if (start < low || start + width > high) return 0;
  Wide i = n;
  if (stride > 0) i = (high - width - start) / stride + 1;
  if (stride < 0) i = (start - low) / -stride + 1;
  return std::min(i, n);
}

}  // namespace

uint64_t Clamp64(Wide value) {
  if (value < 0) return 0;
  return value > Wide(UINT64_MAX) ? UINT64_MAX : static_cast<uint64_t>(value);
}

Extent BoxExtent(const Box& box) {
  const Wide va = NPU_PTR_VA(box.ptr);
  Extent e{va, va + Wide(box.count[0]) * box.elem_bytes};
  for (int d = 1; d < 4; ++d) {
    const Wide reach = Wide(box.count[d] - 1) * box.stride[d];
    (reach < 0 ? e.low : e.high) += reach;
  }
  return e;
}

Wide BoxBytes(const Box& box) {
  return Wide(box.count[0]) * box.elem_bytes * Wide(box.count[1]) * Wide(box.count[2]) * Wide(box.count[3]);
}

Outside FindOutside(const Box& box, Wide low, Wide high) {
  Outside out;
  const Extent e = BoxExtent(box);
  if (e.low >= low && e.high <= high) return out;
  const Wide width = Wide(box.count[0]) * box.elem_bytes;
  const Wide rows = Wide(box.count[1]);
  high = std::max(high, low);
  Wide bad = 0;
  for (uint64_t i3 = 0; i3 < box.count[3]; ++i3) {
    for (uint64_t i2 = 0; i2 < box.count[2]; ++i2) {
      const Wide start = Wide(NPU_PTR_VA(box.ptr)) + Wide(i2) * box.stride[2] + Wide(i3) * box.stride[3];
      bad += rows * width - BytesInside(start, box.stride[1], rows, width, low, high);
      if (out.any) continue;
      const Wide i1 = FirstRowOutside(start, box.stride[1], rows, width, low, high);
      if (i1 == rows) continue;
      const Wide row = start + i1 * box.stride[1];
      const Wide first = row < low ? row : std::max(row, high);
      out.any = true;
      out.index[0] = static_cast<uint32_t>((first - row) / box.elem_bytes);
      out.index[1] = static_cast<uint32_t>(i1);
      out.index[2] = static_cast<uint32_t>(i2);
      out.index[3] = static_cast<uint32_t>(i3);
      out.bad_addr = static_cast<uint64_t>(first) & NPU_VA_MASK;
    }
  }
  out.bad_bytes = Clamp64(bad);
  return out;
}

void DescribeBox(const Box& box, npu_access access, FaultInfo* fault) {
  const Extent e = BoxExtent(box);
  fault->access = static_cast<uint8_t>(access);
  fault->addr = (box.ptr & ~NPU_VA_MASK) | (static_cast<uint64_t>(e.low) & NPU_VA_MASK);
  fault->size = Clamp64(e.high - e.low);
  fault->buf_number = static_cast<uint16_t>(NPU_PTR_BUF(box.ptr));
  fault->buf_gen = static_cast<uint8_t>(NPU_PTR_GEN(box.ptr));
}

void RefuseWhole(const Box& box, uint8_t kind, npu_access access, FaultInfo* fault) {
  DescribeBox(box, access, fault);
  fault->kind = kind;
  fault->bad_addr = NPU_PTR_VA(box.ptr);
  fault->bad_bytes = Clamp64(BoxBytes(box));
  for (uint32_t& i : fault->bad_index) i = 0;
}

void RefuseOutside(const Box& box, uint8_t kind, npu_access access, const Outside& outside, FaultInfo* fault) {
  DescribeBox(box, access, fault);
  fault->kind = kind;
  fault->bad_addr = outside.bad_addr;
  fault->bad_bytes = outside.bad_bytes;
  for (int d = 0; d < 4; ++d) fault->bad_index[d] = outside.index[d];
}

uint8_t LocalKind(uint64_t va) {
  // Half way between SRAM and stack: what is nearer to the stack ran off the stack.
  constexpr uint64_t kStackZone = NPU_LOCAL_SRAM_BASE + (NPU_LOCAL_STACK_BASE - NPU_LOCAL_SRAM_BASE) / 2;
  constexpr uint64_t kZoneEnd = NPU_LOCAL_STACK_BASE + (NPU_LOCAL_STACK_BASE - kStackZone);
  if (va < NPU_LOCAL_NULL_BYTES) return NPU_FAULT_NULL;
  if (va < kStackZone || IsPeer(va)) return NPU_FAULT_LOCAL_OOB;
  return va < kZoneEnd ? NPU_FAULT_STACK : NPU_FAULT_UNKNOWN_BUF;
}

}  // namespace npu::model
