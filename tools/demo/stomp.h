// SPDX-License-Identifier: Apache-2.0
//
// The operator with the planted off-by-one, and what the device makes of it.
#pragma once

#include <string>

#include "npu_ops.h"

namespace demo {

struct StompResult {
  bool stopped = false;       // the stream has a memory fault
  bool unchanged = false;     // the neighbour, compared byte for byte
  bool adjacent = false;      // the neighbour begins at the byte behind the tensor
  bool named = false;         // the report names kernel, source line, both buffers and the distance
  bool other_stream = false;  // computed right results before, meanwhile and after
  bool usable_again = false;  // the faulted stream after npuStreamReset
  size_t compared_bytes = 0;
  npuFault fault = {};
  std::string report;  // the runtime's, for people
  bool good() const { return stopped && unchanged && adjacent && named && other_stream && usable_again; }
};

// Runs scale_off_by_one of demo_faults.elf on two tensors that lie back to back.  Throws DeviceError when something
// else fails.
StompResult RunStomp();

}  // namespace demo
