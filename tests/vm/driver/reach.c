// SPDX-License-Identifier: Apache-2.0
#include "reach.h"

#include <fcntl.h>
#include <linux/kcov.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../tap.h"

enum { kTrace = 1 << 16 };  // words: their number, then the places in the order of their visits

#define KCOV "/sys/kernel/debug/kcov"
#define TEXT "/sys/module/npu/sections/.text"

static uint64_t* trace;  // of this thread

const char* reach_open(struct reach* reach) {
  if (access(KCOV, R_OK | W_OK)) return "the kernel has no KCOV";
  FILE* f = fopen(TEXT, "re");
  if (!f) return TEXT " cannot be read";
  const bool good = fscanf(f, "%lx", &reach->base) == 1 && reach->base;
  fclose(f);
  return good ? NULL : TEXT " has no address";
}

void reach_begin(struct reach* reach) {
  if (!reach->base) return;
  const int fd = open(KCOV, O_RDWR | O_CLOEXEC);
  if (fd < 0 || ioctl(fd, KCOV_INIT_TRACE, kTrace)) bail(KCOV ": %s", strerror(errno));
  trace = mmap(NULL, kTrace * sizeof *trace, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (trace == MAP_FAILED || ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC)) bail(KCOV ": %s", strerror(errno));
  // The file stays open: its end ends the trace.
}

void reach_collect(struct reach* reach) {
  if (!trace) return;
  const uint64_t count = __atomic_load_n(&trace[0], __ATOMIC_RELAXED);
  for (uint64_t i = 1; i <= count; ++i) {
    const uint64_t at = trace[i] - reach->base;
    if (at < kReachBytes) __atomic_store_n(&reach->seen[at], 1, __ATOMIC_RELAXED);
  }
  __atomic_store_n(&trace[0], 0, __ATOMIC_RELAXED);
}

unsigned reach_count(const struct reach* reach) {
  unsigned count = 0;
  for (unsigned i = 0; i < kReachBytes; ++i) count += reach->seen[i];
  return count;
}
