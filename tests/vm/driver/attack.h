// SPDX-License-Identifier: Apache-2.0
//
// Two parties that attack each other, and what each knows of the other: everything.  See test_attack.c.
#ifndef NPU_TESTS_VM_ATTACK_H
#define NPU_TESTS_VM_ATTACK_H

#include "drv.h"

#define SECRET_BYTES (256u << 10)
#define SECRET_WORDS (SECRET_BYTES / 8)

// What a party has, by every number that names it.  In shared memory; written by its owner before the first attack.
struct published {
  uint32_t context_id, handles[4], queue;
  uint64_t offsets[7];   // for mmap: buffers, ring, status, doorbell, fault ring, bounds
  uint64_t pointers[4];  // tagged: device secret, host secret, fence, code
};

struct party {
  int number;
  struct context context;
  struct buffer device, host, fence, code, args, loot;
  uint64_t device_ptr, host_ptr, fence_ptr, code_ptr, args_ptr, loot_ptr;
  struct queue home;    // never used for an attack: nobody may touch it
  uint64_t home_value;  // packets that ran through it
  uint64_t random;      // state of the generator
  const struct published* other;
};

// Word i of the secret of a party.  Kind: 0 device memory, 1 host memory, 2 local SRAM.
uint64_t secret_word(int party, int kind, uint64_t i);
// Whether a word is one of the party's secrets, of whichever kind.
bool is_secret(int party, uint64_t word);
uint64_t next_random(uint64_t* state);

// Code at the start of the party's code buffer, by byte offset.
enum {
  kCodeNull = 0,
  kCodeLoad = 64,
  kCodeStore = 128,
  kCodeAtomic = 192,
  kCodeSpin = 256,
  kCodePlant = 320,
  kCodeDump = 384
};

// Each attack returns 0, or the number of the step at which it was not refused as it should have been.
struct attack {
  const char* name;
  int (*run)(struct party* me);
};

void party_open(struct party* me, int number, struct published* mine, const struct published* other);
// Puts one packet into a queue and waits until the queue has run it or stands at it.  True: it ran.
bool run_packet(struct queue* queue, const struct npu_packet* packet);
// Lets a faulted queue go on behind everything.
bool flush(struct queue* queue);

#endif  // NPU_TESTS_VM_ATTACK_H
