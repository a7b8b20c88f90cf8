// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// What every engine needs to speak of memory: where device memory lies, what a refused access looks like, what a
// strided footprint is, and the handshake that lets the device know when nobody uses an old translation any more.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "npu_fault.h"
#include "npu_mmu.h"
#include "npu_model.h"

namespace npu::model {

class Ecc;

// The surroundings of the model.  Constant after construction; shared by all threads.
struct Platform {
  uint8_t* vram = nullptr;
  uint64_t vram_bytes = 0;
  const npu_model_host_ops* ops = nullptr;
  void* opaque = nullptr;
  Ecc* ecc = nullptr;  // nullptr: memory is perfect
};

inline constexpr uint8_t kNoOperand = 0xff;

// The memory part of a fault record.  A check that succeeds leaves it alone.
struct FaultInfo {
  uint8_t kind = NPU_FAULT_NONE;  // enum npu_fault_kind
  uint8_t access = NPU_ACCESS_NONE;
  uint8_t operand = kNoOperand;
  uint8_t buf_gen = 0;
  uint16_t buf_number = 0;
  uint16_t detail = 0;
  uint32_t buf_ctl = 0;
  uint64_t addr = 0;       // tagged pointer to the lowest byte of the footprint
  uint64_t size = 0;       // lowest to highest byte, gaps included
  uint64_t bad_addr = 0;   // untagged address of the first byte refused, in the order of the elements
  uint64_t bad_bytes = 0;  // refused bytes, gaps not counted
  uint64_t buf_base = 0;
  uint64_t buf_size = 0;
  uint32_t bad_index[4] = {};

  // Copies into the record's fields of the same names and touches no other.
  void CopyTo(npu_fault_record* r) const {
    r->kind = kind;
    r->access = access;
    r->operand = operand;
    r->detail = detail;
    r->addr = addr;
    r->size = size;
    r->bad_addr = bad_addr;
    r->bad_bytes = bad_bytes;
    r->buf_base = buf_base;
    r->buf_size = buf_size;
    r->buf_ctl = buf_ctl;
    r->buf_number = buf_number;
    r->buf_gen = buf_gen;
    std::memcpy(r->bad_index, bad_index, sizeof(bad_index));
  }
};

// The footprint of one operand: up to four dimensions, dimension 0 contiguous.  Element (i0, i1, i2, i3) starts at
// ptr + i0 * elem_bytes + sum of i_d * stride[d].  Counts are at least 1.  A box with rows (count[1..3]) that repeat
// (stride 0) touches the same bytes again; its bad_bytes count them once for every time they are touched.
struct Box {
  uint64_t ptr = 0;  // tagged
  uint32_t elem_bytes = 1;
  uint64_t count[4] = {1, 1, 1, 1};
  int64_t stride[4] = {0, 0, 0, 0};  // bytes; [0] is not used

  uint64_t RowBytes() const { return count[0] * elem_bytes; }
};

// Tells the device when an engine has stopped using host pointers that it looked up earlier.
//
// The engine: Enter before its first look-up, Pass wherever it holds none, Leave when it goes idle.  The device:
// changes the tables, bumps AddressSpace's epoch, then for every engine takes Snapshot and waits, without blocking
// anybody, until Passed(snapshot).  Only the engine's own thread writes seq; odd means inside.
class QuiesceCounter {
 public:
  void Enter() { seq_.fetch_add(1, std::memory_order_seq_cst); }
  void Pass() { seq_.fetch_add(2, std::memory_order_seq_cst); }
  void Leave() { seq_.fetch_add(1, std::memory_order_seq_cst); }
  uint64_t Snapshot() const { return seq_.load(std::memory_order_seq_cst); }
  // True when the engine was idle at the snapshot or has been at a quiescent point since.
  bool Passed(uint64_t snapshot) const { return !(snapshot & 1) || Snapshot() != snapshot; }

 private:
  std::atomic<uint64_t> seq_{0};
};

}  // namespace npu::model
