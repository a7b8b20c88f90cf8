// SPDX-License-Identifier: Apache-2.0
//
// A device on the bench: host memory is an array, interrupts are counters, and the test plays the firmware by hand
// through the management port.  Device memory and host memory are mapped whole in every context:
//
//   kVram + offset   device memory (buffer 1)      kHostVa + offset   host memory (buffer 2)
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "device/device.h"
#include "npu_mgmt.h"
#include "npu_mmu.h"
#include "npu_packet.h"
#include "npu_regs.h"

namespace rig {

// Sanitizers make everything ten times slower, on machines that may be busy besides: such builds repeat less often.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

inline constexpr uint64_t kMemory = 64ull << 20, kHost = 4ull << 20;
inline constexpr uint64_t kBus = 0x100000000ull;  // host memory's bus address
inline constexpr uint64_t kVram = 0x40000000ull, kHostVa = 0x80000000ull;
// Layout of device memory.
inline constexpr uint64_t kCtxTable = 0x10000, kQueueTable = 0x20000, kTables = 0x100000, kCode = 0x400000,
                          kRings = 0x800000, kData = 0x1000000;
inline constexpr uint32_t kRingLog2 = 8;
// Layout of host memory.
inline constexpr uint64_t kStatus = 0x10000, kFaultRings = 0x200000, kHostData = 0x300000;
inline constexpr uint32_t kFaultEntries = 8;

// Entry points of the operators at kCode (rig.cc has their assembly).
enum Operator : uint32_t {
  kNull = 0,
  kStore = 4,
  kLoop = 0x1c,
  kSpin = 0x2c,
  kBarrier = 0x30,
  kSome = 0x4c,
  kWild = 0x58,
  kTrap = 0x68,
  kUntil = 0x6c
};

// Device pointers.
inline uint64_t Dev(uint64_t offset) {
  return NPU_PTR(1, 1, kVram + offset);
}
inline uint64_t Hst(uint64_t offset) {
  return NPU_PTR(2, 1, kHostVa + offset);
}

npu_packet Packet(npu_packet_type type, uint32_t tag = 0);
npu_packet Launch(Operator entry, uint64_t args, uint32_t blocks);
npu_packet Signal(uint64_t addr, uint64_t value);
npu_packet Wait(uint64_t addr, uint64_t value, uint32_t cond = NPU_WAIT_GE);
npu_packet Copy(uint64_t dst, uint64_t src, uint64_t bytes);
npu_packet WithSignal(npu_packet packet, uint64_t addr, uint64_t value);

class Rig {
 public:
  explicit Rig(uint32_t threads = 1, uint32_t cores = 4);
  ~Rig();

  npu::model::Device& device() { return *device_; }
  // Another device, just powered on, with the memories of the last.
  void Replace(uint32_t threads);
  const npu_model_config& config() const { return config_; }
  uint8_t* vram() { return vram_; }
  uint8_t* host() { return host_.get(); }
  uint64_t Load(uint64_t offset) const;  // a 64-bit word of device memory
  uint64_t LoadHost(uint64_t offset) const;
  void Store(uint64_t offset, uint64_t value);  // by "the CPU"
  // The page-table entry (of a big page) for kVram + offset.
  uint64_t* VramEntry(uint64_t offset);

  uint64_t Get(uint32_t reg, unsigned size = 4) { return device_->MmioRead(reg, size); }
  void Set(uint32_t reg, uint64_t value, unsigned size = 4) { device_->MmioWrite(reg, value, size); }
  uint64_t Mg(uint32_t reg, unsigned size = 4);
  void MgSet(uint32_t reg, uint64_t value, unsigned size = 4);
  uint64_t SlotGet(uint32_t slot, uint32_t reg, unsigned size = 4);
  void SlotSet(uint32_t slot, uint32_t reg, uint64_t value, unsigned size = 4);
  uint32_t Command(uint32_t slot, uint32_t command);

  // What the kernel and the firmware do for a context and for a queue.
  void WriteContext(uint32_t id, npu_ctx_desc* out = nullptr);
  uint32_t EnableContext(uint32_t id);
  void WriteQueue(uint32_t queue, uint32_t context, uint32_t priority = 1);
  void MakeQueue(uint32_t queue, uint32_t context, uint32_t priority = 1);  // descriptor, doorbell heard
  uint32_t Map(uint32_t slot, uint32_t queue, uint64_t rptr = 0);

  // What the runtime does.
  void Push(uint32_t queue, const npu_packet& packet);
  void Ring(uint32_t queue) { Doorbell(queue, wptr_[queue]); }
  void Doorbell(uint32_t queue, uint64_t wptr);
  void Kick(uint32_t queue);
  void Submit(uint32_t queue, const npu_packet& packet) {
    Push(queue, packet);
    Ring(queue);
  }
  void Forget() { wptr_.fill(0); }  // after a reset
  // A queue that was made anew starts at 0 again.
  void Restart(uint32_t queue) { wptr_[queue] = 0; }
  uint64_t wptr(uint32_t queue) const { return wptr_[queue]; }
  uint64_t Rptr(uint32_t queue) const { return LoadHost(StatusAt(queue)); }
  uint32_t QueueState(uint32_t queue) const;
  npu_queue_status Status(uint32_t queue) const;
  npu_fault_ring FaultRing(uint32_t context) const;
  npu_fault_record Fault(uint32_t context, uint32_t index) const;

  // Waits (with a deadline that only a broken device meets) until the condition holds.
  template <class F>
  bool Until(F&& condition) {
    return UntilImpl([](void* f) { return (*static_cast<F*>(f))(); }, &condition);
  }
  bool Done(uint32_t queue) {
    return Until([&] { return Rptr(queue) == wptr_[queue]; });
  }
  bool Faulted(uint32_t queue) {
    return Until([&] { return QueueState(queue) == NPU_QUEUE_FAULTED; });
  }
  bool SlotIs(uint32_t slot, uint32_t state) {
    return Until([&] { return SlotGet(slot, NPU_MG_SLOT_STATE) == state; });
  }

  // While held, accesses to host memory do not come back.
  void HoldDma(bool hold) { dma_held_.store(hold); }

  uint32_t irqs(uint32_t vector) const { return irqs_[vector].load(); }
  // Launches that an injection has made hang.
  uint32_t hangs() const { return hangs_.load(); }
  uint32_t guest_errors() const { return guest_errors_.load(); }
  uint64_t dma_ops() const { return dma_ops_.load(); }

  static uint64_t StatusAt(uint32_t queue) { return kStatus + queue * 0x100ull; }
  static uint64_t RingAt(uint32_t queue) { return kRings + (queue % 64) * 0x10000ull; }

  // For the model.
  uint8_t* HostAt(uint64_t bus, uint64_t bytes);

 private:
  bool UntilImpl(bool (*condition)(void*), void* f);
  void BuildTables();
  void FillOps();
  void CreateDevice();

  npu_model_config config_{};
  uint8_t* vram_ = nullptr;
  std::unique_ptr<uint8_t[]> host_;
  std::array<uint64_t, NPU_MAX_QUEUES> wptr_{};
  std::array<std::atomic<uint32_t>, NPU_NUM_VECTORS> irqs_{};
  std::atomic<uint32_t> hangs_{0}, guest_errors_{0};
  std::atomic<uint64_t> dma_ops_{0};
  std::atomic<bool> dma_held_{false};
  std::unique_ptr<npu::model::Device> device_;
};

}  // namespace rig
