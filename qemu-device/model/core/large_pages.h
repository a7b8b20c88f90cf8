// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Host memory in large pages where the host has them: the working set of a core is read in strides of a page and more.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace npu::model {

struct LargePagesDeleter {
  void operator()(void* p) const { std::free(p); }
};
template <class T>
using LargePages = std::unique_ptr<T, LargePagesDeleter>;

// bytes, rounded up to whole large pages and not initialised.  Throws std::bad_alloc.
inline void* AllocateLargePages(size_t bytes) {
  constexpr size_t kPage = size_t{2} << 20;
  bytes = (bytes + kPage - 1) / kPage * kPage;
  void* p = std::aligned_alloc(kPage, bytes);
  if (!p) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  madvise(p, bytes, MADV_HUGEPAGE);  // advice: without it everything works the same
#endif
  return p;
}

}  // namespace npu::model
