// SPDX-License-Identifier: Apache-2.0
//
// Called by the trap entry (crt0.S) for an exception: the firmware's last words.
#include "console.h"

extern "C" void control_panic(uint64_t cause, uint64_t pc, uint64_t value, uint64_t ra, uint64_t sp) {
  using namespace control;
  Log("panic: mcause ", cause, " at pc ", Hex{pc}, ", mtval ", Hex{value}, ", ra ", Hex{ra}, ", sp ", Hex{sp});
}
