// SPDX-License-Identifier: Apache-2.0
//
// Processes whose device is taken away while they work, and what is left to touch afterwards.
#ifndef NPU_TESTS_VM_VICTIMS_H
#define NPU_TESTS_VM_VICTIMS_H

#include <sys/types.h>

enum { kVictims = 8 };

struct victims {
  pid_t pids[kVictims];
};

// Returns when all are in the middle of their work.
void victims_start(struct victims* victims);
// When all have ended: how many have seen anything but that the device is gone.
int victims_end(struct victims* victims);

// Stores; 0, or SIGBUS when the byte is not there any more.
int touch(volatile void* p);

#endif  // NPU_TESTS_VM_VICTIMS_H
