// SPDX-License-Identifier: Apache-2.0
//
// Buffers made of the process's own memory: both sides see each other's stores, what may not be written is not, and
// what is pinned is counted and given back.
#include "rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xf86drm.h>

#include "../tap.h"

enum { kNobody = 65534 };

static void* pages_new(uint64_t bytes, int protection) {
  void* p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) bail("mmap: %s", strerror(errno));
  for (uint64_t i = 0; i < bytes / PAGE; ++i) ((uint64_t*)p)[i * PAGE / 8] = i + 1;
  if (mprotect(p, bytes, protection)) bail("mprotect: %s", strerror(errno));
  return p;
}

static int userptr(struct context* c, const void* addr, uint64_t bytes, uint32_t flags, uint32_t* handle) {
  struct drm_npu_bo_userptr args = {.addr = (uintptr_t)addr, .size = bytes, .flags = flags};
  const int ret = npu_ioctl(c->fd, DRM_IOCTL_NPU_BO_USERPTR, &args);
  *handle = args.handle;
  return ret;
}

// As a buffer of the tests; it has no mapping of its own.
static struct buffer user_buffer(struct context* c, void* addr, uint64_t bytes, uint32_t flags) {
  struct buffer b = {.context = c, .size = bytes, .map = addr};
  if (userptr(c, addr, bytes, flags, &b.handle)) bail("userptr: %s", strerror(errno));
  return b;
}

static void close_handle(struct context* c, uint32_t handle) {
  struct drm_gem_close args = {.handle = handle};
  if (npu_ioctl(c->fd, DRM_IOCTL_GEM_CLOSE, &args)) bail("close of a handle: %s", strerror(errno));
}

// What the kernel says this process has pinned.
static long long pinned_kib(void) {
  FILE* f = fopen("/proc/self/status", "re");
  char line[128];
  long long kib = -1;
  while (f && fgets(line, sizeof line, f)) sscanf(line, "VmPin: %lld", &kib);
  if (f) fclose(f);
  return kib;
}

static void test_both_ways(void) {
  struct rig r;
  rig_open(&r);
  uint64_t* p = pages_new(5 * MIB, PROT_READ | PROT_WRITE);
  struct buffer b = user_buffer(&r.context, p, 5 * MIB, 0);
  is_equal((unsigned long long)pinned_kib(), 5 * MIB / 1024, "the pages count as pinned");
  is_errno(bind_range(&b, 0, BASE_VA, b.size, RIGHTS_RW), 0, "the process's memory is bound");
  is_equal(device_reads(&r, 3 * MIB + PAGE), 3 * MIB / PAGE + 2, "the device reads what the process has written");
  int wrong = 0;
  for (uint64_t i = 0; i < b.size / PAGE; i += 77) {
    wrong += device_writes(&r, i * PAGE + 8, 1000 + i) != 0;
    wrong += ((volatile uint64_t*)p)[i * PAGE / 8 + 1] != 1000 + i;
  }
  is_equal((unsigned)wrong, 0, "the process reads what the device has written");
  is_equal(device_writes(&r, 16, 4711), 0, "a value to wait for");
  is_errno(wait_value(&b, 16, 4711, NPU_WAIT_EQ, 0, NO_QUEUE), 0, "WAIT finds it");

  // A child that is forked shares what is not written; the pinned pages stay the parent's.
  const pid_t pid = fork();
  if (pid == 0) {
    pause();
    _exit(0);
  }
  ((volatile uint64_t*)p)[PAGE / 8] = 99;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  is_equal(device_reads(&r, PAGE), 99, "after fork() the process and the device still share the page");
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);

  // Bound, it outlives its handle and the process's mapping.
  close_handle(&r.context, b.handle);
  munmap(p, b.size);
  is_equal(device_reads(&r, PAGE), 99, "the pages outlive the handle and the process's mapping");
  is_equal(device_writes(&r, PAGE, 5), 0, "for writing as well");
  is_errno(unbind_range(&r.context, BASE_VA, 5 * MIB), 0, "the last binding goes");
  is_equal(device_reads(&r, PAGE), UINT64_MAX, "and with it the device's access");
  is_equal((unsigned long long)pinned_kib(), 0, "nothing is pinned any more");
  rig_close(&r);
}

static void test_read_only(void) {
  struct rig r;
  rig_open(&r);
  uint32_t handle;
  uint64_t* p = pages_new(4 * PAGE, PROT_READ);
  is_errno(userptr(&r.context, p, 4 * PAGE, 0, &handle), EFAULT, "read-only memory is not given for writing");
  is_equal((unsigned long long)pinned_kib(), 0, "and nothing stays pinned");
  struct buffer b = user_buffer(&r.context, p, 4 * PAGE, DRM_NPU_USERPTR_READONLY);
  is_errno(bind_range(&b, 0, BASE_VA, b.size, RIGHTS_RW), EACCES, "WRITE on a read-only buffer");
  is_equal(device_reads(&r, 0), UINT64_MAX, "has bound nothing");
  is_errno(bind_range(&b, 0, BASE_VA, b.size, DRM_NPU_VM_READ), 0, "READ");
  is_equal(device_reads(&r, 2 * PAGE), 3, "the device reads");
  is_equal(device_writes(&r, 2 * PAGE, 77), NPU_FAULT_PAGE_PERM, "and does not write");
  is_equal(((volatile uint64_t*)p)[2 * PAGE / 8], 3, "nothing has changed");
  close_handle(&r.context, b.handle);
  rig_close(&r);
  is_equal((unsigned long long)pinned_kib(), 0, "nothing is pinned when the file is closed");
  munmap(p, 4 * PAGE);
}

static void test_refusals(void) {
  struct context c = context_new();
  uint8_t* p = pages_new(8 * PAGE, PROT_READ | PROT_WRITE);
  uint32_t handle;
  is_errno(userptr(&c, p + 8, PAGE, 0, &handle), EINVAL, "an unaligned address");
  is_errno(userptr(&c, p, PAGE + 8, 0, &handle), EINVAL, "an unaligned size");
  is_errno(userptr(&c, p, 0, 0, &handle), EINVAL, "no size");
  is_errno(userptr(&c, p, -(uintptr_t)p, 0, &handle), EINVAL, "up to the end of 64 bits");
  is_errno(userptr(&c, p, UINT64_MAX & ~(PAGE - 1), 0, &handle), EINVAL, "round about");
  is_errno(userptr(&c, (void*)0xffff888000000000ull, PAGE, 0, &handle), EINVAL, "the kernel's memory");
  is_errno(userptr(&c, p, PAGE, 2, &handle), EINVAL, "an unknown flag");
  munmap(p + 5 * PAGE, PAGE);
  is_errno(userptr(&c, p, 8 * PAGE, 0, &handle), EFAULT, "a hole in the range");
  is_errno(userptr(&c, p + 5 * PAGE, PAGE, 0, &handle), EFAULT, "nothing at all");
  is_errno(userptr(&c, (void*)(16 * MIB), 1ull << 45, 0, &handle), ENOMEM, "more than the machine has");
  struct buffer host = buffer_new(&c, PAGE, DRM_NPU_BO_HOST);
  is_errno(userptr(&c, host.map, PAGE, 0, &handle), EFAULT, "the mapping of a buffer");
  is_errno(userptr(&c, c.bounds, PAGE, 0, &handle), EFAULT, "device memory");
  is_equal((unsigned long long)pinned_kib(), 0, "none of them has pinned a page");

  struct buffer b = user_buffer(&c, p, 4 * PAGE, 0);
  struct drm_npu_bo_mmap where = {.handle = b.handle};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_BO_MMAP, &where), EINVAL, "bo_mmap of the process's own memory");
  int fd;
  is_errno(drmPrimeHandleToFD(c.fd, b.handle, DRM_RDWR, &fd) ? -1 : 0, EOPNOTSUPP, "its export");
  struct drm_npu_sync_import import = {.handle = b.handle};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_SYNC_IMPORT, &import), EINVAL, "sync_import with it");
  is_errno(bind_range(&b, PAGE, BASE_VA, 4 * PAGE, RIGHTS_RW), EINVAL, "more of it than there is");
  close_handle(&c, b.handle);
  buffer_free(&host);
  context_close(&c);
}

// As nobody, in a child: root has no limit.
static int limited(void* arg) {
  (void)arg;
  const struct rlimit limit = {.rlim_cur = MIB, .rlim_max = MIB}, none = {0};
  uint32_t a, b;
  struct context c = context_new();
  uint8_t* p = pages_new(2 * MIB, PROT_READ | PROT_WRITE);
  if (setrlimit(RLIMIT_MEMLOCK, &limit) || setresuid(kNobody, kNobody, kNobody)) return 1;
  if (userptr(&c, p, MIB + PAGE, 0, &a) == 0 || errno != ENOMEM) return 2;
  if (userptr(&c, p, MIB, 0, &a)) return 3;
  if (userptr(&c, p + MIB, PAGE, 0, &b) == 0 || errno != ENOMEM) return 4;
  if (pinned_kib() != 1024) return 5;
  close_handle(&c, a);
  if (userptr(&c, p + MIB, MIB, 0, &b)) return 6;
  close_handle(&c, b);
  if (setrlimit(RLIMIT_MEMLOCK, &none)) return 7;
  if (userptr(&c, p, PAGE, 0, &a) == 0 || errno != EPERM) return 8;
  return pinned_kib() ? 9 : 0;
}

static void tries(struct context* c, uint64_t bytes, int* error) {
  uint32_t handle;
  uint8_t* p = pages_new(bytes, PROT_READ | PROT_WRITE);
  *error = userptr(c, p, bytes, 0, &handle) ? errno : 0;
}

// What a process of the same user may pin that has pinned nothing itself.
struct other {
  struct context* context;
  uint64_t refused, allowed;  // bytes
};

static int other_process(void* arg) {
  const struct other* o = arg;
  int error;
  tries(o->context, o->refused, &error);
  if (error != ENOMEM || pinned_kib()) return 1;
  tries(o->context, o->allowed, &error);
  return error;
}

// The limit is the user's as well, however many processes that makes, and whoever closes a buffer gives back.
static int limited_together(void* arg) {
  (void)arg;
  const struct rlimit limit = {.rlim_cur = 4 * MIB, .rlim_max = 4 * MIB};
  struct context a = context_new(), b = context_new();
  if (setrlimit(RLIMIT_MEMLOCK, &limit) || setresuid(kNobody, kNobody, kNobody)) return 1;
  uint8_t* p = pages_new(3 * MIB, PROT_READ | PROT_WRITE);
  uint32_t handle;
  if (userptr(&a, p, 3 * MIB, 0, &handle)) return 2;
  struct other more = {&b, MIB + PAGE, MIB}, rest = {&b, 3 * MIB + PAGE, 3 * MIB};
  if (in_child(other_process, &more)) return 3;
  // The child has ended, but its buffer is the file's.
  uint8_t* q = pages_new(PAGE, PROT_READ | PROT_WRITE);
  uint32_t second;
  if (userptr(&a, q, PAGE, 0, &second) == 0 || errno != ENOMEM) return 4;
  close_handle(&a, handle);
  if (in_child(other_process, &rest)) return 5;
  context_close(&b);
  if (userptr(&a, p, 3 * MIB, 0, &handle)) return 6;
  return 0;
}

// Ends while the device copies into its memory, and while more is queued behind a wait that never ends.
static int exit_in_flight(void* arg) {
  (void)arg;
  struct rig r;
  rig_open(&r);
  struct buffer b = user_buffer(&r.context, pages_new(8 * MIB, PROT_READ | PROT_WRITE), 8 * MIB, 0);
  if (bind_range(&b, 0, BASE_VA, b.size, RIGHTS_RW)) return 1;
  for (int i = 0; i < 16; ++i) {
    const struct npu_packet copy = copy_packet(r.window_ptr, r.window_ptr + 4 * MIB, 4 * MIB, 0, 0);
    put_packet(&r.queue, &copy);
  }
  const struct npu_packet wait = wait_packet(r.out_ptr, 1, NPU_WAIT_EQ, 0, 0);
  put_packet(&r.queue, &wait);
  ring_doorbell(&r.queue);
  return 0;
}

int main(void) {
  const int watch = open_node();
  const uint64_t before = memory_info(watch).device_free;
  test_both_ways();
  test_read_only();
  test_refusals();
  is_equal((unsigned)in_child(limited, NULL), 0, "RLIMIT_MEMLOCK holds: ENOMEM above it, EPERM without");
  is_equal((unsigned)in_child(limited_together, NULL), 0, "for all processes of a user together");
  int failed = 0;
  for (int i = 0; i < 4; ++i) failed += in_child(exit_in_flight, NULL) != 0;
  is_equal((unsigned)failed, 0, "processes that end with work in flight on their memory");
  ok(free_returns_to(watch, before), "the device has all its memory again");
  test_read_only();
  close(watch);
  return tap_done();
}
