// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Moving bytes that others may be reading or writing meanwhile: a wait that polls a word, another core, the CPU.  Who
// does that without waiting for each other gets old bytes or new ones; of an aligned 64-bit word that is moved as a
// whole, all of one time, or a fence that a copy writes could be seen half written.
#pragma once

#include <cstdint>
#include <cstring>

namespace npu::model {

#if defined(__SANITIZE_THREAD__)

inline constexpr bool kMoveByRegisters = false;

// ThreadSanitizer takes the library's functions for plain accesses.  So here the same is done by relaxed atomic ones,
// of words where both sides are aligned alike.
template <class T>
inline void MoveOne(uint8_t* to, const uint8_t* from) {
  const T value = __atomic_load_n(reinterpret_cast<const T*>(from), __ATOMIC_RELAXED);
  __atomic_store_n(reinterpret_cast<T*>(to), value, __ATOMIC_RELAXED);
}

// The two may overlap.
inline void MoveShared(void* dst, const void* src, uint64_t bytes) {
  auto* to = static_cast<uint8_t*>(dst);
  const auto* from = static_cast<const uint8_t*>(src);
  const auto to_bits = reinterpret_cast<uintptr_t>(to), from_bits = reinterpret_cast<uintptr_t>(from);
  const bool alike = (to_bits ^ from_bits) % 8 == 0;
  const bool backwards = to_bits - from_bits < bytes;
  for (uint64_t left = bytes; left;) {
    const uint64_t at = backwards ? left : bytes - left;
    const uint64_t edge = (to_bits + at) % 8;
    const bool word = alike && !edge && left >= 8;
    const uint64_t step = word ? 8 : 1, first = backwards ? at - step : at;
    word ? MoveOne<uint64_t>(to + first, from + first) : MoveOne<uint8_t>(to + first, from + first);
    left -= step;
  }
}

inline bool SameShared(const void* a, const void* b, uint64_t bytes) {
  for (uint64_t i = 0; i < bytes; ++i) {
    const auto at = [i](const void* p) {
      return __atomic_load_n(static_cast<const uint8_t*>(p) + i, __ATOMIC_RELAXED);
    };
    if (at(a) != at(b)) return false;
  }
  return true;
}

#else

// Whether moving by registers that hold whole words will do.
inline constexpr bool kMoveByRegisters = true;

// The two may overlap.  The library moves by registers that hold whole words, and is no place where the compiler could
// take accesses apart or repeat them.
inline void MoveShared(void* dst, const void* src, uint64_t bytes) {
  if (bytes != 8) {
    std::memmove(dst, src, bytes);
    return;
  }
  uint64_t word;
  std::memcpy(&word, src, 8);
  if (reinterpret_cast<uintptr_t>(dst) % 8 == 0)
    __atomic_store_n(static_cast<uint64_t*>(dst), word, __ATOMIC_RELAXED);
  else
    std::memcpy(dst, &word, 8);
}

inline bool SameShared(const void* a, const void* b, uint64_t bytes) {
  return std::memcmp(a, b, bytes) == 0;
}

#endif

}  // namespace npu::model
