// SPDX-License-Identifier: Apache-2.0
#include "va_space.hpp"

#include <iterator>

namespace npu::rt {

Status VaSpace::Allocate(uint64_t bytes, uint64_t align, uint64_t* va) {
  std::lock_guard lock(mutex_);
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    uint64_t start = it->first, length = it->second;
    uint64_t at = (start + align - 1) & ~(align - 1);
    if (at - start > length || length - (at - start) < bytes) continue;
    free_.erase(it);
    if (at > start) free_[start] = at - start;
    if (uint64_t tail = start + length - (at + bytes)) free_[at + bytes] = tail;
    *va = at;
    return {};
  }
  return Fail(npuErrorOutOfMemory, "no {} contiguous device addresses are free", bytes);
}

void VaSpace::Free(uint64_t va, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  auto next = free_.lower_bound(va);
  if (next != free_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == va) {
      va = before->first;
      bytes += before->second;
      free_.erase(before);
    }
  }
  if (next != free_.end() && va + bytes == next->first) {
    bytes += next->second;
    free_.erase(next);
  }
  free_[va] = bytes;
}

}  // namespace npu::rt
