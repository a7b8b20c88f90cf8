// SPDX-License-Identifier: Apache-2.0
//
// What holds for the argument of every ioctl, driven by the table of calls.h: padding and unknown flags are refused,
// sizes other than ours are taken as DRM does, no byte outside the argument is touched, nothing of the kernel leaks.
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../tap.h"
#include "calls.h"

enum { kMaxArgs = 1024 };

// Two pages of which the second is not there, and a place for an argument of `bytes` bytes that ends with the first.
static uint8_t* last_page;
static void* at_end(size_t bytes) {
  if (!last_page) {
    last_page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (last_page == MAP_FAILED || mprotect(last_page + PAGE, PAGE, PROT_NONE)) bail("pages: %s", strerror(errno));
  }
  return last_page + PAGE - bytes;
}

struct stage {
  struct context context;
  struct buffer buffer;
  struct queue faulted, live;
  uint32_t spare_queue, syncobj;
  uint8_t info[8192];
};

static uint32_t make_queue(struct context* c) {
  struct drm_npu_queue_create create = {.ring_log2 = 4, .priority = 1};
  if (npu_ioctl(c->fd, DRM_IOCTL_NPU_QUEUE_CREATE, &create)) bail("queue: %s", strerror(errno));
  return create.queue;
}

// Something that the call will take, so that a refusal is for what the test has changed in it.
static void good_args(struct stage* s, const struct call* call, void* args) {
  memset(args, 0, call->bytes);
  for (int i = 0; i < call->count; ++i) {
    const struct member* m = &call->members[i];
    switch (m->kind) {
      case kHandle:
        member_set(args, m, s->buffer.handle);
        break;
      case kMaybeQueue:
        member_set(args, m, NO_QUEUE);
        break;
      case kQueue:
        member_set(args, m,
                   call->request == DRM_IOCTL_NPU_QUEUE_RESUME    ? s->faulted.id
                   : call->request == DRM_IOCTL_NPU_QUEUE_DESTROY ? s->spare_queue
                                                                  : s->live.id);
        break;
      case kSyncobj:
        member_set(args, m, s->syncobj);
        break;
      case kEventfd:
        member_set(args, m, UINT32_MAX);
        break;
      case kBytes:
        member_set(args, m, PAGE);
        break;
      case kAddress:
        member_set(args, m, BASE_VA);
        break;
      case kPointer:
        member_set(args, m, (uintptr_t)s->info);
        break;
      case kMemory:
        member_set(args, m, (uintptr_t)at_end(PAGE));
        break;
      case kOut:
        member_set(args, m, 0xa5a5a5a5a5a5a5a5ull);
        break;
      default:
        break;
    }
  }
  switch (call->request) {
    case DRM_IOCTL_NPU_GET_INFO:
      ((struct drm_npu_get_info*)args)->size = 24;
      break;
    case DRM_IOCTL_NPU_CONTEXT_INIT:
      ((struct drm_npu_context_init*)args)->fault_entries = 8;
      break;
    case DRM_IOCTL_NPU_BO_CREATE:
      ((struct drm_npu_bo_create*)args)->flags = DRM_NPU_BO_HOST;
      break;
    case DRM_IOCTL_NPU_VM_BIND:
      ((struct drm_npu_vm_bind*)args)->flags = DRM_NPU_VM_READ;
      break;
    case DRM_IOCTL_NPU_QUEUE_CREATE:
      ((struct drm_npu_queue_create*)args)->ring_log2 = 4;
      break;
  }
}

// A state in which the call succeeds; undo() takes back what it has done.
static void prepare(struct stage* s, const struct call* call) {
  if (call->request == DRM_IOCTL_NPU_QUEUE_DESTROY) s->spare_queue = make_queue(&s->context);
  if (call->request != DRM_IOCTL_NPU_QUEUE_RESUME || s->faulted.status->state == NPU_QUEUE_FAULTED) return;
  s->faulted.wptr = s->faulted.status->rptr;
  const struct npu_packet garbage = {.type = 200};
  put_packet(&s->faulted, &garbage);
  ring_doorbell(&s->faulted);
  if (!wait_state(&s->faulted, NPU_QUEUE_FAULTED)) bail("a packet of garbage does not fault");
}

static int file_for(struct stage* s, const struct call* call) {
  return call->request == DRM_IOCTL_NPU_CONTEXT_INIT ? open_node() : s->context.fd;
}

static void undo(struct stage* s, const struct call* call, const void* args, int fd, bool succeeded) {
  if (fd != s->context.fd) close(fd);
  struct drm_npu_queue_destroy destroy = {.queue = s->spare_queue};
  if (!succeeded) {
    if (call->request == DRM_IOCTL_NPU_QUEUE_DESTROY) npu_ioctl(fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy);
    return;
  }
  switch (call->request) {
    case DRM_IOCTL_NPU_BO_CREATE: {
      struct drm_gem_close gone = {.handle = ((const struct drm_npu_bo_create*)args)->handle};
      npu_ioctl(fd, DRM_IOCTL_GEM_CLOSE, &gone);
      break;
    }
    case DRM_IOCTL_NPU_BO_USERPTR: {
      struct drm_gem_close gone = {.handle = ((const struct drm_npu_bo_userptr*)args)->handle};
      npu_ioctl(fd, DRM_IOCTL_GEM_CLOSE, &gone);
      break;
    }
    case DRM_IOCTL_NPU_VM_BIND:
      unbind_range(&s->context, BASE_VA, PAGE);
      break;
    case DRM_IOCTL_NPU_QUEUE_CREATE:
      destroy.queue = ((const struct drm_npu_queue_create*)args)->queue;
      npu_ioctl(fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy);
      break;
    case DRM_IOCTL_NPU_QUEUE_RESUME:
      if (!wait_state(&s->faulted, NPU_QUEUE_OK)) bail("a resumed queue does not go on");
      break;
  }
}

// The table has every byte of the argument once: what is not in it is not tested.
static void test_table(const struct call* call) {
  uint16_t at = 0;
  for (int i = 0; i < call->count && call->members[i].offset == at; ++i) at += call->members[i].width;
  is_equal(at, call->bytes, call->name);
  is_equal(_IOC_SIZE(call->request), call->bytes, "... its size is in its number");
}

// The errno of the call with member m, if any, set to a value; the argument must come back as it was unless it
// succeeds.
static int errno_with(struct stage* s, const struct call* call, const struct member* m, uint64_t value, bool* changed) {
  uint8_t args[kMaxArgs], before[kMaxArgs];
  prepare(s, call);
  good_args(s, call, args);
  if (m) member_set(args, m, value);
  memcpy(before, args, call->bytes);
  const int fd = file_for(s, call);
  const int error = npu_ioctl(fd, call->request, args) ? errno : 0;
  if (error) *changed |= memcmp(before, args, call->bytes) != 0;
  undo(s, call, args, fd, !error);
  return error;
}

static void refuse(struct stage* s, const struct call* call, const struct member* m, uint64_t value, int error) {
  bool changed = false;
  const int got = errno_with(s, call, m, value, &changed);
  if (got == error && !changed) return;
  ok(0, "%s: %s = %#llx: %s, nothing changed", call->name, m->name, (unsigned long long)value, strerrorname_np(error));
  diag("got %d%s", got, changed ? ", and the argument is changed" : "");
}

static void test_members(struct stage* s, const struct call* call) {
  bool changed = false;
  is_equal((unsigned)errno_with(s, call, NULL, 0, &changed), 0, "... and succeeds");
  const int failed_before = tap_failed;
  int refused = 0;
  for (int i = 0; i < call->count; ++i) {
    const struct member* m = &call->members[i];
    const int bits = m->width * 8;
    for (int bit = 0; bit < bits && (m->kind == kPad || m->kind == kFlags); ++bit) {
      if (m->kind == kFlags && m->limit >> bit & 1) continue;
      refuse(s, call, m, (m->kind == kFlags ? 1 : 0) | 1ull << bit, EINVAL), ++refused;
    }
    if (m->kind == kChoice) {
      refuse(s, call, m, m->limit + 1, EINVAL), ++refused;
      refuse(s, call, m, UINT64_MAX, EINVAL), ++refused;
      refuse(s, call, m, 1ull << (bits - 1), EINVAL), ++refused;
    }
    if (m->kind == kHandle || m->kind == kQueue || m->kind == kSyncobj) {
      static const uint64_t nobody[] = {0x7fffffff, 0x80000000, 0xfffffffe, 100000};
      for (int n = 0; n < 4; ++n) refuse(s, call, m, nobody[n], ENOENT), ++refused;
    }
  }
  ok(tap_failed == failed_before, "%s: %d wrong values refused", call->name, refused);
}

// Every size from 0 on: the argument ends where the page ends, and no call says EFAULT or changes the canary before it.
static void test_sizes(struct stage* s, const struct call* call) {
  // A buffer whose handle is cut off stays until its file goes.  Each has a page of its own: the kernel's debugging of
  // DMA takes more than eight mappings of one for a leak.
  static _Alignas(PAGE) uint8_t pages[128][PAGE];
  int faults = 0, spoilt = 0;
  for (unsigned bytes = 0; bytes <= call->bytes + 64u; ++bytes) {
    uint8_t args[kMaxArgs] = {0};
    prepare(s, call);
    good_args(s, call, args);
    // A pointer that is cut short points nowhere: then nothing may be asked for at it.
    if (call->request == DRM_IOCTL_NPU_GET_INFO) ((struct drm_npu_get_info*)args)->size = 0;
    if (call->request == DRM_IOCTL_NPU_BO_USERPTR)
      ((struct drm_npu_bo_userptr*)args)->addr = (uintptr_t)pages[bytes % 128];
    memset(at_end(PAGE), 0xc7, PAGE);
    uint8_t* place = at_end(bytes);
    memcpy(place, args, bytes);
    const unsigned long request = (call->request & ~IOCSIZE_MASK) | (unsigned long)bytes << _IOC_SIZESHIFT;
    const int fd = file_for(s, call);
    const int ret = npu_ioctl(fd, request, place);
    faults += ret && errno == EFAULT;
    for (uint8_t* p = last_page; p < place; ++p) spoilt += *p != 0xc7;
    // What the driver has said beyond the size that we gave is lost: the file that is closed takes it along.
    memcpy(args, place, bytes < call->bytes ? bytes : call->bytes);
    undo(s, call, args, fd, !ret && bytes >= call->bytes);
  }
  is_equal(faults, 0, "no size is an EFAULT at the end of a page");
  is_equal(spoilt, 0, "... and no byte before the argument is touched");
}

// A call that only reads from the kernel, larger than ours: what comes back is the answer or zero.  Bytes of the stack
// or of the heap would be neither.
static void test_leaks(struct stage* s, const struct call* call) {
  if (!(_IOC_DIR(call->request) & _IOC_READ)) return;  // nothing comes back at all
  uint8_t args[kMaxArgs];
  memset(args, 0xc7, sizeof args);
  const unsigned long request =
      _IOC(_IOC_READ, _IOC_TYPE(call->request), _IOC_NR(call->request), (unsigned)call->bytes + 256);
  const int fd = call->request == DRM_IOCTL_NPU_CONTEXT_INIT ? open_node() : s->context.fd;
  const int ret = npu_ioctl(fd, request, args);
  int wrong = 0;
  for (int i = call->bytes; i < call->bytes + 256; ++i) wrong += args[i] != 0;
  for (int i = 0; i < call->count && ret; ++i) wrong += member_get(args, &call->members[i]) != 0;
  for (int i = call->bytes + 256; i < kMaxArgs; ++i) wrong += args[i] != 0xc7;
  is_equal(wrong, 0, "an argument that is not given is zero, and comes back so");
  if (fd != s->context.fd) close(fd);
}

// Members that the driver says are all written, whatever was in them.
static void test_outputs(struct stage* s, const struct call* call) {
  uint8_t first[kMaxArgs], second[kMaxArgs];
  int unwritten = 0, outs = 0;
  for (int round = 0; round < 2; ++round) {
    uint8_t* args = round ? second : first;
    prepare(s, call);
    good_args(s, call, args);
    for (int i = 0; i < call->count; ++i)
      if (call->members[i].kind == kOut) member_set(args, &call->members[i], round ? 0 : UINT64_MAX), ++outs;
    const int fd = file_for(s, call);
    const bool good = npu_ioctl(fd, call->request, args) == 0;
    if (!good) ++unwritten, diag("%s: %s", call->name, strerror(errno));
    undo(s, call, args, fd, good);
  }
  // Offsets and numbers differ from call to call; all ones is none of them.
  for (int i = 0; i < call->count; ++i) {
    const struct member* m = &call->members[i];
    if (m->kind != kOut) continue;
    const uint64_t ones = m->width == 8 ? UINT64_MAX : (1ull << m->width * 8) - 1;
    if (member_get(first, m) == ones || member_get(first, m) >> (m->width * 8 - 1))
      ++unwritten, diag("%s: %s", call->name, m->name);
  }
  is_equal(unwritten, 0, outs ? "members that the driver writes are written" : "it writes nothing but what it says");
}

static void test_without_context(const struct call* call) {
  uint8_t args[kMaxArgs] = {0};
  const int fd = open_node();
  if (call->needs_context) is_errno(npu_ioctl(fd, call->request, args), EINVAL, "without a context");
  close(fd);
}

// Each with a context of its own: what short arguments have made cannot be named any more and goes with it.
static void test_call(const struct call* call) {
  static struct stage s;
  s = (struct stage){.context = context_new()};
  s.buffer = buffer_new(&s.context, 4 * PAGE, DRM_NPU_BO_HOST);
  s.faulted = queue_new(&s.context, 4);
  s.live = queue_new(&s.context, 4);
  struct drm_syncobj_create sync = {.flags = DRM_SYNCOBJ_CREATE_SIGNALED};
  if (npu_ioctl(s.context.fd, DRM_IOCTL_SYNCOBJ_CREATE, &sync)) bail("syncobj: %s", strerror(errno));
  s.syncobj = sync.handle;
  const uint64_t before = memory_info(s.context.fd).device_free;
  test_table(call);
  test_members(&s, call);
  test_outputs(&s, call);
  is_equal(memory_info(s.context.fd).device_free, before, "no device memory is lost");
  test_without_context(call);
  test_sizes(&s, call);
  test_leaks(&s, call);
  munmap_queue(&s.faulted);
  munmap_queue(&s.live);
  munmap(s.buffer.map, s.buffer.size);
  context_close(&s.context);
}

int main(void) {
  const int watch = open_node();
  const uint64_t before = memory_info(watch).device_free;
  for (int i = 0; i < call_count; ++i) test_call(&calls[i]);
  ok(free_returns_to(watch, before), "all of it is given back");
  close(watch);
  return tap_done();
}
