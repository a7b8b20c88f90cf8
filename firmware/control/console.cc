// SPDX-License-Identifier: Apache-2.0
#include "console.h"

#include "machine.h"

namespace control {
namespace {

constexpr size_t kLogBytes = 8192;

char ring[kLogBytes];
uint64_t written;  // bytes since boot

void PutPadded(uint64_t number, unsigned base, unsigned least_digits) {
  char digits[20];
  unsigned count = 0;
  do {
    digits[count++] = "0123456789abcdef"[number % base];
    number /= base;
  } while (number != 0 || count < least_digits);
  while (count != 0) Put(digits[--count]);
}

}  // namespace

void Put(char c) {
  ring[written++ % kLogBytes] = c;
  Write32(NPU_MG_CONSOLE, static_cast<uint8_t>(c));
}

void Put(const char* text) {
  while (*text != 0) Put(*text++);
}

void Put(uint64_t number) {
  PutPadded(number, 10, 1);
}
void Put(uint32_t number) {
  PutPadded(number, 10, 1);
}

void Put(Hex number) {
  Put("0x");
  PutPadded(number.value, 16, 1);
}

void Put(Signed number) {
  if (number.value < 0) Put('-');
  Put(number.value < 0 ? uint64_t{0} - static_cast<uint64_t>(number.value) : static_cast<uint64_t>(number.value));
}

void LogBegin() {
  const uint64_t ms = Now() / kMillisecond;
  Put('[');
  PutPadded(ms / 1000, 10, 1);
  Put('.');
  PutPadded(ms % 1000, 10, 3);
  Put("] ");
}

size_t ReadLog(uint64_t position, char* to, size_t bytes, uint64_t* next) {
  const uint64_t oldest = written > kLogBytes ? written - kLogBytes : 0;
  if (position > written) position = written;
  if (position < oldest) position = oldest;
  size_t count = 0;
  for (; count < bytes && position < written; ++count) to[count] = ring[position++ % kLogBytes];
  *next = position;
  return count;
}

}  // namespace control
