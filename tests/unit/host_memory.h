// SPDX-License-Identifier: Apache-2.0
//
// Host memory of a bench: what the device model asks its host for, answered from plain memory.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "npu_model.h"

namespace npu::test {

// Host, which the model gets as `opaque`, has
//   uint8_t* HostAt(uint64_t bus, uint64_t bytes)    nullptr where nobody answers; any thread of the model calls it.
template <class Host>
struct HostMemory {
  static uint8_t* At(void* opaque, uint64_t bus, uint64_t bytes) {
    return static_cast<Host*>(opaque)->HostAt(bus, bytes);
  }

  static int Read(void* opaque, uint64_t bus, void* dst, uint64_t bytes) {
    const uint8_t* at = At(opaque, bus, bytes);
    if (at) std::memcpy(dst, at, bytes);
    return at ? 0 : -1;
  }
  static int Write(void* opaque, uint64_t bus, const void* src, uint64_t bytes) {
    uint8_t* at = At(opaque, bus, bytes);
    if (at) std::memcpy(at, src, bytes);
    return at ? 0 : -1;
  }
  static int Store64(void* opaque, uint64_t bus, uint64_t value) {
    uint8_t* at = Word<uint64_t>(opaque, bus);
    if (at) __atomic_store_n(reinterpret_cast<uint64_t*>(at), value, __ATOMIC_SEQ_CST);
    return at ? 0 : -1;
  }
  static int Load64(void* opaque, uint64_t bus, uint64_t* value) {
    uint8_t* at = Word<uint64_t>(opaque, bus);
    if (at) *value = __atomic_load_n(reinterpret_cast<uint64_t*>(at), __ATOMIC_SEQ_CST);
    return at ? 0 : -1;
  }
  static int Exchange(void* opaque, uint64_t bus, uint64_t* expected, uint64_t desired, unsigned size) {
    return size == 8 ? ExchangeWord<uint64_t>(opaque, bus, expected, desired)
                     : ExchangeWord<uint32_t>(opaque, bus, expected, desired);
  }

  static void Fill(npu_model_host_ops* ops) {
    ops->dma_read = Read;
    ops->dma_write = Write;
    ops->dma_store64 = Store64;
    ops->dma_load64 = Load64;
    ops->dma_cmpxchg = Exchange;
  }

 private:
  // The model promises aligned words; one that is not ends the test.
  template <class T>
  static uint8_t* Word(void* opaque, uint64_t bus) {
    if (bus % sizeof(T)) std::abort();
    return At(opaque, bus, sizeof(T));
  }
  template <class T>
  static int ExchangeWord(void* opaque, uint64_t bus, uint64_t* expected, uint64_t desired) {
    uint8_t* at = Word<T>(opaque, bus);
    if (!at) return -1;
    auto old = static_cast<T>(*expected);
    __atomic_compare_exchange_n(reinterpret_cast<T*>(at), &old, static_cast<T>(desired), false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
    *expected = old;
    return 0;
  }
};

}  // namespace npu::test
