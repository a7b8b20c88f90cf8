// SPDX-License-Identifier: Apache-2.0
//
// Kernel files (ELF), as the runtime's module loader takes them apart.
#include <vector>

#include "elf_image.hpp"
#include "fuzz.h"
#include "npu_mmu.h"

namespace {

// What Module::Fill and Module::Map rely on.
void CheckImage(const npu::rt::ElfImage& image) {
  uint64_t end = 0;
  FUZZ_CHECK(!image.segments.empty() && image.bytes <= 64ull << 20);
  for (const npu::rt::Segment& s : image.segments) {
    FUZZ_CHECK(s.va >= end && s.memory_bytes > 0);
    end = s.va + s.memory_bytes;
    FUZZ_CHECK(end > s.va && end <= image.bytes && s.file_bytes <= s.memory_bytes);
    FUZZ_CHECK(s.file_offset <= image.file.size() && s.file_bytes <= image.file.size() - s.file_offset);
  }
  for (const npu::rt::Relocation& r : image.relocations) {
    bool inside = false;
    for (const npu::rt::Segment& s : image.segments)
      inside |= r.at >= s.va && r.at - s.va < s.file_bytes && s.file_bytes - (r.at - s.va) >= 8;
    FUZZ_CHECK(inside);
  }
  for (const npu::rt::Symbol& s : image.symbols) FUZZ_CHECK(s.va < image.bytes);
  for (const auto& [name, index] : image.globals) FUZZ_CHECK(index < image.symbols.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  npu::rt::ElfImage image;
  const npu::rt::Status status = npu::rt::ParseElf({data, data + bytes}, "input", &image);
  if (status.ok()) CheckImage(image);
  fuzz::Show(status.message.c_str());
  FUZZ_CHECK(status.ok() || !status.message.empty());
  return 0;
}
