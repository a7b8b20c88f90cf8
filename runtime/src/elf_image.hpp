// SPDX-License-Identifier: Apache-2.0
//
// A kernel file: checked, and taken apart into segments, relocations and symbols.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "status.hpp"

namespace npu::rt {

struct Segment {
  uint64_t va = 0, memory_bytes = 0;
  uint64_t file_offset = 0, file_bytes = 0;
  uint64_t rights = 0;  // NPU_PTE_*
};

// The 64-bit word at `at` holds the address `target` of the image.
struct Relocation {
  uint64_t at = 0;
  uint64_t target = 0;
};

struct Symbol {
  std::string name;
  uint64_t va = 0, bytes = 0;
  bool function = false;
  bool global = false;
};

struct ElfImage {
  std::vector<uint8_t> file;
  std::vector<Segment> segments;  // by address
  std::vector<Relocation> relocations;
  std::vector<Symbol> symbols;                      // functions and objects, by address
  std::unordered_map<std::string, size_t> globals;  // name -> index in symbols
  uint64_t bytes = 0;                               // from address 0 to the end of the last segment
};

// InvalidImage: name, what is wrong with it, and how to build it right.
Status ParseElf(std::vector<uint8_t> file, const std::string& name, ElfImage* out);

}  // namespace npu::rt
