// SPDX-License-Identifier: Apache-2.0
// Bound by memory: a walk through 8 MiB in the order of a permutation, then sweeps over it.
#include <stdint.h>

enum { kWords = 1 << 21 };
static uint32_t next[kWords];

int main(void) {
  // A full cycle: multiplying by 1 mod 4 and adding an odd number, modulo a power of two.
  for (uint32_t i = 0; i < kWords; i++) next[i] = (i * 1664525u + 1013904223u) % kWords;
  uint32_t at = 0;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < 12000000; i++) {
    at = next[at];
    sum += at ^ i;
  }
  for (uint32_t sweep = 0; sweep < 8; sweep++)
    for (uint32_t i = 0; i < kWords; i++) sum = sum * 3 + next[i];
  return sum == 14295385878054688512u ? 0 : 1;
}
