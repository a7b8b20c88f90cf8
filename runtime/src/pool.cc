// SPDX-License-Identifier: Apache-2.0
#include "pool.hpp"

#include <algorithm>
#include <vector>

namespace npu::rt {
namespace {

uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

Pool::~Pool() {
  std::lock_guard lock(mutex_);
  while (!chunks_.empty()) ReleaseChunk(chunks_.begin()->second.get());
}

Status Pool::Allocate(uint64_t bytes, Block* block) {
  if (bytes > 1ull << NPU_VA_BITS) {
    return Fail(npuErrorOutOfMemory, "{} bytes are more than the device can address", bytes);
  }
  uint64_t rounded = RoundUp(bytes, kAlign);
  std::lock_guard lock(mutex_);
  if (TakeFree(rounded, block)) return {};
  Status grown = Grow(rounded);
  if (!grown.ok()) {
    // Chunks kept for later may be what is in the way.
    if (TrimTo(0) == 0) return grown;
    NPU_TRY(Grow(rounded));
  }
  TakeFree(rounded, block);
  return {};
}

// Best fit: the smallest free range that is large enough.
bool Pool::TakeFree(uint64_t bytes, Block* block) {
  auto found = by_size_.lower_bound({bytes, 0});
  if (found == by_size_.end()) return false;
  auto it = free_.find(found->second);
  uint64_t va = it->first, length = it->second.first;
  Chunk* chunk = it->second.second;
  RemoveFree(it);
  if (length > bytes) AddFree(chunk, va + bytes, length - bytes);
  chunk->used += bytes;
  *block = Block{chunk, va, bytes};
  return true;
}

Status Pool::Grow(uint64_t bytes) {
  // What would fill most of a chunk gets one of its own, and is given back as a whole.
  uint64_t size = bytes > chunk_bytes_ / 2 ? RoundUp(bytes, NPU_PAGE_SIZE) : chunk_bytes_;
  auto buffer = device_.CreateBuffer(size, memory_);
  if (!buffer && size > bytes) {
    size = RoundUp(bytes, NPU_PAGE_SIZE);
    buffer = device_.CreateBuffer(size, memory_);
  }
  const char* kind = memory_ == hal::Memory::kDevice ? "device" : "host";
  if (!buffer) return FromHal(buffer.error(), fmt::format("cannot get {} bytes of {} memory", size, kind));
  auto chunk = std::make_unique<Chunk>();
  chunk->buffer = std::move(*buffer);
  size = chunk->buffer->size();
  NPU_TRY(va_.Allocate(size, NPU_BIG_PAGE_SIZE, &chunk->va));
  if (hal::Error e = device_.Bind(*chunk->buffer, 0, chunk->va, size, NPU_PTE_READ | NPU_PTE_WRITE)) {
    va_.Free(chunk->va, size);
    return FromHal(e, fmt::format("cannot map {} bytes of {} memory", size, kind));
  }
  Chunk* raw = chunk.get();
  chunks_[raw->va] = std::move(chunk);
  AddFree(raw, raw->va, size);
  return {};
}

void Pool::Free(const Block& block) {
  std::lock_guard lock(mutex_);
  Chunk* chunk = block.chunk;
  chunk->used -= block.bytes;
  uint64_t va = block.va, bytes = block.bytes;
  auto next = free_.lower_bound(va);
  // Neighbours merge, but not across chunks, which are given back one by one.
  if (next != free_.end() && va + bytes == next->first && next->second.second == chunk) {
    bytes += next->second.first;
    auto gone = next++;
    RemoveFree(gone);
  }
  if (next != free_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second.first == va && before->second.second == chunk) {
      va = before->first;
      bytes += before->second.first;
      RemoveFree(before);
    }
  }
  AddFree(chunk, va, bytes);
  if (chunk->used == 0) TrimTo(2 * chunk_bytes_);
}

void Pool::AddFree(Chunk* chunk, uint64_t va, uint64_t bytes) {
  free_[va] = {bytes, chunk};
  by_size_.insert({bytes, va});
  free_bytes_ += bytes;
}

void Pool::RemoveFree(std::map<uint64_t, std::pair<uint64_t, Chunk*>>::iterator it) {
  by_size_.erase({it->second.first, it->first});
  free_bytes_ -= it->second.first;
  free_.erase(it);
}

// Gives back empty chunks until those that are left hold at most keep bytes.
uint64_t Pool::TrimTo(uint64_t keep) {
  std::vector<Chunk*> empty;
  uint64_t held = 0, released = 0;
  for (auto& [va, chunk] : chunks_) {
    if (chunk->used) continue;
    empty.push_back(chunk.get());
    held += chunk->buffer->size();
  }
  std::sort(empty.begin(), empty.end(), [](Chunk* a, Chunk* b) { return a->buffer->size() > b->buffer->size(); });
  for (Chunk* chunk : empty) {
    if (held - released <= keep) break;
    released += chunk->buffer->size();
    ReleaseChunk(chunk);
  }
  return released;
}

void Pool::ReleaseChunk(Chunk* chunk) {
  uint64_t va = chunk->va, size = chunk->buffer->size();
  for (auto it = free_.lower_bound(va); it != free_.end() && it->first < va + size;) RemoveFree(it++);
  // When the device does not confirm the unmapping, the memory must not go to anybody else.
  if (hal::Error e = device_.Unbind(va, size)) {
    chunks_.extract(va).mapped().release();
    return;
  }
  chunks_.erase(va);
  va_.Free(va, size);
}

uint64_t Pool::Trim() {
  std::lock_guard lock(mutex_);
  return TrimTo(0);
}

uint64_t Pool::free_bytes() const {
  std::lock_guard lock(mutex_);
  return free_bytes_;
}

}  // namespace npu::rt
