// SPDX-License-Identifier: Apache-2.0
//
// Which accel nodes are ours, and what sysfs says about them.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "common/backends.hpp"
#include "common/error.hpp"
#include "drm/drm_device.hpp"

namespace npu::hal::drm {
namespace {

namespace fs = std::filesystem;
constexpr const char* kClass = "/sys/class/accel";
constexpr const char* kDriver = "npu";

// The number in "accel12"; -1 for other names.
int NodeNumber(const std::string& name) {
  constexpr std::string_view prefix = "accel";
  int number = -1;
  if (name.rfind(prefix, 0) != 0) return -1;
  const char* end = name.data() + name.size();
  auto [stop, error] = std::from_chars(name.data() + prefix.size(), end, number);
  return error == std::errc() && stop == end ? number : -1;
}

std::string LinkName(const fs::path& link) {
  std::error_code ec;
  fs::path target = fs::read_symlink(link, ec);
  return ec ? "" : target.filename().string();
}

}  // namespace

std::vector<std::string> ListNodes() {
  std::vector<int> numbers;
  std::error_code ec;
  for (fs::directory_iterator it(kClass, ec), end; !ec && it != end; it.increment(ec)) {
    int number = NodeNumber(it->path().filename().string());
    if (number >= 0 && LinkName(it->path() / "device" / "driver") == kDriver) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  std::vector<std::string> nodes;
  for (int number : numbers) nodes.push_back("/dev/accel/accel" + std::to_string(number));
  return nodes;
}

std::string NodeBdf(const std::string& node) {
  return LinkName(fs::path(kClass) / fs::path(node).filename() / "device");
}

Result<int64_t> ReadAttribute(const std::string& bdf, const char* name) {
  fs::path path = fs::path("/sys/bus/pci/devices") / bdf / name;
  std::ifstream file(path);
  std::string text;
  if (!file || !std::getline(file, text)) {
    return Fail(ENOENT, "cannot read {}: the driver is of another version, or the device is gone", path.string());
  }
  errno = 0;
  char* end = nullptr;
  int64_t value = std::strtoll(text.c_str(), &end, 0);
  if (errno || end == text.c_str() || *end)
    return Fail(EINVAL, "{} holds \"{}\", which is no number", path.string(), text);
  return value;
}

}  // namespace npu::hal::drm
