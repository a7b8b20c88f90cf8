// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// Machine mode: traps, interrupts and CSRs.  M is the only mode, so mstatus.MPP is always 3.
#ifndef NPU_MODEL_HART_MACHINE_H_
#define NPU_MODEL_HART_MACHINE_H_

#include <cstdint>

#include "hart/state.h"

namespace npu::model::machine {

inline constexpr uint64_t kStatusMie = uint64_t{1} << 3;
inline constexpr uint64_t kStatusMpie = uint64_t{1} << 7;
inline constexpr uint64_t kStatusMpp = uint64_t{3} << 11;
inline constexpr uint64_t kStatusFs = uint64_t{3} << 13;  // off or dirty: the hart does not track less
inline constexpr uint64_t kStatusSd = uint64_t{1} << 63;

// Registers of this file as after a reset; mhartid stays.
void Reset(HartState& s);

// Enters the trap handler for the instruction at s.pc.
void Trap(HartState& s, uint64_t cause, uint64_t tval);

// Enters the handler of the most urgent interrupt that is pending and enabled; false: there is none.
bool TakeInterrupt(HartState& s);

void Mret(HartState& s);

inline uint64_t InterruptMask(const HartState& s) {
  return (s.mstatus & kStatusMie) != 0 ? s.mie : 0;
}

// False: there is no such register.  s.instret includes the instruction that reads.
bool CsrRead(const HartState& s, unsigned csr, bool has_float, uint64_t* value);
// False: no such register.  Bits that cannot be written keep their values.
bool CsrWrite(HartState& s, unsigned csr, bool has_float, uint64_t value);

}  // namespace npu::model::machine

#endif  // NPU_MODEL_HART_MACHINE_H_
