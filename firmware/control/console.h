// SPDX-License-Identifier: Apache-2.0
//
// The log: a ring in SRAM that the host reads with NPU_ADMIN_GET_LOG, and the device's console.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace control {

struct Hex {
  uint64_t value;
};
struct Signed {
  int64_t value;
};

void Put(char c);
void Put(const char* text);
void Put(uint64_t number);
void Put(uint32_t number);
void Put(Hex number);
void Put(Signed number);

// One line, stamped with the time in milliseconds.
void LogBegin();
template <class... Parts>
void Log(Parts... parts) {
  LogBegin();
  (Put(parts), ...);
  Put('\n');
}

// Copies at most `bytes` of the log from `position` (bytes since boot) on; what the ring has lost is jumped over.
// Returns how many were copied, and the position behind them in *next.
size_t ReadLog(uint64_t position, char* to, size_t bytes, uint64_t* next);

}  // namespace control
