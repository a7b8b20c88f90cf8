// SPDX-License-Identifier: Apache-2.0
//
// The hal: how the runtime reaches a device.  One interface, two backends: "drm" (the kernel driver) and "sim" (the
// device model in this process).  Both obey the same rules, and the same test suites run on both.
//
// Threads: Device and Queue methods may be called from any thread unless a comment says otherwise; a ring has one
// producer at a time (the caller serialises).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "npu_fault.h"
#include "npu_mmu.h"
#include "npu_packet.h"

namespace npu::hal {

// errno-like code and a sentence that names the object, the cause and what to do next.
struct Error {
  int code = 0;
  std::string message;
  explicit operator bool() const { return code != 0; }
};

// Either a value or an Error.
template <class T>
class Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Error error) : error_(std::move(error)) {}
  explicit operator bool() const { return !error_.code; }
  T& operator*() { return value_; }
  T* operator->() { return &value_; }
  const Error& error() const { return error_; }

 private:
  T value_{};
  Error error_;
};

enum class Memory { kDevice, kHost };

struct DeviceInfo {
  std::string backend;  // "drm" or "sim"
  std::string name;     // model of the hardware's device tree
  std::string bdf;      // "0000:00:04.0", or "sim"
  std::string node;     // "/dev/accel/accel0", or ""
  uint64_t uuid = 0;
  uint32_t hw_version = 0, contract_version = 0, fw_version = 0;
  uint32_t cores = 0, queues = 0, slots = 0;
  uint32_t sram_bytes = 0;
  uint64_t memory_bytes = 0;
  uint64_t va_start = 0, va_end = 0;
  uint64_t clock_hz = 0;
  // Rates of the cycle model.  Multiply-accumulates and DMA are of one core; the memory's bytes are those that all
  // cores together get in one direction.
  uint32_t f32_macs_per_cycle = 0, f16_macs_per_cycle = 0, i8_macs_per_cycle = 0;
  uint32_t dma_bytes_per_cycle = 0, memory_bytes_per_cycle = 0;
  std::vector<uint8_t> tree;  // the flattened device tree, whole
};

// Moment-to-moment readings.
struct DeviceStatus {
  uint32_t health = 0;  // enum npu_health
  int32_t temperature_mc = 0;
  uint32_t power_mw = 0;
  uint64_t energy_uj = 0;
  uint32_t clock_khz = 0;
  uint32_t utilisation_permille = 0;
  uint64_t memory_total = 0, memory_free = 0;
};

// Memory that the device can be shown.  Mapped into this process for as long as the object lives.
class Buffer {
 public:
  virtual ~Buffer() = default;
  void* map() const { return map_; }
  uint64_t size() const { return size_; }  // whole pages
  Memory memory() const { return memory_; }

 protected:
  void* map_ = nullptr;
  uint64_t size_ = 0;
  Memory memory_ = Memory::kDevice;
};

// A word of a queue's status that the device may be storing at the same time.  Orders later loads behind itself.
template <class T>
T LoadShared(const volatile T& word) {
  return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
}

// A user-mode queue.  Destroying it kills what runs.
class Queue {
 public:
  virtual ~Queue() = default;
  uint32_t id() const { return id_; }
  npu_packet* ring() const { return ring_; }
  uint32_t ring_packets() const { return ring_packets_; }
  // Read its words with LoadShared.
  const volatile npu_queue_status* status() const { return status_; }
  // Publishes packets before write index wptr (never wrapped).  Orders earlier stores to the ring before itself.
  virtual void Doorbell(uint64_t wptr) = 0;
  // Makes the device look at the queue's wait packet again, after this process stored the awaited value itself.
  virtual void Kick() = 0;
  // Leaves the faulted state; mode is NPU_RESUME_*.
  virtual Error Resume(uint32_t mode) = 0;

 protected:
  uint32_t id_ = 0;
  npu_packet* ring_ = nullptr;
  uint32_t ring_packets_ = 0;
  const volatile npu_queue_status* status_ = nullptr;
};

using Clock = std::chrono::steady_clock;

// One context on one device.
class Device {
 public:
  virtual ~Device() = default;
  const DeviceInfo& info() const { return info_; }
  virtual Result<DeviceStatus> Status() = 0;

  virtual Result<std::unique_ptr<Buffer>> CreateBuffer(uint64_t bytes, Memory memory) = 0;
  // Maps [offset, offset + bytes) of the buffer at device address va with rights NPU_PTE_READ|WRITE|EXEC.
  // The mapping must be taken away before the buffer is destroyed.
  virtual Error Bind(Buffer& buffer, uint64_t offset, uint64_t va, uint64_t bytes, uint64_t rights) = 0;
  // Returns when no engine can use the range any more.
  virtual Error Unbind(uint64_t va, uint64_t bytes) = 0;

  virtual Result<std::unique_ptr<Queue>> CreateQueue(uint32_t ring_log2, uint32_t priority, uint32_t timeout_ms) = 0;

  // Sleeps until the 64-bit value at offset of the buffer meets cond (enum npu_wait_cond).  queue may be null; its
  // fault ends the wait with EIO.  ETIME at the deadline.
  virtual Error Wait(Buffer& buffer, uint64_t offset, uint64_t value, uint32_t cond, Clock::time_point deadline,
                     Queue* queue) = 0;

  // The context's bounds table, NPU_BOUNDS_ENTRIES entries, and fault ring, mapped read and write.
  npu_bounds_entry* bounds() const { return bounds_; }
  npu_fault_ring* faults() const { return faults_; }
  uint32_t fault_entries() const { return fault_entries_; }
  uint32_t context_id() const { return context_id_; }
  // Becomes readable when a fault record has been written; -1 if the backend has none.
  int fault_fd() const { return fault_fd_; }

 protected:
  DeviceInfo info_;
  npu_bounds_entry* bounds_ = nullptr;
  npu_fault_ring* faults_ = nullptr;
  uint32_t fault_entries_ = 0;
  uint32_t context_id_ = 0;
  int fault_fd_ = -1;
};

// Devices that this process can open, in a stable order: accel nodes of the npu driver, then one "sim" device.
// filter: "" (all), "drm" or "sim".
std::vector<std::string> ListDevices(const std::string& filter);

// name as listed, or "drm"/"sim" for the first of its kind.  Opening makes a context.
Result<std::unique_ptr<Device>> OpenDevice(const std::string& name);

}  // namespace npu::hal
