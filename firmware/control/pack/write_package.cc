// SPDX-License-Identifier: Apache-2.0
#include "write_package.h"

#include <libfdt.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "mgmt/package.h"

namespace {

using npu::model::Package;
using npu::model::PackageSection;

// Writes a device tree front to back; keeps the first error, after which nothing more happens.
class TreeWriter {
 public:
  explicit TreeWriter(size_t bytes) : bytes_(bytes) {
    Check(fdt_create(bytes_.data(), static_cast<int>(bytes_.size())));
    Check(fdt_finish_reservemap(bytes_.data()));
  }
  void Begin(const std::string& name) { Check(fdt_begin_node(bytes_.data(), name.c_str())); }
  void End() { Check(fdt_end_node(bytes_.data())); }
  void Cell(const char* name, uint32_t value) { Check(fdt_property_u32(bytes_.data(), name, value)); }
  void Address(const char* name, uint64_t value) { Check(fdt_property_u64(bytes_.data(), name, value)); }
  void Text(const char* name, const std::string& text) {
    Check(fdt_property_string(bytes_.data(), name, text.c_str()));
  }
  void Bytes(const char* name, const void* data, size_t size) {
    Check(fdt_property(bytes_.data(), name, data, static_cast<int>(size)));
  }
  // 0, or a libfdt error.
  int Finish(std::vector<uint8_t>* tree) {
    Check(fdt_finish(bytes_.data()));
    if (status_ == 0) tree->assign(bytes_.begin(), bytes_.begin() + fdt_totalsize(bytes_.data()));
    return status_;
  }

 private:
  void Check(int status) {
    if (status_ == 0) status_ = status;
  }
  std::vector<uint8_t> bytes_;
  int status_ = 0;
};

Package Describe(const ElfImage& image, const PackageInfo& info) {
  Package package;
  package.contract = NPU_CONTRACT_VERSION;
  for (int i = 0; i < 3; ++i) package.version[i] = info.version[i];
  package.build = info.build;
  package.entry = image.entry;
  for (const ElfSegment& segment : image.segments) {
    PackageSection section;
    section.name = segment.name;
    section.load = segment.load;
    section.memsize = static_cast<uint32_t>(segment.memsize);
    section.data = segment.data;
    section.digest = npu::model::Sha256Of(segment.data.data(), segment.data.size());
    package.sections.push_back(section);
  }
  package.digest = npu::model::PackageDigest(package);
  return package;
}

int WriteTree(const Package& package, std::vector<uint8_t>* bytes) {
  TreeWriter tree(NPU_FW_MAX_BYTES);
  tree.Begin("");
  tree.Text("compatible", NPU_FW_COMPATIBLE);
  tree.Cell("npu,package-version", NPU_FW_PACKAGE_VERSION);
  tree.Cell("npu,contract", package.contract);
  uint8_t version[12];
  for (int i = 0; i < 12; ++i) version[i] = static_cast<uint8_t>(package.version[i / 4] >> (24 - 8 * (i % 4)));
  tree.Bytes("npu,version", version, sizeof version);
  tree.Text("npu,build", package.build);
  tree.Address("npu,entry", package.entry);
  tree.Bytes("npu,sha256", package.digest.data(), package.digest.size());
  tree.Begin("sections");
  for (const PackageSection& section : package.sections) {
    tree.Begin(section.name);
    tree.Address("npu,load", section.load);
    tree.Cell("npu,memsize", section.memsize);
    tree.Bytes("data", section.data.data(), section.data.size());
    tree.Bytes("npu,sha256", section.digest.data(), section.digest.size());
    tree.End();
  }
  tree.End();
  tree.End();
  return tree.Finish(bytes);
}

}  // namespace

bool MakePackage(const ElfImage& image, const PackageInfo& info, std::vector<uint8_t>* bytes, std::string* error) {
  for (const ElfSegment& segment : image.segments) {
    if (segment.memsize <= UINT32_MAX) continue;
    *error = "segment " + segment.name + " is larger than 4 GiB";
    return false;
  }
  if (const int status = WriteTree(Describe(image, info), bytes); status != 0) {
    *error = std::string("package not made: ") + fdt_strerror(status) + " (a package has at most " +
             std::to_string(NPU_FW_MAX_BYTES) + " bytes)";
    return false;
  }
  Package again;
  if (const auto refused = npu::model::ReadPackage(*bytes, &again)) {
    *error = "the boot ROM would refuse this package: " + refused.message;
    return false;
  }
  return true;
}

bool WriteFile(const std::string& path, const std::vector<uint8_t>& bytes, std::string* error) {
  const std::string fresh = path + ".new";
  std::FILE* file = std::fopen(fresh.c_str(), "wb");
  bool good = file && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  if (file && std::fclose(file) != 0) good = false;
  good = good && std::rename(fresh.c_str(), path.c_str()) == 0;
  if (!good) {
    *error = std::strerror(errno);
    std::remove(fresh.c_str());
  }
  return good;
}
