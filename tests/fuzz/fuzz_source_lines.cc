// SPDX-License-Identifier: Apache-2.0
//
// Debug information of a kernel file, as fault reports look it up.  Only files that the module loader accepts get
// there.
#include <vector>

#include "debug_lines.hpp"
#include "elf_image.hpp"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  npu::rt::ElfImage image;
  if (!npu::rt::ParseElf({data, data + bytes}, "input", &image).ok()) return 0;
  for (size_t i = 0; i < image.symbols.size() && i < 4; ++i) npu::rt::LookUpLine(image.file, image.symbols[i].va + 4);
  return 0;
}
