// SPDX-License-Identifier: Apache-2.0
#include "sys32.h"

// Of the i386 table.
enum {
  kExit = 1,
  kRead = 3,
  kWrite = 4,
  kOpen = 5,
  kClose = 6,
  kIoctl = 54,
  kMunmap = 91,
  kPoll = 168,
  kMmap2 = 192,
  kEventfd2 = 328,
  kClockGettime64 = 403
};
enum { kEINTR = 4, kEAGAIN = 11 };
enum { kReadWrite = 2, kCloseOnExec = 02000000, kClockMonotonic = 1 };
enum { kProtRead = 1, kProtWrite = 2, kMapShared = 1, kMapPrivate = 2, kMapAnonymous = 0x20 };

// Six arguments: the last one goes into ebp, which a compiler may be using.
int system_call(int number, int a, int b, int c, int d, int e, int f);
__asm__(
    ".text\n"
    "system_call:\n"
    "  push %ebp\n  push %edi\n  push %esi\n  push %ebx\n"
    "  mov 20(%esp), %eax\n  mov 24(%esp), %ebx\n  mov 28(%esp), %ecx\n  mov 32(%esp), %edx\n"
    "  mov 36(%esp), %esi\n  mov 40(%esp), %edi\n  mov 44(%esp), %ebp\n"
    "  int $0x80\n"
    "  pop %ebx\n  pop %esi\n  pop %edi\n  pop %ebp\n"
    "  ret\n"
    ".globl _start\n"
    "_start:\n"
    "  xor %ebp, %ebp\n"
    "  and $-16, %esp\n"
    "  call program\n");

void* memcpy(void* to, const void* from, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) ((volatile char*)to)[i] = ((const char*)from)[i];
  return to;
}

void* memset(void* to, int value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) ((volatile char*)to)[i] = (char)value;
  return to;
}

int memcmp(const void* a, const void* b, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) {
    const int difference = ((const uint8_t*)a)[i] - ((const uint8_t*)b)[i];
    if (difference) return difference;
  }
  return 0;
}

static int call3(int number, int a, int b, int c) {
  return system_call(number, a, b, c, 0, 0, 0);
}

int sys_open(const char* path) {
  return call3(kOpen, (int)path, kReadWrite | kCloseOnExec, 0);
}

int sys_close(int fd) {
  return call3(kClose, fd, 0, 0);
}

int sys_read(int fd, void* data, unsigned bytes) {
  return call3(kRead, fd, (int)data, (int)bytes);
}

int sys_ioctl(int fd, uint32_t request, void* args) {
  int ret;
  do ret = call3(kIoctl, fd, (int)request, (int)args);
  while (ret == -kEINTR || ret == -kEAGAIN);
  return ret;
}

void* sys_map(int fd, uint64_t offset, unsigned bytes, int writable) {
  const int flags = fd < 0 ? kMapPrivate | kMapAnonymous : kMapShared;
  const int at = system_call(kMmap2, 0, (int)bytes, kProtRead | (writable ? kProtWrite : 0), flags, fd,
                             (int)(uint32_t)(offset >> 12));
  return at > -4096 && at < 0 ? 0 : (void*)at;
}

int sys_unmap(void* at, unsigned bytes) {
  return call3(kMunmap, (int)at, (int)bytes, 0);
}

int sys_eventfd(void) {
  return call3(kEventfd2, 0, kCloseOnExec, 0);
}

void sys_nap(int ms) {
  call3(kPoll, 0, 0, ms);
}

int64_t sys_monotonic_ns(void) {
  struct {
    int64_t seconds, nanoseconds;
  } now;
  if (call3(kClockGettime64, kClockMonotonic, (int)&now, 0)) bail("clock_gettime64");
  return now.seconds * 1000000000 + now.nanoseconds;
}

static int count, failed;

static void put(const char* text) {
  unsigned n = 0;
  while (text[n]) ++n;
  call3(kWrite, 1, (int)text, (int)n);
}

static void put_number(uint32_t n) {
  char text[12], *at = text + sizeof text - 1;
  *at = 0;
  do *--at = (char)('0' + n % 10);
  while (n /= 10);
  put(at);
}

static void put_hex(uint64_t n) {
  char text[20] = "0x";
  for (int i = 0; i < 16; ++i) text[2 + i] = "0123456789abcdef"[(n >> (60 - 4 * i)) & 15];
  text[18] = 0;
  put(text);
}

int ok(int good, const char* what) {
  if (!good) {
    ++failed;
    put("not ");
  }
  put("ok ");
  put_number((uint32_t)++count);
  put(" - ");
  put(what);
  put("\n");
  return good;
}

int is_equal(uint64_t got, uint64_t expected, const char* what) {
  if (ok(got == expected, what)) return 1;
  put("# got ");
  put_hex(got);
  put(", expected ");
  put_hex(expected);
  put("\n");
  return 0;
}

int is_error(int ret, int error, const char* what) {
  if (ok(ret == -error, what)) return 1;
  put("# got errno ");
  put_number((uint32_t)-ret);
  put(", expected ");
  put_number((uint32_t)error);
  put("\n");
  return 0;
}

void bail(const char* what) {
  put("Bail out! ");
  put(what);
  put("\n");
  for (;;) call3(kExit, 1, 0, 0);
}

__attribute__((used, noreturn)) void program(void) {
  test();
  put("1..");
  put_number((uint32_t)count);
  put("\n");
  for (;;) call3(kExit, failed != 0, 0, 0);
}
