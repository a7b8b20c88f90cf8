// SPDX-License-Identifier: Apache-2.0
// Branches that are hard to foresee: a heap sort of random numbers, and a small machine with indirect jumps.
#include <stdint.h>

enum { kCount = 1 << 16 };
static uint32_t heap[kCount];
static uint64_t state = 88172645463325252u;

static uint32_t random32(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 32);
}

static void sift(uint32_t root, uint32_t end) {
  for (;;) {
    uint32_t child = 2 * root + 1;
    if (child >= end) return;
    if (child + 1 < end && heap[child] < heap[child + 1]) child++;
    if (heap[root] >= heap[child]) return;
    const uint32_t t = heap[root];
    heap[root] = heap[child];
    heap[child] = t;
    root = child;
  }
}

static void sort(void) {
  for (uint32_t i = kCount / 2; i-- > 0;) sift(i, kCount);
  for (uint32_t end = kCount - 1; end > 0; end--) {
    const uint32_t t = heap[0];
    heap[0] = heap[end];
    heap[end] = t;
    sift(0, end);
  }
}

static uint64_t interpret(uint32_t steps) {
  uint64_t a = 1, b = 2;
  while (steps--) {
    switch (random32() % 7) {
      case 0:
        a += b;
        break;
      case 1:
        b ^= a << 3;
        break;
      case 2:
        a = a > b ? a - b : b - a;
        break;
      case 3:
        b = b * 5 + 1;
        break;
      case 4:
        if (a & 1) b++;
        break;
      case 5:
        a = (a >> 1) | (b << 63);
        break;
      default:
        b -= a;
    }
  }
  return a ^ b;
}

int main(void) {
  uint64_t sum = 0;
  for (int round = 0; round < 6; round++) {
    for (uint32_t i = 0; i < kCount; i++) heap[i] = random32();
    sort();
    for (uint32_t i = 1; i < kCount; i++)
      if (heap[i - 1] > heap[i]) return 2;
    sum = sum * 31 + heap[kCount / 3];
  }
  sum += interpret(3000000);
  return sum == 17704548567967804708u ? 0 : 1;
}
