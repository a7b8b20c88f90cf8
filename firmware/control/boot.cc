// SPDX-License-Identifier: Apache-2.0
//
// Boot and main loop.  Interrupts stay disabled in mstatus: wfi wakes for whatever is enabled in mie, and the loop
// looks at everything.  So nothing is ever interrupted, and no data needs protection.
#include "console.h"
#include "context.h"
#include "interrupts.h"
#include "machine.h"
#include "mailbox.h"
#include "queue.h"
#include "retire.h"
#include "scheduler.h"
#include "sensors.h"
#include "slot.h"
#include "version.h"
#include "watchdog.h"

namespace control {
namespace {

constexpr uint32_t kAllInterrupts =
    NPU_MG_IRQ_MBOX | NPU_MG_IRQ_DOORBELL | NPU_MG_IRQ_SLOT | NPU_MG_IRQ_RAS | NPU_MG_IRQ_BUSY;
constexpr uint64_t kMieTimer = 1u << 7;
constexpr uint64_t kMieExternal = 1u << 11;

uint32_t enabled;
uint32_t heartbeat;

// Everything that the interrupt controller has.  Each mark is acknowledged before what it stands for is looked at, so
// that news in between marks it again.
void TakeInterrupts() {
  const uint32_t pending = Read32(NPU_MG_IRQ) & enabled;
  if (pending == 0) return;
  // BUSY is the watchdog's to acknowledge.
  AcknowledgeInterrupt(pending & ~NPU_MG_IRQ_BUSY);
  if (pending & NPU_MG_IRQ_SLOT)
    while (const uint32_t slot = Read32(NPU_MG_SLOT_NEXT)) SlotChanged(slot - 1);
  if (pending & NPU_MG_IRQ_DOORBELL)
    while (const uint32_t queue = Read32(NPU_MG_DB_NEXT)) QueueRung(queue - 1);
  if (pending & NPU_MG_IRQ_BUSY) StartWatching();
  if (pending & NPU_MG_IRQ_RAS) {
    EccEvents();
    SampleSensors(Now());
  }
}

// One round over everything; returns when the next one is due if no interrupt comes first.
uint64_t Round() {
  Beat();
  TakeInterrupts();
  const uint64_t now = Now();
  MailboxTimeout(now);
  MailboxPoll();
  uint64_t next = MailboxTimeout(now);  // of a command taken just now
  Watch(now);
  next = Min(next, Schedule(now));
  next = Min(next, Watch(now));  // once more: what was mapped just now is to be watched
  next = Min(next, SensorsTick(now));
  return MailboxPending() ? now : next;
}

void Sleep(uint64_t until) {
  Write64(NPU_MG_TIMECMP, until);
  asm volatile("wfi" ::: "memory");
}

// A firmware before this one may have left slots mapped and contexts enabled.
void CleanUp() {
  SilenceAllDoorbells();
  ReclaimSlots();
  if (!AllSlotsReclaimed()) StartWatching();  // a launch may need more than a kill
  while (!AllSlotsReclaimed()) {
    Sleep(Watch(Now()));
    TakeInterrupts();
  }
  DisableAllContexts();
}

}  // namespace

void Beat() {
  Write32(NPU_MG_HEARTBEAT, ++heartbeat);
}

void EnableInterrupt(uint32_t bits, bool on) {
  enabled = on ? enabled | bits : enabled & ~bits;
  Write32(NPU_MG_IRQ_ENABLE, enabled);
}

}  // namespace control

extern "C" [[noreturn]] void control_main() {
  using namespace control;
  Write32(NPU_MG_FW_VERSION, kVersion);
  Log("control firmware ", uint32_t{NPU_CONTROL_MAJOR}, ".", uint32_t{NPU_CONTROL_MINOR}, ".",
      uint32_t{NPU_CONTROL_PATCH}, ": ", Read32(NPU_MG_NUM_CORES), " cores, ", Read32(NPU_MG_NUM_QUEUES), " queues on ",
      SlotCount(), " slots, ", Read64(NPU_MG_MEM_SIZE) >> 20, " MiB");
  asm volatile("csrs mie, %0" ::"r"(kMieTimer | kMieExternal));
  EnableInterrupt(kAllInterrupts, true);
  CleanUp();
  RetireInit();
  SensorsInit(Now());
  MailboxInit();
  Write32(NPU_MG_FW_READY, 1);
  for (;;) Sleep(Round());
}
