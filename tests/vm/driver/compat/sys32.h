// SPDX-License-Identifier: Apache-2.0
//
// What a 32-bit program needs that has no C library: the few system calls of the test, and TAP.  So the compiler alone
// is enough, without a second set of libraries.
#ifndef NPU_TESTS_VM_SYS32_H
#define NPU_TESTS_VM_SYS32_H

#include <stdint.h>

_Static_assert(sizeof(void*) == 4, "this is for a 32-bit program");

// errno values that the test knows; calls return them negative, as the kernel does.
enum { kEIO = 5, kENXIO = 6, kEFAULT = 14, kEBUSY = 16, kEEXIST = 17, kEINVAL = 22, kENOTTY = 25, kETIME = 62 };

void* memcpy(void* to, const void* from, unsigned bytes);
void* memset(void* to, int value, unsigned bytes);
int memcmp(const void* a, const void* b, unsigned bytes);

int sys_open(const char* path);
int sys_close(int fd);
int sys_read(int fd, void* data, unsigned bytes);
// Restarted when it is interrupted or told to try again.
int sys_ioctl(int fd, uint32_t request, void* args);
// Shared; the offset may be beyond 4 GiB.  NULL if it fails.  fd < 0: private memory.
void* sys_map(int fd, uint64_t offset, unsigned bytes, int writable);
int sys_unmap(void* at, unsigned bytes);
// A read of it sleeps until there is something.
int sys_eventfd(void);
void sys_nap(int ms);
int64_t sys_monotonic_ns(void);

// One check; returns whether it held.
int ok(int good, const char* what);
int is_equal(uint64_t got, uint64_t expected, const char* what);
// ret: 0, or -errno.
int is_error(int ret, int error, const char* what);
// Nothing further makes sense.
__attribute__((noreturn)) void bail(const char* what);

// The test; the program begins at _start, which calls this, prints the plan, and exits.
void test(void);

#endif  // NPU_TESTS_VM_SYS32_H
