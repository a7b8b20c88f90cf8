// SPDX-License-Identifier: Apache-2.0
//
// The simulated device's memory: one anonymous mapping and a first-fit allocator of whole pages in it.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

#include "hal/hal.hpp"

namespace npu::hal::sim {

class Vram {
 public:
  Vram() = default;
  Vram(const Vram&) = delete;
  Vram& operator=(const Vram&) = delete;
  ~Vram();

  // Maps bytes (a power of two) of zeros; the host gives pages when they are touched.
  Error Map(uint64_t bytes);

  // Contiguous pages, filled with zeros, at an offset that is a multiple of align (a power of two, at least a page).
  // ENOSPC.
  Result<uint64_t> Allocate(uint64_t bytes, uint64_t align);
  // Takes back what Allocate gave, and returns the pages to the host.
  void Free(uint64_t offset, uint64_t bytes);

  uint8_t* base() const { return base_; }
  uint8_t* At(uint64_t offset) const { return base_ + offset; }
  uint64_t size() const { return size_; }
  uint64_t free_bytes() const;

 private:
  uint8_t* base_ = nullptr;
  uint64_t size_ = 0;
  mutable std::mutex mutex_;           // guards free_ and free_bytes_
  std::map<uint64_t, uint64_t> free_;  // offset -> bytes, neighbours merged
  uint64_t free_bytes_ = 0;
};

}  // namespace npu::hal::sim
