// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// Any computational instruction of the F extension in software: the slow path of the interpreter.
#ifndef NPU_MODEL_HART_FP_EXEC_H_
#define NPU_MODEL_HART_FP_EXEC_H_

#include <cstdint>

#include "hart/state.h"

namespace npu::model {

// Executes the 32-bit OP-FP or fused multiply-add instruction `raw`, flags into state.fcsr.  pc is not moved.
// False, and nothing changed: its rounding mode is reserved (also: dynamic, and frm is reserved).
bool ExecuteFloat(HartState& state, uint32_t raw);

}  // namespace npu::model

#endif  // NPU_MODEL_HART_FP_EXEC_H_
