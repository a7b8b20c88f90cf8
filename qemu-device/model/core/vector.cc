// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The vector pipe: validation, footprints, rows and cost; the arithmetic is in kernels_rows.inc and kernels_math.inc.
#include <algorithm>
#include <cstring>

#include "core/footprint.h"
#include "core/timing.h"
#include "core/unit.h"

namespace npu::model {

namespace {

constexpr uint64_t kMaxElements = 1u << 20;
constexpr size_t kSplat = 1024;  // elements of a repeated operand that are laid out at once

enum class Shape : uint8_t { kNone, kRows, kReduce, kTranspose, kIota };

struct OpInfo {
  Shape shape = Shape::kNone;
  uint8_t sources = 0;
};

OpInfo InfoOf(uint16_t op) {
  switch (op) {
    case NPU_V_COPY:
    case NPU_V_NEG:
    case NPU_V_ABS:
    case NPU_V_RELU:
    case NPU_V_CONVERT:
      return {Shape::kRows, 1};
    case NPU_V_ADD:
    case NPU_V_SUB:
    case NPU_V_MUL:
    case NPU_V_DIV:
    case NPU_V_MAX:
    case NPU_V_MIN:
    case NPU_V_CMP_LT:
    case NPU_V_CMP_LE:
    case NPU_V_CMP_EQ:
      return {Shape::kRows, 2};
    case NPU_V_FMA:
    case NPU_V_CLIP:
    case NPU_V_SELECT:
      return {Shape::kRows, 3};
    case NPU_V_RSUM:
    case NPU_V_RMAX:
    case NPU_V_RMIN:
    case NPU_V_RARGMAX:
      return {Shape::kReduce, 1};
    case NPU_V_TRANSPOSE:
      return {Shape::kTranspose, 1};
    case NPU_V_FILL:
      return {Shape::kRows, 0};
    case NPU_V_IOTA:
      return {Shape::kIota, 0};
    default:
      return op >= NPU_V_EXP && op <= NPU_V_SIGMOID ? OpInfo{Shape::kRows, 1} : OpInfo{};
  }
}

bool IsCompare(uint16_t op) {
  return op == NPU_V_CMP_LT || op == NPU_V_CMP_LE || op == NPU_V_CMP_EQ;
}

uint64_t StepCost(uint16_t op) {
  switch (op) {
    case NPU_V_DIV:
    case NPU_V_SQRT:
    case NPU_V_RSQRT:
    case NPU_V_RECIP:
      return kTiming.vector_divide_cost;
    default:
      return op >= NPU_V_EXP && op <= NPU_V_SIGMOID ? kTiming.vector_function_cost : 1;
  }
}

// Position in Kernels::convert, or -1.
int TypeIndex(uint8_t type) {
  switch (type) {
    case NPU_F32:
      return 0;
    case NPU_I32:
      return 1;
    case NPU_I8:
      return 2;
    case NPU_U8:
      return 3;
    default:
      return -1;
  }
}
uint32_t TypeBytes(uint8_t type) {
  return TypeIndex(type) >= 2 ? 1 : 4;
}

RowFn RowOf(const Kernels& k, const npu_vector_desc& d, uint8_t type) {
  if (d.op == NPU_V_CONVERT) return k.convert[TypeIndex(d.src_type)][TypeIndex(d.dst_type)];
  if (TypeBytes(type) == 1) return d.op == NPU_V_COPY || d.op == NPU_V_FILL ? k.convert[3][3] : nullptr;
  return type == NPU_F32 ? k.f32[d.op] : k.i32[d.op];
}

// The type that chooses the operation; NPU_DTYPES when the combination does not exist.
uint8_t OperationType(const npu_vector_desc& d, OpInfo info) {
  const bool known = TypeIndex(d.dst_type) >= 0 && (TypeIndex(d.src_type) >= 0 || !info.sources);
  if (!known) return NPU_DTYPES;
  const Kernels& k = ActiveKernels();
  const bool same = d.dst_type == d.src_type;
  const bool wide = TypeBytes(d.dst_type) == 4 && TypeBytes(d.src_type) == 4;
  bool ok = same;
  uint8_t type = d.src_type;
  switch (info.shape) {
    case Shape::kIota:
      ok = TypeBytes(d.dst_type) == 4;
      type = d.dst_type;
      break;
    case Shape::kReduce:
      ok = wide && (d.op == NPU_V_RARGMAX ? d.dst_type == NPU_I32 : same);
      ok = ok && (type == NPU_F32 ? k.reduce_f32 : k.reduce_i32)[d.op];
      break;
    case Shape::kTranspose:
      break;
    default:
      if (!info.sources) ok = true, type = d.dst_type;
      if (d.op == NPU_V_CONVERT) ok = true;
      if (d.op == NPU_V_SELECT) ok = wide;
      if (IsCompare(d.op)) ok = TypeBytes(d.src_type) == 4;
      ok = ok && RowOf(k, d, type);
  }
  return ok ? type : uint8_t{NPU_DTYPES};
}

// Operand i of the descriptor: 0 dst, 1.. sources.
struct Operand {
  uint64_t ptr = 0;
  uint64_t rows = 0, cols = 0, pitch = 0;
  uint32_t elem = 4;
  bool constant = false;   // an immediate: no memory
  bool broadcast = false;  // one element a row

  Box ToBox() const {
    Box box;
    box.ptr = ptr;
    box.elem_bytes = elem;
    box.count[0] = cols;
    box.count[1] = rows;
    box.stride[1] = static_cast<int64_t>(pitch);
    return box;
  }
  Rows ToRows() const { return {NPU_PTR_VA(ptr), cols * elem, pitch, rows}; }
  bool Flat() const { return constant || (!broadcast && pitch == cols * elem); }
};

struct Operands {
  Operand op[4];
  unsigned count = 0;  // dst and sources
};

Operands MakeOperands(const npu_vector_desc& d, OpInfo info) {
  Operands out;
  out.count = 1u + info.sources;
  Operand& dst = out.op[0];
  dst = {d.dst, d.rows, d.cols, static_cast<uint64_t>(d.row_pitch[0]), TypeBytes(d.dst_type)};
  if (info.shape == Shape::kReduce) dst.cols = 1;
  if (info.shape == Shape::kTranspose) std::swap(dst.rows, dst.cols);
  for (unsigned i = 0; i < info.sources; ++i) {
    Operand& s = out.op[i + 1];
    // A selection's values have the destination's type.
    const uint8_t type = d.op == NPU_V_SELECT && i ? d.dst_type : d.src_type;
    s = {d.src[i], d.rows, d.cols, static_cast<uint64_t>(d.row_pitch[i + 1]), TypeBytes(type)};
    s.broadcast = d.flags & (NPU_VEC_COL_BCAST0 << i);
    s.constant = (i == 1 && (d.flags & NPU_VEC_IMM1)) || (i == 2 && (d.flags & NPU_VEC_IMM2));
    if (s.broadcast) s.cols = 1;
  }
  return out;
}

uint32_t AllowedFlags(OpInfo info) {
  if (info.shape != Shape::kRows) return 0;
  uint32_t flags = 0;
  if (info.sources > 0) flags |= NPU_VEC_COL_BCAST0;
  if (info.sources > 1) flags |= NPU_VEC_COL_BCAST1 | NPU_VEC_IMM1;
  if (info.sources > 2) flags |= NPU_VEC_COL_BCAST2 | NPU_VEC_IMM2;
  return flags;
}

bool ValidFlags(uint32_t flags, OpInfo info) {
  const bool twice = ((flags & NPU_VEC_IMM1) && (flags & NPU_VEC_COL_BCAST1)) ||
                     ((flags & NPU_VEC_IMM2) && (flags & NPU_VEC_COL_BCAST2));
  return !(flags & ~AllowedFlags(info)) && !twice;
}

// Element by element an operation may work in place: the same rows as the destination, nothing shifted.
bool InPlace(const Operand& dst, const Operand& s, OpInfo info) {
  const bool same_rows = dst.rows == 1 || dst.pitch == s.pitch;
  return info.shape == Shape::kRows && NPU_PTR_VA(dst.ptr) == NPU_PTR_VA(s.ptr) && dst.elem == s.elem &&
         dst.cols == s.cols && same_rows && !s.broadcast;
}

bool ValidateOperand(const Operands& ops, uint8_t i, OpInfo info, FaultInfo* fault) {
  const Operand& o = ops.op[i];
  if (o.constant) return true;
  const bool rows_collide = !i && o.rows > 1 && o.pitch < o.cols * o.elem;
  if (static_cast<int32_t>(o.pitch) < 0 || o.pitch % o.elem || rows_collide)
    return BadDesc(fault, NPU_DESC_ERR_STRIDE, i);
  if (!LocalMemory::IsLocal(o.ptr) || LocalMemory::IsStack(o.ptr)) return BadDesc(fault, NPU_DESC_ERR_SPACE, i);
  if (o.ptr % o.elem) {
    RefuseWhole(o.ToBox(), NPU_FAULT_MISALIGNED, i ? NPU_ACCESS_READ : NPU_ACCESS_WRITE, fault);
    fault->operand = i;
    return false;
  }
  const Operand& dst = ops.op[0];
  if (i && !InPlace(dst, o, info) && Overlap(dst.ToRows(), o.ToRows())) return BadDesc(fault, NPU_DESC_ERR_OVERLAP, i);
  return true;
}

void Splat(uint8_t* out, const void* element, uint32_t bytes, size_t n) {
  if (bytes == 1) {
    std::memset(out, *static_cast<const uint8_t*>(element), n);
    return;
  }
  uint32_t v;
  std::memcpy(&v, element, 4);
  for (size_t i = 0; i < n; ++i) std::memcpy(out + 4 * i, &v, 4);
}

// Runs a row operation over all rows.  Repeated operands are laid out kSplat elements at a time.
class RowLoop {
 public:
  RowLoop(const npu_vector_desc& d, const Operands& ops, uint8_t* const host[4], RowFn fn)
      : d_(d), ops_(ops), host_(host), fn_(fn), masks_(IsCompare(d.op)) {}

  void Run() {
    uint64_t rows = d_.rows, cols = d_.cols;
    bool flat = true;
    for (unsigned i = 0; i < ops_.count; ++i) flat &= ops_.op[i].Flat();
    if (flat) cols *= rows, rows = 1;
    bool splats = masks_ || d_.op == NPU_V_FILL;
    for (unsigned i = 1; i < ops_.count; ++i) {
      const Operand& s = ops_.op[i];
      splats |= s.constant || s.broadcast;
      if (s.constant) Splat(splat_[i], &d_.imm[i - 2], s.elem, std::min<uint64_t>(cols, kSplat));
    }
    if (d_.op == NPU_V_FILL) Splat(splat_[1], &d_.imm[0], ops_.op[0].elem, std::min<uint64_t>(cols, kSplat));
    for (uint64_t r = 0; r < rows; ++r) Row(r, cols, splats ? kSplat : cols);
  }

 private:
  void Row(uint64_t r, uint64_t cols, uint64_t chunk) {
    for (unsigned i = 1; i < ops_.count; ++i) {
      const Operand& s = ops_.op[i];
      if (s.broadcast) Splat(splat_[i], host_[i] + r * s.pitch, s.elem, std::min<uint64_t>(cols, kSplat));
    }
    const Operand& dst = ops_.op[0];
    for (uint64_t c = 0; c < cols; c += chunk) {
      const size_t n = std::min(chunk, cols - c);
      const uint8_t* src[4] = {nullptr, splat_[1], splat_[2], splat_[3]};
      for (unsigned i = 1; i < ops_.count; ++i) {
        const Operand& s = ops_.op[i];
        if (!s.constant && !s.broadcast) src[i] = host_[i] + r * s.pitch + c * s.elem;
      }
      uint8_t* out = host_[0] + r * dst.pitch + c * dst.elem;
      if (!masks_) {
        fn_(out, src[1], src[2], src[3], n);
        continue;
      }
      fn_(splat_[0], src[1], src[2], src[3], n);
      ActiveKernels().convert[1][TypeIndex(d_.dst_type)](out, splat_[0], nullptr, nullptr, n);
    }
  }

  const npu_vector_desc& d_;
  const Operands& ops_;
  uint8_t* const* host_;
  const RowFn fn_;
  const bool masks_;  // comparisons make i32 masks first
  alignas(64) uint8_t splat_[4][kSplat * 4];
};

void RunIota(const npu_vector_desc& d, const Operand& dst, uint8_t* host) {
  float start, step;
  std::memcpy(&start, &d.imm[0], 4);
  std::memcpy(&step, &d.imm[1], 4);
  for (uint64_t r = 0; r < d.rows; ++r) {
    uint8_t* out = host + r * dst.pitch;
    if (d.dst_type == NPU_F32) {
      ActiveKernels().iota_f32(reinterpret_cast<float*>(out), start, step, 0, d.cols);
    } else {
      for (uint32_t c = 0; c < d.cols; ++c) {
        const uint32_t v = d.imm[0] + c * d.imm[1];
        std::memcpy(out + 4 * c, &v, 4);
      }
    }
  }
}

void RunOp(const npu_vector_desc& d, OpInfo info, uint8_t type, const Operands& ops, uint8_t* const host[4]) {
  const Kernels& k = ActiveKernels();
  switch (info.shape) {
    case Shape::kReduce:
      (type == NPU_F32 ? k.reduce_f32 : k.reduce_i32)[d.op](host[0], ops.op[0].pitch, host[1], ops.op[1].pitch, d.rows,
                                                            d.cols);
      break;
    case Shape::kTranspose:
      (ops.op[0].elem == 1 ? k.transpose1 : k.transpose4)(host[0], ops.op[0].pitch, host[1], ops.op[1].pitch, d.rows,
                                                          d.cols);
      break;
    case Shape::kIota:
      RunIota(d, ops.op[0], host[0]);
      break;
    default:
      RowLoop(d, ops, host, RowOf(k, d, type)).Run();
  }
}

}  // namespace

bool ValidateVector(const npu_vector_desc& d, FaultInfo* fault) {
  const OpInfo info = InfoOf(d.op);
  if (info.shape == Shape::kNone) return BadDesc(fault, NPU_DESC_ERR_OP);
  if (!ValidFlags(d.flags, info)) return BadDesc(fault, NPU_DESC_ERR_FLAGS);
  if (d.dst2 || d.dst2_pitch || d.count || d.reserved) return BadDesc(fault, NPU_DESC_ERR_RESERVED);
  if (OperationType(d, info) == NPU_DTYPES) return BadDesc(fault, NPU_DESC_ERR_DTYPE);
  if (!d.rows || !d.cols || uint64_t{d.rows} * d.cols > kMaxElements) return BadDesc(fault, NPU_DESC_ERR_SHAPE);
  const Operands ops = MakeOperands(d, info);
  for (uint8_t i = 0; i < ops.count; ++i)
    if (!ValidateOperand(ops, i, info, fault)) return false;
  return true;
}

bool ExecuteVector(Unit* unit, const npu_vector_desc& d, OpCost* cost, FaultInfo* fault) {
  const OpInfo info = InfoOf(d.op);
  const Operands ops = MakeOperands(d, info);
  uint8_t* host[4] = {};
  bool flat = info.shape == Shape::kRows;
  for (uint8_t i = 0; i < ops.count; ++i) {
    const Operand& o = ops.op[i];
    flat &= o.Flat();
    if (o.constant) continue;
    host[i] = unit->local.Resolve(o.ToBox(), i ? NPU_ACCESS_READ : NPU_ACCESS_WRITE, fault);
    if (host[i]) continue;
    fault->operand = i;
    return false;
  }
  RunOp(d, info, OperationType(d, info), ops, host);
  const uint64_t elements = uint64_t{d.rows} * d.cols;
  const uint64_t steps = flat ? CeilDiv(elements, kTiming.lanes) : d.rows * CeilDiv(d.cols, kTiming.lanes);
  cost->busy = kTiming.vector_startup_cycles + steps * StepCost(d.op);
  unit->counters.vector_elements += elements;
  return true;
}

}  // namespace npu::model
