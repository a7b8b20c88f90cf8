// SPDX-License-Identifier: Apache-2.0
//
// The hardware's device tree, as the hal reads it.
#include "common/device_tree.hpp"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  npu::hal::DeviceInfo info;
  info.tree.assign(data, data + bytes);
  const npu::hal::Error error = npu::hal::ReadHardwareTree(info);
  fuzz::Show(error.message.c_str());
  FUZZ_CHECK(!error || !error.message.empty());
  return 0;
}
