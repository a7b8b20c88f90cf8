// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Insides of the vector pipe that its source files share: what a descriptor means.
#pragma once

#include <cstdint>

#include "core/convert.h"
#include "core/kernels.h"
#include "core/unit.h"

namespace npu::model {

enum class VectorShape : uint8_t {
  kNone,
  kRows,  // element by element
  kReduce,
  kTranspose,
  kIota,
  kScan,
  kSort,
  kTopk,
  kGather,
  kScatter,
  kGatherRows,
  kPad,
};

struct VectorOpInfo {
  VectorShape shape = VectorShape::kNone;
  uint8_t sources = 0;
};
VectorOpInfo VectorOpOf(uint16_t op);

// An operand of the descriptor as bytes in SRAM.
struct VectorOperand {
  uint64_t ptr = 0;
  uint64_t rows = 0, cols = 0, pitch = 0;
  uint32_t elem = 4;       // bytes; i4 goes in pairs: 1, and half the columns
  bool constant = false;   // an immediate: no memory
  bool broadcast = false;  // one element a row

  Box ToBox() const;
  Rows ToRows() const { return {NPU_PTR_VA(ptr), cols * elem, pitch, rows}; }
  bool Flat() const { return constant || (!broadcast && pitch == cols * elem); }
};

// In the order of fault records: 0 dst, 1.. sources, 4 dst2.
inline constexpr uint8_t kVectorDst2 = 4;
struct VectorOperands {
  VectorOperand op[5];
  bool used[5] = {};
};
VectorOperands VectorOperandsOf(const npu_vector_desc& d, VectorOpInfo info);

// How an operation on rows is put together from kernels: every source through its load (nullptr: as it is), then fn,
// then the stores one after the other (nullptr: none).
struct RowPlan {
  RowFn fn = nullptr;
  RowFn load[4] = {};
  RowFn store[2] = {};
};
// False: the device does not have the operation for these types.
bool PlanRows(const npu_vector_desc& d, RowPlan* plan);

inline bool IsHalf(uint8_t type) {
  return type == NPU_F16 || type == NPU_BF16;
}

// Scans, sorting, gathering, padding; host: addresses of the operands.  False: an index points outside of its table,
// nothing has been written and *fault is filled.
bool RunVectorOrder(Unit* unit, const npu_vector_desc& d, VectorOpInfo info, const VectorOperands& ops,
                    uint8_t* const host[5], FaultInfo* fault);

// Cycles that the operation keeps the pipe.
uint64_t VectorCost(const npu_vector_desc& d, VectorOpInfo info, const VectorOperands& ops);

}  // namespace npu::model
