// SPDX-License-Identifier: Apache-2.0
#include "timestamps.hpp"

#include <algorithm>

namespace npu::rt {
namespace {

constexpr uint64_t kBlockBytes = 4096;

}  // namespace

Status Timestamps::Take(Timestamp* place) {
  std::lock_guard lock(mutex_);
  if (free_.empty()) {
    std::erase_if(resting_, [&](const Resting& r) {
      bool ended = r.fence->Ended(r.value);
      if (ended) free_.push_back(r.place);
      return ended;
    });
  }
  if (free_.empty()) {
    AllocationRef block;
    NPU_TRY(memory_.Allocate(hal::Memory::kHost, kBlockBytes, NPU_BOUNDS_READ | NPU_BOUNDS_WRITE, Owner::kInternal,
                             "(runtime: timestamps)", &block));
    for (uint64_t at = 0; at < kBlockBytes; at += sizeof(npu_timestamp)) {
      free_.push_back({reinterpret_cast<npu_timestamp*>(block->host + at), block->pointer() + at});
    }
  }
  *place = free_.back();
  free_.pop_back();
  return {};
}

void Timestamps::Return(const Timestamp& place, std::shared_ptr<FenceSlot> fence, uint64_t value) {
  std::lock_guard lock(mutex_);
  if (fence->Ended(value)) {
    free_.push_back(place);
  } else {
    resting_.push_back({place, std::move(fence), value});
  }
}

}  // namespace npu::rt
