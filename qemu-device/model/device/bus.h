// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// What the data plane needs of the device around it.
#pragma once

#include <cstdint>

#include "core/memory.h"

namespace npu::model {

// What ends a launch that hangs because of an injection (NPU_INJ_HANG).
enum class Hang : uint8_t { kNone, kUntilKill, kUntilCoreReset, kUntilReset };

class DeviceBus {
 public:
  virtual ~DeviceBus() = default;
  // All of them: any thread, no lock of the model held, never waiting.
  virtual void LatchEvents(uint32_t bits) = 0;  // NPU_EVENT_*
  virtual void RaiseMsix(uint32_t vector) = 0;
  virtual void RaiseMgmt(uint32_t bits) = 0;  // NPU_MG_IRQ_*
  virtual uint64_t TimeNs() const = 0;
  // The kind of injected hang that is to be spent on the launch that starts now.
  virtual Hang TakeHang() = 0;
  virtual void CountFault() = 0;
  // printf-like; these two may be called with locks held.
  virtual void Log(npu_model_log level, const char* format, ...) __attribute__((format(printf, 3, 4))) = 0;
  virtual void Trace(const char* event, uint64_t a, uint64_t b, uint64_t c) = 0;
};

// Copies out of memory that the guest may be writing at the same time: every 64-bit word is read once.  Both sides
// 8-byte aligned, bytes a multiple of 8.
inline void CopyIn(void* dst, const uint8_t* src, uint64_t bytes) {
  for (uint64_t i = 0; i < bytes; i += 8) {
    uint64_t word = __atomic_load_n(reinterpret_cast<const uint64_t*>(src + i), __ATOMIC_RELAXED);
    __builtin_memcpy(static_cast<uint8_t*>(dst) + i, &word, 8);
  }
}

// True when [offset, offset + bytes) lies in device memory.
inline bool InMemory(const Platform& platform, uint64_t offset, uint64_t bytes) {
  return offset <= platform.vram_bytes && bytes <= platform.vram_bytes - offset;
}

}  // namespace npu::model
