// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Firmware packages as npu_fw.h describes them: reading and verifying.  Used by the boot ROM and by the packer's
// --show.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mgmt/sha256.h"
#include "npu_fw.h"

namespace npu::model {

struct PackageSection {
  std::string name;
  uint64_t load = 0;
  uint32_t memsize = 0;
  std::span<const uint8_t> data;  // inside the package that was read
  Sha256Digest digest{};          // as the package states it
};

struct Package {
  uint32_t contract = 0;
  uint32_t version[3] = {};
  std::string build;
  uint64_t entry = 0;
  std::vector<PackageSection> sections;
  Sha256Digest digest{};  // as the package states it
};

// Why a package was refused: for FW_ERROR and FW_ERROR_INFO, and a sentence for the log.
struct PackageError {
  npu_fw_error code = NPU_FW_ERR_NONE;
  uint32_t info = 0;
  std::string message;
  explicit operator bool() const { return code != NPU_FW_ERR_NONE; }
};

// Reads and verifies everything.  bytes must be private memory, 8-byte aligned, that nobody changes meanwhile; package
// refers to it.  Nothing in package is to be trusted when an error comes back, though what was read is filled in.
PackageError ReadPackage(std::span<const uint8_t> bytes, Package* package);

// The digest of the whole (npu,sha256 of the root node), from what package holds.
Sha256Digest PackageDigest(const Package& package);

}  // namespace npu::model
