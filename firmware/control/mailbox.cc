// SPDX-License-Identifier: Apache-2.0
#include "mailbox.h"

#include "console.h"
#include "events.h"
#include "interrupts.h"
#include "machine.h"
#include "npu_admin.h"
#include "retire.h"
#include "sensors.h"
#include "version.h"
#include "watchdog.h"

namespace control {
namespace {

constexpr uint64_t kAnswerTime = 5 * kSecond;
constexpr uint64_t kCoresTime = 2 * kSecond;  // for blocks to end after a reset of their cores
// Of struct npu_mbox, all but data[].
constexpr size_t kHeaderBytes = offsetof(npu_mbox, data);

struct Request {
  uint32_t seq;
  uint32_t op;
  uint32_t status;
  uint32_t detail;
  uint64_t arg[NPU_MBOX_ARGS];
  uint64_t reserved[8];
};
static_assert(sizeof(Request) == kHeaderBytes);

uint32_t answered;  // last sequence number

// The command that waits, if any.
Wait waiting = Wait::kNone;
uint32_t waiting_queue;
Request waiting_request;
uint64_t waiting_until = kNever;

// Zero when the host has named no place inside device memory for the mailbox.
uint64_t MailboxOffset() {
  const uint64_t offset = Read64(NPU_MG_MBOX_ADDR);
  return offset % 8 == 0 && InDeviceMemory(offset, sizeof(npu_mbox)) ? offset : 0;
}

void Reply(const Request& request, Answer answer) {
  answered = request.seq;
  const uint64_t offset = MailboxOffset();
  if (offset != 0) {
    for (size_t i = 0; i < NPU_MBOX_ARGS; ++i) WriteMemory(offset + offsetof(npu_mbox, arg) + 8 * i, request.arg[i]);
    static_assert(offsetof(npu_mbox, detail) == offsetof(npu_mbox, status) + 4);
    WriteMemory(offset + offsetof(npu_mbox, status), answer.status | uint64_t{answer.detail} << 32);
    asm volatile("fence rw, rw" ::: "memory");
  }
  Write32(NPU_MG_MBOX_ACK, request.seq);
}

Answer Hello(Request& r) {
  if (r.arg[0] != NPU_ADMIN_PROTOCOL) return {NPU_ADMIN_EVERSION, 0};
  if (r.arg[1] >> 16 != NPU_CONTRACT_MAJOR) return {NPU_ADMIN_EVERSION, 1};
  r.arg[0] = NPU_ADMIN_PROTOCOL;
  r.arg[1] = kVersion;
  r.arg[2] = 0;  // no optional features are defined yet
  return {};
}

// The text goes straight into data[]; whole words, the rest of the last one is zero.
Answer GetLog(Request& r, uint64_t mailbox) {
  static uint64_t text[NPU_MBOX_DATA / 8];
  uint64_t next = 0;
  const size_t bytes = ReadLog(r.arg[0], reinterpret_cast<char*>(text), sizeof text, &next);
  for (size_t i = bytes; i % 8 != 0; ++i) reinterpret_cast<char*>(text)[i] = 0;
  for (size_t i = 0; i < (bytes + 7) / 8; ++i) WriteMemory(mailbox + kHeaderBytes + 8 * i, text[i]);
  r.arg[0] = bytes;
  r.arg[1] = next;
  return {};
}

Answer GetRetired(Request& r, uint64_t mailbox) {
  static_assert(kMaxRetired * 8 <= NPU_MBOX_DATA);
  r.arg[0] = RetiredCount();
  for (uint32_t i = 0; i < RetiredCount(); ++i) WriteMemory(mailbox + kHeaderBytes + 8 * i, RetiredPage(i));
  return {};
}

Answer GetEvent(Request& r) {
  const Event event = TakeEvent();
  r.arg[0] = event.kind;
  for (unsigned i = 0; i < 3; ++i) r.arg[1 + i] = event.value[i];
  return {};
}

Answer QueueInfoCommand(Request& r) {
  QueueInfo info{};
  const Answer answer = GetQueueInfo(r.arg[0], &info);
  if (answer.status != NPU_ADMIN_OK) return answer;
  r.arg[0] = info.slot, r.arg[1] = info.state, r.arg[2] = info.rptr, r.arg[3] = info.wptr;
  return answer;
}

QueueAnswer CoreReset(uint64_t mask) {
  const uint32_t cores = Read32(NPU_MG_NUM_CORES);
  if (mask == 0 || (cores < 64 && mask >> cores != 0)) return {{NPU_ADMIN_EINVAL, 0}};
  Log("cores ", Hex{mask}, " are reset, as asked for");
  ResetCores(mask);
  return {{}, (StuckCores() & mask) != 0 ? Wait::kCores : Wait::kNone};
}

QueueAnswer Execute(Request& r, uint64_t mailbox) {
  switch (r.op) {
    case NPU_ADMIN_HELLO:
      return {Hello(r)};
    case NPU_ADMIN_CTX_CREATE:
      return {CreateContext(r.arg[0])};
    case NPU_ADMIN_CTX_DESTROY:
      return {DestroyContext(r.arg[0])};
    case NPU_ADMIN_QUEUE_CREATE:
      return {CreateQueue(r.arg[0], r.arg[1], r.arg[2])};
    case NPU_ADMIN_QUEUE_DESTROY:
      return DestroyQueue(r.arg[0]);
    case NPU_ADMIN_QUEUE_RESUME:
      return {ResumeQueue(r.arg[0], r.arg[1])};
    case NPU_ADMIN_QUEUE_SUSPEND:
      return SuspendQueue(r.arg[0], r.arg[1]);
    case NPU_ADMIN_CORE_RESET:
      return CoreReset(r.arg[0]);
    case NPU_ADMIN_GET_LOG:
      return {GetLog(r, mailbox)};
    case NPU_ADMIN_SET_POWER:
      return {SetPowerLimit(r.arg[0])};
    case NPU_ADMIN_RETIRE_PAGE:
      return {RetirePage(r.arg[0])};
    case NPU_ADMIN_GET_RETIRED:
      return {GetRetired(r, mailbox)};
    case NPU_ADMIN_GET_EVENT:
      return {GetEvent(r)};
    case NPU_ADMIN_QUEUE_INFO:
      return {QueueInfoCommand(r)};
    default:
      return {{NPU_ADMIN_EOPNOTSUPP, offsetof(npu_mbox, op)}};
  }
}

Answer CheckRequest(const Request& r, uint32_t seq) {
  if (r.seq != seq) return {NPU_ADMIN_EINVAL, offsetof(npu_mbox, seq)};
  for (uint64_t word : r.reserved)
    if (word != 0) return {NPU_ADMIN_EINVAL, offsetof(npu_mbox, reserved)};
  return {};
}

// A destroy is over when the slot is empty, for which the watchdog's ladder has to have had its time.
uint64_t AnswerTime(Wait wait) {
  return wait == Wait::kSuspend ? NPU_SUSPEND_LIMIT_NS : wait == Wait::kCores ? kCoresTime : kAnswerTime;
}

void TakeCommand(uint32_t seq) {
  const uint64_t mailbox = MailboxOffset();
  if (mailbox == 0) {
    Log("mailbox: no valid address, command ", seq, " not read");
    answered = seq;
    return;
  }
  Request request;
  CopyIn(&request, mailbox, sizeof request);
  QueueAnswer answer{CheckRequest(request, seq)};
  request.seq = seq;
  if (answer.status == NPU_ADMIN_OK) answer = Execute(request, mailbox);
  if (answer.status != NPU_ADMIN_OK)
    Log("mailbox: command ", seq, " op ", request.op, " refused: status ", answer.status, ", detail ", answer.detail);
  if (answer.wait == Wait::kNone) {
    Reply(request, answer);
    return;
  }
  waiting = answer.wait;
  waiting_queue = waiting == Wait::kCores ? kNoQueue : static_cast<uint32_t>(request.arg[0]);
  waiting_request = request;
  waiting_until = Now() + AnswerTime(waiting);
}

void FinishWaiting(Answer answer) {
  waiting = Wait::kNone;
  waiting_until = kNever;
  Reply(waiting_request, answer);
}

}  // namespace

void MailboxInit() {
  answered = Read32(NPU_MG_MBOX_DB);
}

bool MailboxPending() {
  // While a command is waited for, a host that breaks the rule of one command at a time has to wait too.
  return waiting == Wait::kNone && Read32(NPU_MG_MBOX_DB) != answered;
}

void MailboxPoll() {
  if (!MailboxPending()) return;
  Beat();
  SampleSensors(Now());
  TakeCommand(Read32(NPU_MG_MBOX_DB));
}

void CommandWaitOver(Wait what, uint32_t queue) {
  if (waiting == what && waiting_queue == queue) FinishWaiting({});
}

namespace {

// Looks whether the cores are back; nobody tells.
uint64_t WaitForCores(uint64_t now) {
  const uint64_t stuck = StuckCores() & waiting_request.arg[0];
  if (stuck != 0 && now < waiting_until) return now + kMillisecond;
  waiting_request.arg[0] &= ~stuck;
  FinishWaiting({});
  return waiting_until;
}

}  // namespace

uint64_t MailboxTimeout(uint64_t now) {
  if (waiting == Wait::kCores) return WaitForCores(now);
  if (now < waiting_until) return waiting_until;
  if (waiting == Wait::kSuspend) {
    SuspendFailed(waiting_queue);
  } else {
    Log("mailbox: queue ", waiting_queue, " does not leave its slot");
    ReportBrokenSlot(queues[waiting_queue].slot);
  }
  FinishWaiting({NPU_ADMIN_EIO, 0});
  return waiting_until;
}

}  // namespace control
