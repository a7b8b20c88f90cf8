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

namespace {

// What host and device use to talk to each other is small and made of words: moved word by word, as a bus would, so
// that neither side sees half a word.  Larger transfers are data, which the two order by other means.
constexpr uint64_t kWordwise = 256;

template <class Word>
void MoveWords(void* dst, const void* src, uint64_t bytes, bool to_host) {
  auto* to = static_cast<Word*>(dst);
  auto* from = static_cast<Word*>(const_cast<void*>(src));
  for (uint64_t i = 0; i < bytes / sizeof(Word); i++) {
    if (to_host) {
      std::atomic_ref<Word>(to[i]).store(from[i], std::memory_order_release);
    } else {
      to[i] = std::atomic_ref<Word>(from[i]).load(std::memory_order_acquire);
    }
  }
}

void Move(void* dst, const void* src, uint64_t bytes, bool to_host) {
  const uint64_t all = reinterpret_cast<uint64_t>(dst) | reinterpret_cast<uint64_t>(src) | bytes;
  if (bytes <= kWordwise && all % 8 == 0) {
    MoveWords<uint64_t>(dst, src, bytes, to_host);
  } else if (bytes <= kWordwise && all % 4 == 0) {
    MoveWords<uint32_t>(dst, src, bytes, to_host);
  } else {
    std::memcpy(dst, src, bytes);
  }
}

}  // namespace

int HostRegions::Read(uint64_t bus, void* dst, uint64_t bytes) {
  std::shared_lock lock(mutex_);
  if (!Covers(bus, bytes)) return -1;
  Move(dst, reinterpret_cast<const void*>(bus), bytes, false);
  return 0;
}

int HostRegions::Write(uint64_t bus, const void* src, uint64_t bytes) {
  std::shared_lock lock(mutex_);
  if (!Covers(bus, bytes)) return -1;
  Move(reinterpret_cast<void*>(bus), src, bytes, true);
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
