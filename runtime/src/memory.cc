// SPDX-License-Identifier: Apache-2.0
#include "memory.hpp"

#include <algorithm>

namespace npu::rt {

Memory::Memory(hal::Device& device, VaSpace& va, uint64_t device_chunk, uint64_t host_chunk)
    : bounds_(device.bounds()),
      device_pool_(device, va, hal::Memory::kDevice, device_chunk),
      host_pool_(device, va, hal::Memory::kHost, host_chunk),
      by_number_(NPU_BUF_LOCAL_FIRST) {}

Status Memory::Allocate(hal::Memory kind, uint64_t bytes, uint32_t rights, Owner owner, const std::string& name,
                        AllocationRef* out) {
  Collect();
  Pool& pool = kind == hal::Memory::kDevice ? device_pool_ : host_pool_;
  auto allocation = std::make_shared<Allocation>();
  allocation->bytes = bytes;
  allocation->owner = owner;
  allocation->name = name;
  NPU_TRY(pool.Allocate(bytes, &allocation->block));
  allocation->va = allocation->block.va;
  allocation->host = allocation->block.host();
  Status s = bounds_.Acquire(allocation->va, bytes, rights, &allocation->number, &allocation->generation);
  if (!s.ok()) {
    pool.Free(allocation->block);
    return s;
  }
  Publish(allocation);
  *out = std::move(allocation);
  return {};
}

Status Memory::Register(uint64_t va, uint64_t bytes, uint32_t rights, Owner owner, char* host, const std::string& name,
                        AllocationRef* out) {
  auto allocation = std::make_shared<Allocation>();
  allocation->va = va;
  allocation->bytes = bytes;
  allocation->owner = owner;
  allocation->host = host;
  allocation->name = name;
  NPU_TRY(bounds_.Acquire(va, bytes, rights, &allocation->number, &allocation->generation));
  Publish(allocation);
  *out = std::move(allocation);
  return {};
}

Status Memory::Narrow(const AllocationRef& parent, uint64_t va, uint64_t bytes, AllocationRef* out) {
  auto part = std::make_shared<Allocation>();
  part->va = va;
  part->bytes = bytes;
  part->owner = Owner::kNarrow;
  part->parent = parent;
  part->host = parent->host ? parent->host + (va - parent->va) : nullptr;
  constexpr uint32_t rights = NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | NPU_BOUNDS_ATOMIC;
  std::lock_guard lock(mutex_);
  if (!parent->live || parent->freeing) return Fail(npuErrorInvalidPointer, "the allocation was freed meanwhile");
  NPU_TRY(bounds_.Acquire(va, bytes, rights, &part->number, &part->generation));
  part->name = parent->name.empty() ? "" : fmt::format("{}+{:#x}", parent->name, va - parent->va);
  by_number_[part->number] = part;
  std::erase_if(parent->children, [](const std::weak_ptr<Allocation>& child) {
    AllocationRef ref = child.lock();
    return !ref || !ref->live;
  });
  parent->children.push_back(part);
  *out = std::move(part);
  return {};
}

void Memory::Publish(const AllocationRef& allocation) {
  std::lock_guard lock(mutex_);
  by_number_[allocation->number] = allocation;
  by_va_[allocation->va] = allocation;
  if (allocation->owner == Owner::kHost) by_host_[reinterpret_cast<uint64_t>(allocation->host)] = allocation;
}

void Memory::Release(const AllocationRef& allocation) {
  std::vector<AllocationRef> children;
  {
    std::lock_guard lock(mutex_);
    if (!allocation->live) return;
    allocation->live = false;
    for (auto& child : allocation->children) {
      if (AllocationRef ref = child.lock()) children.push_back(ref);
    }
    if (allocation->owner != Owner::kNarrow) by_va_.erase(allocation->va);
    if (allocation->owner == Owner::kHost) by_host_.erase(reinterpret_cast<uint64_t>(allocation->host));
  }
  for (const AllocationRef& child : children) Release(child);
  // First nobody can use the number any more, then the bytes may get another owner.
  bounds_.Release(allocation->number);
  if (!allocation->block.chunk) return;
  bool device = allocation->block.chunk->buffer->memory() == hal::Memory::kDevice;
  (device ? device_pool_ : host_pool_).Free(allocation->block);
}

Status Memory::ReleaseAfter(const AllocationRef& allocation, std::shared_ptr<FenceSlot> fence, uint64_t value) {
  std::lock_guard lock(mutex_);
  if (!allocation->live || allocation->freeing) {
    return Fail(npuErrorInvalidPointer, "{:#x} was freed already", allocation->pointer());
  }
  allocation->freeing = true;
  pending_.push_back({allocation, std::move(fence), value});
  return {};
}

void Memory::Collect() {
  std::vector<AllocationRef> due;
  {
    std::lock_guard lock(mutex_);
    if (pending_.empty()) return;
    auto keep =
        std::partition(pending_.begin(), pending_.end(), [](const Pending& p) { return !p.fence->Ended(p.value); });
    for (auto it = keep; it != pending_.end(); ++it) due.push_back(it->allocation);
    pending_.erase(keep, pending_.end());
  }
  for (const AllocationRef& allocation : due) Release(allocation);
}

AllocationRef Memory::Find(uint64_t pointer) const {
  uint64_t number = NPU_PTR_BUF(pointer);
  if (number < NPU_BUF_FIRST || number >= NPU_BUF_LOCAL_FIRST) return nullptr;
  std::lock_guard lock(mutex_);
  const AllocationRef& found = by_number_[number];
  return found && found->live && found->generation == NPU_PTR_GEN(pointer) ? found : nullptr;
}

AllocationRef Memory::FindHost(const void* host) const {
  uint64_t address = reinterpret_cast<uint64_t>(host);
  std::lock_guard lock(mutex_);
  auto it = by_host_.upper_bound(address);
  if (it == by_host_.begin()) return nullptr;
  --it;
  return address - it->first < it->second->bytes ? it->second : nullptr;
}

AllocationRef Memory::FindOwner(uint64_t va, uint64_t end) const {
  std::lock_guard lock(mutex_);
  auto it = by_va_.upper_bound(va);
  if (it != by_va_.begin()) {
    const AllocationRef& before = std::prev(it)->second;
    if (va - before->va < before->bytes) return before;
  }
  return it != by_va_.end() && it->first < end ? it->second : nullptr;
}

AllocationRef Memory::Last(uint16_t number) const {
  std::lock_guard lock(mutex_);
  return number < by_number_.size() ? by_number_[number] : nullptr;
}

std::string Memory::Name(const Allocation& allocation) const {
  std::lock_guard lock(mutex_);
  return allocation.name.empty() ? fmt::format("buffer {}", allocation.number) : allocation.name;
}

bool Memory::Live(const Allocation& allocation) const {
  std::lock_guard lock(mutex_);
  return allocation.live;
}

void Memory::SetName(Allocation& allocation, const std::string& name) {
  std::lock_guard lock(mutex_);
  allocation.name = name.substr(0, 63);
}

uint64_t Memory::Trim() {
  Collect();
  return device_pool_.Trim() + host_pool_.Trim();
}

Status CheckRange(const Memory& memory, uint64_t pointer, uint64_t bytes, const char* what, AllocationRef* out) {
  AllocationRef found = memory.Find(pointer);
  if (!found) {
    AllocationRef last = memory.Last(static_cast<uint16_t>(NPU_PTR_BUF(pointer)));
    return Fail(npuErrorInvalidPointer, "{} {:#x} is no pointer to a live allocation{}", what, pointer,
                last ? fmt::format(": buffer {} ({}) was freed", last->number, memory.Name(*last)) : "");
  }
  uint64_t va = NPU_PTR_VA(pointer);
  if (va < found->va || va - found->va > found->bytes || bytes > found->bytes - (va - found->va)) {
    return Fail(npuErrorInvalidPointer, "{}: {} bytes at {:#x} leave {} ({} bytes at {:#x})", what, bytes, pointer,
                memory.Name(*found), found->bytes, found->pointer());
  }
  *out = std::move(found);
  return {};
}

}  // namespace npu::rt
