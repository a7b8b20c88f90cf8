// SPDX-License-Identifier: Apache-2.0
//
// Which device virtual addresses are in use.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

#include "status.hpp"

namespace npu::rt {

class VaSpace {
 public:
  VaSpace(uint64_t start, uint64_t end) { free_[start] = end - start; }
  // First fit; align is a power of two, bytes a multiple of the page size.  OutOfMemory.
  Status Allocate(uint64_t bytes, uint64_t align, uint64_t* va);
  void Free(uint64_t va, uint64_t bytes);

 private:
  std::mutex mutex_;                   // guards free_
  std::map<uint64_t, uint64_t> free_;  // start -> bytes, neighbours merged
};

}  // namespace npu::rt
