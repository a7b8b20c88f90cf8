// SPDX-License-Identifier: Apache-2.0
//
// The memory functions that the compiler calls for copies and initialisations of its own.  Linked into every operator
// module; compiled without loop idiom recognition, so that they do not call themselves.
#include <stddef.h>
#include <stdint.h>

extern "C" {

void* memcpy(void* __restrict dst, const void* __restrict src, size_t bytes) {
  auto* d = static_cast<uint8_t*>(dst);
  auto* s = static_cast<const uint8_t*>(src);
  if (((reinterpret_cast<uintptr_t>(d) | reinterpret_cast<uintptr_t>(s)) & 7) == 0) {
    for (; bytes >= 8; bytes -= 8, d += 8, s += 8) {
      *reinterpret_cast<uint64_t __attribute__((may_alias))*>(d) =
          *reinterpret_cast<const uint64_t __attribute__((may_alias))*>(s);
    }
  }
  for (; bytes; --bytes) *d++ = *s++;
  return dst;
}

void* memset(void* dst, int value, size_t bytes) {
  auto* d = static_cast<uint8_t*>(dst);
  const uint64_t wide = 0x0101010101010101ull * static_cast<uint8_t>(value);
  for (; bytes && (reinterpret_cast<uintptr_t>(d) & 7); --bytes) *d++ = static_cast<uint8_t>(value);
  for (; bytes >= 8; bytes -= 8, d += 8) *reinterpret_cast<uint64_t __attribute__((may_alias))*>(d) = wide;
  for (; bytes; --bytes) *d++ = static_cast<uint8_t>(value);
  return dst;
}
}
