// SPDX-License-Identifier: Apache-2.0
//
// Where the readings come from: sysfs for the kernel driver, the hal for the in-process model.
#include <fmt/format.h>
#include <libfdt.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "hal/hal.hpp"
#include "npu_regs.h"
#include "snapshot.h"

namespace npu::smi {
namespace {

namespace fs = std::filesystem;

// The attributes of one device directory; what cannot be read is noted by name.
class Attributes {
 public:
  Attributes(fs::path directory, std::vector<std::string>* problems)
      : directory_(std::move(directory)), problems_(problems) {}

  std::optional<std::string> Text(const char* name) const {
    std::ifstream in(directory_ / name);
    std::string line;
    if (!in || !std::getline(in, line)) {
      problems_->push_back(fmt::format("attribute {} cannot be read", name));
      return std::nullopt;
    }
    return line;
  }

  template <class T>
  std::optional<T> Number(const char* name, int base = 10) const {
    const auto text = Text(name);
    if (!text) return std::nullopt;
    const char* first = text->c_str();
    if (base == 16 && text->rfind("0x", 0) == 0) first += 2;
    T value;
    const char* last = text->c_str() + text->size();
    const auto result = std::from_chars(first, last, value, base);
    if (result.ec == std::errc() && result.ptr == last) return value;
    problems_->push_back(fmt::format("attribute {} is no number: \"{}\"", name, *text));
    return std::nullopt;
  }

  // "1.2.3", packed as in NPU_REG_FW_VERSION.
  std::optional<uint32_t> Version(const char* name) const {
    const auto text = Text(name);
    unsigned major, minor, patch;
    if (!text || sscanf(text->c_str(), "%u.%u.%u", &major, &minor, &patch) != 3) return std::nullopt;
    return major << 24 | minor << 16 | patch;
  }

  std::vector<char> Bytes(const char* name) const {
    std::ifstream in(directory_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  fs::path directory_;
  std::vector<std::string>* problems_;
};

// Property "model" of the hardware's device tree.
std::string ModelName(const std::vector<char>& tree, std::vector<std::string>* problems) {
  int length = 0;
  const void* model = nullptr;
  if (!tree.empty() && fdt_check_full(tree.data(), tree.size()) == 0)
    model = fdt_getprop(tree.data(), 0, "model", &length);
  if (!model || length < 2) {
    problems->push_back("attribute hw_tree is no device tree with a model");
    return "unknown";
  }
  return static_cast<const char*>(model);
}

Snapshot ReadDrm(int index, const fs::path& entry) {
  const fs::path directory = fs::canonical(entry / "device");
  Snapshot s;
  s.index = index;
  s.backend = "drm";
  s.bdf = directory.filename();
  s.node = "/dev/accel/" + entry.filename().string();
  const Attributes a(directory, &s.problems);
  s.name = ModelName(a.Bytes("hw_tree"), &s.problems);
  s.driver_version = Attributes(directory / "driver/module", &s.problems).Text("version").value_or("");
  s.uuid = a.Number<uint64_t>("uuid", 16);
  s.firmware_state = a.Text("fw_state").value_or("");
  if (s.firmware_state == "ready") {
    s.firmware_version = a.Version("fw_version");
  } else if (const auto why = a.Text("fw_error"); why && !why->empty()) {
    s.problems.push_back("firmware: " + *why);
  }
  s.cores = a.Number<uint32_t>("num_cores");
  s.memory_total = a.Number<uint64_t>("memory_total");
  s.memory_free = a.Number<uint64_t>("memory_free");
  s.temperature_mc = a.Number<int64_t>("temp_mc");
  if (const auto milliwatts = a.Number<uint64_t>("power_mw")) s.power_uw = *milliwatts * 1000;
  s.energy_uj = a.Number<uint64_t>("energy_uj");
  s.clock_khz = a.Number<uint64_t>("clock_khz");
  s.utilisation_permille = a.Number<uint32_t>("util_permille");
  s.health = a.Number<uint32_t>("health");
  s.throttle = a.Number<uint32_t>("throttle", 16);
  s.faults = a.Number<uint64_t>("fault_count");
  s.ecc_corrected = a.Number<uint64_t>("ecc_ce");
  s.ecc_uncorrected = a.Number<uint64_t>("ecc_ue");
  s.retired_pages = a.Number<uint64_t>("retired_pages");
  s.clients = ReadClients(s.node);
  return s;
}

}  // namespace

std::vector<Snapshot> ReadDrmDevices() {
  std::vector<fs::path> entries;
  std::error_code ignored;  // no such directory: no accel device at all
  for (const auto& entry : fs::directory_iterator("/sys/class/accel", ignored)) {
    if (fs::read_symlink(entry.path() / "device/driver", ignored).filename() == "npu") entries.push_back(entry.path());
  }
  std::sort(entries.begin(), entries.end(), [](const fs::path& a, const fs::path& b) {
    return std::pair(a.string().size(), a.string()) < std::pair(b.string().size(), b.string());
  });
  std::vector<Snapshot> devices;
  devices.reserve(entries.size());
  for (const fs::path& entry : entries) devices.push_back(ReadDrm(static_cast<int>(devices.size()), entry));
  return devices;
}

std::vector<Snapshot> ReadSimDevice(std::string* error) {
  auto device = hal::OpenDevice("sim");
  if (!device) {
    *error = device.error().message;
    return {};
  }
  const hal::DeviceInfo& info = (*device)->info();
  Snapshot s{.name = info.name, .backend = "sim", .bdf = info.bdf, .node = info.node};
  s.uuid = info.uuid;
  s.firmware_version = info.fw_version;
  s.firmware_state = "ready";  // a device whose firmware does not run cannot be opened
  s.cores = info.cores;
  auto status = (*device)->Status();
  if (!status) {
    s.problems.push_back(status.error().message);
    return {s};
  }
  s.memory_total = status->memory_total;
  s.memory_free = status->memory_free;
  s.temperature_mc = status->temperature_mc;
  s.power_uw = uint64_t{status->power_mw} * 1000;
  s.energy_uj = status->energy_uj;
  s.clock_khz = status->clock_khz;
  s.utilisation_permille = status->utilisation_permille;
  s.health = status->health;
  return {s};
}

}  // namespace npu::smi
