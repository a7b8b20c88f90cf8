// SPDX-License-Identifier: Apache-2.0
//
// The bus of the simulated device: host memory that was registered, by its process address.  Any other address answers
// with a bus error, as an IOMMU would.
#pragma once

#include <cstdint>
#include <map>
#include <shared_mutex>

namespace npu::hal::sim {

class HostRegions {
 public:
  void Add(const void* start, uint64_t bytes);
  // Returns when no access to the region is under way.
  void Remove(const void* start);

  // The model's host ops: 0, or -1 for a bus error.
  int Read(uint64_t bus, void* dst, uint64_t bytes);
  int Write(uint64_t bus, const void* src, uint64_t bytes);
  int Store64(uint64_t bus, uint64_t value);
  int Load64(uint64_t bus, uint64_t* value);
  int CompareExchange(uint64_t bus, uint64_t* expected, uint64_t desired, unsigned size);

 private:
  bool Covers(uint64_t bus, uint64_t bytes) const;

  // Guards regions_; held shared during an access, so that memory is not given back under it.
  std::shared_mutex mutex_;
  std::map<uint64_t, uint64_t> regions_;  // start -> bytes
};

}  // namespace npu::hal::sim
