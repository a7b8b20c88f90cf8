// SPDX-License-Identifier: Apache-2.0
#include "events.h"

#include "machine.h"

namespace control {
namespace {

constexpr uint32_t kDeviceEvents = 32;

struct QueueEvent {
  uint64_t order;  // 0: none; otherwise lower is older
  uint32_t kind;
  uint32_t fault;
};

QueueEvent queue_events[NPU_MAX_QUEUES];
uint64_t last_order;
uint32_t queue_event_count;

Event device_events[kDeviceEvents];
uint32_t device_head, device_count;

}  // namespace

void PostQueueEvent(uint32_t queue, uint32_t kind, uint32_t fault) {
  if (queue_events[queue].order == 0) ++queue_event_count;
  queue_events[queue] = QueueEvent{++last_order, kind, fault};
  Write32(NPU_MG_HOST_EVENT, NPU_EVENT_FW_MSG);
}

void PostDeviceEvent(const Event& event) {
  if (device_count == kDeviceEvents) {
    device_head = (device_head + 1) % kDeviceEvents;
    --device_count;
  }
  device_events[(device_head + device_count++) % kDeviceEvents] = event;
  Write32(NPU_MG_HOST_EVENT, NPU_EVENT_FW_MSG);
}

void ForgetQueueEvent(uint32_t queue) {
  if (queue_events[queue].order == 0) return;
  queue_events[queue].order = 0;
  --queue_event_count;
}

Event TakeEvent() {
  Event event;
  if (queue_event_count != 0) {
    uint32_t oldest = NPU_MAX_QUEUES;
    for (uint32_t q = 0; q < NPU_MAX_QUEUES; ++q)
      if (queue_events[q].order != 0 &&
          (oldest == NPU_MAX_QUEUES || queue_events[q].order < queue_events[oldest].order))
        oldest = q;
    event.kind = queue_events[oldest].kind;
    event.value[0] = oldest;
    event.value[1] = queue_events[oldest].fault;
    ForgetQueueEvent(oldest);
  } else if (device_count != 0) {
    event = device_events[device_head];
    device_head = (device_head + 1) % kDeviceEvents;
    --device_count;
  }
  return event;
}

}  // namespace control
