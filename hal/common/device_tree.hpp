// SPDX-License-Identifier: Apache-2.0
//
// Reads the hardware's flattened device tree (hal/hw/npu_dt.h).
#pragma once

#include "hal/hal.hpp"

namespace npu::hal {

// Checks info.tree and fills name, memory_bytes, cores, queues, slots, sram_bytes, clock_hz and the rates a cycle from
// it. EINVAL when it is not the tree of a device that this hal knows; the message names the node and the property.
Error ReadHardwareTree(DeviceInfo& info);

}  // namespace npu::hal
