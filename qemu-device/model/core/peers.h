// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// How the DMA pipes of the cores that run one launch reach each other's SRAM.  A launch has its own windows, so
// whatever a program does, it never sees a core that runs something else.
#pragma once

#include <cstdint>
#include <memory>
#include <shared_mutex>

#include "npu_isa.h"

namespace npu::model {

// Threads: all methods may run on any number of threads at the same time.
class PeerWindows {
 public:
  explicit PeerWindows(uint32_t blocks) : blocks_(blocks), windows_(new Window[blocks]) {}

  // The core of this block can be reached; from the first barrier of all blocks on.
  void Open(uint32_t block, uint8_t* sram) {
    std::lock_guard lock(windows_[block].mu);
    windows_[block].sram = sram;
  }
  // The block has ended.  Comes back when nobody moves bytes there any more.
  void Close(uint32_t block) { Open(block, nullptr); }

  // Keeps a window open while it lives.  sram() is nullptr when the window is closed, or none of this launch's.
  class Access {
   public:
    Access() = default;
    Access(PeerWindows& peers, uint64_t block) {
      if (block >= peers.blocks_) return;
      lock_ = std::shared_lock(peers.windows_[block].mu);
      sram_ = peers.windows_[block].sram;
    }
    uint8_t* sram() const { return sram_; }

   private:
    std::shared_lock<std::shared_mutex> lock_;
    uint8_t* sram_ = nullptr;
  };

 private:
  struct Window {
    std::shared_mutex mu;  // guards sram, and is held while bytes move through it
    uint8_t* sram = nullptr;
  };
  const uint32_t blocks_;
  std::unique_ptr<Window[]> windows_;
};

inline bool IsPeer(uint64_t ptr) {
  return ptr - NPU_LOCAL_PEER_BASE < NPU_LOCAL_PEER_WINDOWS * NPU_LOCAL_PEER_STRIDE;
}

}  // namespace npu::model
