// SPDX-License-Identifier: Apache-2.0
#include "bounds_table.hpp"

#include <atomic>

namespace npu::rt {
namespace {

uint32_t Ctl(uint8_t generation, uint32_t rights, uint32_t state) {
  return generation | rights | state << NPU_BOUNDS_STATE_SHIFT;
}

}  // namespace

BoundsTable::BoundsTable(npu_bounds_entry* table) : table_(table), generations_(NPU_BUF_LOCAL_FIRST) {
  for (uint32_t n = NPU_BUF_FIRST; n < NPU_BUF_LOCAL_FIRST; n++) free_.push_back(static_cast<uint16_t>(n));
}

void BoundsTable::Store(uint16_t number, uint32_t ctl) {
  std::atomic_ref<uint32_t>(table_[number].ctl).store(ctl, std::memory_order_release);
}

Status BoundsTable::Acquire(uint64_t base, uint64_t bytes, uint32_t rights, uint16_t* number, uint8_t* generation) {
  std::lock_guard lock(mutex_);
  if (free_.empty()) {
    return Fail(npuErrorTooManyBuffers, "all {} buffer numbers of the device are in use; free or merge allocations",
                NPU_BUF_LOCAL_FIRST - NPU_BUF_FIRST);
  }
  uint16_t n = free_.front();
  free_.pop_front();
  table_[n].base = base;
  table_[n].size = bytes;
  Store(n, Ctl(generations_[n], rights, NPU_BOUNDS_STATE_LIVE));
  // The table may be mapped write-combined: another thread's doorbell must not overtake these stores.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  *number = n;
  *generation = generations_[n];
  return {};
}

void BoundsTable::Release(uint16_t number) {
  std::lock_guard lock(mutex_);
  generations_[number]++;
  Store(number, Ctl(generations_[number], 0, NPU_BOUNDS_STATE_FREED));
  std::atomic_ref<uint32_t>(table_[0].ctl).store(++epoch_, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  free_.push_back(number);
}

}  // namespace npu::rt
