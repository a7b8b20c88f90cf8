// SPDX-License-Identifier: Apache-2.0
//
// Arguments are made from the table of calls.h: mostly values that the driver has given or would take, so that deep
// states are reached, and now and then one that is wrong by a bit, by one, or altogether.
#include "fuzz.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"

static uint64_t draw(struct fuzzer* f) {
  uint64_t z = f->random += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}

static uint32_t below(struct fuzzer* f, uint32_t n) {
  return (uint32_t)(draw(f) % n);
}

static bool one_in(struct fuzzer* f, uint32_t n) {
  return below(f, n) == 0;
}

// Numbers at which something changes, of any size.
static uint64_t odd_number(struct fuzzer* f) {
  switch (below(f, 6)) {
    case 0:
      return below(f, 8);
    case 1:
      return (1ull << below(f, 64)) - below(f, 2);
    case 2:
      return (1ull << below(f, 64)) + below(f, 2) * PAGE;
    case 3:
      return 0 - (uint64_t)below(f, 3) * PAGE - below(f, 2);
    case 4:
      return draw(f) & ~(PAGE - 1);
    default:
      return draw(f);
  }
}

static uint64_t spoil(struct fuzzer* f, uint64_t value) {
  switch (below(f, 4)) {
    case 0:
      return value ^ 1ull << below(f, 64);
    case 1:
      return value + (one_in(f, 2) ? 1 : PAGE);
    case 2:
      return value - (one_in(f, 2) ? 1 : PAGE);
    default:
      return odd_number(f);
  }
}

// Pages that the device may be given: whatever size goes with them, the next ones are not there, so that nothing of the
// fuzzer itself is ever given away.  Calls in a row get the same ones, but no page is given more than eight times in a
// round, which the kernel's debugging of DMA takes for a leak: a few calls here, and as many that reach in from before.
static uintptr_t arena(void) {
  enum { kBlocks = 64, kBlockPages = 512, kCalls = 4 };
  static uint8_t* pages;
  static unsigned calls;
  const uint64_t bytes = kBlocks * kBlockPages * PAGE;
  if (!pages) {
    pages = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages, bytes, PROT_READ | PROT_WRITE)) bail("pages: %s", strerror(errno));
  }
  const unsigned call = calls++;
  return (uintptr_t)pages + PAGE * (kBlockPages * (call / kCalls % kBlocks) + 8 * (call % kCalls));
}

static uint64_t good_value(struct fuzzer* f, const struct fuzz_file* file, const struct member* m) {
  static uint8_t answer[4096];
  const struct fuzz_file* other = &f->files[below(f, kFiles)];
  // Now and then what belongs to another file of this process.
  if (other->fd >= 0 && one_in(f, 30)) file = other;
  switch (m->kind) {
    case kNumber:
      return one_in(f, 3) ? m->limit : below(f, (uint32_t)m->limit + 1);
    case kChoice:
      return below(f, (uint32_t)m->limit + 1);
    case kFlags:
      return draw(f) & m->limit;
    case kHandle:
      return file->handle_count ? file->handles[below(f, file->handle_count)] : below(f, 4);
    case kMaybeQueue:
      if (one_in(f, 2)) return NO_QUEUE;
      // fall through
    case kQueue:
      return file->queue_count ? file->queues[below(f, file->queue_count)] : below(f, 8);
    case kSyncobj:
      return file->syncobj_count ? file->syncobjs[below(f, file->syncobj_count)] : below(f, 4);
    case kEventfd:
      return UINT32_MAX;
    case kBytes:
      return PAGE * (one_in(f, 32) ? 512 : 1 + below(f, 16));
    case kAddress:
      if (file->va_count && one_in(f, 2)) return file->vas[below(f, file->va_count)] + PAGE * below(f, 4);
      return BASE_VA + PAGE * below(f, 2048) + ((uint64_t)below(f, 4) << 30);
    case kOffset:
      return one_in(f, 2) ? 0 : PAGE * below(f, 16);
    case kText:
      return 0x2020202020202020ull + (draw(f) & 0x3f3f3f3f3f3f3f3full);
    case kPointer:
      return (uintptr_t)answer;
    case kMemory:
      return arena();
    case kDeadline:
      return one_in(f, 2) ? 0 : one_in(f, 8) ? INT64_MAX : now_ns() + below(f, 3000000);
    default:
      return odd_number(f);
  }
}

static void remember(uint64_t* values, int* count, int limit, struct fuzzer* f, uint64_t value) {
  const int at = *count < limit ? (*count)++ : (int)below(f, (uint32_t)limit);
  values[at] = value;
}

static void add_offset(struct fuzzer* f, struct fuzz_file* file, uint64_t offset, uint64_t bytes) {
  const int at = file->offset_count < kOffsets ? file->offset_count++ : (int)below(f, kOffsets);
  file->offsets[at] = offset;
  file->offset_bytes[at] = bytes;
}

static void count_call(struct fuzzer* f, bool good) {
  ++f->calls;
  __atomic_fetch_add(&f->counts->calls, 1, __ATOMIC_RELAXED);
  if (good) __atomic_fetch_add(&f->counts->good, 1, __ATOMIC_RELAXED);
}

static void map_offset_of(struct fuzzer* f, struct fuzz_file* file, uint64_t offset, uint64_t bytes, int rights,
                          int flags, enum map_kind kind) {
  struct fuzz_map* map = &f->maps[below(f, kMaps)];
  if (map->at) munmap(map->at, map->bytes);
  map->at = mmap(NULL, bytes, rights, flags, file->fd, (off_t)offset);
  map->bytes = (bytes + PAGE - 1) & ~(PAGE - 1);
  map->kind = kind;
  if (map->at == MAP_FAILED) map->at = NULL;
  count_call(f, map->at);
}

// What a call that succeeded has given.
static void learn(struct fuzzer* f, struct fuzz_file* file, const struct call* call, const void* args) {
  switch (call->request) {
    case DRM_IOCTL_NPU_CONTEXT_INIT: {
      const struct drm_npu_context_init* a = args;
      file->context = true;
      add_offset(f, file, a->fault_offset, a->fault_bytes);
      add_offset(f, file, a->bounds_offset, a->bounds_bytes);
      map_offset_of(f, file, a->bounds_offset, a->bounds_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, kMapBounds);
      break;
    }
    case DRM_IOCTL_NPU_BO_CREATE: {
      const struct drm_npu_bo_create* a = args;
      const int at = file->handle_count < kHandles ? file->handle_count++ : (int)below(f, kHandles);
      file->handles[at] = a->handle;
      file->sizes[at] = a->size;
      break;
    }
    case DRM_IOCTL_NPU_BO_USERPTR: {
      const struct drm_npu_bo_userptr* a = args;
      const int at = file->handle_count < kHandles ? file->handle_count++ : (int)below(f, kHandles);
      file->handles[at] = a->handle;
      file->sizes[at] = a->size;
      break;
    }
    case DRM_IOCTL_NPU_BO_MMAP: {
      const struct drm_npu_bo_mmap* a = args;
      uint64_t bytes = PAGE;
      for (int i = 0; i < file->handle_count; ++i)
        if (file->handles[i] == a->handle) bytes = file->sizes[i];
      add_offset(f, file, a->offset, bytes);
      break;
    }
    case DRM_IOCTL_NPU_VM_BIND: {
      const struct drm_npu_vm_bind* a = args;
      remember(file->vas, &file->va_count, kRanges, f, a->va);
      break;
    }
    case DRM_IOCTL_NPU_QUEUE_CREATE: {
      const struct drm_npu_queue_create* a = args;
      const uint64_t bytes = 64ull << a->ring_log2;
      const int at = file->queue_count < kQueues ? file->queue_count++ : (int)below(f, kQueues);
      file->queues[at] = a->queue;
      add_offset(f, file, a->ring_offset, bytes);
      add_offset(f, file, a->status_offset, PAGE);
      add_offset(f, file, a->doorbell_offset, PAGE);
      map_offset_of(f, file, a->ring_offset, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, kMapRing);
      map_offset_of(f, file, a->doorbell_offset, PAGE, PROT_WRITE, MAP_SHARED, kMapDoorbell);
      break;
    }
  }
}

// Interrupts whatever sleeps, again and again: without SA_RESTART each call that waits ends with EINTR sooner or later.
static void on_alarm(int number) {
  (void)number;
}

static void start_alarms(void) {
  const struct itimerval often = {{0, 20000}, {0, 20000}};
  if (setitimer(ITIMER_REAL, &often, NULL)) bail("setitimer: %s", strerror(errno));
}

static int counted_ioctl(struct fuzzer* f, int fd, unsigned long request, void* args) {
  const int ret = ioctl(fd, request, args);
  count_call(f, ret == 0);
  return ret;
}

// Host memory that the guest does not have would make the kernel look for a victim: no driver's fault.
static bool too_large(const struct call* call, const void* args) {
  if (call->request != DRM_IOCTL_NPU_BO_CREATE) return false;
  const struct drm_npu_bo_create* a = args;
  return a->flags == DRM_NPU_BO_HOST && a->size > 8u << 20 && a->size < 1ull << 40;
}

// Pointers at which nothing of this process lies: what the kernel writes there must not be the fuzzer's own data.
static const uint64_t bad_pointers[] = {0, 1, PAGE, 1ull << 47, 0xffff888000000000ull, UINT64_MAX - 7};

// Returns the call's place in the table.
static int step_call(struct fuzzer* f, struct fuzz_file* file) {
  uint8_t args[512];
  int index = (int)below(f, (uint32_t)call_count);
  // A file without context takes little else.
  if (!file->context && !one_in(f, 8)) index = (int)(call_of(DRM_IOCTL_NPU_CONTEXT_INIT) - calls);
  const struct call* call = &calls[index];
  memset(args, 0, sizeof args);
  const bool clean = !one_in(f, 3);
  for (int i = 0; i < call->count; ++i) {
    const struct member* m = &call->members[i];
    uint64_t value = m->kind == kPad ? 0 : good_value(f, file, m);
    const bool pointer = m->kind == kPointer || m->kind == kMemory;
    if (!clean && one_in(f, 3)) value = pointer ? bad_pointers[below(f, 6)] : spoil(f, value);
    member_set(args, m, value);
  }
  // Members whose values have to fit together.
  if (clean && call->request == DRM_IOCTL_NPU_BO_CREATE)
    ((struct drm_npu_bo_create*)args)->flags = one_in(f, 2) ? DRM_NPU_BO_DEVICE : DRM_NPU_BO_HOST;
  if (clean && call->request == DRM_IOCTL_NPU_CONTEXT_INIT)
    ((struct drm_npu_context_init*)args)->fault_entries = 8u << below(f, 10);
  if (clean && call->request == DRM_IOCTL_NPU_QUEUE_CREATE)
    ((struct drm_npu_queue_create*)args)->ring_log2 = 4 + below(f, one_in(f, 10) ? 13 : 4);
  struct drm_npu_vm_bind* bind = (void*)args;
  if (clean && call->request == DRM_IOCTL_NPU_VM_BIND) {
    if (bind->op == DRM_NPU_VM_MAP && bind->flags & DRM_NPU_VM_SPARSE)
      bind->flags = DRM_NPU_VM_READ | DRM_NPU_VM_SPARSE, bind->handle = bind->offset = 0;
    else if (bind->op == DRM_NPU_VM_MAP)
      bind->flags |= DRM_NPU_VM_READ;
    else
      bind->flags = bind->handle = bind->offset = 0;
  }
  if (too_large(call, args)) return index;

  unsigned long request = call->request;
  if (one_in(f, 20)) request = (request & ~IOCSIZE_MASK) | (unsigned long)below(f, sizeof args) << _IOC_SIZESHIFT;
  void* place = one_in(f, 100) ? (void*)(uintptr_t)odd_number(f) : args;
  if (counted_ioctl(f, file->fd, request, place) || request != call->request || place != args) return index;
  __atomic_fetch_add(&f->counts->good_by_call[index], 1, __ATOMIC_RELAXED);
  learn(f, file, call, args);
  return index;
}

static void step_syncobj(struct fuzzer* f, struct fuzz_file* file) {
  struct drm_syncobj_create create = {.flags = one_in(f, 2) ? DRM_SYNCOBJ_CREATE_SIGNALED : 0};
  struct drm_syncobj_destroy destroy = {.handle =
                                            file->syncobj_count ? file->syncobjs[below(f, file->syncobj_count)] : 1};
  if (one_in(f, 4)) {
    counted_ioctl(f, file->fd, DRM_IOCTL_SYNCOBJ_DESTROY, &destroy);
    return;
  }
  if (counted_ioctl(f, file->fd, DRM_IOCTL_SYNCOBJ_CREATE, &create)) return;
  const int at = file->syncobj_count < kSyncobjs ? file->syncobj_count++ : (int)below(f, kSyncobjs);
  file->syncobjs[at] = create.handle;
}

// Any number, any direction, any size: mostly DRM's own calls, the driver's neighbours.
static void step_raw(struct fuzzer* f, struct fuzz_file* file) {
  enum { kNoise = 128 };
  // As large as a number can say: the DRM core writes that much back.
  uint64_t noise[(_IOC_SIZEMASK + 1) / sizeof(uint64_t)] = {0};
  for (int i = 0; i < kNoise; ++i) noise[i] = one_in(f, 2) ? below(f, 16) : odd_number(f);
  const unsigned long request =
      one_in(f, 4) ? draw(f) & 0xffffffff : _IOC(below(f, 4), 'd', below(f, 256), below(f, kNoise * sizeof *noise));
  // The DRM core itself warns of an array of more handles than it can allocate.
  const bool syncobj = _IOC_NR(request) >= 0xbf && _IOC_NR(request) <= 0xcf;
  for (int i = 0; i < kNoise && syncobj; ++i) noise[i] %= 16;
  // Taking and dropping the master role and the like is refused on an accel node; closing handles is the point.
  counted_ioctl(f, file->fd, request, noise);
}

static void step_close_handle(struct fuzzer* f, struct fuzz_file* file) {
  const struct member m = {.kind = kHandle};
  struct drm_gem_close args = {.handle = (uint32_t)good_value(f, file, &m)};
  counted_ioctl(f, file->fd, DRM_IOCTL_GEM_CLOSE, &args);
}

static void step_map(struct fuzzer* f, struct fuzz_file* file) {
  static const int all_rights[] = {PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE | PROT_EXEC,
                                   PROT_NONE};
  uint64_t offset = 0, bytes = PAGE;
  if (file->offset_count) {
    const int at = (int)below(f, (uint32_t)file->offset_count);
    offset = file->offsets[at];
    bytes = file->offset_bytes[at];
  }
  if (one_in(f, 6)) offset = spoil(f, offset) & ~(PAGE - 1);
  if (one_in(f, 6)) bytes = PAGE * (1 + below(f, 1024));
  const int flags = one_in(f, 12) ? MAP_PRIVATE : one_in(f, 12) ? MAP_SHARED | MAP_POPULATE : MAP_SHARED;
  map_offset_of(f, file, offset, bytes, all_rights[below(f, one_in(f, 8) ? 5 : 3)], flags, kMapAny);
}

static sigjmp_buf fault_jump;
static volatile sig_atomic_t touching;
static void on_fault(int number) {
  if (!touching) _exit(100);  // a fault of the fuzzer itself: the parent says so
  touching = 0;
  siglongjmp(fault_jump, number);
}

static void garbage(struct fuzzer* f, uint8_t* at) {
  struct npu_packet p;
  for (unsigned i = 0; i < sizeof p / 8; ++i) ((uint64_t*)&p)[i] = one_in(f, 2) ? odd_number(f) : 0;
  if (!one_in(f, 4)) {
    p.type = below(f, NPU_PKT_TYPES + 1);
    p.flags = below(f, 2);
    p.reserved = 0;
    if (p.type == NPU_PKT_NOP || p.type == NPU_PKT_SIGNAL) memset(&p.u, 0, sizeof p.u);
  }
  memcpy(at, &p, sizeof p);
}

// Loads and stores in a mapping, as its kind makes sense of them.  What is not there is a signal, which is caught.
static void step_touch(struct fuzzer* f) {
  struct fuzz_map* map = &f->maps[below(f, kMaps)];
  if (!map->at || sigsetjmp(fault_jump, 1)) return;
  __atomic_fetch_add(&f->counts->touches, 1, __ATOMIC_RELAXED);
  touching = 1;
  volatile uint64_t* words = (void*)map->at;
  const uint32_t count = (uint32_t)(map->bytes / 8);
  switch (map->kind) {
    case kMapRing:
      for (uint64_t i = 0; i < 16 && i < map->bytes / 64; ++i) garbage(f, map->at + i * 64);
      break;
    case kMapDoorbell:
      words[one_in(f, 4) ? below(f, 512) : NPU_DB_WPTR / 8] = one_in(f, 5) ? odd_number(f) : below(f, 40);
      break;
    case kMapBounds:
      for (int i = 0; i < 8; ++i) words[4 * below(f, 64) + below(f, 4)] = odd_number(f);
      break;
    default:
      for (int i = 0; i < 4; ++i) {
        const uint32_t at = below(f, count);
        if (one_in(f, 2)) (void)words[at];
        if (one_in(f, 2)) words[at] = odd_number(f);
      }
  }
  touching = 0;
}

static void step_memory(struct fuzzer* f) {
  struct fuzz_map* map = &f->maps[below(f, kMaps)];
  if (!map->at) return;
  static const int advice[] = {MADV_DONTNEED, MADV_WILLNEED, MADV_DONTFORK,      MADV_DOFORK,
                               MADV_REMOVE,   MADV_PAGEOUT,  MADV_POPULATE_WRITE};
  count_call(f, false);
  switch (below(f, 5)) {
    case 0:
      munmap(map->at, map->bytes);
      map->at = NULL;
      break;
    case 1:
      mprotect(map->at, map->bytes, (int)below(f, 8));
      break;
    case 2: {
      const uint64_t bytes = map->bytes + PAGE * below(f, 3);
      void* p = mremap(map->at, map->bytes, bytes, MREMAP_MAYMOVE);
      if (p == MAP_FAILED) break;
      map->at = p;
      map->bytes = bytes;
      break;
    }
    case 3: {
      // From a page in the middle on; what is behind it stays mapped, without our knowing, till the process ends.
      const uint64_t pages = below(f, (uint32_t)(map->bytes / PAGE));
      munmap(map->at + PAGE * pages, PAGE);
      map->bytes = PAGE * pages;
      if (!pages) map->at = NULL;
      break;
    }
    default:
      madvise(map->at, map->bytes, advice[below(f, sizeof advice / sizeof *advice)]);
  }
}

static void close_file(struct fuzz_file* file) {
  if (file->fd >= 0) close(file->fd);
  memset(file, 0, sizeof *file);
  file->fd = -1;
}

static void step_open(struct fuzz_file* file) {
  close_file(file);  // its mappings stay
  file->fd = open(node_path(), O_RDWR | O_CLOEXEC);
}

// A child works on the same files beside the parent, and ends in the middle.
static void step_fork(struct fuzzer* f) {
  const pid_t pid = fork();
  if (pid < 0) return;
  if (pid == 0) {
    f->random ^= 0x5bd1e995;
    start_alarms();  // no child inherits them
    const int steps = 5 + (int)below(f, 30);
    for (int i = 0; i < steps; ++i) fuzz_step(f);
    if (one_in(f, 2)) raise(SIGKILL);
    _exit(0);
  }
  const int steps = (int)below(f, 30);
  for (int i = 0; i < steps; ++i) fuzz_step(f);
  if (one_in(f, 4)) kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
  }
}

void fuzz_init(struct fuzzer* f, uint64_t seed, struct fuzz_counts* counts) {
  memset(f, 0, sizeof *f);
  f->random = seed;
  f->counts = counts;
  for (int i = 0; i < kFiles; ++i) f->files[i].fd = -1;
  struct sigaction action = {.sa_handler = on_alarm};
  sigaction(SIGALRM, &action, NULL);
  start_alarms();
  action.sa_handler = on_fault;
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
}

// One step, and its kind.
static int any_step(struct fuzzer* f, struct fuzz_file* file) {
  static int depth;
  const uint32_t what = below(f, 1000);
  if (what < 530) return step_call(f, file);
  if (what < 560) return step_syncobj(f, file), kStepSyncobj;
  if (what < 620) return step_raw(f, file), kStepRaw;
  if (what < 660) return step_close_handle(f, file), kStepClose;
  if (what < 760) return step_map(f, file), kStepMap;
  if (what < 940) return step_touch(f), kStepTouch;
  if (what < 985) return step_memory(f), kStepMemory;
  if (what < 996 || depth) return step_open(file), kStepOpen;
  ++depth;
  step_fork(f);
  --depth;
  return kStepFork;
}

void fuzz_step(struct fuzzer* f) {
  struct fuzz_file* file = &f->files[below(f, kFiles)];
  const uint64_t start = now_ns();
  if (file->fd < 0) step_open(file);
  if (file->fd < 0) return;
  struct fuzz_time* time = &f->counts->times[any_step(f, file)];
  const uint64_t took = now_ns() - start;
  __atomic_fetch_add(&time->steps, 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&time->ns, took, __ATOMIC_RELAXED);
  // Of two at once one may be forgotten: it is shown only.
  if (took > __atomic_load_n(&time->longest, __ATOMIC_RELAXED))
    __atomic_store_n(&time->longest, took, __ATOMIC_RELAXED);
}

void fuzz_print_times(const struct fuzz_counts* counts) {
  static const char* const names[] = {"syncobjs", "any ioctl",         "GEM_CLOSE", "mmap",
                                      "touches",  "munmap and others", "open",      "fork"};
  for (int i = 0; i < kStepKinds; ++i) {
    const struct fuzz_time* t = &counts->times[i];
    if (!t->steps) continue;
    diag("%-20s %8llu steps, %8.1f s, mean %8.3f ms, longest %6.1f s",
         i < call_count ? calls[i].name : names[i - kStepSyncobj], (unsigned long long)t->steps, t->ns / 1e9,
         t->ns / 1e6 / t->steps, t->longest / 1e9);
  }
}

void fuzz_end(struct fuzzer* f) {
  for (int i = 0; i < kMaps; ++i)
    if (f->maps[i].at) munmap(f->maps[i].at, f->maps[i].bytes);
  for (int i = 0; i < kFiles; ++i) close_file(&f->files[i]);
}
