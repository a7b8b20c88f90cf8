// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// What the pipes' units (DMA, matrix, vector) share: what they work on, what an operation costs, how they refuse.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/address_space.h"
#include "core/kernels.h"
#include "core/local_memory.h"
#include "core/peers.h"
#include "npu_isa.h"
#include "npu_packet.h"

namespace npu::model {

struct Unit {
  LocalMemory& local;
  npu_counters& counters;
  AddressSpace* space = nullptr;
  uint32_t cores_used = 1;
  PeerWindows* peers = nullptr;  // of the launch, or nullptr
  uint32_t block = 0;            // own window
  // Scratch, so that operations do not allocate.
  std::vector<Span> spans, more_spans;
  std::vector<uint8_t> stage, converted;
  // A program may choose operations that need much of it; a core that stands still keeps no more than this.
  static constexpr size_t kKeptBytes = 4u << 20;
  void TrimScratch() {
    if ((spans.capacity() + more_spans.capacity()) * sizeof(Span) > kKeptBytes) Free(&spans), Free(&more_spans);
    if (stage.capacity() + converted.capacity() > kKeptBytes) Free(&stage), Free(&converted);
  }
  template <class T>
  static void Free(std::vector<T>* scratch) {
    std::vector<T>().swap(*scratch);
  }
};

// Cycles that the operation keeps its pipe, and how much later its result is there.
struct OpCost {
  uint64_t busy = 0;
  uint64_t latency = 0;
};

inline bool BadDesc(FaultInfo* fault, npu_desc_error detail, uint8_t operand = kNoOperand) {
  *fault = FaultInfo{};
  fault->kind = NPU_FAULT_BAD_DESC;
  fault->detail = static_cast<uint16_t>(detail);
  fault->operand = operand;
  return false;
}

inline uint64_t CeilDiv(uint64_t a, uint64_t b) {
  return (a + b - 1) / b;
}

// Validate: of the private copy of a descriptor, at issue: everything that does not depend on memory.  Execute: checks
// all footprints, then works; false: nothing has changed.
bool ValidateDma(const npu_dma_desc& d, npu_pipe pipe, FaultInfo* fault);
bool ExecuteDma(Unit* unit, const npu_dma_desc& d, npu_pipe pipe, OpCost* cost, FaultInfo* fault);
bool ValidateMatrix(const npu_matrix_desc& d, FaultInfo* fault);
bool ExecuteMatrix(Unit* unit, const npu_matrix_desc& d, OpCost* cost, FaultInfo* fault);
bool ValidateVector(const npu_vector_desc& d, FaultInfo* fault);
bool ExecuteVector(Unit* unit, const npu_vector_desc& d, OpCost* cost, FaultInfo* fault);

// Rows of `width` bytes, `pitch` apart (not negative), in local memory.
struct Rows {
  uint64_t va;
  uint64_t width;
  uint64_t pitch;
  uint64_t rows;
};
// Whether the two share a byte.  Exact.
bool Overlap(const Rows& a, const Rows& b);

}  // namespace npu::model
