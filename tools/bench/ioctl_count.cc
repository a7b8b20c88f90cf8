// SPDX-License-Identifier: Apache-2.0
//
// Counts ioctls by standing in front of libc's: libdrm's calls come here too, since the program exports this symbol.
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include "bench.h"

namespace {
std::atomic<uint64_t> count;  // any thread adds
}

extern "C" __attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list list;
  va_start(list, request);
  void* argument = va_arg(list, void*);
  va_end(list);
  count.fetch_add(1, std::memory_order_relaxed);
  return static_cast<int>(syscall(SYS_ioctl, fd, request, argument));
}

uint64_t npu::bench::IoctlCount() {
  return count.load(std::memory_order_relaxed);
}
