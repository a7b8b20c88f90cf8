// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "core/unit.h"

namespace npu::model {

bool Overlap(const Rows& a, const Rows& b) {
  if (!a.rows || !b.rows || !a.width || !b.width) return false;
  const uint64_t a_end = a.va + (a.rows - 1) * a.pitch + a.width;
  const uint64_t b_end = b.va + (b.rows - 1) * b.pitch + b.width;
  if (a_end <= b.va || b_end <= a.va) return false;
  // Both lists of rows ascend: walk them like a merge.  Rows of one list may overlap each other, but their ends ascend
  // too.
  uint64_t i = 0, j = 0;
  while (i < a.rows && j < b.rows) {
    const uint64_t x = a.va + i * a.pitch, y = b.va + j * b.pitch;
    if (x < y + b.width && y < x + a.width) return true;
    if (x + a.width <= y)
      ++i;
    else
      ++j;
  }
  return false;
}

}  // namespace npu::model
