// SPDX-License-Identifier: Apache-2.0
//
// A process of the fuzzer: what it has open, mapped and bound, and one random step at a time.  See test_fuzz.c.
#ifndef NPU_TESTS_VM_FUZZ_H
#define NPU_TESTS_VM_FUZZ_H

#include "calls.h"

enum { kFiles = 4, kHandles = 24, kQueues = 12, kMaps = 40, kOffsets = 48, kRanges = 24, kSyncobjs = 8 };

struct fuzz_file {
  int fd;  // -1: none
  bool context;
  uint32_t handles[kHandles], queues[kQueues];
  uint64_t sizes[kHandles];
  int handle_count, queue_count;
  uint64_t offsets[kOffsets], offset_bytes[kOffsets];  // for mmap
  int offset_count;
  uint64_t vas[kRanges];
  int va_count;
  uint32_t syncobjs[kSyncobjs];
  int syncobj_count;
};

enum map_kind { kMapAny, kMapRing, kMapDoorbell, kMapBounds };

struct fuzz_map {
  uint8_t* at;  // NULL: none
  uint64_t bytes;
  enum map_kind kind;
};

// What a step does, besides the calls of the table, which come first.
enum fuzz_kind {
  kStepSyncobj = 48,
  kStepRaw,
  kStepClose,
  kStepMap,
  kStepTouch,
  kStepMemory,
  kStepOpen,
  kStepFork,
  kStepKinds
};

// How long steps of a kind have taken.
struct fuzz_time {
  uint64_t steps, ns, longest;
};

// Counts of all processes; in shared memory, changed atomically.
struct fuzz_counts {
  uint64_t calls, good, touches;  // ioctls and calls about mappings; of them successful; loads and stores in mappings
  uint64_t good_by_call[kStepSyncobj];  // ioctls that succeeded, by place in the table
  struct fuzz_time times[kStepKinds];   // by place in the table, or kind
};

struct fuzzer {
  uint64_t random;
  struct fuzz_file files[kFiles];
  struct fuzz_map maps[kMaps];
  uint64_t calls;  // of this process
  struct fuzz_counts* counts;
};

void fuzz_init(struct fuzzer* f, uint64_t seed, struct fuzz_counts* counts);
// Makes one to a few calls.
void fuzz_step(struct fuzzer* f);
// Prints where the time went.
void fuzz_print_times(const struct fuzz_counts* counts);
// Forgets and closes everything.
void fuzz_end(struct fuzzer* f);

#endif  // NPU_TESTS_VM_FUZZ_H
