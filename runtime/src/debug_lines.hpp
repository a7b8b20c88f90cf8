// SPDX-License-Identifier: Apache-2.0
//
// Source lines of a kernel file's code, by libdw.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace npu::rt {

struct SourceLine {
  std::string function;  // innermost, inlined ones included; "" when the file does not tell
  std::string file;      // "" when there is no line table
  uint32_t line = 0;
};

// Reads the whole table anew: for reports only.
SourceLine LookUpLine(const std::vector<uint8_t>& elf_file, uint64_t address);

}  // namespace npu::rt
