// SPDX-License-Identifier: Apache-2.0
// Single precision: four chains of multiply-adds, a division now and then.
#include <stdint.h>

int main(void) {
  float a = 1.0f, b = 0.5f, c = 0.25f, d = 2.0f;
  for (uint32_t i = 0; i < 12000000; i++) {
    a = a * 0.999f + b;
    b = 0.5f - b * c;
    c = c * 0.25f + a * 0.0005f;
    d = d * 0.75f + a;
    if ((i & 63) == 0) d = d / (b + 3.0f);
  }
  union {
    float f[4];
    uint32_t u[4];
  } end = {.f = {a, b, c, d}};
  return (end.u[0] ^ end.u[1] * 3 ^ end.u[2] * 5 ^ end.u[3] * 7) == 642901227u ? 0 : 1;
}
