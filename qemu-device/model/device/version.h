// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#pragma once

#include <cstdint>

namespace npu::model {

inline constexpr uint32_t kHwVersion = 1u << 16 | 0;  // NPU_REG_HW_VERSION: major << 16 | minor

}  // namespace npu::model
