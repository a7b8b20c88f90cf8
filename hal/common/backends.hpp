// SPDX-License-Identifier: Apache-2.0
//
// What each backend offers to OpenDevice and ListDevices.
#pragma once

#include "hal/hal.hpp"

namespace npu::hal::drm {
// Device nodes of the npu driver, "/dev/accel/accel0" and so on, by number.
std::vector<std::string> ListNodes();
Result<std::unique_ptr<Device>> Open(const std::string& node);
}  // namespace npu::hal::drm

namespace npu::hal::sim {
inline constexpr const char* kName = "sim";
Result<std::unique_ptr<Device>> Open();
}  // namespace npu::hal::sim
