// SPDX-License-Identifier: Apache-2.0
//
// The interrupt controller.  Interrupts are level-triggered and taken by the main loop (boot.cc).
#pragma once

#include "machine.h"

namespace control {

void EnableInterrupt(uint32_t bits, bool on);
inline void AcknowledgeInterrupt(uint32_t bits) {
  Write32(NPU_MG_IRQ, bits);
}

}  // namespace control
