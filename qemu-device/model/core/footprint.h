// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Exact arithmetic on strided footprints: extent, first element outside a range, bytes outside a range.
#pragma once

#include <cstdint>

#include "core/memory.h"

namespace npu::model {

__extension__ typedef __int128 Wide;  // addresses and sums that must not wrap

// Lowest byte and one past the highest, relative to nothing: may be negative or beyond any address.
struct Extent {
  Wide low;
  Wide high;
};
Extent BoxExtent(const Box& box);

// Bytes of all elements, gaps not counted.
Wide BoxBytes(const Box& box);

// Whether all of the box lies in [low, high); if not, the first element outside in index order (dimension 3 outermost).
struct Outside {
  bool any = false;
  uint32_t index[4] = {};
  uint64_t bad_addr = 0;
  uint64_t bad_bytes = 0;
};
Outside FindOutside(const Box& box, Wide low, Wide high);

// Fills addr, size, access, number and generation of *fault from the box.
void DescribeBox(const Box& box, npu_access access, FaultInfo* fault);

// Refuses the whole box: its first byte and all of its bytes are bad.
void RefuseWhole(const Box& box, uint8_t kind, npu_access access, FaultInfo* fault);
void RefuseOutside(const Box& box, uint8_t kind, npu_access access, const Outside& outside, FaultInfo* fault);

// Saturates to 64 bits.
uint64_t Clamp64(Wide value);

// What an address with number 0 that hits neither SRAM nor stack means.
uint8_t LocalKind(uint64_t va);

// The first element of the row with linear number row (dimension 1 innermost).
inline uint64_t RowAddress(const Box& box, const uint64_t index[3]) {
  uint64_t va = box.ptr;
  for (int d = 0; d < 3; ++d) va += index[d] * static_cast<uint64_t>(box.stride[d + 1]);
  return va;
}

// Calls f(address of the row's first byte, indices of dimensions 1..3) for all rows in order until f answers false.
template <class F>
bool ForEachRow(const Box& box, F&& f) {
  uint64_t i[3];
  for (i[2] = 0; i[2] < box.count[3]; ++i[2])
    for (i[1] = 0; i[1] < box.count[2]; ++i[1])
      for (i[0] = 0; i[0] < box.count[1]; ++i[0])
        if (!f(RowAddress(box, i), i)) return false;
  return true;
}

}  // namespace npu::model
