// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "mgmt/package.h"

#include <libfdt.h>

#include <cstring>

#include "npu_mgmt.h"

namespace npu::model {
namespace {

constexpr uint32_t kTreeVersion = 17;

PackageError Refuse(npu_fw_error code, uint32_t info, std::string message) {
  return PackageError{code, info, std::move(message)};
}

uint32_t LoadBig32(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | uint32_t{p[3]};
}

void HashBig(Sha256* hash, uint64_t value, unsigned bytes) {
  uint8_t raw[8];
  for (unsigned i = 0; i < bytes; ++i) raw[i] = static_cast<uint8_t>(value >> (8 * (bytes - 1 - i)));
  hash->Update(raw, bytes);
}

// One node's properties, each with the exact size that npu_fw.h gives it.
class Node {
 public:
  Node(const void* tree, int offset) : tree_(tree), offset_(offset) {}

  // The property's bytes; an empty data() pointer when it is not there.
  std::span<const uint8_t> Bytes(const char* name) const {
    int length = 0;
    const void* p = fdt_getprop(tree_, offset_, name, &length);
    if (!p) return {};
    return {static_cast<const uint8_t*>(p), static_cast<size_t>(length)};
  }
  bool Cells(const char* name, uint32_t* cells, size_t count) const {
    const auto raw = Bytes(name);
    if (!raw.data() || raw.size() != count * 4) return false;
    for (size_t i = 0; i < count; ++i) cells[i] = LoadBig32(raw.data() + 4 * i);
    return true;
  }
  bool Address(const char* name, uint64_t* address) const {
    uint32_t cells[2];
    if (!Cells(name, cells, 2)) return false;
    *address = uint64_t{cells[0]} << 32 | cells[1];
    return true;
  }
  bool Digest(const char* name, Sha256Digest* digest) const {
    const auto raw = Bytes(name);
    if (!raw.data() || raw.size() != digest->size()) return false;
    std::memcpy(digest->data(), raw.data(), digest->size());
    return true;
  }

 private:
  const void* tree_;
  int offset_;
};

PackageError ReadRoot(const void* tree, Package* package) {
  const Node root(tree, 0);
  if (fdt_node_check_compatible(tree, 0, NPU_FW_COMPATIBLE) != 0)
    return Refuse(NPU_FW_ERR_COMPATIBLE, 0, "a device tree, but not compatible with \"" NPU_FW_COMPATIBLE "\"");
  uint32_t format = 0;
  if (!root.Cells("npu,package-version", &format, 1) || format != NPU_FW_PACKAGE_VERSION)
    return Refuse(NPU_FW_ERR_PACKAGE, format,
                  "package format version " + std::to_string(format) + ", this boot ROM knows version " +
                      std::to_string(NPU_FW_PACKAGE_VERSION));
  if (!root.Cells("npu,contract", &package->contract, 1) || package->contract >> 16 != NPU_CONTRACT_MAJOR)
    return Refuse(NPU_FW_ERR_CONTRACT, package->contract,
                  "built for version " + std::to_string(package->contract >> 16) +
                      " of the hardware contract, this device has version " + std::to_string(NPU_CONTRACT_MAJOR));
  if (!root.Cells("npu,version", package->version, 3))
    return Refuse(NPU_FW_ERR_FORMAT, 0, "npu,version is missing or malformed");
  const auto build = root.Bytes("npu,build");
  if (!build.data() || build.empty() || build.back() != 0)
    return Refuse(NPU_FW_ERR_FORMAT, 0, "npu,build is missing or no text");
  package->build.assign(reinterpret_cast<const char*>(build.data()), build.size() - 1);
  if (!root.Address("npu,entry", &package->entry))
    return Refuse(NPU_FW_ERR_ENTRY, 0, "npu,entry is missing or malformed");
  if (!root.Digest("npu,sha256", &package->digest))
    return Refuse(NPU_FW_ERR_PACKAGE_HASH, 0, "npu,sha256 of the package is missing or malformed");
  return {};
}

// [load, load + memsize) lies in SRAM, in 64-bit arithmetic that cannot wrap.
bool FitsInSram(const PackageSection& section) {
  return section.load % 8 == 0 && section.load >= NPU_MG_SRAM_BASE &&
         section.load - NPU_MG_SRAM_BASE <= NPU_MG_SRAM_BYTES &&
         section.memsize <= NPU_MG_SRAM_BYTES - (section.load - NPU_MG_SRAM_BASE);
}

PackageError ReadSection(const void* tree, int offset, Package* package) {
  const auto index = static_cast<uint32_t>(package->sections.size());
  const char* name = fdt_get_name(tree, offset, nullptr);
  const std::string label = "section " + std::to_string(index) + " (" + (name ? name : "?") + ")";
  const Node node(tree, offset);
  PackageSection section;
  section.name = name ? name : "";
  section.data = node.Bytes("data");
  if (!node.Address("npu,load", &section.load) || !node.Cells("npu,memsize", &section.memsize, 1) ||
      !section.data.data() || !node.Digest("npu,sha256", &section.digest))
    return Refuse(NPU_FW_ERR_SECTION, index, label + " lacks npu,load, npu,memsize, data or npu,sha256");
  if (section.data.size() > section.memsize || !FitsInSram(section))
    return Refuse(NPU_FW_ERR_SECTION, index, label + " does not fit in management SRAM");
  for (const PackageSection& other : package->sections)
    if (section.load < other.load + other.memsize && other.load < section.load + section.memsize)
      return Refuse(NPU_FW_ERR_SECTION, index, label + " overlaps section " + other.name);
  package->sections.push_back(section);
  if (Sha256Of(section.data.data(), section.data.size()) != section.digest)
    return Refuse(NPU_FW_ERR_HASH, index, label + ": SHA-256 differs, the package is damaged");
  return {};
}

PackageError ReadSections(const void* tree, Package* package) {
  const int parent = fdt_subnode_offset(tree, 0, "sections");
  if (parent < 0) return Refuse(NPU_FW_ERR_SECTION, 0, "no sections node");
  int node = 0;
  fdt_for_each_subnode(node, tree, parent) {
    if (package->sections.size() == NPU_FW_MAX_SECTIONS)
      return Refuse(NPU_FW_ERR_SECTION, NPU_FW_MAX_SECTIONS,
                    "more than " + std::to_string(NPU_FW_MAX_SECTIONS) + " sections");
    if (PackageError error = ReadSection(tree, node, package)) return error;
  }
  if (package->sections.empty()) return Refuse(NPU_FW_ERR_SECTION, 0, "no sections");
  return {};
}

}  // namespace

Sha256Digest PackageDigest(const Package& package) {
  Sha256 hash;
  for (const PackageSection& section : package.sections) {
    hash.Update(section.digest.data(), section.digest.size());
    HashBig(&hash, section.load, 8);
    HashBig(&hash, section.memsize, 4);
  }
  HashBig(&hash, package.contract, 4);
  for (uint32_t part : package.version) HashBig(&hash, part, 4);
  HashBig(&hash, package.entry, 8);
  hash.Update(package.build.data(), package.build.size());
  return hash.Finish();
}

PackageError ReadPackage(std::span<const uint8_t> bytes, Package* package) {
  *package = Package{};
  if (bytes.empty() || bytes.size() > NPU_FW_MAX_BYTES)
    return Refuse(NPU_FW_ERR_SIZE, static_cast<uint32_t>(bytes.size()),
                  std::to_string(bytes.size()) + " bytes, a package has 1 to " + std::to_string(NPU_FW_MAX_BYTES));
  const void* tree = bytes.data();
  // libfdt's check of the whole tree fails on nodes as they were before version 16 of the format: it follows a null
  // name.  So the header is looked at first.
  if (bytes.size() < sizeof(fdt_header) || fdt_magic(tree) != FDT_MAGIC || fdt_version(tree) < kTreeVersion)
    return Refuse(NPU_FW_ERR_FORMAT, FDT_ERR_BADVERSION,
                  "no flattened device tree of version " + std::to_string(kTreeVersion) + " or later");
  if (const int rc = fdt_check_full(tree, bytes.size()); rc != 0)
    return Refuse(NPU_FW_ERR_FORMAT, static_cast<uint32_t>(-rc),
                  std::string("not a whole flattened device tree: ") + fdt_strerror(rc));
  if (fdt_totalsize(tree) != bytes.size())
    return Refuse(NPU_FW_ERR_FORMAT, fdt_totalsize(tree),
                  "the device tree has " + std::to_string(fdt_totalsize(tree)) + " bytes, the package " +
                      std::to_string(bytes.size()));
  if (PackageError error = ReadRoot(tree, package)) return error;
  if (PackageError error = ReadSections(tree, package)) return error;
  if (PackageDigest(*package) != package->digest)
    return Refuse(NPU_FW_ERR_PACKAGE_HASH, 0, "SHA-256 of the package differs, the package is damaged");
  for (const PackageSection& section : package->sections)
    if (package->entry % 2 == 0 && package->entry >= section.load &&
        package->entry - section.load < section.data.size())
      return {};
  return Refuse(NPU_FW_ERR_ENTRY, static_cast<uint32_t>(package->entry), "the entry point lies in no section");
}

}  // namespace npu::model
