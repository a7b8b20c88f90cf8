// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The matrix pipe: validation, footprints and cost; the arithmetic is in kernels_gemm*.inc.
#include "core/convert.h"
#include "core/footprint.h"
#include "core/large_pages.h"
#include "core/timing.h"
#include "core/unit.h"

namespace npu::model {

namespace {

constexpr uint32_t kMaxDim = 1u << 20;
constexpr uint64_t kMaxMacs = 1u << 30;  // of one operation: rows that overlap make much work of little memory
constexpr uint32_t kFlags =
    NPU_MATRIX_ACCUMULATE | NPU_MATRIX_TRANS_A | NPU_MATRIX_TRANS_B | NPU_MATRIX_BIAS | NPU_MATRIX_RELU;

bool IsF8(uint8_t type) {
  return type == NPU_F8E4M3 || type == NPU_F8E5M2;
}

bool IsInt(const npu_matrix_desc& d) {
  return d.d_type == NPU_I32;
}

bool TypesFit(const npu_matrix_desc& d) {
  const uint8_t a = d.a_type, b = d.b_type;
  if (IsInt(d)) return (a == NPU_I8 || a == NPU_U8 || a == NPU_I4) && (b == NPU_I8 || b == NPU_I4);
  if (d.d_type != NPU_F32 && d.d_type != NPU_F16 && d.d_type != NPU_BF16) return false;
  if (IsF8(a)) return IsF8(b);
  return a == b && (a == NPU_F32 || a == NPU_TF32 || a == NPU_F16 || a == NPU_BF16);
}

// The rate of the wider operand.
uint32_t MacsPerCycle(const npu_matrix_desc& d) {
  if (IsInt(d)) return d.a_type == NPU_I4 && d.b_type == NPU_I4 ? kTiming.i4_macs_per_cycle : kTiming.i8_macs_per_cycle;
  if (IsF8(d.a_type)) return kTiming.f8_macs_per_cycle;
  if (d.a_type == NPU_F32) return kTiming.f32_macs_per_cycle;
  return d.a_type == NPU_TF32 ? kTiming.tf32_macs_per_cycle : kTiming.f16_macs_per_cycle;
}

// Operands in the order of fault records: 0 d, 1 a, 2 b, 3 bias.
struct Operand {
  uint64_t ptr;
  uint32_t rows, cols, pitch, bits;

  // Elements smaller than a byte are addressed by the byte: a row takes whole bytes.
  uint32_t unit() const { return bits < 8 ? 1 : bits / 8; }
  uint64_t units() const { return bits < 8 ? CeilDiv(uint64_t{cols} * bits, 8) : cols; }
  uint64_t RowBytes() const { return units() * unit(); }

  Box ToBox() const {
    Box box;
    box.ptr = ptr;
    box.elem_bytes = unit();
    box.count[0] = units();
    box.count[1] = rows;
    box.stride[1] = pitch;
    return box;
  }
  Rows ToRows() const { return {NPU_PTR_VA(ptr), RowBytes(), pitch, rows}; }
};

unsigned Operands(const npu_matrix_desc& d, Operand out[4]) {
  const bool ta = d.flags & NPU_MATRIX_TRANS_A, tb = d.flags & NPU_MATRIX_TRANS_B;
  out[0] = {d.d, d.m, d.n, d.d_pitch, DtypeBits(d.d_type)};
  out[1] = {d.a, ta ? d.k : d.m, ta ? d.m : d.k, d.a_pitch, DtypeBits(d.a_type)};
  out[2] = {d.b, tb ? d.n : d.k, tb ? d.k : d.n, d.b_pitch, DtypeBits(d.b_type)};
  out[3] = {d.bias, 1, d.n, 0, DtypeBits(d.d_type)};
  return d.flags & NPU_MATRIX_BIAS ? 4 : 3;
}

// Of the host's thread, not of the core: cores that take turns on a thread then share what its caches hold.
GemmScratch* Scratch() {
  thread_local const LargePages<GemmScratch> scratch{
      static_cast<GemmScratch*>(AllocateLargePages(sizeof(GemmScratch)))};
  return scratch.get();
}

Gemm MakeGemm(const npu_matrix_desc& d, uint8_t* const host[4]) {
  Gemm g;
  g.d = host[0];
  g.a = host[1];
  g.b = host[2];
  g.bias = host[3];
  g.d_pitch = d.d_pitch;
  g.a_pitch = d.a_pitch;
  g.b_pitch = d.b_pitch;
  g.m = d.m;
  g.n = d.n;
  g.k = d.k;
  g.d_type = d.d_type;
  g.a_type = d.a_type;
  g.b_type = d.b_type;
  g.trans_a = d.flags & NPU_MATRIX_TRANS_A;
  g.trans_b = d.flags & NPU_MATRIX_TRANS_B;
  g.accumulate = d.flags & NPU_MATRIX_ACCUMULATE;
  g.relu = d.flags & NPU_MATRIX_RELU;
  g.scratch = Scratch();
  return g;
}

}  // namespace

bool ValidateMatrix(const npu_matrix_desc& d, FaultInfo* fault) {
  if (d.op != NPU_MATRIX_MMA) return BadDesc(fault, NPU_DESC_ERR_OP);
  if (d.flags & ~kFlags) return BadDesc(fault, NPU_DESC_ERR_FLAGS);
  if (!TypesFit(d)) return BadDesc(fault, NPU_DESC_ERR_DTYPE);
  // A sum that goes on in 16 bits would be rounded more than once.
  if ((d.flags & NPU_MATRIX_ACCUMULATE) && DtypeBits(d.d_type) < 32) return BadDesc(fault, NPU_DESC_ERR_FLAGS);
  if (!d.m || !d.n || !d.k || d.m > kMaxDim || d.n > kMaxDim || d.k > kMaxDim)
    return BadDesc(fault, NPU_DESC_ERR_SHAPE);
  if (uint64_t{d.m} * d.n > kMaxMacs / d.k) return BadDesc(fault, NPU_DESC_ERR_SHAPE);
  Operand ops[4];
  const unsigned count = Operands(d, ops);
  for (uint8_t i = 0; i < count; ++i) {
    const Operand& o = ops[i];
    // Rows of the result may not overlap each other.  Rows of a source may: a picture read with the pitch of one pixel
    // is its own im2col matrix.
    const bool rows_collide = !i && o.rows > 1 && o.pitch < o.RowBytes();
    if (o.pitch % o.unit() || rows_collide) return BadDesc(fault, NPU_DESC_ERR_STRIDE, i);
    if (!LocalMemory::IsLocal(o.ptr) || LocalMemory::IsStack(o.ptr)) return BadDesc(fault, NPU_DESC_ERR_SPACE, i);
    if (o.ptr % o.unit()) {
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
  const Gemm gemm = MakeGemm(d, host);
  IsInt(d) ? ActiveKernels().gemm_int(gemm) : ActiveKernels().gemm_float(gemm);
  if constexpr (!kTimed) return true;
  const uint64_t steps = MacsPerCycle(d) / (kTiming.rows * kTiming.columns);
  cost->busy = CeilDiv(d.m, kTiming.rows) * CeilDiv(d.n, kTiming.columns) * CeilDiv(d.k, steps) + kTiming.fill_cycles;
  unit->counters.macs += uint64_t{d.m} * d.n * d.k;
  return true;
}

}  // namespace npu::model
