// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// The scalar cost model: cycles an instruction occupies the hart, by class.  An in-order single-issue core with perfect
// fetch; memory latency beyond the first level and stalls on pipes are added by the environment.
#ifndef NPU_MODEL_HART_COST_H_
#define NPU_MODEL_HART_COST_H_

#include <cstdint>

namespace npu::model::cost {

inline constexpr uint32_t kAlu = 1;
inline constexpr uint32_t kMemory = 2;  // loads and stores, also of f registers
inline constexpr uint32_t kAtomic = 6;  // lr, sc, amo
inline constexpr uint32_t kMul = 3;
inline constexpr uint32_t kDiv = 20;       // div and rem
inline constexpr uint32_t kFloat = 4;      // arithmetic, compare, convert, move, fused multiply-add
inline constexpr uint32_t kFloatDiv = 16;  // fdiv, fsqrt
inline constexpr uint32_t kBranch = 1;     // not taken
inline constexpr uint32_t kTaken = 1;      // more, when taken
inline constexpr uint32_t kJump = 2;       // jal, jalr
inline constexpr uint32_t kSystem = 1;     // csr, fence.i, ecall, custom, ...

}  // namespace npu::model::cost

#endif  // NPU_MODEL_HART_COST_H_
