// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "core/code_pages.h"

#include <algorithm>

#include "core/ecc.h"
#include "core/shared_bytes.h"

namespace npu::model {

namespace {

constexpr uint64_t kSmall = NPU_PAGE_SIZE;

// What a fetch depends on besides rights: where it would have to end.
bool SameBuffer(const BoundsView& a, const BoundsView& b) {
  return a.base == b.base && a.size == b.size;
}

}  // namespace

void CodePages::Note(uint64_t pc, uint64_t bytes, const BoundsView& bounds, const PageView& page) {
  while (bytes && complete_) {
    const uint64_t step = std::min(bytes, kSmall - pc % kSmall);
    complete_ = NotePage(pc, step, bounds, page);
    pc += step;
    bytes -= step;
  }
}

// False: the code cannot be kept.
bool CodePages::NotePage(uint64_t pc, uint64_t bytes, const BoundsView& bounds, const PageView& page) {
  const uint64_t va = NPU_PTR_VA(pc);
  for (const Page& known : pages_) {
    if (pc - known.pc >= known.bytes) continue;
    // Another part of a known page.  The guest may have written there since.
    return SameBuffer(known.bounds, bounds) && known.page_va == page.va && known.page_bytes == page.bytes &&
           SameShared(known.copy.get() + (pc - known.pc), page.host + (va - page.va), bytes);
  }
  if (pages_.size() == kMost) return false;
  const uint64_t first = va & ~(kSmall - 1), low = std::max(first, bounds.base);
  Page& added = pages_.emplace_back();
  added.pc = pc - (va - low);
  added.bytes = std::min(first + kSmall - low, bounds.size - (low - bounds.base));
  added.bounds = bounds;
  added.page_va = page.va;
  added.page_bytes = page.bytes;
  added.copy = std::make_unique_for_overwrite<uint8_t[]>(kSmall);
  MoveShared(added.copy.get(), page.host + (low - page.va), added.bytes);
  return true;
}

bool CodePages::Stand(const AddressSpace& space) const {
  // With memory errors about, every fetch is an access that is looked at and counted.
  const Ecc* ecc = space.platform().ecc;
  if (!complete_ || (ecc && ecc->armed())) return false;
  for (const Page& known : pages_) {
    BoundsView bounds;
    FaultInfo ignored;
    const bool allowed = space.CheckBounds(known.pc, known.bytes, NPU_ACCESS_EXEC, &bounds, &ignored);
    if (!allowed || !SameBuffer(bounds, known.bounds)) return false;
    const uint64_t va = NPU_PTR_VA(known.pc);
    const PageView page = space.Lookup(va);
    const bool same =
        page.host && (page.rights & NPU_PTE_EXEC) && page.va == known.page_va && page.bytes == known.page_bytes;
    if (!same || !SameShared(known.copy.get(), page.host + (va - page.va), known.bytes)) return false;
  }
  return true;
}

}  // namespace npu::model
