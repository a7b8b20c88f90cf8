// SPDX-License-Identifier: Apache-2.0
// A loop of integer arithmetic with a dependency chain.
#include <stdint.h>

int main(void) {
  uint64_t a = 1, b = 3, c = 0x9e3779b97f4a7c15u;
  for (uint32_t i = 0; i < 50000000; i++) {
    a += b ^ i;
    b = (b << 1) + a;
    c = (c >> 7) ^ (c << 9) ^ b;
  }
  return (a ^ b ^ c) == 8177360837449121658u ? 0 : 1;
}
