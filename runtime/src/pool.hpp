// SPDX-License-Identifier: Apache-2.0
//
// Memory of one kind in large chunks, cut into blocks.  A block costs no call of the kernel unless the pool has to
// grow.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "hal/hal.hpp"
#include "status.hpp"
#include "va_space.hpp"

namespace npu::rt {

// A mapped hal buffer: device addresses [va, va + buffer->size()).
struct Chunk {
  std::unique_ptr<hal::Buffer> buffer;
  uint64_t va = 0;
  uint64_t used = 0;  // bytes in blocks
  char* HostAddress(uint64_t at) const { return static_cast<char*>(buffer->map()) + (at - va); }
};

struct Block {
  Chunk* chunk = nullptr;
  uint64_t va = 0;
  uint64_t bytes = 0;  // rounded
  char* host() const { return chunk->HostAddress(va); }
};

class Pool {
 public:
  // chunk_bytes: how much the pool grows at a time, a multiple of the page size.
  Pool(hal::Device& device, VaSpace& va, hal::Memory memory, uint64_t chunk_bytes)
      : device_(device), va_(va), memory_(memory), chunk_bytes_(chunk_bytes) {}
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // At least bytes, 256-byte aligned, contents undefined.  OutOfMemory, OutOfHostMemory.
  Status Allocate(uint64_t bytes, Block* block);
  // The device must not use the block any more.
  void Free(const Block& block);
  // Gives back every chunk that holds no block; how many bytes that were.
  uint64_t Trim();
  uint64_t free_bytes() const;

  static constexpr uint64_t kAlign = 256;

 private:
  bool TakeFree(uint64_t bytes, Block* block);
  Status Grow(uint64_t bytes);
  void AddFree(Chunk* chunk, uint64_t va, uint64_t bytes);
  void RemoveFree(std::map<uint64_t, std::pair<uint64_t, Chunk*>>::iterator it);
  void ReleaseChunk(Chunk* chunk);
  uint64_t TrimTo(uint64_t keep);

  hal::Device& device_;
  VaSpace& va_;
  const hal::Memory memory_;
  const uint64_t chunk_bytes_;
  mutable std::mutex mutex_;                              // guards all below
  std::map<uint64_t, std::unique_ptr<Chunk>> chunks_;     // by va
  std::map<uint64_t, std::pair<uint64_t, Chunk*>> free_;  // va -> bytes and chunk
  std::set<std::pair<uint64_t, uint64_t>> by_size_;       // (bytes, va) of the same
  uint64_t free_bytes_ = 0;
};

}  // namespace npu::rt
