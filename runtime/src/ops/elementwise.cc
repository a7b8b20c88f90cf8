// SPDX-License-Identifier: Apache-2.0
//
// Elementwise operators.  The kernels are in firmware/ops/elementwise.cc.
#include "internal.h"
#include "npu_isa.h"

namespace npu::ops {
namespace {

npuError_t Run(const char* name, const char* kernel, NpuElementwiseArgs a, npuStream_t stream) {
  constexpr uint64_t kMaxCount = 1ull << 38;  // elements that 40-bit addresses reach
  if (a.count == 0 || a.count > kMaxCount) {
    return Refuse(npuErrorInvalidValue, "%s: count = %llu; it must be 1 .. %llu", name,
                  static_cast<unsigned long long>(a.count), static_cast<unsigned long long>(kMaxCount));
  }
  DeviceFacts device;
  if (npuError_t e = GetDeviceFacts(&device)) return e;
  // Six tiles of floats at most lie in SRAM; several a core, so that copies run beside the arithmetic.
  const uint64_t most = std::min<uint64_t>(16384, device.sram_bytes / (6 * sizeof(float)) / 64 * 64);
  const uint64_t wanted = RoundUp(DivUp(a.count, device.cores * 4), 64);
  a.tile = static_cast<uint32_t>(std::clamp<uint64_t>(wanted, std::min<uint64_t>(1024, most), most));
  const npuDim3 grid = {BlocksFor(device, DivUp(a.count, a.tile)), 1, 1};
  return Launch(device, "elementwise", kernel, grid, &a, sizeof a, stream);
}

bool BinaryCode(npuOpsBinaryOp op, uint32_t* code) {
  switch (op) {
    case npuOpsBinaryAdd:
      *code = NPU_V_ADD;
      return true;
    case npuOpsBinarySub:
      *code = NPU_V_SUB;
      return true;
    case npuOpsBinaryMul:
      *code = NPU_V_MUL;
      return true;
    case npuOpsBinaryDiv:
      *code = NPU_V_DIV;
      return true;
    case npuOpsBinaryMax:
      *code = NPU_V_MAX;
      return true;
    case npuOpsBinaryMin:
      *code = NPU_V_MIN;
      return true;
  }
  return false;
}

bool UnaryCode(npuOpsUnaryOp op, uint32_t* code) {
  switch (op) {
    case npuOpsUnaryRelu:
      *code = NPU_V_RELU;
      return true;
    case npuOpsUnaryNeg:
      *code = NPU_V_NEG;
      return true;
    case npuOpsUnaryAbs:
      *code = NPU_V_ABS;
      return true;
    case npuOpsUnaryExp:
      *code = NPU_V_EXP;
      return true;
    case npuOpsUnaryTanh:
      *code = NPU_V_TANH;
      return true;
    case npuOpsUnarySigmoid:
      *code = NPU_V_SIGMOID;
      return true;
    case npuOpsUnarySqrt:
      *code = NPU_V_SQRT;
      return true;
  }
  return false;
}

}  // namespace
}  // namespace npu::ops

using namespace npu::ops;

extern "C" npuError_t npuOpsBinary(npuOpsBinaryOp op, uint64_t count, const void* a, const void* b, void* y,
                                   npuStream_t stream) {
  constexpr char kName[] = "npuOpsBinary";
  NpuElementwiseArgs args = {Bits(a), Bits(b), Bits(y), count};
  if (!BinaryCode(op, &args.op)) {
    return Refuse(npuErrorInvalidValue, "%s: operation %d is unknown", kName, static_cast<int>(op));
  }
  if (npuError_t e = CheckPointer(kName, "a", a)) return e;
  if (npuError_t e = CheckPointer(kName, "b", b)) return e;
  if (npuError_t e = CheckPointer(kName, "y", y)) return e;
  return Run(kName, "binary_f32", args, stream);
}

extern "C" npuError_t npuOpsUnary(npuOpsUnaryOp op, uint64_t count, const void* x, void* y, npuStream_t stream) {
  constexpr char kName[] = "npuOpsUnary";
  NpuElementwiseArgs args = {Bits(x), 0, Bits(y), count};
  if (!UnaryCode(op, &args.op)) {
    return Refuse(npuErrorInvalidValue, "%s: operation %d is unknown", kName, static_cast<int>(op));
  }
  if (npuError_t e = CheckPointer(kName, "x", x)) return e;
  if (npuError_t e = CheckPointer(kName, "y", y)) return e;
  return Run(kName, "unary_f32", args, stream);
}

extern "C" npuError_t npuOpsScale(uint64_t count, const void* x, float scale, float offset, void* y,
                                  npuStream_t stream) {
  constexpr char kName[] = "npuOpsScale";
  NpuElementwiseArgs args = {Bits(x), 0, Bits(y), count, 0, 0, scale, offset};
  if (npuError_t e = CheckPointer(kName, "x", x)) return e;
  if (npuError_t e = CheckPointer(kName, "y", y)) return e;
  return Run(kName, "affine_f32", args, stream);
}

extern "C" npuError_t npuOpsNormalizeU8(uint64_t count, const void* x, float scale, float offset, void* y,
                                        npuStream_t stream) {
  constexpr char kName[] = "npuOpsNormalizeU8";
  NpuElementwiseArgs args = {Bits(x), 0, Bits(y), count, 0, 0, scale, offset};
  if (npuError_t e = CheckPointer(kName, "x", x, 1)) return e;
  if (npuError_t e = CheckPointer(kName, "y", y)) return e;
  return Run(kName, "normalize_u8_f32", args, stream);
}
