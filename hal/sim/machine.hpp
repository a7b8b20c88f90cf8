// SPDX-License-Identifier: Apache-2.0
//
// The machine around the simulated device: what a mainboard, a BIOS and the kernel driver's probe are for the real one.
// One instance of the model in a process; contexts (SimDevice) share it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "hal/hal.hpp"
#include "npu_admin.h"
#include "npu_model.h"
#include "npu_regs.h"
#include "sim/host_regions.hpp"
#include "sim/vram.hpp"

namespace npu::hal::sim {

// The firmware package as bytes, from the first place that has it; ENOENT names all places looked at.
Result<std::vector<uint8_t>> ReadFirmwareFile();

// One interrupt line: counts, and wakes who sleeps on it.
class Line {
 public:
  uint64_t count() const;
  void Raise();
  // Sleeps until count() differs from seen, or the time has come.
  void Wait(uint64_t seen, Clock::time_point until);

 private:
  mutable std::mutex mutex_;  // guards count_
  std::condition_variable changed_;
  uint64_t count_ = 0;
};

class Machine {
 public:
  // The process's machine, made and booted when there is none.  It ends with its last user.
  static Result<std::shared_ptr<Machine>> Get();
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // BAR0.
  uint64_t Read32(uint64_t offset) { return api_->mmio_read(model_, offset, 4); }
  uint64_t Read64(uint64_t offset) { return api_->mmio_read(model_, offset, 8); }
  void Write32(uint64_t offset, uint32_t value) { api_->mmio_write(model_, offset, value, 4); }
  void Write64(uint64_t offset, uint64_t value) { api_->mmio_write(model_, offset, value, 8); }

  // One mailbox command; the answer comes back in args.  Sleeps until the firmware has answered.
  // what names the object in the message: "context 3".
  Error Command(uint32_t op, uint64_t (&args)[NPU_MBOX_ARGS], const std::string& what);
  // Returns when no engine can use translations of the context from before the call.
  Error InvalidateTlb(uint32_t context);

  // Numbers of contexts and queues.  ENOSPC.
  Result<uint32_t> TakeContext(int fault_fd, const npu_fault_ring* ring);
  void ReturnContext(uint32_t context);
  Result<uint32_t> TakeQueue();
  void ReturnQueue(uint32_t queue);

  npu_ctx_desc* context_desc(uint32_t context);
  npu_queue_desc* queue_desc(uint32_t queue);
  Vram& vram() { return vram_; }
  HostRegions& regions() { return regions_; }
  Line& line(uint32_t vector) { return lines_[vector]; }
  const DeviceInfo& info() const { return info_; }
  // Wakes everybody who waits for a fence: a queue died.
  void WakeAll();

 private:
  struct FaultListener {
    int fd = -1;
    const npu_fault_ring* ring = nullptr;
    uint64_t seen = 0;  // written + dropped when the listener was last told
  };

  Machine() = default;
  Error Boot();
  Error CreateModel();
  Error PlaceTables();
  Error LoadFirmware();
  Error Handshake();
  Error ReadInfo();
  // Sleeps until done() holds, looking again at every admin interrupt; false at the deadline or when the firmware
  // crashed.
  template <class Done>
  bool WaitAdmin(Done done);
  std::string FirmwareTrouble();
  // Callbacks of the model.
  void OnInterrupt(unsigned vector);
  void OnError();
  static void Log(void* opaque, npu_model_log level, const char* line);
  static npu_model_host_ops HostOps();

  const npu_model_api* api_ = nullptr;
  npu_model* model_ = nullptr;
  Vram vram_;
  HostRegions regions_;
  DeviceInfo info_;
  Line lines_[NPU_NUM_VECTORS];
  uint64_t context_table_ = 0, queue_table_ = 0, mailbox_ = 0;  // offsets in device memory, set at boot

  std::mutex mailbox_mutex_;  // one command at a time; guards mailbox_seq_
  uint32_t mailbox_seq_ = 0;
  std::mutex tlb_mutex_;  // pairs an invalidation with its request number

  std::mutex numbers_mutex_;  // guards the three below
  std::set<uint32_t> free_contexts_, free_queues_;
  std::vector<FaultListener> listeners_;  // by context
};

}  // namespace npu::hal::sim
