// SPDX-License-Identifier: Apache-2.0
//
// Words for faults: sentences, reports for people, JSON for tools.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "npu.h"

namespace npu::rt {

// "use after free" and the like, of enum npu_fault_kind.
const char* FaultKindText(uint32_t kind);
npuError_t FaultError(uint32_t kind);
// Kind and access together: "out-of-bounds write".
std::string Verdict(uint32_t kind, uint8_t access);
const char* AccessText(uint8_t access);
const char* EngineText(uint8_t engine);
const char* PacketText(uint8_t type);

// One sentence: what, where, which buffer, whose bytes.
std::string FaultSentence(const npuFault& fault);
std::string TextReport(const std::vector<npuFault>& faults, uint64_t dropped);
std::string JsonReport(const std::vector<npuFault>& faults, uint64_t dropped);

}  // namespace npu::rt
