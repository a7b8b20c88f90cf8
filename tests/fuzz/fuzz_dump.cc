// SPDX-License-Identifier: Apache-2.0
//
// Device core dumps, as npu-smi reads them.
#include "dump.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  std::string error;
  const auto dump = npu::smi::ParseDump({reinterpret_cast<const std::byte*>(data), bytes}, &error);
  if (!dump) {
    FUZZ_CHECK(!error.empty());
    return 0;
  }
  FUZZ_CHECK(!npu::smi::DumpText(*dump).empty());
  FUZZ_CHECK(!npu::smi::DumpJson(*dump).empty());
  return 0;
}
