// SPDX-License-Identifier: Apache-2.0
//
// Reads the context's fault ring and keeps what the records mean, as things were when they were read.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "npu.h"
#include "npu_fault.h"

namespace npu::rt {

class Context;
struct ElfImage;

class FaultLog {
 public:
  explicit FaultLog(Context& context) : context_(context) {}

  // Takes new records out of the ring.  Called before the runtime reacts to a stopped queue, so that allocations are
  // still those that the access met.
  void Drain();
  // The fault with a record number, if it is of the queue; with file and line.
  bool Find(uint64_t sequence, uint32_t queue, npuFault* out);
  // Number seen so far, without those of waits for failed streams; and records that the device dropped.
  void Count(uint64_t* seen, uint64_t* dropped);
  // index 0 is the oldest kept; false behind the last.
  bool Get(uint64_t index, npuFault* out);
  std::vector<npuFault> All();
  void Clear();

 private:
  struct Entry {
    npuFault fault;
    std::shared_ptr<const ElfImage> image;  // of the pc: the line table outlives the module
    bool resolved = false;
    bool upstream = false;  // a wait packet whose stream failed: a consequence, not a fault of its own
  };
  Entry Describe(const npu_fault_record& record);
  void DescribeCode(const npu_fault_record& record, Entry& entry);
  void DescribeBuffer(const npu_fault_record& record, npuFault& fault);
  void DescribeVictim(const npu_fault_record& record, npuFault& fault);
  static void Resolve(Entry& entry);
  static constexpr size_t kKept = 1024;

  Context& context_;
  std::mutex mutex_;  // guards all below, and the ring's read counter
  std::deque<Entry> entries_;
  uint64_t seen_ = 0;
};

}  // namespace npu::rt
