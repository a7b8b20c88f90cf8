// SPDX-License-Identifier: Apache-2.0
//
// What the hal's tests share: the backend under test, buffers with device pointers, a queue with a fence.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cstring>
#include <fstream>
#include <memory>
#include <string>

#include "hal/hal.hpp"

// Last: its macro "fail" must not meet the C++ library's functions of that name.  It is C without saying so.
extern "C" {
#include <cmocka.h>
}

extern std::string backend_under_test;

// Fails the test with the hal's sentence.
inline void AssertOk(const npu::hal::Error& e) {
  if (e) fail_msg("%s (errno %d)", e.message.c_str(), e.code);
}

template <class T>
void AssertOk(npu::hal::Result<T>& r) {
  AssertOk(r.error());
}

inline npu::hal::Clock::time_point In(int milliseconds) {
  return npu::hal::Clock::now() + std::chrono::milliseconds(milliseconds);
}

std::unique_ptr<npu::hal::Device> OpenDevice();

// A buffer that is mapped at va and named by a bounds entry.
struct Area {
  npu::hal::Device* device = nullptr;
  std::unique_ptr<npu::hal::Buffer> buffer;
  uint64_t va = 0;
  uint16_t number = 0;

  Area() = default;
  Area(npu::hal::Device& d, npu::hal::Memory memory, uint64_t bytes, uint64_t address, uint16_t buffer_number);
  ~Area();
  Area(const Area&) = delete;
  Area& operator=(const Area&) = delete;
  uint64_t pointer(uint64_t offset = 0) const { return NPU_PTR(number, 0, va + offset); }
  template <class T>
  T* as() const {
    return static_cast<T*>(buffer->map());
  }
};

// A device with a queue, 64 KiB of device memory, 64 KiB of host memory and a fence word.
struct Rig {
  std::unique_ptr<npu::hal::Device> device;
  std::unique_ptr<Area> memory, host, fence;
  std::unique_ptr<npu::hal::Queue> queue;
  uint64_t submitted = 0;

  explicit Rig(uint32_t ring_log2 = 6);
  // Writes a packet that signals its index + 1, and rings.
  void Submit(npu_packet packet);
  npu::hal::Error Wait(int milliseconds = 10000);
  uint64_t fence_value() const { return *fence->as<volatile uint64_t>(); }
};

npu_packet CopyPacket(uint64_t dst, uint64_t src, uint64_t bytes);
npu_packet FillPacket(uint64_t dst, uint8_t value, uint64_t bytes);
npu_packet WaitPacket(uint64_t address, uint64_t value);

extern const CMUnitTest device_tests[], memory_tests[], queue_tests[], fault_tests[];
extern const size_t device_test_count, memory_test_count, queue_test_count, fault_test_count;
