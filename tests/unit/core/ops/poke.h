// SPDX-License-Identifier: Apache-2.0
//
// What the program poke.cc can be told to do; read by it and by the tests.
#pragma once

#include <stdint.h>

enum PokeWhat {
  kPokeNothing,
  kPokeLoad,        // out[0] = *(u64*)a
  kPokeStore,       // *(u64*)a = b
  kPokeStoreByte,   // *(u8*)a = b
  kPokeMisaligned,  // *(u32*)a = b, one store whatever a is
  kPokeAmoAdd,      // out[0] = amoadd.w(a, b)
  kPokeAmoAdd64,
  kPokeReserved,  // lr.d / sc.d: *(u64*)a += b
  kPokeCall,      // jumps to a
  kPokeTrap,      // npu trap with code a
  kPokeEbreak,
  kPokeEcall,
  kPokeIllegal,
  kPokeCustom1,
  kPokeRecurse,      // until the stack ends
  kPokeSpin,         // while (*(u64*)a == b)
  kPokeSum,          // out[0] = sum of b u32 at a
  kPokeCsrs,         // out[0..12] = the core's CSRs
  kPokeIssue,        // pipe b, descriptor at a
  kPokeIssueMany,    // pipe b & 7, descriptor at a, b >> 3 times
  kPokeHartWait,     // wait_flag a
  kPokePipeWait,     // wait_flag DMA_IN -> vector, then end
  kPokePipeBarrier,  // the same, then a barrier
  kPokeQueueFull,    // the same 40 times
  kPokeBadFlag,
  kPokeGrid,        // barrier of all blocks; out[block] = b before, sum of out[] after
  kPokeLocalSet,    // out[0] = LOCAL_SET(a, b)
  kPokeLocalClear,  // LOCAL_CLEAR(a)
  kPokeHeld,        // a held vector copy (descriptor at a) is released by the hart after a store of b to SRAM word 0
};

struct PokeArgs {
  uint64_t what, a, b;
  uint64_t out;
};
