// SPDX-License-Identifier: Apache-2.0
//
// Finds queues that make no progress.  A hang is a slot that runs while NPU_MG_SLOT_PROGRESS does not move for the
// queue's timeout; how long a packet takes in all does not matter.  A slot at a wait packet does not hang.
//
// The timer runs only while some slot runs: NPU_MG_IRQ_BUSY starts it, and is masked as long as it runs, so that short
// launches one after another do not wake the management core.
#pragma once

#include <stdint.h>

namespace control {

// A slot may run from now on.
void StartWatching();
// As above, and a hang of it is to be found in this time, however long those of others are.
void WatchTimeout(uint64_t timeout_ns);
// A packet was killed and has to end soon.
void WatchKill();
// Some slot ran when last looked.
bool Watching();
// Looks at the slots when it is time; returns when it wants to be called again, kNever when nothing runs.
uint64_t Watch(uint64_t now);
// A slot did not obey: only a reset of the device helps.
void ReportBrokenSlot(uint32_t slot);
bool AnySlotBroken();

// NPU_ADMIN_CORE_RESET: resets the cores of the mask.  Those of it whose block has not ended.
void ResetCores(uint64_t mask);
uint64_t StuckCores();

}  // namespace control
