// SPDX-License-Identifier: Apache-2.0
//
// Arguments and results of the program intrinsics.cc; read by it and by the tests.
#pragma once

#include <stdint.h>

struct IntrinsicsArgs {
  uint64_t x;    // float [kRows][kCols]
  uint64_t out;  // struct IntrinsicsResult
};

enum { kRows = 4, kCols = 8, kBest = 3, kPadded = 11 };

struct IntrinsicsResult {
  float half[kRows][kCols];  // x as f16 (by DMA, toward zero) and back
  float sums[kRows][kCols];  // prefix sums of half
  float sorted[kRows][kCols];
  float best[kRows][kBest];  // top-k of half
  int32_t columns[kRows][kBest];
  float gathered[kRows][kBest];   // half at columns
  float scattered[kRows][kCols];  // best put back at columns of a 7
  float rows[kRows][kCols];       // half[3 - r]
  float padded[kRows][kPadded];   // two 9s, half, 9
};
