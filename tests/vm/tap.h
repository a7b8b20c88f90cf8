// SPDX-License-Identifier: Apache-2.0
//
// Tests that print TAP: one line a check, a plan at the end.  For one thread of one process; a child that checks
// something reports through its exit status.
#ifndef NPU_TESTS_VM_TAP_H
#define NPU_TESTS_VM_TAP_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Weak: one for all files of the program, which check things, too.
__attribute__((weak)) int tap_count, tap_failed;

static inline void tap_line(int good, const char* format, va_list args) {
  ++tap_count;
  if (!good) ++tap_failed;
  printf("%sok %d - ", good ? "" : "not ", tap_count);
  vprintf(format, args);
  putchar('\n');
  fflush(stdout);
}

// One check, named by the format.  Returns whether it held.
__attribute__((format(printf, 2, 3))) static inline int ok(int good, const char* format, ...) {
  va_list args;
  va_start(args, format);
  tap_line(good, format, args);
  va_end(args);
  return good;
}

__attribute__((format(printf, 1, 2))) static inline void diag(const char* format, ...) {
  va_list args;
  va_start(args, format);
  printf("# ");
  vprintf(format, args);
  putchar('\n');
  va_end(args);
}

// A check that cannot be made here; the reason says why.
__attribute__((format(printf, 1, 2))) static inline void skip(const char* format, ...) {
  va_list args;
  printf("ok %d # skip ", ++tap_count);
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  putchar('\n');
}

// Nothing further makes sense.
__attribute__((format(printf, 1, 2), noreturn)) static inline void bail(const char* format, ...) {
  va_list args;
  printf("Bail out! ");
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  putchar('\n');
  exit(1);
}

static inline int is_equal(unsigned long long got, unsigned long long expected, const char* what) {
  int good = ok(got == expected, "%s", what);
  if (!good) diag("got %#llx, expected %#llx", got, expected);
  return good;
}

// ret: of a call that gives -1 and errno; error: the errno expected, 0 for success.
static inline int is_errno(int ret, int error, const char* what) {
  int got = ret < 0 ? errno : 0;
  int good = ok(got == error, "%s: %s", what, error ? strerrorname_np(error) : "succeeds");
  if (!good) diag("got %s", got ? strerrorname_np(got) : "success");
  return good;
}

static inline int tap_done(void) {
  printf("1..%d\n", tap_count);
  return tap_failed ? 1 : 0;
}

#endif  // NPU_TESTS_VM_TAP_H
