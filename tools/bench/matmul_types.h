// SPDX-License-Identifier: Apache-2.0
//
// The operand types whose matrix multiplications are measured.
#pragma once

#include "npu.h"
#include "npu_ops.h"

namespace npu::bench {

struct MatmulType {
  const char* name;
  npuOpsType type;
  uint32_t bytes;                           // of an operand's element
  uint32_t npuDeviceProp::*macs_per_cycle;  // of one core's matrix unit
  const char* unit;                         // of a rate
};
inline constexpr MatmulType kF32{"f32", npuOpsTypeF32, 4, &npuDeviceProp::f32MacsPerCycle, "GFLOP/s"};
inline constexpr MatmulType kF16{"f16", npuOpsTypeF16, 2, &npuDeviceProp::f16MacsPerCycle, "GFLOP/s"};
inline constexpr MatmulType kBF16{"bf16", npuOpsTypeBF16, 2, &npuDeviceProp::f16MacsPerCycle, "GFLOP/s"};
inline constexpr MatmulType kI8{"i8", npuOpsTypeI8, 1, &npuDeviceProp::i8MacsPerCycle, "GOP/s"};

}  // namespace npu::bench
