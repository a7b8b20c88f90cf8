// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The matrix pipe: validation, footprints and cost; the arithmetic is in kernels_gemm*.inc.
#include "core/footprint.h"
#include "core/timing.h"
#include "core/unit.h"

namespace npu::model {

namespace {

constexpr uint32_t kMaxDim = 1u << 20;
constexpr uint64_t kMaxMacs = 1u << 30;  // of one operation: rows that overlap make much work of little memory
constexpr uint32_t kFlags =
    NPU_MATRIX_ACCUMULATE | NPU_MATRIX_TRANS_A | NPU_MATRIX_TRANS_B | NPU_MATRIX_BIAS | NPU_MATRIX_RELU;

// Operands in the order of fault records: 0 d, 1 a, 2 b, 3 bias.
struct Operand {
  uint64_t ptr;
  uint32_t rows, cols, pitch, elem;

  Box ToBox() const {
    Box box;
    box.ptr = ptr;
    box.elem_bytes = elem;
    box.count[0] = cols;
    box.count[1] = rows;
    box.stride[1] = pitch;
    return box;
  }
  Rows ToRows() const { return {NPU_PTR_VA(ptr), uint64_t{cols} * elem, pitch, rows}; }
};

bool Float(const npu_matrix_desc& d) {
  return d.a_type == NPU_F32;
}

unsigned Operands(const npu_matrix_desc& d, Operand out[4]) {
  const uint32_t in = Float(d) ? 4 : 1;
  const bool ta = d.flags & NPU_MATRIX_TRANS_A, tb = d.flags & NPU_MATRIX_TRANS_B;
  out[0] = {d.d, d.m, d.n, d.d_pitch, 4};
  out[1] = {d.a, ta ? d.k : d.m, ta ? d.m : d.k, d.a_pitch, in};
  out[2] = {d.b, tb ? d.n : d.k, tb ? d.k : d.n, d.b_pitch, in};
  out[3] = {d.bias, 1, d.n, 0, 4};
  return d.flags & NPU_MATRIX_BIAS ? 4 : 3;
}

template <class Gemm, class Out, class In>
Gemm MakeGemm(Unit* unit, const npu_matrix_desc& d, uint8_t* const host[4]) {
  const ptrdiff_t a_pitch = d.a_pitch / sizeof(In), b_pitch = d.b_pitch / sizeof(In);
  const bool ta = d.flags & NPU_MATRIX_TRANS_A, tb = d.flags & NPU_MATRIX_TRANS_B;
  Gemm g;
  g.d = reinterpret_cast<Out*>(host[0]);
  g.a = reinterpret_cast<const In*>(host[1]);
  g.b = reinterpret_cast<const In*>(host[2]);
  g.bias = reinterpret_cast<const Out*>(host[3]);
  g.d_pitch = d.d_pitch / sizeof(Out);
  g.a_row = ta ? 1 : a_pitch;
  g.a_k = ta ? a_pitch : 1;
  g.b_k = tb ? 1 : b_pitch;
  g.b_col = tb ? b_pitch : 1;
  g.m = d.m;
  g.n = d.n;
  g.k = d.k;
  g.accumulate = d.flags & NPU_MATRIX_ACCUMULATE;
  g.relu = d.flags & NPU_MATRIX_RELU;
  g.scratch = unit->gemm.get();
  return g;
}

}  // namespace

bool ValidateMatrix(const npu_matrix_desc& d, FaultInfo* fault) {
  if (d.op != NPU_MATRIX_MMA) return BadDesc(fault, NPU_DESC_ERR_OP);
  if (d.flags & ~kFlags) return BadDesc(fault, NPU_DESC_ERR_FLAGS);
  const bool f32 = d.d_type == NPU_F32 && d.a_type == NPU_F32 && d.b_type == NPU_F32;
  const bool i8 = d.d_type == NPU_I32 && d.a_type == NPU_I8 && d.b_type == NPU_I8;
  if (!f32 && !i8) return BadDesc(fault, NPU_DESC_ERR_DTYPE);
  if (!d.m || !d.n || !d.k || d.m > kMaxDim || d.n > kMaxDim || d.k > kMaxDim)
    return BadDesc(fault, NPU_DESC_ERR_SHAPE);
  if (uint64_t{d.m} * d.n > kMaxMacs / d.k) return BadDesc(fault, NPU_DESC_ERR_SHAPE);
  Operand ops[4];
  const unsigned count = Operands(d, ops);
  for (uint8_t i = 0; i < count; ++i) {
    const Operand& o = ops[i];
    // Rows of the result may not overlap each other.  Rows of a source may: a picture read with the pitch of one pixel
    // is its own im2col matrix.
    const bool rows_collide = !i && o.rows > 1 && o.pitch < uint64_t{o.cols} * o.elem;
    if (o.pitch % o.elem || rows_collide) return BadDesc(fault, NPU_DESC_ERR_STRIDE, i);
    if (!LocalMemory::IsLocal(o.ptr) || LocalMemory::IsStack(o.ptr)) return BadDesc(fault, NPU_DESC_ERR_SPACE, i);
    if (o.ptr % o.elem) {
      RefuseWhole(o.ToBox(), NPU_FAULT_MISALIGNED, i ? NPU_ACCESS_READ : NPU_ACCESS_WRITE, fault);
      fault->operand = i;
      return false;
    }
    if (i && Overlap(ops[0].ToRows(), o.ToRows())) return BadDesc(fault, NPU_DESC_ERR_OVERLAP, i);
  }
  return true;
}

bool ExecuteMatrix(Unit* unit, const npu_matrix_desc& d, OpCost* cost, FaultInfo* fault) {
  Operand ops[4];
  uint8_t* host[4] = {};
  const unsigned count = Operands(d, ops);
  for (uint8_t i = 0; i < count; ++i) {
    const bool accumulate = d.flags & NPU_MATRIX_ACCUMULATE;
    const npu_access access = i ? NPU_ACCESS_READ : accumulate ? NPU_ACCESS_ATOMIC : NPU_ACCESS_WRITE;
    host[i] = unit->local.Resolve(ops[i].ToBox(), access, fault);
    if (host[i]) continue;
    // Accumulating reads and writes; what is refused first is the write.
    if (fault->access == NPU_ACCESS_ATOMIC) fault->access = NPU_ACCESS_WRITE;
    fault->operand = i;
    return false;
  }
  if (Float(d))
    ActiveKernels().gemm_f32(MakeGemm<GemmF32, float, float>(unit, d, host));
  else
    ActiveKernels().gemm_i8(MakeGemm<GemmI8, int32_t, int8_t>(unit, d, host));
  const uint64_t per_step = uint64_t{kTiming.rows} * kTiming.columns;
  const uint64_t steps = (Float(d) ? kTiming.f32_macs_per_cycle : kTiming.i8_macs_per_cycle) / per_step;
  cost->busy = CeilDiv(d.m, kTiming.rows) * CeilDiv(d.n, kTiming.columns) * CeilDiv(d.k, steps) + kTiming.fill_cycles;
  unit->counters.macs += uint64_t{d.m} * d.n * d.k;
  return true;
}

}  // namespace npu::model
