// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// Whether the cycle model counts.  It always does, except in libnpu-model-untimed, which "make bench" compiles to
// measure what the counting costs (tests/bench/cycle_model.py) and which nothing else loads.
#ifndef NPU_MODEL_HART_TIMED_H_
#define NPU_MODEL_HART_TIMED_H_

#include <cstdint>

namespace npu::model {

#ifdef NPU_MODEL_UNTIMED
inline constexpr bool kTimed = false;
#else
inline constexpr bool kTimed = true;
#endif

// A clock or a counter of the cycle model moves on.
inline void AddCycles(uint64_t* clock, uint64_t cycles) {
  if constexpr (kTimed) *clock += cycles;
}

}  // namespace npu::model

#endif  // NPU_MODEL_HART_TIMED_H_
