// SPDX-License-Identifier: Apache-2.0
//
// Places in host memory where the device stores struct npu_timestamp for events.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "memory.hpp"
#include "npu_packet.h"

namespace npu::rt {

struct Timestamp {
  npu_timestamp* host = nullptr;
  uint64_t pointer = 0;  // tagged, for the packet
};

// Thread-safe.
class Timestamps {
 public:
  explicit Timestamps(Memory& memory) : memory_(memory) {}
  Status Take(Timestamp* place);
  // The place may be used again once the fence has reached value.
  void Return(const Timestamp& place, std::shared_ptr<FenceSlot> fence, uint64_t value);

 private:
  struct Resting {
    Timestamp place;
    std::shared_ptr<FenceSlot> fence;
    uint64_t value;
  };
  Memory& memory_;
  std::mutex mutex_;  // guards both below
  std::vector<Timestamp> free_;
  std::vector<Resting> resting_;
};

}  // namespace npu::rt
