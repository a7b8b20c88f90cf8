// SPDX-License-Identifier: Apache-2.0
//
// The network as plain loops on the CPU.
#pragma once

#include <cstdint>

#include "files.h"

namespace demo {

// Logits [count][10] of images [count][28][28].  Every sum starts with the bias and runs over its terms in the order in
// which npu_ops.h promises them, one fused multiply-add each: so the device's logits must be the same to the last bit.
// Thread-safe.
void CpuReference(const Weights& w, const uint8_t* images, uint32_t count, float* logits);

// Index of the largest of ten logits, the first of equals.
uint32_t Argmax(const float* logits);

}  // namespace demo
