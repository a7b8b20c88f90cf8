// SPDX-License-Identifier: Apache-2.0
#include "inject.h"

#include <fcntl.h>
#include <unistd.h>

#include "../tap.h"

#define DEBUGFS "/sys/kernel/debug/"

static int nth = -1;

static bool set(const char* path, const char* value) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool good = write(fd, value, strlen(value)) == (ssize_t)strlen(value);
  close(fd);
  return good;
}

// The buddy allocator of 6.12 puts a block that it cannot split into its tree of free blocks a second time, and dies of
// that: allocations below its split_block() (80 bytes, which the kernel never refuses outside of tests) may not fail.
static const char* spare_buddy(void) {
  unsigned long long start = 0, end = ~0ull, address;
  char name[128], text[32];
  FILE* f = fopen("/proc/kallsyms", "re");
  if (!f) return "/proc/kallsyms";
  while (fscanf(f, "%llx %*s %127s%*[^\n]", &address, name) == 2)
    if (strcmp(name, "split_block") == 0) start = address;
  rewind(f);
  while (fscanf(f, "%llx %*s %127s%*[^\n]", &address, name) == 2)
    if (address > start && address < end) end = address;
  fclose(f);
  if (!start) return "the allocator of device memory cannot be spared: no split_block in /proc/kallsyms";
  static const char* const kinds[] = {"failslab", "fail_page_alloc"};
  for (int i = 0; i < 4; ++i) {
    char path[64];
    snprintf(path, sizeof path, DEBUGFS "%s/reject-%s", kinds[i / 2], i % 2 ? "end" : "start");
    snprintf(text, sizeof text, "%llu", i % 2 ? end : start);
    if (!set(path, text)) return "the stack filter of fault injection does not take an address";
  }
  return NULL;
}

const char* inject_open(void) {
  // A failure is no report: only what comes of it may appear in the kernel's log.
  static const char* const settings[][2] = {
      {DEBUGFS "failslab/verbose", "0"},
      {DEBUGFS "failslab/ignore-gfp-wait", "N"},
      {DEBUGFS "fail_page_alloc/verbose", "0"},
      {DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N"},
      {DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N"},
      {DEBUGFS "fail_page_alloc/min-order", "0"},
      // An answer that cannot be copied is an EFAULT of a call that has been made: below no function it may fail.
      {DEBUGFS "fail_usercopy/require-end", "0"},
  };
  nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
  if (nth < 0) return "the kernel has no fault injection";
  for (unsigned i = 0; i < sizeof settings / sizeof *settings; ++i)
    if (!set(settings[i][0], settings[i][1])) return settings[i][0];
  return spare_buddy();
}

void inject_arm(unsigned n) {
  char text[16];
  const int length = snprintf(text, sizeof text, "%u", n);
  if (pwrite(nth, text, (size_t)length, 0) != length) bail("fail-nth: %s", strerror(errno));
}

bool inject_disarm(void) {
  char text[16] = "";
  if (pread(nth, text, sizeof text - 1, 0) <= 0 || pwrite(nth, "0", 1, 0) != 1) bail("fail-nth: %s", strerror(errno));
  return atoi(text) == 0;
}
