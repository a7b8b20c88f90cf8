// SPDX-License-Identifier: Apache-2.0
//
// How the operators deal their items out over the blocks.
#pragma once

#include "npu_device.h"

namespace npu {

struct Range {
  uint64_t first, last;  // [first, last)
};

// This block's part of items, over grid.x: the parts differ by at most one item.
inline Range my_items(uint64_t items) {
  const uint64_t b = block_x(), n = grid_x();
  const uint64_t each = items / n, rest = items % n;
  const uint64_t first = b * each + min(b, rest);
  return {first, first + each + (b < rest)};
}

}  // namespace npu
