// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of every call fails once: the call says so with an error that names no other cause, has changed
// nothing, and succeeds when it is made again.  What is lost on the way kmemleak finds at the end of make check-debug.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xf86drm.h>

#include "../tap.h"
#include "inject.h"
#include "rig.h"

enum { kMaxWalk = 2000 };

#define OLD 100u  // numbers of the pages of the two buffers
#define NEW 200u
#define GATE 64u

static struct stage {
  struct rig rig;
  struct buffer old, other;
  struct queue gated;     // waits for the word at GATE of rig.fence
  struct queue garbled;   // for packets that fault
  uint32_t syncobj, end;  // end: with a fence that has not signalled
  // What the present call works with and has made.
  const char* path;
  struct context whole;
  int fd;
  uint32_t made;
  void* map;
  bool done;
} s;

struct step {
  const char* name;
  void (*prepare)(void);
  int (*call)(void);  // 0, or -1 and errno
  void (*undo)(void);
  bool (*unchanged)(void);  // after a failure
  int error;                // of the call when nothing fails
};

static bool fine(void) {
  return true;
}
static void nothing(void) {}
static void close_fd(void) {
  close(s.fd);
}

static void prepare_path(void) {
  s.path = node_path();  // which asks sysfs: not under injection
}
static int call_open(void) {
  s.fd = open(s.path, O_RDWR | O_CLOEXEC);
  return s.fd < 0 ? -1 : 0;
}

static void prepare_file(void) {
  s.fd = open_node();
}
static int call_context_init(void) {
  struct drm_npu_context_init init = {.fault_entries = 8, .fault_eventfd = s.rig.context.event};
  return npu_ioctl(s.fd, DRM_IOCTL_NPU_CONTEXT_INIT, &init);
}

// Memory of this process is there before the kernel reaches for it: a page that is missing would be an EFAULT.
static uint8_t tree[65536];
static void prepare_tree(void) {
  memset(tree, 1, sizeof tree);
}
static int call_get_info(void) {
  struct drm_npu_get_info get = {.query = DRM_NPU_INFO_TREE, .size = sizeof tree, .data = (uintptr_t)tree};
  return npu_ioctl(s.rig.context.fd, DRM_IOCTL_NPU_GET_INFO, &get);
}

static int bo_create(uint64_t bytes, uint32_t flags) {
  struct drm_npu_bo_create create = {.size = bytes, .flags = flags};
  const int ret = npu_ioctl(s.rig.context.fd, DRM_IOCTL_NPU_BO_CREATE, &create);
  s.made = create.handle;
  return ret;
}
static int call_bo_device(void) {
  return bo_create(3 * MIB + PAGE, DRM_NPU_BO_DEVICE);
}
static int call_bo_host(void) {
  return bo_create(16 * PAGE, DRM_NPU_BO_HOST);
}
static void close_handle(void) {
  struct drm_gem_close args = {.handle = s.made};
  if (npu_ioctl(s.rig.context.fd, DRM_IOCTL_GEM_CLOSE, &args)) bail("close of a handle: %s", strerror(errno));
}

static _Alignas(PAGE) uint8_t pages[16 * PAGE];
static void prepare_pages(void) {
  memset(pages, 1, sizeof pages);
}
static int call_bo_userptr(void) {
  struct drm_npu_bo_userptr create = {.addr = (uintptr_t)pages, .size = sizeof pages};
  const int ret = npu_ioctl(s.rig.context.fd, DRM_IOCTL_NPU_BO_USERPTR, &create);
  s.made = create.handle;
  return ret;
}

static int call_bo_mmap(void) {
  struct drm_npu_bo_mmap where = {.handle = s.made};
  return npu_ioctl(s.rig.context.fd, DRM_IOCTL_NPU_BO_MMAP, &where);
}
static void prepare_handle(void) {
  if (call_bo_host()) bail("buffer: %s", strerror(errno));
}

static int call_bo_name(void) {
  struct drm_npu_bo_name args = {.handle = s.other.handle, .name = "failing"};
  return npu_ioctl(s.rig.context.fd, DRM_IOCTL_NPU_BO_NAME, &args);
}
static void unname(void) {
  name_buffer(&s.other, "");
}
static bool unnamed(void) {
  return !place_of("failing");
}

static int call_mmap(void) {
  s.map = mmap(NULL, s.other.size, PROT_READ | PROT_WRITE, MAP_SHARED, s.rig.context.fd, (off_t)s.other.offset);
  return s.map == MAP_FAILED ? -1 : 0;
}
static void unmap(void) {
  munmap(s.map, s.other.size);
}

static int call_export_fd(void) {
  return drmPrimeHandleToFD(s.rig.context.fd, s.other.handle, DRM_CLOEXEC | DRM_RDWR, &s.fd) ? -1 : 0;
}
static void prepare_dmabuf(void) {
  s.whole = context_new();
  if (call_export_fd()) bail("export: %s", strerror(errno));
}
static int call_import_fd(void) {
  return drmPrimeFDToHandle(s.whole.fd, s.fd, &s.made) ? -1 : 0;
}
static void close_dmabuf(void) {
  close(s.fd);
  context_close(&s.whole);
}

// A page in the middle of a mapping of 2 MiB and a bit: what was there is split.
static int call_map(void) {
  return bind_range(&s.other, 0, BASE_VA + 5 * PAGE, PAGE, RIGHTS_RW);
}
static int call_unmap(void) {
  return unbind_range(&s.rig.context, BASE_VA + 5 * PAGE, PAGE);
}
// Far from all else: every level of the tables is new.
static int call_map_far(void) {
  return bind_range(&s.other, 0, BASE_VA + 600 * MIB, PAGE, RIGHTS_RW);
}
static void undo_map_far(void) {
  if (unbind_range(&s.rig.context, BASE_VA + 600 * MIB, PAGE)) bail("unbind: %s", strerror(errno));
}
static bool nothing_far(void) {
  return device_reads(&s.rig, 600 * MIB) == UINT64_MAX;
}
// Most of it in big pages, with tables at both ends.
static int call_map_sparse(void) {
  struct drm_npu_vm_bind bind = {.op = DRM_NPU_VM_MAP,
                                 .flags = DRM_NPU_VM_READ | DRM_NPU_VM_SPARSE,
                                 .va = BASE_VA + 600 * MIB - PAGE,
                                 .size = 8 * MIB};
  return npu_ioctl(s.rig.context.fd, DRM_IOCTL_NPU_VM_BIND, &bind);
}
static void undo_map_sparse(void) {
  if (unbind_range(&s.rig.context, BASE_VA + 600 * MIB - PAGE, 8 * MIB)) bail("unbind: %s", strerror(errno));
}
static void map_old(void) {
  if (bind_range(&s.old, 0, BASE_VA, s.old.size, RIGHTS_RW)) bail("bind: %s", strerror(errno));
}
static bool old_is_mapped(void) {
  for (uint64_t page = 4; page < 7; ++page)
    if (device_reads(&s.rig, page * PAGE) != OLD + page) return false;
  return true;
}

static int call_queue_create(void) {
  struct drm_npu_queue_create create = {.ring_log2 = 4, .priority = 1};
  const int ret = npu_ioctl(s.rig.context.fd, DRM_IOCTL_NPU_QUEUE_CREATE, &create);
  s.made = create.queue;
  return ret;
}
static int call_queue_destroy(void) {
  struct drm_npu_queue_destroy args = {.queue = s.made};
  return npu_ioctl(s.rig.context.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &args);
}
static void destroy_queue(void) {
  if (call_queue_destroy()) bail("end of a queue: %s", strerror(errno));
}
static void prepare_queue(void) {
  if (call_queue_create()) bail("queue: %s", strerror(errno));
}

static void prepare_fault(void) {
  const struct npu_packet garbage = {.type = 200};
  put_packet(&s.garbled, &garbage);
  ring_doorbell(&s.garbled);
  if (!wait_state(&s.garbled, NPU_QUEUE_FAULTED)) bail("a packet of garbage does not fault");
}
static int call_queue_resume(void) {
  struct drm_npu_queue_resume args = {.queue = s.garbled.id, .mode = NPU_RESUME_SKIP};
  return npu_ioctl(s.rig.context.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &args);
}
static void await_resumed(void) {
  if (!wait_state(&s.garbled, NPU_QUEUE_OK)) bail("a resumed queue does not go on");
}
static bool still_faulted(void) {
  return s.garbled.status->state == NPU_QUEUE_FAULTED;
}

static int call_wait_met(void) {
  return wait_value(&s.rig.fence, GATE, 0, NPU_WAIT_EQ, 1000, s.rig.queue.id);
}
static int call_wait_late(void) {
  return wait_value(&s.rig.fence, GATE, 1, NPU_WAIT_EQ, 2, s.rig.queue.id);
}

static int sync_export(uint32_t syncobj) {
  struct drm_npu_sync_export args = {
      .queue = s.gated.id, .syncobj = syncobj, .position = s.gated.wptr, .timeout_ms = 60000};
  return npu_ioctl(s.rig.context.fd, DRM_IOCTL_NPU_SYNC_EXPORT, &args);
}
static int call_sync_export(void) {
  return sync_export(s.syncobj);
}
static void reset_syncobj(void) {
  drmSyncobjReset(s.rig.context.fd, &s.syncobj, 1);
}
static bool has_no_fence(void) {
  int fd = -1;
  if (drmSyncobjExportSyncFile(s.rig.context.fd, s.syncobj, &fd)) return true;
  close(fd);
  return false;
}
static int call_sync_import(void) {
  struct drm_npu_sync_import args = {
      .syncobj = s.end, .handle = s.rig.fence.handle, .offset = 2 * GATE, .value = 7, .queue = s.rig.queue.id};
  return npu_ioctl(s.rig.context.fd, DRM_IOCTL_NPU_SYNC_IMPORT, &args);
}

// A context with everything goes, whatever fails while it does: a second attempt there is not.
static void prepare_whole(void) {
  s.whole = context_new();
  struct buffer device = buffer_new(&s.whole, MIB, DRM_NPU_BO_DEVICE),
                host = buffer_new(&s.whole, PAGE, DRM_NPU_BO_HOST);
  struct queue q = queue_new(&s.whole, 4);
  publish(&device, 1, BASE_VA);
  const uint64_t word = publish(&host, 2, FENCE_VA);
  const struct npu_packet wait = wait_packet(word, 1, NPU_WAIT_EQ, 0, 0);
  put_packet(&q, &wait);
  ring_doorbell(&q);
  munmap_queue(&q);
  munmap(device.map, device.size);
  munmap(host.map, host.size);
  munmap(s.whole.faults, s.whole.fault_bytes);
  munmap(s.whole.bounds, NPU_BOUNDS_TABLE_BYTES);
  s.done = false;
}
static int call_close(void) {
  return s.done ? 0 : (s.done = true, close(s.whole.fd));
}
static void close_event(void) {
  close(s.whole.event);
}

static const struct step steps[] = {
    {"open", prepare_path, call_open, close_fd, fine, 0},
    {"CONTEXT_INIT", prepare_file, call_context_init, close_fd, fine, 0},
    {"GET_INFO of the tree", prepare_tree, call_get_info, nothing, fine, 0},
    {"BO_CREATE in device memory", nothing, call_bo_device, close_handle, fine, 0},
    {"BO_CREATE in host memory", nothing, call_bo_host, close_handle, fine, 0},
    {"BO_USERPTR", prepare_pages, call_bo_userptr, close_handle, fine, 0},
    {"BO_MMAP", prepare_handle, call_bo_mmap, close_handle, fine, 0},
    {"BO_NAME", nothing, call_bo_name, unname, unnamed, 0},
    {"mmap of a buffer", nothing, call_mmap, unmap, fine, 0},
    {"export as dma-buf", nothing, call_export_fd, close_fd, fine, 0},
    {"import of a dma-buf", prepare_dmabuf, call_import_fd, close_dmabuf, fine, 0},
    {"VM_BIND: map", nothing, call_map_far, undo_map_far, nothing_far, 0},
    {"VM_BIND: a sparse range", nothing, call_map_sparse, undo_map_sparse, nothing_far, 0},
    {"VM_BIND: map over another", map_old, call_map, nothing, old_is_mapped, 0},
    {"VM_BIND: unmap", map_old, call_unmap, nothing, old_is_mapped, 0},
    {"QUEUE_CREATE", nothing, call_queue_create, destroy_queue, fine, 0},
    {"QUEUE_DESTROY", prepare_queue, call_queue_destroy, nothing, fine, 0},
    {"QUEUE_RESUME", prepare_fault, call_queue_resume, await_resumed, still_faulted, 0},
    {"WAIT for what is there", nothing, call_wait_met, nothing, fine, 0},
    {"WAIT that sleeps", nothing, call_wait_late, nothing, fine, ETIME},
    {"SYNC_EXPORT", nothing, call_sync_export, reset_syncobj, has_no_fence, 0},
    {"SYNC_IMPORT", nothing, call_sync_import, nothing, fine, 0},
    {"close", prepare_whole, call_close, close_event, fine, 0},
};

static bool is_clean(int error) {
  return error == ENOMEM || error == ENOSPC;
}

static bool same_memory(const struct drm_npu_info_memory* before) {
  const struct drm_npu_info_memory now = memory_info(s.rig.context.fd);
  if (now.context_device == before->context_device && now.context_host == before->context_host &&
      free_returns_to(s.rig.context.fd, before->device_free))
    return true;
  diag("memory: device %lld, host %lld bytes more than before",
       (long long)(now.context_device - before->context_device), (long long)(now.context_host - before->context_host));
  return false;
}

// The call with its n-th allocation failing.  Returns whether there was an n-th.
static bool attempt(const struct step* step, unsigned n, int* failures) {
  step->prepare();
  const struct drm_npu_info_memory before = memory_info(s.rig.context.fd);
  const int before_failed = tap_failed;
  inject_arm(n);
  int ret = step->call(), error = ret ? errno : 0;
  const bool injected = inject_disarm();
  if (error != step->error) {
    ++*failures;
    if (!injected || !is_clean(error)) ok(0, "%s: error %s at allocation %u", step->name, strerrorname_np(error), n);
    if (!same_memory(&before)) ok(0, "%s: memory is lost at allocation %u", step->name, n);
    if (!step->unchanged()) ok(0, "%s: something has changed at allocation %u", step->name, n);
    ret = step->call(), error = ret ? errno : 0;
    if (error != step->error) {
      ok(0, "%s: again, after allocation %u had failed: %s", step->name, n, strerrorname_np(error));
      return false;
    }
  }
  step->undo();
  return injected && tap_failed == before_failed;
}

static void walk(const struct step* step) {
  const struct drm_npu_info_memory before = memory_info(s.rig.context.fd);
  const int before_failed = tap_failed;
  int failures = 0;
  unsigned n = 1;
  while (n <= kMaxWalk && attempt(step, n, &failures)) ++n;
  ok(n <= kMaxWalk && tap_failed == before_failed, "%s: %u allocations failed, %d times it said so", step->name, n - 1,
     failures);
  if (step->prepare != map_old) ok(same_memory(&before), "... and no memory is lost");
}

static void stage_open(void) {
  rig_open(&s.rig);
  s.old = buffer_new(&s.rig.context, 2 * MIB + 8 * PAGE, DRM_NPU_BO_DEVICE);
  s.other = buffer_new(&s.rig.context, PAGE, DRM_NPU_BO_HOST);
  number_pages(&s.old, OLD);
  number_pages(&s.other, NEW);
  s.gated = queue_new(&s.rig.context, 4);
  s.garbled = queue_new(&s.rig.context, 4);
  const struct npu_packet wait = wait_packet(s.rig.fence_ptr + GATE, 1, NPU_WAIT_EQ, 0, 0);
  put_packet(&s.gated, &wait);
  ring_doorbell(&s.gated);
  if (drmSyncobjCreate(s.rig.context.fd, 0, &s.syncobj) || drmSyncobjCreate(s.rig.context.fd, 0, &s.end) ||
      sync_export(s.end))
    bail("fences: %s", strerror(errno));
}

// Everything still works, and what waited for the gate comes to its end.
static void stage_close(void) {
  __atomic_store_n((uint64_t*)((char*)s.rig.fence.map + GATE), 1, __ATOMIC_SEQ_CST);
  s.gated.doorbell[NPU_DB_KICK / 8] = 1;
  is_errno(wait_value(&s.rig.fence, 2 * GATE, 7, NPU_WAIT_EQ, 20000, NO_QUEUE), 0, "the imported fence's value comes");
  map_old();
  ok(old_is_mapped(), "the device works as before");
  queue_free(&s.gated);
  queue_free(&s.garbled);
  buffer_free(&s.old);
  buffer_free(&s.other);
  rig_close(&s.rig);
}

int main(void) {
  const char* reason = inject_open();
  if (reason) {
    skip("nothing can be made to fail: %s", reason);
    return tap_done();
  }
  const int watch = open_node();
  const uint64_t before = memory_info(watch).device_free;
  stage_open();
  for (unsigned i = 0; i < sizeof steps / sizeof *steps; ++i) walk(&steps[i]);
  stage_close();
  ok(free_returns_to(watch, before), "all of it is given back");
  close(watch);
  return tap_done();
}
