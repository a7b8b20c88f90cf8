// SPDX-License-Identifier: Apache-2.0
//
// The management core's registers and memories, as inline accessors.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "npu_mgmt.h"
#include "npu_regs.h"

namespace control {

// A point in time that never comes; also what NPU_MG_TIMECMP takes for "no timer".
constexpr uint64_t kNever = ~uint64_t{0};
constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kSecond = 1'000'000'000;

// Loads and stores that happen exactly once, as written and in this order.  Assembly on purpose: GCC 12 repeats
// volatile stores behind a loop when it moves other stores out of it, and a repeated store to a register is a second
// command.
inline uint32_t Load32(uint64_t address) {
  uint32_t value;
  asm volatile("lw %0, 0(%1)" : "=r"(value) : "r"(address) : "memory");
  return value;
}
inline uint64_t Load64(uint64_t address) {
  uint64_t value;
  asm volatile("ld %0, 0(%1)" : "=r"(value) : "r"(address) : "memory");
  return value;
}
inline void Store32(uint64_t address, uint32_t value) {
  asm volatile("sw %1, 0(%0)" : : "r"(address), "r"(value) : "memory");
}
inline void Store64(uint64_t address, uint64_t value) {
  asm volatile("sd %1, 0(%0)" : : "r"(address), "r"(value) : "memory");
}

// Registers, by their offset.
inline uint32_t Read32(uint32_t reg) {
  return Load32(NPU_MG_MMIO_BASE + reg);
}
inline uint64_t Read64(uint32_t reg) {
  return Load64(NPU_MG_MMIO_BASE + reg);
}
inline void Write32(uint32_t reg, uint32_t value) {
  Store32(NPU_MG_MMIO_BASE + reg, value);
}
inline void Write64(uint32_t reg, uint64_t value) {
  Store64(NPU_MG_MMIO_BASE + reg, value);
}

inline uint64_t Now() {
  return Read64(NPU_MG_TIME);
}
inline uint64_t Min(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}
inline uint64_t Max(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

// Device memory, which the host and the engines write at the same time: 64-bit words at 8-byte aligned offsets.
inline uint64_t ReadMemory(uint64_t offset) {
  return Load64(NPU_MG_MEM_BASE + offset);
}
inline void WriteMemory(uint64_t offset, uint64_t value) {
  Store64(NPU_MG_MEM_BASE + offset, value);
}
// [offset, offset + bytes) lies in device memory.
inline bool InDeviceMemory(uint64_t offset, uint64_t bytes) {
  const uint64_t size = Read64(NPU_MG_MEM_SIZE);
  return bytes <= size && offset <= size - bytes;
}
// Copies bytes (a multiple of 8) out of device memory, once, so that what is checked is what is used.
inline void CopyIn(void* to, uint64_t offset, size_t bytes) {
  auto* out = static_cast<uint8_t*>(to);
  for (size_t i = 0; i < bytes / 8; ++i) {
    const uint64_t word = ReadMemory(offset + 8 * i);
    __builtin_memcpy(out + 8 * i, &word, 8);
  }
}

}  // namespace control
