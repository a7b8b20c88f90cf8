// SPDX-License-Identifier: Apache-2.0
//
// Contexts that compute while something happens to the device, and know afterwards whether every bit is right.
#ifndef NPU_TESTS_VM_WORKERS_H
#define NPU_TESTS_VM_WORKERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

// A process that copies a buffer to another and back, a word changed each time, until it is told to end.
struct worker {
  pthread_t thread;
  atomic_int stop;
  _Atomic uint64_t rounds;
  int wrong, error;
};

// Each has a context of its own; they work until workers_end().
void workers_start(struct worker* w, int n);
// Ends them; how many words are wrong or calls have failed.
int workers_end(struct worker* w, int n);

#endif  // NPU_TESTS_VM_WORKERS_H
