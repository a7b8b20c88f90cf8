// SPDX-License-Identifier: Apache-2.0
//
// Device core dumps (kernel/uapi/npu_dump.h), as the driver leaves them in /sys/class/devcoredump.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "npu_dump.h"
#include "npu_fault.h"
#include "npu_packet.h"

namespace npu::smi {

struct DumpRing {
  uint32_t queue = 0;
  uint64_t first = 0;
  std::vector<npu_packet> packets;
};

struct Dump {
  npu_dump_header header{};
  std::string state;  // lines of "key: value"
  std::vector<npu_dump_register> registers;
  std::vector<npu_dump_queue> queues;
  std::vector<DumpRing> rings;
  std::optional<npu_fault_record> fault;
  std::string log;
  std::optional<npu_dump_walk> walk;
  std::vector<npu_dump_buffer> buffers;
  std::vector<std::string> problems;  // what the dump lacks or what was not understood
};

// Reads every byte within bounds, whatever they are; nothing with a sentence in error when they are no dump.
std::optional<Dump> ParseDump(std::span<const std::byte> bytes, std::string* error);

// The file, or with an empty path the first dump of an NPU in /sys/class/devcoredump.  Nothing, with a sentence in
// error.
std::optional<std::vector<std::byte>> ReadDump(const std::string& path, std::string* error);

// For people and for programs; keys are documented in docs/uapi.md.
std::string DumpText(const Dump& dump);
std::string DumpJson(const Dump& dump);

}  // namespace npu::smi
