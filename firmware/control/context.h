// SPDX-License-Identifier: Apache-2.0
//
// Contexts (address spaces): which are enabled, and how many queues each has.
#pragma once

#include <stdint.h>

#include "npu_admin.h"

namespace control {

// An answer to the host: status, and which argument or field it is about (npu_mbox.detail, for messages).
struct Answer {
  uint32_t status = NPU_ADMIN_OK;  // enum npu_admin_status
  uint32_t detail = 0;
};

Answer CreateContext(uint64_t number);
Answer DestroyContext(uint64_t number);
bool ContextExists(uint64_t number);
void ContextQueueAdded(uint32_t number);
void ContextQueueRemoved(uint32_t number);
// At boot: whatever a firmware before this one has left enabled.
void DisableAllContexts();

}  // namespace control
