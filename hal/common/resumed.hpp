// SPDX-License-Identifier: Apache-2.0
//
// Resuming a stopped queue.  Three parties take part: the device shows the stop in the status page, the firmware hears
// of it and carries the resume out, and the device does it.
#pragma once

#include <cerrno>
#include <chrono>
#include <thread>

#include "common/error.hpp"
#include "npu_admin.h"

namespace npu::hal {

// ask() gives the command to the firmware.  Returns when the status page shows that the queue has left the stop, if
// only to stop at a later packet.  No interrupt tells this, and it is a matter of microseconds on a path that follows
// an error, so it looks again and again.  EIO after 5 s.
template <class Ask>
Error ResumeQueue(const Queue& queue, uint32_t mode, Ask ask) {
  if (mode != NPU_RESUME_SKIP && mode != NPU_RESUME_FLUSH) return Fail(EINVAL, "resume mode {} does not exist", mode);
  const volatile npu_queue_status* now = queue.status();
  const uint64_t rptr = LoadShared(now->rptr), fault_seq = LoadShared(now->fault_seq);
  const bool stopped = LoadShared(now->state) == NPU_QUEUE_FAULTED;
  const Clock::time_point deadline = Clock::now() + std::chrono::seconds(5);
  Error answer = ask();
  // This process may have seen the stop before the firmware has, which then knows of nothing to resume.
  while (answer.code == EINVAL && stopped && Clock::now() < deadline) {
    std::this_thread::yield();
    answer = ask();
  }
  if (answer) return answer;
  while (LoadShared(now->state) == NPU_QUEUE_FAULTED && LoadShared(now->rptr) == rptr &&
         LoadShared(now->fault_seq) == fault_seq) {
    if (Clock::now() >= deadline) return Fail(EIO, "queue {} does not leave its stop", queue.id());
    std::this_thread::yield();
  }
  return {};
}

}  // namespace npu::hal
