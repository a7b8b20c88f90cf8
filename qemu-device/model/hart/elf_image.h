// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// A bare static RISC-V ELF program.
#ifndef NPU_MODEL_HART_ELF_IMAGE_H_
#define NPU_MODEL_HART_ELF_IMAGE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "hart/flat_memory.h"

namespace npu::model {

struct ElfImage {
  struct Segment {
    uint64_t address;       // physical (load) address
    uint64_t memory_bytes;  // at least data.size(); the rest is zero
    std::vector<uint8_t> data;
  };
  uint64_t entry = 0;
  uint64_t low = 0;   // lowest address loaded
  uint64_t high = 0;  // one past the highest
  std::vector<Segment> segments;
  std::map<std::string, uint64_t> symbols;

  // False, with a sentence in *error: no readable little-endian 64-bit static RISC-V executable, or longer than 1 GiB.
  bool Read(const std::string& path, std::string* error);

  // Copies the segments; the memory must cover [low, high).
  void CopyTo(FlatMemory& memory) const;
};

}  // namespace npu::model

#endif  // NPU_MODEL_HART_ELF_IMAGE_H_
