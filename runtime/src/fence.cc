// SPDX-License-Identifier: Apache-2.0
#include "fence.hpp"

#include <algorithm>

#include "memory.hpp"

namespace npu::rt {
namespace {

constexpr uint64_t kPageBytes = 16384;
// One word a cache line, so that streams do not disturb each other.
constexpr uint64_t kSlotBytes = 64;

}  // namespace

FenceSlot::FenceSlot(Memory& memory, hal::Buffer& page, uint64_t offset, uint64_t va)
    : memory_(memory),
      page_(page),
      offset_(offset),
      va_(va),
      word_(reinterpret_cast<uint64_t*>(static_cast<char*>(page.map()) + offset)) {}

FenceSlot::~FenceSlot() {
  if (number_) memory_.Release(number_);
}

Status FenceSlot::Open() {
  std::lock_guard lock(open_mutex_);
  if (number_) return {};
  NPU_TRY(memory_.Register(va_, sizeof(uint64_t), NPU_BOUNDS_READ | NPU_BOUNDS_WRITE, Owner::kInternal,
                           reinterpret_cast<char*>(word_), "(runtime: timeline)", &number_));
  pointer_.store(number_->pointer(), std::memory_order_release);
  return {};
}

void FenceSlot::Fail(uint64_t reached, const Status& why) {
  std::lock_guard open(open_mutex_);
  {
    std::lock_guard lock(mutex_);
    failures_.push_back({reached, UINT64_MAX, why});
  }
  pointer_.store(0, std::memory_order_release);
  if (number_) memory_.Release(number_);
  number_.reset();
}

void FenceSlot::Mend(uint64_t last) {
  std::lock_guard lock(mutex_);
  if (!failures_.empty()) failures_.back().last = last;
}

FenceState FenceSlot::State(uint64_t wanted, Status* why) const {
  std::lock_guard lock(mutex_);
  for (const Failure& failure : failures_) {
    if (wanted <= failure.after || wanted > failure.last) continue;
    if (why) *why = failure.why;
    return FenceState::kFailed;
  }
  return value() >= wanted ? FenceState::kReached : FenceState::kPending;
}

FencePool::~FencePool() {
  for (auto& page : pages_) device_.Unbind(page->va, page->buffer->size());
}

Status FencePool::AddPage() {
  auto page = std::make_unique<Page>();
  auto buffer = device_.CreateBuffer(kPageBytes, hal::Memory::kHost);
  if (!buffer) return FromHal(buffer.error(), "no memory for timelines");
  page->buffer = std::move(*buffer);
  NPU_TRY(va_.Allocate(kPageBytes, NPU_PAGE_SIZE, &page->va));
  if (hal::Error e = device_.Bind(*page->buffer, 0, page->va, kPageBytes, NPU_PTE_READ | NPU_PTE_WRITE)) {
    va_.Free(page->va, kPageBytes);
    return FromHal(e, "cannot map the memory of timelines");
  }
  for (uint64_t offset = kPageBytes; offset > 0; offset -= kSlotBytes)
    free_.push_back({page.get(), offset - kSlotBytes});
  pages_.push_back(std::move(page));
  return {};
}

Status FencePool::Take(std::shared_ptr<FenceSlot>* slot) {
  Place place;
  {
    std::lock_guard lock(mutex_);
    if (free_.empty()) NPU_TRY(AddPage());
    place = free_.back();
    free_.pop_back();
  }
  auto give_back = [this, place](FenceSlot* s) {
    delete s;
    std::lock_guard lock(mutex_);
    free_.push_back(place);
  };
  std::shared_ptr<FenceSlot> made(
      new FenceSlot(memory_, *place.page->buffer, place.offset, place.page->va + place.offset), give_back);
  NPU_TRY(made->Open());
  *slot = std::move(made);
  return {};
}

}  // namespace npu::rt
