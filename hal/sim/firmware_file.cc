// SPDX-License-Identifier: Apache-2.0
//
// Finds the firmware package as request_firmware does for the driver: a list of places, the first hit counts.
#include <dlfcn.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/error.hpp"
#include "npu_fw.h"
#include "npu_model.h"
#include "sim/machine.hpp"

namespace npu::hal::sim {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> Places() {
  if (const char* dir = std::getenv("NPU_FIRMWARE_DIR"); dir && *dir) return {fs::path(dir) / NPU_FW_FILE_NAME};
  std::vector<fs::path> places;
  Dl_info where;
  if (dladdr(reinterpret_cast<void*>(&npu_model_get_api), &where) && where.dli_fname) {
    fs::path lib = fs::absolute(where.dli_fname).parent_path();
    places.push_back(lib / "firmware" / NPU_FW_FILE_NAME);                // an installed prefix
    places.push_back(lib.parent_path() / "firmware" / NPU_FW_FILE_NAME);  // a build tree
    places.push_back(lib.parent_path() / "lib" / "firmware" / NPU_FW_FILE_NAME);
  }
  places.push_back(fs::path(NPU_INSTALL_FIRMWARE_DIR) / NPU_FW_FILE_NAME);
  places.push_back(fs::path("/lib/firmware") / NPU_FW_FILE_NAME);
  return places;
}

}  // namespace

Result<std::vector<uint8_t>> ReadFirmwareFile() {
  std::string looked;
  for (const fs::path& place : Places()) {
    std::error_code ec;
    uint64_t bytes = fs::file_size(place, ec);
    if (ec) {
      looked += (looked.empty() ? "" : ", ") + place.string();
      continue;
    }
    if (bytes == 0 || bytes > NPU_FW_MAX_BYTES) {
      return Fail(EINVAL, "firmware file {} has {} bytes; a package has 1 to {}", place.string(), bytes,
                  NPU_FW_MAX_BYTES);
    }
    std::vector<uint8_t> data(bytes);
    std::ifstream file(place, std::ios::binary);
    if (!file.read(reinterpret_cast<char*>(data.data()), static_cast<std::streamsize>(bytes))) {
      return Fail(EIO, "cannot read firmware file {}", place.string());
    }
    return data;
  }
  return Fail(ENOENT,
              "no firmware file; looked at {}; build it (target npu-firmware) or set NPU_FIRMWARE_DIR to the "
              "directory that holds {}",
              looked, NPU_FW_FILE_NAME);
}

}  // namespace npu::hal::sim
