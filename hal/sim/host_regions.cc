// SPDX-License-Identifier: Apache-2.0
#include "sim/host_regions.hpp"

#include <atomic>
#include <cstring>
#include <mutex>

namespace npu::hal::sim {

void HostRegions::Add(const void* start, uint64_t bytes) {
  std::unique_lock lock(mutex_);
  regions_[reinterpret_cast<uint64_t>(start)] = bytes;
}

void HostRegions::Remove(const void* start) {
  std::unique_lock lock(mutex_);
  regions_.erase(reinterpret_cast<uint64_t>(start));
}

bool HostRegions::Covers(uint64_t bus, uint64_t bytes) const {
  auto it = regions_.upper_bound(bus);
  if (it == regions_.begin()) return false;
  --it;
  uint64_t into = bus - it->first;
  return into <= it->second && bytes <= it->second - into;
}

int HostRegions::Read(uint64_t bus, void* dst, uint64_t bytes) {
  std::shared_lock lock(mutex_);
  if (!Covers(bus, bytes)) return -1;
  std::memcpy(dst, reinterpret_cast<const void*>(bus), bytes);
  return 0;
}

int HostRegions::Write(uint64_t bus, const void* src, uint64_t bytes) {
  std::shared_lock lock(mutex_);
  if (!Covers(bus, bytes)) return -1;
  std::memcpy(reinterpret_cast<void*>(bus), src, bytes);
  return 0;
}

int HostRegions::Store64(uint64_t bus, uint64_t value) {
  std::shared_lock lock(mutex_);
  if (bus % 8 || !Covers(bus, 8)) return -1;
  std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(bus)).store(value, std::memory_order_release);
  return 0;
}

int HostRegions::Load64(uint64_t bus, uint64_t* value) {
  std::shared_lock lock(mutex_);
  if (bus % 8 || !Covers(bus, 8)) return -1;
  *value = std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(bus)).load(std::memory_order_acquire);
  return 0;
}

int HostRegions::CompareExchange(uint64_t bus, uint64_t* expected, uint64_t desired, unsigned size) {
  std::shared_lock lock(mutex_);
  if ((size != 4 && size != 8) || bus % size || !Covers(bus, size)) return -1;
  if (size == 8) {
    std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(bus)).compare_exchange_strong(*expected, desired);
  } else {
    uint32_t was = static_cast<uint32_t>(*expected);
    std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(bus))
        .compare_exchange_strong(was, static_cast<uint32_t>(desired));
    *expected = was;
  }
  return 0;
}

}  // namespace npu::hal::sim
