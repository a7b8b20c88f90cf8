// SPDX-License-Identifier: Apache-2.0
//
// Retired pages of device memory: the list lives in NVRAM and survives resets and power.
#pragma once

#include <stdint.h>

#include "context.h"

namespace control {

constexpr uint32_t kMaxRetired = 64;

// Reads the list; a damaged one is replaced by an empty one, and the log says so.
void RetireInit();
// NPU_ADMIN_RETIRE_PAGE: offset in device memory, page aligned.
Answer RetirePage(uint64_t offset);
uint32_t RetiredCount();
uint64_t RetiredPage(uint32_t index);
// NPU_MG_IRQ_RAS: takes the hardware's ECC events and retires pages: at one uncorrectable error or two correctable
// ones of one word.  Errors of the link go on to the host.
void EccEvents();

}  // namespace control
