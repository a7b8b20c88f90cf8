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
  const std::string text = npu::smi::DumpText(*dump);
  FUZZ_CHECK(!text.empty());
  // Nothing in it plays tricks on a terminal.
  for (char c : text) FUZZ_CHECK(c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
  FUZZ_CHECK(!npu::smi::DumpJson(*dump).empty());
  return 0;
}
