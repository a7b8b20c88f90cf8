// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The vector pipe's operations that look across a row: scans, sort, top-k, gather, scatter, pad.
#include <algorithm>
#include <cstring>

#include "core/footprint.h"
#include "core/vector_desc.h"

namespace npu::model {

namespace {

float FloatOf(uint32_t u) {
  float x;
  std::memcpy(&x, &u, 4);
  return x;
}
uint32_t BitsOf(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return u;
}

constexpr uint32_t kNan = 0x7fc00000;

// One step of a scan on bit patterns: the maximum and minimum of IEEE 754-2019, as in the other operations.
uint32_t CombineFloat(uint16_t op, uint32_t so_far, uint32_t next) {
  const float x = FloatOf(so_far), y = FloatOf(next);
  if (op == NPU_V_SCAN_SUM) {
    const float sum = x + y;
    return sum != sum ? kNan : BitsOf(sum);
  }
  if (x != x || y != y) return kNan;
  if (x == y) return op == NPU_V_SCAN_MAX ? so_far & next : so_far | next;
  return (x > y) == (op == NPU_V_SCAN_MAX) ? so_far : next;
}

uint32_t CombineInteger(uint16_t op, uint32_t so_far, uint32_t next) {
  if (op == NPU_V_SCAN_SUM) return so_far + next;
  const bool above = static_cast<int32_t>(so_far) > static_cast<int32_t>(next);
  return above == (op == NPU_V_SCAN_MAX) ? so_far : next;
}

// In f32 or i32; 16-bit types go there and back a row at a time.
void RunScan(Unit* unit, const npu_vector_desc& d, const VectorOperands& ops, uint8_t* const host[5]) {
  const Kernels& k = ActiveKernels();
  const bool half = IsHalf(d.src_type), integer = d.src_type == NPU_I32;
  unit->stage.resize(size_t{d.cols} * 4);
  auto* row = reinterpret_cast<uint32_t*>(unit->stage.data());
  const RowFn load = half ? k.widen[d.src_type] : k.convert[0][0];
  const RowFn store = half ? k.narrow[d.dst_type] : k.convert[0][0];
  for (uint64_t r = 0; r < d.rows; ++r) {
    load(row, host[1] + r * ops.op[1].pitch, nullptr, nullptr, d.cols);
    // A sum starts at +0, the others at the first element (whose NaN becomes the canonical one).
    uint32_t so_far = d.op == NPU_V_SCAN_SUM ? 0 : row[0];
    for (uint32_t c = 0; c < d.cols; ++c)
      row[c] = so_far = integer ? CombineInteger(d.op, so_far, row[c]) : CombineFloat(d.op, so_far, row[c]);
    store(host[0] + r * ops.op[0].pitch, row, nullptr, nullptr, d.cols);
  }
}

// Keys ascend with the numbers: NaN is above all others, -0 equals +0.
uint32_t FloatKey(float x) {
  if (x != x) return 0xffffffffu;
  const uint32_t u = x == 0.0f ? 0 : BitsOf(x);
  return u >> 31 ? ~u : u | 0x80000000u;
}

uint32_t IntegerKey(const uint8_t* at, uint8_t type) {
  uint32_t v = 0;
  std::memcpy(&v, at, DtypeBits(type) / 8);
  switch (type) {
    case NPU_I8:
      return static_cast<uint32_t>(static_cast<int8_t>(v)) ^ 0x80000000u;
    case NPU_I16:
      return static_cast<uint32_t>(static_cast<int16_t>(v)) ^ 0x80000000u;
    case NPU_I32:
      return v ^ 0x80000000u;
    default:
      return v;  // unsigned
  }
}

// Sorts pairs of key and column: equal keys stay in the order of their columns.
void RunSort(Unit* unit, const npu_vector_desc& d, const VectorOperands& ops, uint8_t* const host[5]) {
  const uint32_t flip = d.flags & NPU_VEC_DESCENDING ? 0xffffffffu : 0;
  const uint32_t elem = ops.op[1].elem;
  const uint64_t kept = ops.op[0].cols;
  unit->stage.resize(size_t{d.cols} * 16);
  auto* pairs = reinterpret_cast<uint64_t*>(unit->stage.data());
  auto* wide = reinterpret_cast<float*>(unit->stage.data() + size_t{d.cols} * 8);
  uint8_t* values = unit->stage.data() + size_t{d.cols} * 12;
  for (uint64_t r = 0; r < d.rows; ++r) {
    std::memcpy(values, host[1] + r * ops.op[1].pitch, size_t{d.cols} * elem);
    const bool floats = DtypeIsFloat(d.src_type);
    if (floats) ConvertElements(wide, NPU_F32, values, d.src_type, Rounding{}, 0, d.cols);
    for (uint32_t c = 0; c < d.cols; ++c) {
      const uint32_t key = floats ? FloatKey(wide[c]) : IntegerKey(values + size_t{c} * elem, d.src_type);
      pairs[c] = uint64_t{key ^ flip} << 32 | c;
    }
    if (kept == d.cols)
      std::sort(pairs, pairs + kept);
    else
      std::partial_sort(pairs, pairs + kept, pairs + d.cols);
    for (uint64_t c = 0; c < kept; ++c) {
      const auto from = static_cast<uint32_t>(pairs[c]);
      std::memcpy(host[0] + r * ops.op[0].pitch + c * elem, values + size_t{from} * elem, elem);
      if (host[kVectorDst2]) std::memcpy(host[kVectorDst2] + r * ops.op[kVectorDst2].pitch + c * 4, &from, 4);
    }
  }
}

// A private copy of the index operand, checked against a table of `limit` places; nullptr: *fault is filled.  It is a
// copy because another core's DMA may write to this SRAM meanwhile.
const uint32_t* TakeIndices(Unit* unit, const VectorOperands& ops, const uint8_t* host, uint32_t limit, uint8_t table,
                            uint64_t place_bytes, bool rows, FaultInfo* fault) {
  const VectorOperand& index = ops.op[2];
  unit->stage.resize(index.rows * index.cols * 4);
  auto* out = reinterpret_cast<uint32_t*>(unit->stage.data());
  const VectorOperand& t = ops.op[table];
  uint64_t bad = 0;
  for (uint64_t r = 0; r < index.rows; ++r) {
    uint32_t* row = out + r * index.cols;
    std::memcpy(row, host + r * index.pitch, index.cols * 4);
    for (uint64_t c = 0; c < index.cols; ++c) {
      if (row[c] < limit) continue;  // a negative index is a large one
      if (bad++) continue;
      RefuseWhole(t.ToBox(), NPU_FAULT_LOCAL_OOB, table ? NPU_ACCESS_READ : NPU_ACCESS_WRITE, fault);
      const int64_t place = static_cast<int32_t>(row[c]);
      const int64_t offset =
          rows ? place * static_cast<int64_t>(t.pitch) : place * t.elem + static_cast<int64_t>(r * t.pitch);
      fault->bad_addr = (NPU_PTR_VA(t.ptr) + static_cast<uint64_t>(offset)) & NPU_VA_MASK;
      fault->bad_index[0] = static_cast<uint32_t>(c);
      fault->bad_index[1] = static_cast<uint32_t>(r);
      fault->detail = NPU_DESC_ERR_INDEX;
      fault->operand = table;
      fault->buf_base = NPU_PTR_VA(t.ptr);
      fault->buf_size = fault->size;
    }
  }
  if (!bad) return out;
  fault->bad_bytes = bad * place_bytes;
  return nullptr;
}

bool RunGather(Unit* unit, const npu_vector_desc& d, const VectorOperands& ops, uint8_t* const host[5],
               FaultInfo* fault) {
  const uint32_t elem = ops.op[0].elem;
  const uint32_t* index = TakeIndices(unit, ops, host[2], d.count, 1, elem, false, fault);
  if (!index) return false;
  for (uint64_t r = 0; r < d.rows; ++r) {
    uint8_t* out = host[0] + r * ops.op[0].pitch;
    const uint8_t* table = host[1] + r * ops.op[1].pitch;
    for (uint64_t c = 0; c < d.cols; ++c)
      std::memcpy(out + c * elem, table + size_t{index[r * d.cols + c]} * elem, elem);
  }
  return true;
}

bool RunScatter(Unit* unit, const npu_vector_desc& d, const VectorOperands& ops, uint8_t* const host[5],
                FaultInfo* fault) {
  const uint32_t elem = ops.op[0].elem;
  const uint32_t* index = TakeIndices(unit, ops, host[2], d.count, 0, elem, false, fault);
  if (!index) return false;
  for (uint64_t r = 0; r < d.rows; ++r) {
    uint8_t* table = host[0] + r * ops.op[0].pitch;
    const uint8_t* in = host[1] + r * ops.op[1].pitch;
    for (uint64_t c = 0; c < d.cols; ++c)
      std::memcpy(table + size_t{index[r * d.cols + c]} * elem, in + c * elem, elem);
  }
  return true;
}

bool RunGatherRows(Unit* unit, const npu_vector_desc& d, const VectorOperands& ops, uint8_t* const host[5],
                   FaultInfo* fault) {
  const size_t row_bytes = size_t{d.cols} * ops.op[0].elem;
  const uint32_t* index = TakeIndices(unit, ops, host[2], d.count, 1, row_bytes, true, fault);
  if (!index) return false;
  for (uint64_t r = 0; r < d.rows; ++r)
    std::memcpy(host[0] + r * ops.op[0].pitch, host[1] + index[r] * ops.op[1].pitch, row_bytes);
  return true;
}

void RunPad(const npu_vector_desc& d, const VectorOperands& ops, uint8_t* const host[5]) {
  const uint32_t elem = ops.op[0].elem, low = d.imm[0];
  for (uint64_t r = 0; r < d.rows; ++r) {
    uint8_t* out = host[0] + r * ops.op[0].pitch;
    for (uint64_t c = 0; c < low; ++c) std::memcpy(out + c * elem, &d.imm[1], elem);
    std::memcpy(out + size_t{low} * elem, host[1] + r * ops.op[1].pitch, size_t{d.cols} * elem);
    for (uint64_t c = uint64_t{low} + d.cols; c < d.count; ++c) std::memcpy(out + c * elem, &d.imm[1], elem);
  }
}

}  // namespace

bool RunVectorOrder(Unit* unit, const npu_vector_desc& d, VectorOpInfo info, const VectorOperands& ops,
                    uint8_t* const host[5], FaultInfo* fault) {
  switch (info.shape) {
    case VectorShape::kScan:
      RunScan(unit, d, ops, host);
      return true;
    case VectorShape::kSort:
    case VectorShape::kTopk:
      RunSort(unit, d, ops, host);
      return true;
    case VectorShape::kGather:
      return RunGather(unit, d, ops, host, fault);
    case VectorShape::kScatter:
      return RunScatter(unit, d, ops, host, fault);
    case VectorShape::kGatherRows:
      return RunGatherRows(unit, d, ops, host, fault);
    default:
      RunPad(d, ops, host);
      return true;
  }
}

}  // namespace npu::model
