// SPDX-License-Identifier: Apache-2.0
//
// A thread in the wait ioctl.
#ifndef NPU_TESTS_VM_SLEEPER_H
#define NPU_TESTS_VM_SLEEPER_H

#include <pthread.h>
#include <sched.h>

#include "drv.h"

struct sleeper {
  // The caller sets these: it waits, without end, for the first word of `fence` to be at least `value`.
  struct buffer* fence;
  uint64_t value;
  uint32_t queue;         // that ends the wait when it stops, or NO_QUEUE
  const cpu_set_t* cpus;  // where it runs; NULL: anywhere
  // The thread sets these: tid before the call, the others after it (read them behind sleeper_end()).
  int tid;
  int ret, error;
  pthread_t thread;
};

// Returns when the thread exists; it may not have called yet.
void sleeper_start(struct sleeper* s);
// Returns when it sleeps in the kernel.
void sleeper_start_asleep(struct sleeper* s);
// Joins it; returns what the call returned.
int sleeper_end(struct sleeper* s);

#endif  // NPU_TESTS_VM_SLEEPER_H
