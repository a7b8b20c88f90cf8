// SPDX-License-Identifier: Apache-2.0
//
// How much of the driver has run on behalf of the calling threads, in a kernel with KCOV: places are the basic blocks
// of npu.ko, which kernel/Kbuild has instrumented.
#ifndef NPU_TESTS_VM_REACH_H
#define NPU_TESTS_VM_REACH_H

#include <stdbool.h>
#include <stdint.h>

enum { kReachBytes = 1 << 20 };

struct reach {  // in memory that all who collect share
  uint64_t base;
  uint8_t seen[kReachBytes];  // by offset in the module's code
};

// NULL, or why nothing can be counted here.
const char* reach_open(struct reach* reach);
// From here on the calls of this thread are traced.  A no-op if reach_open() has not succeeded.
void reach_begin(struct reach* reach);
// Adds what they have reached since the last time.
void reach_collect(struct reach* reach);
// How many places there are in it.
unsigned reach_count(const struct reach* reach);

#endif  // NPU_TESTS_VM_REACH_H
