// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "mgmt/bus.h"

namespace npu::model {

// Device memory is written by the host and by every engine at the same time: whole aligned accesses, ordered as the
// firmware's fences expect (acquire and release cost nothing on the usual hosts).
uint64_t MgmtBus::LoadShared(const uint8_t* from, unsigned size) {
  switch (size) {
    case 1:
      return __atomic_load_n(from, __ATOMIC_ACQUIRE);
    case 2:
      return __atomic_load_n(reinterpret_cast<const uint16_t*>(from), __ATOMIC_ACQUIRE);
    case 4:
      return __atomic_load_n(reinterpret_cast<const uint32_t*>(from), __ATOMIC_ACQUIRE);
    default:
      return __atomic_load_n(reinterpret_cast<const uint64_t*>(from), __ATOMIC_ACQUIRE);
  }
}

void MgmtBus::StoreShared(uint8_t* to, unsigned size, uint64_t value) {
  switch (size) {
    case 1:
      __atomic_store_n(to, static_cast<uint8_t>(value), __ATOMIC_RELEASE);
      break;
    case 2:
      __atomic_store_n(reinterpret_cast<uint16_t*>(to), static_cast<uint16_t>(value), __ATOMIC_RELEASE);
      break;
    case 4:
      __atomic_store_n(reinterpret_cast<uint32_t*>(to), static_cast<uint32_t>(value), __ATOMIC_RELEASE);
      break;
    default:
      __atomic_store_n(reinterpret_cast<uint64_t*>(to), value, __ATOMIC_RELEASE);
  }
}

namespace {

template <class T>
bool ExchangeIfEqual(uint8_t* at, uint64_t* expected, uint64_t desired) {
  T seen = static_cast<T>(*expected);
  const bool done = __atomic_compare_exchange_n(reinterpret_cast<T*>(at), &seen, static_cast<T>(desired), false,
                                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  *expected = seen;
  return done;
}

bool ExchangeIfEqual(uint8_t* at, unsigned size, uint64_t* expected, uint64_t desired) {
  return size == 4 ? ExchangeIfEqual<uint32_t>(at, expected, desired)
                   : ExchangeIfEqual<uint64_t>(at, expected, desired);
}

}  // namespace

bool MgmtBus::Amo(AmoOp op, uint64_t va, unsigned size, uint64_t value, uint64_t* old) {
  if (va & (size - 1)) return false;
  if (InSram(va, size)) return Load(va, size, old) && Store(va, size, AmoResult(op, size, *old, value));
  if (!InMemory(va, size)) return false;  // registers have no atomics
  uint8_t* at = memory_ + (va - NPU_MG_MEM_BASE);
  *old = LoadShared(at, size);
  while (!ExchangeIfEqual(at, size, old, AmoResult(op, size, *old, value))) {
  }
  return true;
}

bool MgmtBus::LoadReserved(uint64_t va, unsigned size, uint64_t* value) {
  if (!InSram(va, size) && !InMemory(va, size)) return false;
  if (!Load(va, size, value)) return false;
  reserved_va_ = va, reserved_size_ = size, reserved_value_ = *value;
  return true;
}

bool MgmtBus::StoreConditional(uint64_t va, unsigned size, uint64_t value, bool* stored) {
  if ((va & (size - 1)) || (!InSram(va, size) && !InMemory(va, size))) return false;
  const bool held = reserved_size_ == size && reserved_va_ == va;
  reserved_size_ = 0;
  *stored = false;
  if (!held) return true;
  if (InSram(va, size)) {
    *stored = true;
    return Store(va, size, value);
  }
  uint64_t expected = reserved_value_;
  *stored = ExchangeIfEqual(memory_ + (va - NPU_MG_MEM_BASE), size, &expected, value);
  return true;
}

}  // namespace npu::model
