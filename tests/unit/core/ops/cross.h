// SPDX-License-Identifier: Apache-2.0
//
// What the program cross.cc can be told to do; read by it and by the tests.
#pragma once

#include <stdint.h>

enum CrossWhat {
  kCrossRing,     // hands blocks of SRAM round: reads the next block's, writes to the one before
  kCrossEarly,    // reads the next block's SRAM before any barrier
  kCrossNobody,   // after a barrier reads the SRAM of block `rounds`
  kCrossAtomics,  // `rounds` of every atomic operation on words that all blocks share
};

struct CrossArgs {
  uint64_t what, rounds;
  uint64_t out;  // kCrossRing: kCrossWords u32 a block; kCrossAtomics: struct CrossShared
};

constexpr uint32_t kCrossWords = 1024;

// One word of each size for every operation.
template <class W>
struct CrossWords {
  W add, exclusive_or, inclusive_or, bit_and, reserved, compared;
  W max_signed, min_signed, max_unsigned, min_unsigned;
  W swapped, taken;  // what was swapped out adds up in `taken`
};
struct CrossShared {
  CrossWords<uint64_t> wide;
  CrossWords<uint32_t> narrow;
};
