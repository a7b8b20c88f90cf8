// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// What a packet must look like.  Works on a private copy and knows nothing of the device's state.
#pragma once

#include <cstdint>

#include "npu_packet.h"

namespace npu::model {

// NPU_PKT_ERR_NONE, or the first rule that the packet breaks.  indirect: it comes from an indirect buffer.
npu_packet_error CheckPacket(const npu_packet& packet, bool indirect);

}  // namespace npu::model
