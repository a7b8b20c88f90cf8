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

// Moves the heartbeat that the host sees: with every round of the main loop and with every mailbox command.
void Beat();

}  // namespace control
