// SPDX-License-Identifier: Apache-2.0
//
// The parts of a firmware ELF that are loaded.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct ElfSegment {
  std::string name;  // "text" or "data", and its address
  uint64_t load = 0;
  uint64_t memsize = 0;
  std::vector<uint8_t> data;
};

struct ElfImage {
  uint64_t entry = 0;
  std::vector<ElfSegment> segments;
};

// False, and a sentence in *error, when the file is no RISC-V 64-bit executable or is damaged.
bool ReadElf(const std::string& path, ElfImage* image, std::string* error);
