// SPDX-License-Identifier: Apache-2.0
//
// The uAPI as a table: every ioctl with every member of its argument, and what values a member takes.  The tests of
// arguments and the fuzzer are driven by it; test_args.c checks that it leaves no byte out.
#ifndef NPU_TESTS_VM_CALLS_H
#define NPU_TESTS_VM_CALLS_H

#include "drv.h"

enum kind {
  kNumber,      // any value up to limit, the useful ones
  kChoice,      // one of 0..limit; others: EINVAL
  kFlags,       // bits of limit; others: EINVAL
  kPad,         // 0, else EINVAL
  kHandle,      // of a buffer
  kQueue,       // of a queue
  kMaybeQueue,  // or 0xffffffff
  kSyncobj,     // of DRM
  kEventfd,     // or -1
  kBytes,       // a size
  kAddress,     // device virtual address
  kOffset,      // into a buffer
  kPointer,     // of the process
  kMemory,      // whole pages of the process
  kDeadline,    // absolute, CLOCK_MONOTONIC
  kText,        // characters; by its first eight, the rest are zeros
  kOut,         // written by the driver, ignored on the way in
};

struct member {
  const char* name;
  uint16_t offset, width;
  enum kind kind;
  uint64_t limit;
};

struct call {
  const char* name;
  unsigned long request;
  uint16_t bytes;
  bool needs_context;
  const struct member* members;
  int count;
};

extern const struct call calls[];
extern const int call_count;

// By request, or bail.
const struct call* call_of(unsigned long request);
uint64_t member_get(const void* args, const struct member* m);
void member_set(void* args, const struct member* m, uint64_t value);

#endif  // NPU_TESTS_VM_CALLS_H
