// SPDX-License-Identifier: Apache-2.0
//
// The door of the hal: which devices there are, and opening one by name.
#include <cstring>

#include "common/backends.hpp"
#include "common/error.hpp"

namespace npu::hal {

std::string ErrnoText(int code) {
  const char* name = strerrorname_np(code);
  return fmt::format("{} ({})", strerror(code), name ? name : std::to_string(code));
}

std::vector<std::string> ListDevices(const std::string& filter) {
  std::vector<std::string> names;
  if (filter.empty() || filter == "drm") names = drm::ListNodes();
  if (filter.empty() || filter == "sim") names.push_back(sim::kName);
  return names;
}

Result<std::unique_ptr<Device>> OpenDevice(const std::string& name) {
  if (name == sim::kName) return sim::Open();
  if (name == "drm") {
    std::vector<std::string> nodes = drm::ListNodes();
    if (nodes.empty()) {
      return Fail(ENODEV,
                  "no device of the npu driver: /sys/class/accel lists none; is npu.ko loaded (lsmod) and the "
                  "device there (lspci -d 1234:4e50)?");
    }
    return drm::Open(nodes.front());
  }
  if (name.rfind("/dev/", 0) == 0) return drm::Open(name);
  return Fail(EINVAL, "\"{}\" is no device name: use \"drm\", \"sim\" or a node such as /dev/accel/accel0", name);
}

}  // namespace npu::hal
