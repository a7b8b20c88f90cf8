// SPDX-License-Identifier: Apache-2.0
//
// Firmware packages, as the boot ROM verifies them.  Input: one byte, then the package.  With an odd first byte the
// digests are made to fit first, so that mutations get past them.
#include <libfdt.h>

#include <vector>

#include "fuzz.h"
#include "mgmt/package.h"
#include "npu_mgmt.h"

namespace {

using namespace npu::model;

void Seal(uint8_t* tree, size_t bytes) {
  if (bytes < sizeof(fdt_header) || fdt_version(tree) < 17 || fdt_check_full(tree, bytes) != 0) return;
  int node = 0;
  fdt_for_each_subnode(node, tree, fdt_subnode_offset(tree, 0, "sections")) {
    int length = 0;
    const void* data = fdt_getprop(tree, node, "data", &length);
    if (!data) continue;
    const Sha256Digest digest = Sha256Of(data, static_cast<size_t>(length));
    fdt_setprop_inplace(tree, node, "npu,sha256", digest.data(), static_cast<int>(digest.size()));
  }
  Package package;
  (void)ReadPackage({tree, bytes}, &package);
  const Sha256Digest digest = PackageDigest(package);
  fdt_setprop_inplace(tree, 0, "npu,sha256", digest.data(), static_cast<int>(digest.size()));
}

// What the boot ROM relies on when it copies the sections.
void CheckAccepted(const Package& package, const uint8_t* from, size_t bytes) {
  FUZZ_CHECK(!package.sections.empty() && package.sections.size() <= NPU_FW_MAX_SECTIONS);
  bool entry = false;
  for (const PackageSection& s : package.sections) {
    FUZZ_CHECK(s.load >= NPU_MG_SRAM_BASE && s.load % 8 == 0);
    FUZZ_CHECK(s.load - NPU_MG_SRAM_BASE <= NPU_MG_SRAM_BYTES);
    FUZZ_CHECK(s.memsize <= NPU_MG_SRAM_BYTES - (s.load - NPU_MG_SRAM_BASE));
    FUZZ_CHECK(s.data.size() <= s.memsize);
    FUZZ_CHECK(s.data.empty() || (s.data.data() >= from && s.data.data() + s.data.size() <= from + bytes));
    entry |= package.entry >= s.load && package.entry - s.load < s.data.size();
  }
  FUZZ_CHECK(entry);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  if (bytes == 0) return 0;
  const bool seal = data[0] & 1;
  ++data;
  --bytes;
  // To the byte, so that the sanitizer sees the first one behind the end; operator new gives the alignment.
  std::vector<uint8_t> copy(data, data + bytes);
  if (seal) Seal(copy.data(), copy.size());
  Package package;
  const PackageError error = ReadPackage(copy, &package);
  if (!error) CheckAccepted(package, copy.data(), copy.size());
  fuzz::Show(error.message.c_str());
  FUZZ_CHECK(!error || !error.message.empty());
  return 0;
}
