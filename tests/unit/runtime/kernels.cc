// SPDX-License-Identifier: Apache-2.0
//
// Kernels of the runtime's tests: plain C++, so that they need nothing but the compiler.
#include <stdint.h>

#include "kernel_args.h"

namespace {

uint64_t Block() {
  uint64_t value;
  asm volatile("csrr %0, 0xcc6" : "=r"(value));
  return value;
}

uint64_t Blocks() {
  uint64_t value;
  asm volatile("csrr %0, 0xcc7" : "=r"(value));
  return value;
}

}  // namespace

// An absolute pointer in data: the loader must have relocated it.
static const int32_t kSteps[4] = {10, 20, 30, 40};
const int32_t* step_pointer = &kSteps[2];
int32_t module_counter = 5;

extern "C" void add(const AddArgs* args) {
  for (uint64_t i = Block(); i < args->count; i += Blocks()) args->out[i] = args->a[i] + args->b[i];
}

extern "C" void constant(const PokeArgs* args) {
  args->at[args->index] = *step_pointer + module_counter;
}

// Writes one word wherever it is told to.
extern "C" void poke(const PokeArgs* args) {
#line 1000
  args->at[args->index] = args->value;
}

extern "C" void peek(const PeekArgs* args) {
  *args->out = args->at[args->index];
}

// Runs until a word changes; for work that is still under way.
extern "C" void hold(const HoldArgs* args) {
  const volatile int32_t* gate = args->gate;
  while (*gate == 0) {
  }
}

// x = x * 3 + 1, so that the order of launches shows.
extern "C" void step(const StepArgs* args) {
  *args->value = *args->value * 3 + args->add;
}

extern "C" void trap() {
  asm volatile("ebreak");
}

// Block 0 ends well.
extern "C" void trap_beside() {
  if (Block() > 0) trap();
}

extern "C" void nothing() {}
