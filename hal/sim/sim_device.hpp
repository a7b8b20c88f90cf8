// SPDX-License-Identifier: Apache-2.0
//
// Backend sim: a context, its buffers and queues on the machine in this process.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "hal/hal.hpp"
#include "sim/machine.hpp"
#include "sim/page_table.hpp"

namespace npu::hal::sim {

// A context of the device.  Device, buffers and queues share it; it ends with the last of them.
class Context {
 public:
  static Result<std::shared_ptr<Context>> Create(std::shared_ptr<Machine> machine);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Error Bind(uint64_t va, uint64_t address, uint64_t bytes, uint64_t flags);
  Error Unbind(uint64_t va, uint64_t bytes);
  Error Wait(uint64_t* word, uint64_t value, uint32_t cond, Clock::time_point deadline, Queue* queue);

  Machine& machine() { return *machine_; }
  uint32_t id() const { return id_; }
  npu_bounds_entry* bounds() { return reinterpret_cast<npu_bounds_entry*>(machine_->vram().At(bounds_)); }
  npu_fault_ring* faults() { return static_cast<npu_fault_ring*>(fault_ring_); }
  int fault_fd() const { return fault_fd_; }
  static constexpr uint32_t kFaultEntries = 1024;

 private:
  explicit Context(std::shared_ptr<Machine> machine) : machine_(std::move(machine)), pages_(machine_->vram()) {}
  Error Setup();
  Error CheckRange(uint64_t va, uint64_t bytes) const;

  std::shared_ptr<Machine> machine_;
  std::mutex pages_mutex_;  // serialises changes of pages_
  PageTable pages_;
  uint32_t id_ = 0;       // 0: none yet
  bool created_ = false;  // the firmware knows the context
  uint64_t bounds_ = 0;
  void* fault_ring_ = nullptr;
  int fault_fd_ = -1;
};

class SimBuffer : public Buffer {
 public:
  static Result<std::unique_ptr<Buffer>> Create(std::shared_ptr<Context> context, uint64_t bytes, Memory memory);
  ~SimBuffer() override;
  // Offset in device memory, or bus address.
  uint64_t address() const { return address_; }

 private:
  explicit SimBuffer(std::shared_ptr<Context> context) : context_(std::move(context)) {}
  std::shared_ptr<Context> context_;
  uint64_t address_ = 0;
};

class SimQueue : public Queue {
 public:
  static Result<std::unique_ptr<Queue>> Create(std::shared_ptr<Context> context, uint32_t ring_log2, uint32_t priority,
                                               uint32_t timeout_ms);
  ~SimQueue() override;
  void Doorbell(uint64_t wptr) override;
  void Kick() override;
  Error Resume(uint32_t mode) override;

 private:
  explicit SimQueue(std::shared_ptr<Context> context) : context_(std::move(context)) {}
  Error Setup(uint32_t ring_log2, uint32_t priority, uint32_t timeout_ms);

  std::shared_ptr<Context> context_;
  bool numbered_ = false, created_ = false;  // id_ is ours; the firmware knows the queue
  uint64_t ring_offset_ = 0;
  void* status_page_ = nullptr;
};

// Page-aligned zeros that the simulated bus reaches.  Null when the host has no memory.
void* MapHostPages(Machine& machine, uint64_t bytes);
void UnmapHostPages(Machine& machine, void* pages, uint64_t bytes);

}  // namespace npu::hal::sim
