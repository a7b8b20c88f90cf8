// SPDX-License-Identifier: Apache-2.0
//
// The admin mailbox (npu_admin.h).  One command at a time; one that has to wait for hardware is answered when the news
// comes, while everything else goes on.
#pragma once

#include <stdint.h>

#include "queue.h"

namespace control {

// The host's sequence number at boot counts as answered.
void MailboxInit();
// There is a command to take.
bool MailboxPending();
// NPU_MG_IRQ_MBOX: takes a new command unless one is being waited for.
void MailboxPoll();
// What a command may be waiting for has come about.
void CommandWaitOver(Wait what, uint32_t queue);
// Gives up a command that the hardware leaves unanswered; returns when to be called again.
uint64_t MailboxTimeout(uint64_t now);

}  // namespace control
