// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The vector pipe at work; the arithmetic is in kernels_*.inc, conversions are in convert.cc, operations that look
// across a row in vector_order.cc.
#include <algorithm>
#include <cstring>

#include "core/footprint.h"
#include "core/timing.h"
#include "core/vector_desc.h"

namespace npu::model {

namespace {

constexpr size_t kSplat = 1024;  // elements of a repeated or converted operand that are laid out at once

void Splat(uint8_t* out, const void* element, uint32_t bytes, size_t n) {
  if (bytes == 1) {
    std::memset(out, *static_cast<const uint8_t*>(element), n);
    return;
  }
  uint32_t v = 0;
  std::memcpy(&v, element, bytes);
  for (size_t i = 0; i < n; ++i) std::memcpy(out + bytes * i, &v, bytes);
}

// Runs a row operation over all rows.  Repeated operands, and those that are converted first, are laid out kSplat
// elements at a time.
class RowLoop {
 public:
  RowLoop(const npu_vector_desc& d, const VectorOperands& ops, uint8_t* const* host, const RowPlan& plan)
      : d_(d), ops_(ops), host_(host), plan_(plan) {}

  void Run() {
    uint64_t rows = d_.rows, cols = d_.cols;
    bool flat = true, pieces = plan_.store[0] || d_.op == NPU_V_FILL;
    for (unsigned i = 0; i < 4; ++i) {
      if (!ops_.used[i]) continue;
      flat &= ops_.op[i].Flat();
      pieces |= ops_.op[i].constant || ops_.op[i].broadcast || plan_.load[i];
    }
    if (flat) cols *= rows, rows = 1;
    const size_t laid_out = std::min<uint64_t>(cols, kSplat);
    for (unsigned i = 1; i < 4; ++i)
      if (ops_.op[i].constant) LayOut(i, &d_.imm[i - 2], laid_out);
    if (d_.op == NPU_V_FILL) Splat(splat_[1], &d_.imm[0], ops_.op[0].elem, laid_out);
    for (uint64_t r = 0; r < rows; ++r) Row(r, cols, pieces ? kSplat : cols);
  }

 private:
  // n times the same element, ready for the operation.
  void LayOut(unsigned i, const void* element, size_t n) {
    Splat(splat_[i], element, ops_.op[i].elem, n);
    if (!plan_.load[i]) return;
    plan_.load[i](wide_[0], splat_[i], nullptr, nullptr, n);
    std::memcpy(splat_[i], wide_[0], n * 4);
  }

  void Row(uint64_t r, uint64_t cols, uint64_t chunk) {
    for (unsigned i = 1; i < 4; ++i)
      if (ops_.op[i].broadcast) LayOut(i, host_[i] + r * ops_.op[i].pitch, std::min<uint64_t>(cols, kSplat));
    const VectorOperand& dst = ops_.op[0];
    for (uint64_t c = 0; c < cols; c += chunk) {
      const size_t n = std::min(chunk, cols - c);
      const uint8_t* src[4] = {nullptr, splat_[1], splat_[2], splat_[3]};
      for (unsigned i = 1; i < 4; ++i) {
        const VectorOperand& s = ops_.op[i];
        if (!ops_.used[i] || s.constant || s.broadcast) continue;
        src[i] = host_[i] + r * s.pitch + c * s.elem;
        if (!plan_.load[i]) continue;
        plan_.load[i](wide_[i], src[i], nullptr, nullptr, n);
        src[i] = wide_[i];
      }
      uint8_t* out = host_[0] + r * dst.pitch + c * dst.elem;
      plan_.fn(plan_.store[0] ? wide_[0] : out, src[1], src[2], src[3], n);
      if (plan_.store[1]) plan_.store[0](wide_[0], wide_[0], nullptr, nullptr, n);
      const RowFn last = plan_.store[1] ? plan_.store[1] : plan_.store[0];
      if (last) last(out, wide_[0], nullptr, nullptr, n);
    }
  }

  const npu_vector_desc& d_;
  const VectorOperands& ops_;
  uint8_t* const* host_;
  const RowPlan& plan_;
  alignas(64) uint8_t splat_[4][kSplat * 4];
  alignas(64) uint8_t wide_[4][kSplat * 4];
};

void RunConvert(const npu_vector_desc& d, const VectorOperands& ops, uint8_t* const* host) {
  const VectorOperand &dst = ops.op[0], &s = ops.op[1];
  Rounding rounding;
  rounding.mode = static_cast<uint8_t>((d.flags & NPU_VEC_ROUND_MASK) / NPU_VEC_ROUND(1));
  rounding.saturate = d.flags & NPU_VEC_SATURATE;
  rounding.seed = d.imm[0];
  uint64_t rows = d.rows, cols = d.cols;
  if (dst.Flat() && s.Flat()) cols *= rows, rows = 1;
  alignas(64) uint8_t splat[kSplat * 4];
  for (uint64_t r = 0; r < rows; ++r) {
    uint8_t* out = host[0] + r * dst.pitch;
    const uint8_t* in = host[1] + r * s.pitch;
    const auto first = static_cast<uint32_t>(d.imm[1] + r * cols);
    if (!s.broadcast) {
      ConvertElements(out, d.dst_type, in, d.src_type, rounding, first, cols);
      continue;
    }
    Splat(splat, in, s.elem, std::min<uint64_t>(cols, kSplat));
    for (uint64_t c = 0; c < cols; c += kSplat)
      ConvertElements(out + c * DtypeBits(d.dst_type) / 8, d.dst_type, splat, d.src_type, rounding,
                      first + static_cast<uint32_t>(c), std::min<uint64_t>(cols - c, kSplat));
  }
}

void RunIota(const npu_vector_desc& d, const VectorOperand& dst, uint8_t* host) {
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

// 16-bit types are widened first; what comes out is rounded once.
void RunReduce(Unit* unit, const npu_vector_desc& d, const VectorOperands& ops, uint8_t* const* host) {
  const Kernels& k = ActiveKernels();
  const VectorOperand &dst = ops.op[0], &s = ops.op[1];
  if (!IsHalf(d.src_type)) {
    const ReduceFn fn = (d.src_type == NPU_F32 ? k.reduce_f32 : k.reduce_i32)[d.op];
    fn(host[0], dst.pitch, host[1], s.pitch, d.rows, d.cols);
    return;
  }
  const size_t row_bytes = size_t{d.cols} * 4;
  unit->stage.resize(row_bytes * d.rows + size_t{d.rows} * 4);
  uint8_t *wide = unit->stage.data(), *results = wide + row_bytes * d.rows;
  for (uint64_t r = 0; r < d.rows; ++r)
    k.widen[d.src_type](wide + r * row_bytes, host[1] + r * s.pitch, nullptr, nullptr, d.cols);
  if (d.op == NPU_V_RARGMAX) {
    k.reduce_f32[d.op](host[0], dst.pitch, wide, row_bytes, d.rows, d.cols);
    return;
  }
  k.reduce_f32[d.op](results, 4, wide, row_bytes, d.rows, d.cols);
  for (uint64_t r = 0; r < d.rows; ++r)
    k.narrow[d.dst_type](host[0] + r * dst.pitch, results + 4 * r, nullptr, nullptr, 1);
}

void RunTranspose(const npu_vector_desc& d, const VectorOperands& ops, uint8_t* const* host) {
  const Kernels& k = ActiveKernels();
  const uint32_t elem = ops.op[0].elem;
  const TransposeFn fn = elem == 1 ? k.transpose1 : elem == 2 ? k.transpose2 : k.transpose4;
  fn(host[0], ops.op[0].pitch, host[1], ops.op[1].pitch, d.rows, d.cols);
}

bool RunOp(Unit* unit, const npu_vector_desc& d, VectorOpInfo info, const VectorOperands& ops, uint8_t* const host[5],
           FaultInfo* fault) {
  switch (info.shape) {
    case VectorShape::kReduce:
      RunReduce(unit, d, ops, host);
      return true;
    case VectorShape::kTranspose:
      RunTranspose(d, ops, host);
      return true;
    case VectorShape::kIota:
      RunIota(d, ops.op[0], host[0]);
      return true;
    case VectorShape::kRows: {
      RowPlan plan;
      if (d.op == NPU_V_CONVERT)
        RunConvert(d, ops, host);
      else if (PlanRows(d, &plan))
        RowLoop(d, ops, host, plan).Run();
      return true;
    }
    default:
      return RunVectorOrder(unit, d, info, ops, host, fault);
  }
}

}  // namespace

bool ExecuteVector(Unit* unit, const npu_vector_desc& d, OpCost* cost, FaultInfo* fault) {
  const VectorOpInfo info = VectorOpOf(d.op);
  const VectorOperands ops = VectorOperandsOf(d, info);
  uint8_t* host[5] = {};
  for (uint8_t i = 0; i <= kVectorDst2; ++i) {
    const VectorOperand& o = ops.op[i];
    if (!ops.used[i] || o.constant) continue;
    const bool written = i == 0 || i == kVectorDst2;
    host[i] = unit->local.Resolve(o.ToBox(), written ? NPU_ACCESS_WRITE : NPU_ACCESS_READ, fault);
    if (host[i]) continue;
    fault->operand = i;
    return false;
  }
  if (!RunOp(unit, d, info, ops, host, fault)) return false;
  if constexpr (!kTimed) return true;
  cost->busy = VectorCost(d, info, ops);
  unit->counters.vector_elements += uint64_t{d.rows} * d.cols;
  return true;
}

}  // namespace npu::model
