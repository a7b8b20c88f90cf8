// SPDX-License-Identifier: Apache-2.0
#include "sim/vram.hpp"

#include <sys/mman.h>

#include <cerrno>

#include "common/error.hpp"

namespace npu::hal::sim {

Vram::~Vram() {
  if (base_) munmap(base_, size_);
}

Error Vram::Map(uint64_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    return Fail(errno, "cannot map {} MiB of simulated device memory: {}; set NPU_SIM_MEMORY lower", bytes >> 20,
                ErrnoText(errno));
  }
  // Fewer address translations for engines that walk over large matrices; a host without huge pages does as well.
  madvise(p, bytes, MADV_HUGEPAGE);
  base_ = static_cast<uint8_t*>(p);
  size_ = bytes;
  // Offset 0 is never given out: tables use it as "none".
  free_[NPU_PAGE_SIZE] = bytes - NPU_PAGE_SIZE;
  free_bytes_ = bytes - NPU_PAGE_SIZE;
  return {};
}

Result<uint64_t> Vram::Allocate(uint64_t bytes, uint64_t align) {
  std::lock_guard lock(mutex_);
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    uint64_t start = it->first, length = it->second;
    uint64_t offset = (start + align - 1) & ~(align - 1);
    if (offset - start > length || length - (offset - start) < bytes) continue;
    free_.erase(it);
    if (offset > start) free_[start] = offset - start;
    uint64_t tail = start + length - (offset + bytes);
    if (tail) free_[offset + bytes] = tail;
    free_bytes_ -= bytes;
    return offset;
  }
  return Fail(ENOSPC,
              "no {} contiguous bytes of device memory ({} of {} bytes are free); free buffers, or raise "
              "NPU_SIM_MEMORY",
              bytes, free_bytes_, size_);
}

void Vram::Free(uint64_t offset, uint64_t bytes) {
  // Private anonymous pages read as zeros afterwards, which is what Allocate promises.
  madvise(base_ + offset, bytes, MADV_DONTNEED);
  std::lock_guard lock(mutex_);
  free_bytes_ += bytes;
  auto next = free_.lower_bound(offset);
  if (next != free_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == offset) {
      offset = before->first;
      bytes += before->second;
      free_.erase(before);
    }
  }
  if (next != free_.end() && offset + bytes == next->first) {
    bytes += next->second;
    free_.erase(next);
  }
  free_[offset] = bytes;
}

uint64_t Vram::free_bytes() const {
  std::lock_guard lock(mutex_);
  return free_bytes_;
}

}  // namespace npu::hal::sim
