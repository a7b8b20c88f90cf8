// SPDX-License-Identifier: Apache-2.0
//
// A device for fuzzing: device memory between guard pages, a little host memory, and tables for two contexts and eight
// queues.  Reset brings everything back.  The target plays the firmware itself, through the management port.
//
// Mapped in context 1 and 2: kVramVa + offset (buffer 1), device memory from kData on; kHostVa + offset (buffer 2).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "device/device.h"
#include "npu_mgmt.h"
#include "npu_mmu.h"
#include "npu_packet.h"
#include "npu_regs.h"

namespace fuzz {

inline constexpr uint64_t kMemory = 64ull << 20, kHost = 1ull << 20, kBus = 0x100000000ull;
inline constexpr uint64_t kCtxTable = 0x10000, kQueueTable = 0x20000, kRoot = 0x40000, kMid = 0x42000,
                          kMidHost = 0x43000, kLeaf = 0x44000, kBounds = 0x48000, kPackage = 0x80000, kRings = 0x100000,
                          kData = 0x200000;
inline constexpr uint64_t kStatus = 0, kFaultRings = 0x10000, kHostData = 0x20000;
inline constexpr uint64_t kVramVa = 0x40000000, kHostVa = 0x80000000;
inline constexpr uint32_t kQueues = 8, kContexts = 2, kRingLog2 = 4;
inline constexpr uint64_t kMappedBytes = 4ull << 20;  // of device memory

inline uint64_t RingAt(uint32_t queue) {
  return kRings + queue * 0x1000ull;
}

class DeviceBench {
 public:
  DeviceBench();
  ~DeviceBench();
  DeviceBench(const DeviceBench&) = delete;
  DeviceBench& operator=(const DeviceBench&) = delete;

  // Power-on state and fresh tables.
  void Reset();

  npu::model::Device& device() { return *device_; }
  void Set(uint64_t reg, uint64_t value, unsigned size = 4) { device_->MmioWrite(reg, value, size); }
  uint64_t Get(uint64_t reg, unsigned size = 4) { return device_->MmioRead(reg, size); }
  // What the firmware would write and read; registers that do not exist are not an error here.
  void MgSet(uint32_t reg, uint64_t value, unsigned size = 4) { (void)device_->MgmtWrite(reg, size, value); }
  uint64_t Mg(uint32_t reg, unsigned size = 4);

  // Memory, as a CPU writes it beside the device: offset is brought inside and aligned.
  void StoreVram(uint64_t offset, uint64_t value);
  void StoreHost(uint64_t offset, uint64_t value);
  uint64_t LoadHost(uint64_t offset) const;

  // What a firmware does for a queue: context enabled, doorbell heard, mapped in a slot.  The admin status of the last.
  uint32_t EnableContext(uint32_t context);
  void MakeQueue(uint32_t queue);
  uint32_t Map(uint32_t slot, uint32_t queue, uint64_t rptr);
  void Push(uint32_t queue, uint64_t index, const npu_packet& packet);
  void Doorbell(uint32_t queue, uint64_t wptr);

  // False after `milliseconds` without it.
  template <class F>
  bool Until(unsigned milliseconds, F condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

  // For the model.
  uint8_t* HostAt(uint64_t bus, uint64_t bytes);

 private:
  void BuildTables();
  void FillOps(npu_model_host_ops* ops);

  uint32_t resets_ = 0;
  uint8_t* guarded_ = nullptr;
  uint8_t* vram_ = nullptr;
  std::vector<uint64_t> host_;
  std::unique_ptr<npu::model::Device> device_;
};

}  // namespace fuzz
