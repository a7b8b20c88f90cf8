// SPDX-License-Identifier: Apache-2.0
//
// test-hal-sim FIRMWARE: what only the model in this process has: configuration by environment, firmware by file.
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "npu_fw.h"
#include "rig.hpp"

using namespace npu::hal;
namespace fs = std::filesystem;

std::string backend_under_test = "sim";
static std::vector<char> firmware;
static fs::path directory;

static void WriteFirmware(const std::vector<char>& bytes) {
  fs::path path = directory / NPU_FW_FILE_NAME;
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

static void ExpectRefused(const char* in_message) {
  auto device = npu::hal::OpenDevice("sim");
  assert_false(static_cast<bool>(device));
  if (device.error().message.find(in_message) == std::string::npos) {
    fail_msg("\"%s\" does not say \"%s\"", device.error().message.c_str(), in_message);
  }
}

static void ExpectOpen() {
  auto device = npu::hal::OpenDevice("sim");
  AssertOk(device);
}

static int use_directory(void**) {
  setenv("NPU_FIRMWARE_DIR", directory.c_str(), 1);
  WriteFirmware(firmware);
  return 0;
}

static void good_firmware(void**) {
  ExpectOpen();
}

static void missing_firmware(void**) {
  fs::remove(directory / NPU_FW_FILE_NAME);
  ExpectRefused("no firmware file");
}

static void truncated_firmware(void**) {
  WriteFirmware(std::vector<char>(firmware.begin(), firmware.begin() + static_cast<long>(firmware.size() / 2)));
  ExpectRefused("truncated");
  WriteFirmware(firmware);
  ExpectOpen();
}

static void flipped_bit(void**) {
  std::vector<char> bad = firmware;
  bad[bad.size() / 2] ^= 0x10;
  WriteFirmware(bad);
  ExpectRefused("firmware");
  WriteFirmware(firmware);
  ExpectOpen();
}

static void empty_firmware(void**) {
  WriteFirmware({});
  ExpectRefused("0 bytes");
}

static void configuration(void**) {
  setenv("NPU_SIM_CORES", "2", 1);
  setenv("NPU_SIM_MEMORY", "128M", 1);
  {
    auto device = npu::hal::OpenDevice("sim");
    AssertOk(device);
    assert_int_equal(device->get()->info().cores, 2);
    assert_int_equal(device->get()->info().memory_bytes, 128 << 20);
  }
  setenv("NPU_SIM_MEMORY", "100M", 1);
  ExpectRefused("power of two");
  setenv("NPU_SIM_MEMORY", "plenty", 1);
  ExpectRefused("NPU_SIM_MEMORY");
  unsetenv("NPU_SIM_MEMORY");
  setenv("NPU_SIM_CORES", "1000", 1);
  ExpectRefused("cores");
  unsetenv("NPU_SIM_CORES");
  setenv("NPU_SIM_SIMD", "abacus", 1);
  ExpectRefused("abacus");
  unsetenv("NPU_SIM_SIMD");
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  std::ifstream file(argv[1], std::ios::binary);
  firmware.assign(std::istreambuf_iterator<char>(file), {});
  if (firmware.empty()) {
    std::fprintf(stderr, "cannot read %s\n", argv[1]);
    return 2;
  }
  char name[] = "/tmp/npu-test-hal-XXXXXX";
  if (!mkdtemp(name)) return 2;
  directory = name;
  const CMUnitTest tests[] = {
      cmocka_unit_test_setup(good_firmware, use_directory),
      cmocka_unit_test_setup(missing_firmware, use_directory),
      cmocka_unit_test_setup(truncated_firmware, use_directory),
      cmocka_unit_test_setup(flipped_bit, use_directory),
      cmocka_unit_test_setup(empty_firmware, use_directory),
      cmocka_unit_test_setup(configuration, use_directory),
  };
  int failed = cmocka_run_group_tests_name("hal sim", tests, nullptr, nullptr);
  fs::remove_all(directory);
  return failed ? 1 : 0;
}
