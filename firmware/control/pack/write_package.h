// SPDX-License-Identifier: Apache-2.0
//
// Firmware packages (npu_fw.h): making and writing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "elf_segments.h"

struct PackageInfo {
  uint32_t version[3] = {};
  std::string build;
};

// False, and a sentence in *error, when the result would not be a package that the boot ROM accepts.
bool MakePackage(const ElfImage& image, const PackageInfo& info, std::vector<uint8_t>* bytes, std::string* error);

// Writes a file as a whole: under another name, then renamed.
bool WriteFile(const std::string& path, const std::vector<uint8_t>& bytes, std::string* error);
