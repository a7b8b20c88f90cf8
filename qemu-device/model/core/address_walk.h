// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Insides of AddressSpace that its source files share.
#pragma once

#include <algorithm>
#include <memory>

#include "core/address_space.h"

namespace npu::model {

inline Box LinearBox(uint64_t ptr, uint64_t bytes) {
  Box box;
  box.ptr = ptr;
  box.count[0] = bytes;
  return box;
}

inline uint64_t PageRights(npu_access access) {
  switch (access) {
    case NPU_ACCESS_READ:
      return NPU_PTE_READ;
    case NPU_ACCESS_WRITE:
      return NPU_PTE_WRITE;
    case NPU_ACCESS_EXEC:
      return NPU_PTE_EXEC;
    default:
      return NPU_PTE_READ | NPU_PTE_WRITE;
  }
}

// Translates addresses one after another, remembering the last page.
struct AddressSpace::Walk {
  const AddressSpace& space;
  PageView page;

  // The piece of [va, va + bytes) that lies in va's page; bytes = 0: not mapped.  *rights: what the page allows.
  Span Piece(uint64_t va, uint64_t bytes, uint64_t* rights) {
    if (va - page.va >= page.bytes) page = space.Lookup(va);
    *rights = page.rights;
    if (!page.bytes) return Span{nullptr, 0, 0};
    const uint64_t offset = va - page.va;
    return Span{page.host ? page.host + offset : nullptr, page.bus + offset, std::min(bytes, page.bytes - offset)};
  }
};

inline constexpr uint64_t kBounceBytes = 65536;

// The two sides of a copy, and a buffer for what goes from host memory to host memory.
struct AddressSpace::Mover {
  Walk dst;
  Walk src;
  std::unique_ptr<uint8_t[]> bounce;
};

}  // namespace npu::model
