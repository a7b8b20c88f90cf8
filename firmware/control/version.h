// SPDX-License-Identifier: Apache-2.0
//
// The firmware's version.  CMake hands it to the compiler and to the packer.
#pragma once

#include <stdint.h>

namespace control {

constexpr uint32_t kVersion = (NPU_CONTROL_MAJOR << 24) | (NPU_CONTROL_MINOR << 16) | NPU_CONTROL_PATCH;

}  // namespace control
