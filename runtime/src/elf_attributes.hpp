// SPDX-License-Identifier: Apache-2.0
//
// What a kernel file says about the processor that it was built for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace npu::rt {

// Name of an ELF machine number, for messages.
const char* MachineName(uint16_t machine);
// The architecture string in a .riscv.attributes section, "" when there is none.
std::string RiscvArch(const uint8_t* section, size_t bytes);
// Extensions of an architecture string that the compute cores do not have, "" when all are there.
std::string MissingExtensions(const std::string& arch);

}  // namespace npu::rt
