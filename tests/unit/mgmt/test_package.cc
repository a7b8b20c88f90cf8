// SPDX-License-Identifier: Apache-2.0
//
// Firmware packages: what the boot ROM accepts, and above all what not.
#include <libfdt.h>

#include <cstring>

#include "mgmt/package.h"
#include "rig.h"
#include "suite.h"

namespace {

using npu::model::Package;
using npu::model::PackageError;

// A copy in 8-byte aligned memory, as the reader wants it.
class Copy {
 public:
  explicit Copy(const std::vector<uint8_t>& bytes) : words_((bytes.size() + 7) / 8), size_(bytes.size()) {
    if (!bytes.empty()) std::memcpy(words_.data(), bytes.data(), bytes.size());
  }
  uint8_t* data() { return reinterpret_cast<uint8_t*>(words_.data()); }
  std::vector<uint8_t> bytes() { return {data(), data() + size_}; }
  PackageError Read(Package* package) { return npu::model::ReadPackage({data(), size_}, package); }
  npu_fw_error Code() {
    Package package;
    return Read(&package).code;
  }
  void SetCells(const char* path, const char* name, std::initializer_list<uint32_t> cells) {
    std::vector<fdt32_t> raw;
    for (uint32_t cell : cells) raw.push_back(cpu_to_fdt32(cell));
    assert_int_equal(
        fdt_setprop_inplace(data(), fdt_path_offset(data(), path), name, raw.data(), static_cast<int>(raw.size() * 4)),
        0);
  }
  std::string Section(int index) {
    int node = fdt_first_subnode(data(), fdt_path_offset(data(), "/sections"));
    while (index-- > 0) node = fdt_next_subnode(data(), node);
    return std::string("/sections/") + fdt_get_name(data(), node, nullptr);
  }
  // Makes the package's own digest fit what it says now.
  void Seal() {
    Package package;
    Read(&package);
    const auto digest = npu::model::PackageDigest(package);
    assert_int_equal(fdt_setprop_inplace(data(), 0, "npu,sha256", digest.data(), static_cast<int>(digest.size())), 0);
  }

 private:
  std::vector<uint64_t> words_;
  size_t size_;
};

void Good(void**) {
  Copy copy(ControlPackage());
  Package package;
  const PackageError error = copy.Read(&package);
  assert_int_equal(error.code, NPU_FW_ERR_NONE);
  assert_int_equal(package.contract, NPU_CONTRACT_VERSION);
  assert_true(package.sections.size() >= 2);
  assert_true(package.entry >= NPU_MG_SRAM_BASE);
}

void TruncatedAtEveryLength(void**) {
  const std::vector<uint8_t> good = ControlPackage();
  for (size_t length = 0; length < good.size(); ++length) {
    Copy copy({good.begin(), good.begin() + static_cast<long>(length)});
    const npu_fw_error code = copy.Code();
    assert_true(code == (length == 0 ? NPU_FW_ERR_SIZE : NPU_FW_ERR_FORMAT));
  }
  std::vector<uint8_t> longer = good;
  longer.push_back(0);
  assert_int_equal(Copy(longer).Code(), NPU_FW_ERR_FORMAT);
}

// Trees as they were before version 16 of the format name their nodes in another way; libfdt stumbles over them.
void OldTrees(void**) {
  const std::vector<uint8_t> good = ControlPackage();
  for (uint32_t version : {0u, 1u, 2u, 3u, 15u, 16u}) {
    Copy copy(good);
    fdt_set_version(copy.data(), version);
    fdt_set_last_comp_version(copy.data(), version < 16 ? version : 16);
    assert_int_equal(copy.Code(), NPU_FW_ERR_FORMAT);
  }
}

bool SameMeaning(const Package& a, const Package& b) {
  bool same = a.contract == b.contract && a.entry == b.entry && a.build == b.build &&
              std::memcmp(a.version, b.version, sizeof a.version) == 0 && a.sections.size() == b.sections.size();
  for (size_t i = 0; same && i < a.sections.size(); ++i) {
    const auto &x = a.sections[i], &y = b.sections[i];
    same = x.load == y.load && x.memsize == y.memsize && x.data.size() == y.data.size() &&
           std::memcmp(x.data.data(), y.data.data(), x.data.size()) == 0;
  }
  return same;
}

// One flipped bit in every byte outside of the sections' data, and in every 7th byte inside.  The digests cover
// everything that is loaded, where, the entry, versions and text; they do not cover the container's slack: section
// names, padding between properties, header fields that say nothing about the contents (boot CPU, last compatible
// version).  A flip there may be accepted, if what is loaded is the same.
void FlippedBits(void**) {
  Copy original(ControlPackage());
  Package good;
  assert_int_equal(original.Read(&good).code, NPU_FW_ERR_NONE);
  const std::vector<uint8_t> bytes = original.bytes();
  size_t accepted = 0;
  const auto in_data = [&](size_t at) {
    const uint8_t* byte = original.data() + at;
    for (const auto& section : good.sections)
      if (byte >= section.data.data() && byte < section.data.data() + section.data.size()) return true;
    return false;
  };
  for (size_t at = 0; at < bytes.size(); ++at) {
    if (in_data(at) && at % 7 != 0) continue;
    Copy copy(bytes);
    copy.data()[at] ^= static_cast<uint8_t>(1u << (at % 8));
    Package package;
    if (copy.Read(&package)) continue;
    ++accepted;
    if (SameMeaning(package, good)) continue;
    print_error("bit %zu of byte %zu changes what is loaded\n", at % 8, at);
    fail();
  }
  assert_true(accepted < 120);
}

void WrongVersionsAndNames(void**) {
  const std::vector<uint8_t> good = ControlPackage();
  Copy package_version(good);
  package_version.SetCells("/", "npu,package-version", {NPU_FW_PACKAGE_VERSION + 1});
  assert_int_equal(package_version.Code(), NPU_FW_ERR_PACKAGE);

  Copy contract(good);
  contract.SetCells("/", "npu,contract", {(NPU_CONTRACT_MAJOR + 1) << 16});
  contract.Seal();
  assert_int_equal(contract.Code(), NPU_FW_ERR_CONTRACT);

  Copy compatible(good);
  assert_int_equal(fdt_setprop_inplace(compatible.data(), 0, "compatible", "npu,firmwarf", 13), 0);
  assert_int_equal(compatible.Code(), NPU_FW_ERR_COMPATIBLE);

  Copy version(good);
  version.SetCells("/", "npu,version", {9, 9, 9});
  assert_int_equal(version.Code(), NPU_FW_ERR_PACKAGE_HASH);
}

// Sections that are sealed properly, and wrong all the same.
void SectionsOutOfBounds(void**) {
  const std::vector<uint8_t> good = ControlPackage();
  const struct {
    uint32_t load_high, load_low;
  } kWrong[] = {{0, 0x7ffffff8}, {0, 0x80000000 + 0x40000 - 8}, {0, 0x80003004}, {1, 0x80003000}, {~0u, 0xfffffff8},
                {0, 0},          {0, 0x80000000 + 0x40000}};
  for (const auto& wrong : kWrong) {
    Copy copy(good);
    copy.SetCells(copy.Section(0).c_str(), "npu,load", {wrong.load_high, wrong.load_low});
    copy.Seal();
    Package package;
    const PackageError error = copy.Read(&package);
    assert_int_equal(error.code, NPU_FW_ERR_SECTION);
    assert_int_equal(error.info, 0);
  }
  for (uint32_t memsize : {0u, 8u, 0x40000u, 0xffffffffu}) {
    Copy copy(good);
    copy.SetCells(copy.Section(1).c_str(), "npu,memsize", {memsize});
    copy.Seal();
    Package package;
    const PackageError error = copy.Read(&package);
    assert_int_equal(error.code, NPU_FW_ERR_SECTION);
    assert_int_equal(error.info, 1);
  }
  Copy overlap(good);
  overlap.SetCells(overlap.Section(1).c_str(), "npu,load", {0, 0x80003008});
  overlap.Seal();
  assert_int_equal(overlap.Code(), NPU_FW_ERR_SECTION);
}

void EntryOutsideSections(void**) {
  for (uint32_t entry : {0x80000000u, 0x80003001u, 0x8003fff0u, 0u}) {
    Copy copy(ControlPackage());
    copy.SetCells("/", "npu,entry", {0, entry});
    assert_int_equal(copy.Code(), NPU_FW_ERR_PACKAGE_HASH);
    copy.Seal();
    assert_int_equal(copy.Code(), NPU_FW_ERR_ENTRY);
  }
}

void MissingProperties(void**) {
  const struct {
    const char* name;
    npu_fw_error code;
  } kRoot[] = {{"compatible", NPU_FW_ERR_COMPATIBLE},  {"npu,package-version", NPU_FW_ERR_PACKAGE},
               {"npu,contract", NPU_FW_ERR_CONTRACT},  {"npu,version", NPU_FW_ERR_FORMAT},
               {"npu,build", NPU_FW_ERR_FORMAT},       {"npu,entry", NPU_FW_ERR_ENTRY},
               {"npu,sha256", NPU_FW_ERR_PACKAGE_HASH}};
  for (const auto& property : kRoot) {
    Copy copy(ControlPackage());
    assert_int_equal(fdt_nop_property(copy.data(), 0, property.name), 0);
    assert_int_equal(copy.Code(), property.code);
  }
  for (const char* name : {"npu,load", "npu,memsize", "data", "npu,sha256"}) {
    Copy copy(ControlPackage());
    assert_int_equal(fdt_nop_property(copy.data(), fdt_path_offset(copy.data(), copy.Section(1).c_str()), name), 0);
    Package package;
    const PackageError error = copy.Read(&package);
    assert_int_equal(error.code, NPU_FW_ERR_SECTION);
    assert_int_equal(error.info, 1);
  }
  Copy none(ControlPackage());
  assert_int_equal(fdt_nop_node(none.data(), fdt_path_offset(none.data(), "/sections")), 0);
  assert_int_equal(none.Code(), NPU_FW_ERR_SECTION);
}

void TooManySections(void**) {
  std::vector<uint64_t> words(0x10000);
  void* tree = words.data();
  const std::vector<uint8_t> good = ControlPackage();
  Copy copy(good);
  assert_int_equal(fdt_open_into(copy.data(), tree, static_cast<int>(words.size() * 8)), 0);
  const uint8_t byte = 0x13;
  const auto digest = npu::model::Sha256Of(&byte, 1);
  for (uint32_t i = 0; i < NPU_FW_MAX_SECTIONS; ++i) {
    const int node = fdt_add_subnode(tree, fdt_path_offset(tree, "/sections"), ("x" + std::to_string(i)).c_str());
    assert_true(node > 0);
    assert_int_equal(fdt_setprop_u64(tree, node, "npu,load", NPU_MG_SRAM_BASE + 0x30000 + 64 * i), 0);
    assert_int_equal(fdt_setprop_u32(tree, node, "npu,memsize", 8), 0);
    assert_int_equal(fdt_setprop(tree, node, "data", &byte, 1), 0);
    assert_int_equal(fdt_setprop(tree, node, "npu,sha256", digest.data(), 32), 0);
  }
  assert_int_equal(fdt_pack(tree), 0);
  Package package;
  const PackageError error =
      npu::model::ReadPackage({static_cast<const uint8_t*>(tree), fdt_totalsize(tree)}, &package);
  assert_int_equal(error.code, NPU_FW_ERR_SECTION);
  assert_int_equal(error.info, NPU_FW_MAX_SECTIONS);
}

// Through the machine: a damaged package is refused by name, nothing runs, and a good one loads after it.
void RejectedThenGood(void**) {
  Rig rig;
  std::vector<uint8_t> bad = ControlPackage();
  bad[bad.size() / 2] ^= 1;
  rig.Load(bad);
  rig.Expect(NPU_FW_STATE_REJECTED);
  assert_int_equal(rig.mgmt->error(), NPU_FW_ERR_HASH);
  assert_int_equal(rig.mgmt->error_info(), 0);
  assert_true(rig.device.WaitFor([&] { return rig.LogContains("SHA-256 differs"); }));
  rig.Load({bad.begin(), bad.begin() + 4000});
  rig.Expect(NPU_FW_STATE_REJECTED);
  assert_int_equal(rig.mgmt->error(), NPU_FW_ERR_FORMAT);
  rig.Boot();
  assert_int_equal(rig.mgmt->error(), NPU_FW_ERR_NONE);
  assert_int_equal(rig.Command(NPU_ADMIN_HELLO, {NPU_ADMIN_PROTOCOL, NPU_CONTRACT_VERSION}).status, NPU_ADMIN_OK);
}

void RangeOutsideMemory(void**) {
  Rig rig;
  const struct {
    uint64_t addr, size;
  } kWrong[] = {{0, 0},
                {FakeDevice::kMemoryBytes - 100, 101},
                {FakeDevice::kMemoryBytes, 1},
                {~uint64_t{0} - 10, 100},
                {0, NPU_FW_MAX_BYTES + 1},
                {100, ~uint64_t{0}}};
  for (const auto& wrong : kWrong) {
    rig.mgmt->LoadFirmware(wrong.addr, wrong.size);
    rig.Expect(NPU_FW_STATE_REJECTED);
    assert_int_equal(rig.mgmt->error(), NPU_FW_ERR_SIZE);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(Good),
      cmocka_unit_test(TruncatedAtEveryLength),
      cmocka_unit_test(OldTrees),
      cmocka_unit_test(FlippedBits),
      cmocka_unit_test(WrongVersionsAndNames),
      cmocka_unit_test(SectionsOutOfBounds),
      cmocka_unit_test(EntryOutsideSections),
      cmocka_unit_test(MissingProperties),
      cmocka_unit_test(TooManySections),
      cmocka_unit_test(RejectedThenGood),
      cmocka_unit_test(RangeOutsideMemory),
  };
  return cmocka_run_group_tests_name("mgmt.package", tests, nullptr, nullptr);
}
