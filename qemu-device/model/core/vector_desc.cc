// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The vector pipe's descriptors: which operations there are for which types, their operands, validation and cost.
#include "core/vector_desc.h"

#include <algorithm>
#include <bit>

#include "core/footprint.h"
#include "core/timing.h"

namespace npu::model {

namespace {

constexpr uint64_t kMaxElements = 1u << 20;

bool IsCompare(uint16_t op) {
  return (op >= NPU_V_CMP_LT && op <= NPU_V_CMP_EQ) || (op >= NPU_V_CMP_NE && op <= NPU_V_CMP_GE);
}

// Whether the operation gives `count` a meaning.
bool TakesCount(VectorShape shape) {
  return shape == VectorShape::kTopk || shape == VectorShape::kGather || shape == VectorShape::kScatter ||
         shape == VectorShape::kGatherRows || shape == VectorShape::kPad;
}

// Moves elements of a type as they are; nullptr for i4, which has no address of its own.
RowFn MoveOf(const Kernels& k, uint8_t type) {
  switch (DtypeBits(type)) {
    case 32:
      return k.convert[0][0];
    case 16:
      return k.row16[NPU_V_COPY];
    case 8:
      return k.convert[3][3];
    default:
      return nullptr;
  }
}

bool PlanSelect(const Kernels& k, const npu_vector_desc& d, RowPlan* plan) {
  const int mask = KernelIndex(d.src_type);
  switch (DtypeBits(d.dst_type)) {
    case 32:
      plan->fn = k.f32[NPU_V_SELECT];
      break;
    case 16:
      plan->fn = k.select16;
      break;
    case 8:
      plan->fn = k.select8;
      break;
    default:
      return false;
  }
  if (d.src_type == NPU_F32) return true;
  plan->load[1] = IsHalf(d.src_type) ? k.widen[d.src_type] : mask > 0 ? k.convert[mask][0] : nullptr;
  return plan->load[1];
}

bool PlanCompare(const Kernels& k, const npu_vector_desc& d, RowPlan* plan) {
  const bool half = IsHalf(d.src_type);
  if (!half && d.src_type != NPU_F32 && d.src_type != NPU_I32) return false;
  plan->fn = d.src_type == NPU_I32 ? k.i32[d.op] : k.f32[d.op];
  if (half) plan->load[1] = plan->load[2] = k.widen[d.src_type];
  // The masks are 0 or 1 of i32 at first.
  const int to = KernelIndex(d.dst_type);
  if (to >= 0) {
    plan->store[0] = k.convert[1][to];
    return true;
  }
  plan->store[0] = k.convert[1][0];
  plan->store[1] = IsHalf(d.dst_type) ? k.narrow[d.dst_type] : nullptr;
  return plan->store[1];
}

bool PlanArithmetic(const Kernels& k, const npu_vector_desc& d, RowPlan* plan) {
  if (d.dst_type != d.src_type) return false;
  if (d.dst_type == NPU_F32) return (plan->fn = k.f32[d.op]);
  if (d.dst_type == NPU_I32) return (plan->fn = k.i32[d.op]);
  if (!IsHalf(d.dst_type)) return false;
  if (k.row16[d.op]) return (plan->fn = k.row16[d.op]);
  plan->fn = k.f32[d.op];
  std::fill(plan->load + 1, plan->load + 4, k.widen[d.src_type]);
  plan->store[0] = k.narrow[d.dst_type];
  return plan->fn;
}

bool Sortable(uint8_t type) {
  return DtypeBits(type) >= 8;
}

// Whether the device has the operation for the descriptor's types.
bool TypesExist(const npu_vector_desc& d, VectorOpInfo info) {
  if (!DtypeBits(d.dst_type) || (info.sources && !DtypeBits(d.src_type))) return false;
  const bool same = d.dst_type == d.src_type;
  const bool ordinary = d.src_type == NPU_F32 || d.src_type == NPU_I32 || IsHalf(d.src_type);
  RowPlan plan;
  switch (info.shape) {
    case VectorShape::kRows:
      return d.op == NPU_V_CONVERT || PlanRows(d, &plan);
    case VectorShape::kIota:
      return d.dst_type == NPU_F32 || d.dst_type == NPU_I32;
    case VectorShape::kReduce:
      return ordinary && (d.op == NPU_V_RARGMAX ? d.dst_type == NPU_I32 : same);
    case VectorShape::kScan:
      return ordinary && same;
    case VectorShape::kSort:
    case VectorShape::kTopk:
      return Sortable(d.src_type) && same;
    default:
      return same && d.src_type != NPU_I4;
  }
}

uint32_t AllowedFlags(const npu_vector_desc& d, VectorOpInfo info) {
  if (info.shape == VectorShape::kSort || info.shape == VectorShape::kTopk) return NPU_VEC_DESCENDING | NPU_VEC_INDEX;
  if (info.shape != VectorShape::kRows) return 0;
  uint32_t flags = 0;
  if (info.sources > 0) flags |= NPU_VEC_COL_BCAST0;
  if (info.sources > 1) flags |= NPU_VEC_COL_BCAST1 | NPU_VEC_IMM1;
  if (info.sources > 2) flags |= NPU_VEC_COL_BCAST2 | NPU_VEC_IMM2;
  if (d.op != NPU_V_CONVERT) return flags;
  if (d.src_type == NPU_I4) flags = 0;  // one of a pair cannot be repeated
  if (DtypeIsFloat(d.dst_type)) flags |= NPU_VEC_SATURATE;
  return flags | NPU_VEC_ROUND_MASK;
}

bool ValidFlags(const npu_vector_desc& d, VectorOpInfo info) {
  const uint32_t flags = d.flags;
  if (flags & ~AllowedFlags(d, info)) return false;
  if ((flags & NPU_VEC_IMM1) && (flags & NPU_VEC_COL_BCAST1)) return false;
  if ((flags & NPU_VEC_ROUND_MASK) >= NPU_VEC_ROUND(NPU_ROUNDS)) return false;
  return !((flags & NPU_VEC_IMM2) && (flags & NPU_VEC_COL_BCAST2));
}

// Fields that the operation does not have are 0.
bool ValidReserved(const npu_vector_desc& d, VectorOpInfo info) {
  if (d.reserved || (d.count && !TakesCount(info.shape))) return false;
  return (d.flags & NPU_VEC_INDEX) || (!d.dst2 && !d.dst2_pitch);
}

bool ValidShape(const npu_vector_desc& d, VectorOpInfo info) {
  const auto fits = [](uint64_t rows, uint64_t cols) { return rows && cols && rows * cols <= kMaxElements; };
  if (!fits(d.rows, d.cols)) return false;
  const bool packed = d.op == NPU_V_CONVERT && (d.src_type == NPU_I4 || d.dst_type == NPU_I4);
  if (packed && d.cols % 2) return false;
  switch (info.shape) {
    case VectorShape::kTopk:
      return d.count && d.count <= d.cols;
    case VectorShape::kGather:
    case VectorShape::kScatter:
      return fits(d.rows, d.count);
    case VectorShape::kGatherRows:
      return fits(d.count, d.cols);
    case VectorShape::kPad:
      return fits(d.rows, d.count) && uint64_t{d.imm[0]} + d.cols <= d.count;
    default:
      return true;
  }
}

// Exactly the same elements: the operation may overwrite what it has just read.
bool InPlace(const VectorOperand& dst, const VectorOperand& s, VectorOpInfo info) {
  const bool may =
      info.shape == VectorShape::kRows || info.shape == VectorShape::kScan || info.shape == VectorShape::kSort;
  const bool same_rows = dst.rows == 1 || dst.pitch == s.pitch;
  return may && NPU_PTR_VA(dst.ptr) == NPU_PTR_VA(s.ptr) && dst.elem == s.elem && dst.cols == s.cols && same_rows &&
         !s.broadcast;
}

bool ValidateOperand(const VectorOperands& ops, uint8_t i, VectorOpInfo info, FaultInfo* fault) {
  const VectorOperand& o = ops.op[i];
  if (o.constant) return true;
  const bool written = i == 0 || i == kVectorDst2;
  const bool rows_collide = written && o.rows > 1 && o.pitch < o.cols * o.elem;
  if (static_cast<int32_t>(o.pitch) < 0 || o.pitch % o.elem || rows_collide)
    return BadDesc(fault, NPU_DESC_ERR_STRIDE, i);
  if (!LocalMemory::IsLocal(o.ptr) || LocalMemory::IsStack(o.ptr)) return BadDesc(fault, NPU_DESC_ERR_SPACE, i);
  if (o.ptr % o.elem) {
    RefuseWhole(o.ToBox(), NPU_FAULT_MISALIGNED, written ? NPU_ACCESS_WRITE : NPU_ACCESS_READ, fault);
    fault->operand = i;
    return false;
  }
  const VectorOperand& dst = ops.op[0];
  if (i && !InPlace(dst, o, info) && Overlap(dst.ToRows(), o.ToRows())) return BadDesc(fault, NPU_DESC_ERR_OVERLAP, i);
  if (i == kVectorDst2 && Overlap(o.ToRows(), ops.op[1].ToRows())) return BadDesc(fault, NPU_DESC_ERR_OVERLAP, i);
  return true;
}

uint64_t StepCost(const npu_vector_desc& d) {
  switch (d.op) {
    case NPU_V_DIV:
    case NPU_V_SQRT:
    case NPU_V_RSQRT:
    case NPU_V_RECIP:
      return kTiming.vector_divide_cost;
    case NPU_V_SCAN_SUM:
    case NPU_V_SCAN_MAX:
    case NPU_V_SCAN_MIN:
      return kTiming.vector_scan_cost;
    case NPU_V_GATHER:
    case NPU_V_SCATTER:
      return kTiming.vector_gather_cost;
    case NPU_V_CONVERT:
      return (d.flags & NPU_VEC_ROUND_MASK) == NPU_VEC_ROUND(NPU_ROUND_STOCHASTIC) ? kTiming.vector_stochastic_cost : 1;
    default:
      return d.op >= NPU_V_EXP && d.op <= NPU_V_SIGMOID ? kTiming.vector_function_cost : 1;
  }
}

// Passes of a sorting network over n elements.
uint64_t SortPasses(uint64_t n) {
  const auto levels = static_cast<uint64_t>(std::bit_width(std::max<uint64_t>(n, 2) - 1));
  return levels * (levels + 1) / 2;
}

}  // namespace

Box VectorOperand::ToBox() const {
  Box box;
  box.ptr = ptr;
  box.elem_bytes = elem;
  box.count[0] = cols;
  box.count[1] = rows;
  box.stride[1] = static_cast<int64_t>(pitch);
  return box;
}

VectorOpInfo VectorOpOf(uint16_t op) {
  switch (op) {
    case NPU_V_COPY:
    case NPU_V_NEG:
    case NPU_V_ABS:
    case NPU_V_RELU:
    case NPU_V_CONVERT:
      return {VectorShape::kRows, 1};
    case NPU_V_ADD:
    case NPU_V_SUB:
    case NPU_V_MUL:
    case NPU_V_DIV:
    case NPU_V_MAX:
    case NPU_V_MIN:
      return {VectorShape::kRows, 2};
    case NPU_V_FMA:
    case NPU_V_CLIP:
    case NPU_V_SELECT:
      return {VectorShape::kRows, 3};
    case NPU_V_RSUM:
    case NPU_V_RMAX:
    case NPU_V_RMIN:
    case NPU_V_RARGMAX:
      return {VectorShape::kReduce, 1};
    case NPU_V_SCAN_SUM:
    case NPU_V_SCAN_MAX:
    case NPU_V_SCAN_MIN:
      return {VectorShape::kScan, 1};
    case NPU_V_SORT:
      return {VectorShape::kSort, 1};
    case NPU_V_TOPK:
      return {VectorShape::kTopk, 1};
    case NPU_V_TRANSPOSE:
      return {VectorShape::kTranspose, 1};
    case NPU_V_FILL:
      return {VectorShape::kRows, 0};
    case NPU_V_IOTA:
      return {VectorShape::kIota, 0};
    case NPU_V_GATHER:
      return {VectorShape::kGather, 2};
    case NPU_V_SCATTER:
      return {VectorShape::kScatter, 2};
    case NPU_V_GATHER_ROWS:
      return {VectorShape::kGatherRows, 2};
    case NPU_V_PAD:
      return {VectorShape::kPad, 1};
    default:
      if (IsCompare(op)) return {VectorShape::kRows, 2};
      return op >= NPU_V_EXP && op <= NPU_V_SIGMOID ? VectorOpInfo{VectorShape::kRows, 1} : VectorOpInfo{};
  }
}

bool PlanRows(const npu_vector_desc& d, RowPlan* plan) {
  const Kernels& k = ActiveKernels();
  *plan = {};
  if (d.op == NPU_V_FILL) return (plan->fn = MoveOf(k, d.dst_type));
  if (d.op == NPU_V_COPY) return d.dst_type == d.src_type && (plan->fn = MoveOf(k, d.dst_type));
  if (d.op == NPU_V_SELECT) return PlanSelect(k, d, plan);
  return IsCompare(d.op) ? PlanCompare(k, d, plan) : PlanArithmetic(k, d, plan);
}

VectorOperands VectorOperandsOf(const npu_vector_desc& d, VectorOpInfo info) {
  VectorOperands out;
  const auto make = [&](uint8_t i, uint64_t ptr, uint8_t type, uint64_t rows, uint64_t cols, int32_t pitch) {
    const bool packed = type == NPU_I4;
    out.op[i] = {ptr, rows, packed ? cols / 2 : cols, static_cast<uint64_t>(int64_t{pitch}),
                 packed ? 1 : DtypeBits(type) / 8};
    out.used[i] = true;
  };
  make(0, d.dst, d.dst_type, d.rows, d.cols, d.row_pitch[0]);
  for (uint8_t i = 0; i < info.sources; ++i) {
    // A selection's values have the destination's type.
    const uint8_t type = d.op == NPU_V_SELECT && i ? d.dst_type : d.src_type;
    make(i + 1, d.src[i], type, d.rows, d.cols, d.row_pitch[i + 1]);
    VectorOperand& s = out.op[i + 1];
    s.broadcast = d.flags & (NPU_VEC_COL_BCAST0 << i);
    s.constant = (i == 1 && (d.flags & NPU_VEC_IMM1)) || (i == 2 && (d.flags & NPU_VEC_IMM2));
    if (s.broadcast) s.cols = 1;
  }
  VectorOperand &dst = out.op[0], &table = out.op[1];
  const auto index = [&](uint64_t cols) { make(2, d.src[1], NPU_I32, d.rows, cols, d.row_pitch[2]); };
  switch (info.shape) {
    case VectorShape::kReduce:
      dst.cols = 1;
      break;
    case VectorShape::kTranspose:
      std::swap(dst.rows, dst.cols);
      break;
    case VectorShape::kTopk:
    case VectorShape::kPad:
      dst.cols = d.count;
      break;
    case VectorShape::kGather:
      table.cols = d.count;
      index(d.cols);
      break;
    case VectorShape::kScatter:
      dst.cols = d.count;
      index(d.cols);
      break;
    case VectorShape::kGatherRows:
      table.rows = d.count;
      index(1);
      break;
    default:
      break;
  }
  if (d.flags & NPU_VEC_INDEX) make(kVectorDst2, d.dst2, NPU_I32, d.rows, dst.cols, d.dst2_pitch);
  return out;
}

uint64_t VectorCost(const npu_vector_desc& d, VectorOpInfo info, const VectorOperands& ops) {
  const uint64_t start = kTiming.vector_startup_cycles;
  const uint64_t in_row = CeilDiv(d.cols, kTiming.lanes);
  switch (info.shape) {
    case VectorShape::kSort:
      return start + d.rows * in_row * SortPasses(d.cols) * kTiming.vector_sort_cost;
    case VectorShape::kTopk:
      return start + d.rows * in_row * (1 + SortPasses(d.count) * kTiming.vector_sort_cost);
    case VectorShape::kGatherRows:
      return start + d.rows * (in_row + kTiming.vector_gather_cost);
    case VectorShape::kPad:
      return start + d.rows * CeilDiv(d.count, kTiming.lanes);
    default:
      break;
  }
  bool flat = info.shape == VectorShape::kRows;
  for (uint8_t i = 0; i < kVectorDst2; ++i) flat &= !ops.used[i] || ops.op[i].Flat();
  const uint64_t steps = flat ? CeilDiv(uint64_t{d.rows} * d.cols, kTiming.lanes) : d.rows * in_row;
  return start + steps * StepCost(d);
}

bool ValidateVector(const npu_vector_desc& d, FaultInfo* fault) {
  const VectorOpInfo info = VectorOpOf(d.op);
  if (info.shape == VectorShape::kNone) return BadDesc(fault, NPU_DESC_ERR_OP);
  if (!ValidFlags(d, info)) return BadDesc(fault, NPU_DESC_ERR_FLAGS);
  if (!ValidReserved(d, info)) return BadDesc(fault, NPU_DESC_ERR_RESERVED);
  if (!TypesExist(d, info)) return BadDesc(fault, NPU_DESC_ERR_DTYPE);
  if (!ValidShape(d, info)) return BadDesc(fault, NPU_DESC_ERR_SHAPE);
  const VectorOperands ops = VectorOperandsOf(d, info);
  for (uint8_t i = 0; i <= kVectorDst2; ++i)
    if (ops.used[i] && !ValidateOperand(ops, i, info, fault)) return false;
  return true;
}

}  // namespace npu::model
