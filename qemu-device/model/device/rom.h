// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The hardware's description of itself (npu_dt.h), built once at power-on and served from the ROM window.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace npu::model {

struct RomFacts {
  uint64_t memory_bytes = 0;
  uint64_t uuid = 0;
  uint32_t queues = 0;
  uint32_t cores = 0;
  uint64_t clock_hz = 0;
};

// Empty if the tree could not be built; error then says why.
std::vector<uint8_t> BuildRom(const RomFacts& facts, std::string* error);

// "xxxxxxxx-xxxx-..." form of npu,uuid: the 64-bit unit identity twice over, the second half mixed.
std::string UuidText(uint64_t uuid);

}  // namespace npu::model
