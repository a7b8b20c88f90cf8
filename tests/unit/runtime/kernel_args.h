// SPDX-License-Identifier: Apache-2.0
//
// Arguments of the test kernels, as host and device see them.
#pragma once

#include <stdint.h>

struct AddArgs {
  const int32_t* a;
  const int32_t* b;
  int32_t* out;
  uint64_t count;
};

struct PokeArgs {
  int32_t* at;
  int64_t index;
  int32_t value;
};

struct PeekArgs {
  const int32_t* at;
  int64_t index;
  int32_t* out;
};

struct HoldArgs {
  const int32_t* gate;
};

struct StepArgs {
  uint32_t* value;
  uint32_t add;
};

// The line that kernel poke writes from, as its #line directive says.
enum { kPokeLine = 1000 };
