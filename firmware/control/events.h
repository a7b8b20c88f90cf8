// SPDX-License-Identifier: Apache-2.0
//
// News for the host: told by NPU_EVENT_FW_MSG, fetched one by one with NPU_ADMIN_GET_EVENT.
//
// A queue has at most one event outstanding (the latest), so nothing about queues is ever lost; device events are kept
// in a short ring, the oldest of which gives way.
#pragma once

#include <stdint.h>

#include "npu_admin.h"

namespace control {

struct Event {
  uint32_t kind = NPU_FW_EVENT_NONE;  // enum npu_fw_event
  uint64_t value[3] = {};             // arg[1..3] of the answer
};

void PostQueueEvent(uint32_t queue, uint32_t kind, uint32_t fault);
void PostDeviceEvent(const Event& event);
// The queue is gone: its event with it.
void ForgetQueueEvent(uint32_t queue);
// Takes the oldest queue event, or else the oldest device event.
Event TakeEvent();

}  // namespace control
