// SPDX-License-Identifier: Apache-2.0
//
// Buffers: cleared, accounted, given back; what happens when memory runs out; mappings that outlive handles.
#include "rig.h"

#include <sys/mman.h>
#include <unistd.h>

#include "../tap.h"

static bool all_bytes(const struct buffer* b, uint8_t value) {
  const uint64_t word = 0x0101010101010101ull * value;
  const uint64_t* p = b->map;
  for (uint64_t i = 0; i < b->size / 8; ++i)
    if (p[i] != word) return false;
  return true;
}

// What the last owner wrote is never seen by the next, in either kind of memory.
static void test_cleared(uint32_t flags, const char* name) {
  struct context c = context_new();
  const uint64_t size = 3 * 1024 * 1024 + 5 * PAGE;
  for (int round = 0; round < 3; ++round) {
    struct buffer b = buffer_new(&c, size, flags);
    ok(all_bytes(&b, 0), "%s memory is cleared, round %d", name, round);
    memset(b.map, 0xa5, b.size);
    ok(all_bytes(&b, 0xa5), "%s memory holds what is written, round %d", name, round);
    buffer_free(&b);
  }
  context_close(&c);
}

static void test_accounting(void) {
  struct context c = context_new();
  const struct drm_npu_info_memory before = memory_info(c.fd);
  struct buffer device = buffer_new(&c, 5 * PAGE, DRM_NPU_BO_DEVICE);
  struct buffer host = buffer_new(&c, 7 * PAGE, DRM_NPU_BO_HOST);
  struct drm_npu_info_memory now = memory_info(c.fd);
  is_equal(now.device_total, before.device_total, "the total stays");
  is_equal(before.device_free - now.device_free, 5 * PAGE, "free device memory");
  is_equal(now.context_device - before.context_device, 5 * PAGE, "device memory of the file");
  is_equal(now.context_host - before.context_host, 7 * PAGE, "host memory of the file");

  const int other = open_node();
  is_equal(memory_info(other).context_device, 0, "another file has none");
  close(other);

  struct drm_gem_close args = {.handle = device.handle};
  npu_ioctl(c.fd, DRM_IOCTL_GEM_CLOSE, &args);
  is_equal(memory_info(c.fd).device_free, now.device_free, "a mapped buffer outlives its handle");
  ok(all_bytes(&device, 0), "and is there");
  munmap(device.map, device.size);
  is_equal(memory_info(c.fd).device_free, before.device_free, "it goes with its mapping");

  is_errno(bind_range(&host, 0, BASE_VA, host.size, RIGHTS_RW), 0, "bind");
  buffer_free(&host);
  is_equal(memory_info(c.fd).context_host, before.context_host + 7 * PAGE, "a bound buffer outlives its handle");
  is_errno(unbind_range(&c, BASE_VA, 7 * PAGE), 0, "unbind");
  is_equal(memory_info(c.fd).context_host, before.context_host, "it goes with its binding");
  context_close(&c);
}

// Takes all device memory in pieces, from large to small; returns how much it got.
static uint64_t exhaust(struct context* c, uint32_t* handles, int* count, int limit) {
  uint64_t taken = 0;
  for (uint64_t size = 64 << 20; size >= PAGE && *count < limit;) {
    struct drm_npu_bo_create create = {.size = size, .flags = DRM_NPU_BO_DEVICE};
    if (npu_ioctl(c->fd, DRM_IOCTL_NPU_BO_CREATE, &create) == 0) {
      handles[(*count)++] = create.handle;
      taken += create.size;
    } else if (errno == ENOSPC) {
      size /= 2;
    } else {
      bail("a piece of %llu bytes: %s", (unsigned long long)size, strerror(errno));
    }
  }
  return taken;
}

// Without moving buffers to host memory; test_evict.c is about that.
static void test_exhaustion(void) {
  enum { kLimit = 20000 };
  static uint32_t handles[kLimit];
  struct context c = context_new();
  struct buffer kept = buffer_new(&c, PAGE, DRM_NPU_BO_HOST);
  const uint64_t before = memory_info(c.fd).device_free;
  char was[16];
  module_parameter("oversubscription", "100", was);

  for (int round = 0; round < 2; ++round) {
    int count = 0;
    is_equal(exhaust(&c, handles, &count, kLimit), before, "all device memory can be had");
    is_equal(memory_info(c.fd).device_free, 0, "then there is none");
    struct drm_npu_bo_create more = {.size = PAGE, .flags = DRM_NPU_BO_DEVICE};
    is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_BO_CREATE, &more), ENOSPC, "one page more");
    struct drm_npu_queue_create queue = {.ring_log2 = 4, .priority = 1};
    is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_CREATE, &queue), ENOSPC, "a queue without memory for its ring");
    is_errno(bind_range(&kept, 0, BASE_VA, PAGE, RIGHTS_RW), ENOSPC, "a bind without memory for page tables");
    const int other = open_node();
    struct drm_npu_context_init init = {.fault_entries = 8, .fault_eventfd = -1};
    is_errno(npu_ioctl(other, DRM_IOCTL_NPU_CONTEXT_INIT, &init), ENOSPC, "a context without memory for its tables");
    for (int i = 0; i < count; ++i) {
      struct drm_gem_close args = {.handle = handles[i]};
      npu_ioctl(c.fd, DRM_IOCTL_GEM_CLOSE, &args);
    }
    is_equal(memory_info(c.fd).device_free, before, "all of it comes back");
    is_errno(npu_ioctl(other, DRM_IOCTL_NPU_CONTEXT_INIT, &init), 0, "and what was refused works");
    close(other);
    ok(free_returns_to(c.fd, before), "to the byte");
  }
  is_errno(bind_range(&kept, 0, BASE_VA, PAGE, RIGHTS_RW), 0, "the bind that was refused works");
  module_parameter("oversubscription", was, NULL);
  buffer_free(&kept);
  context_close(&c);
}

// More host memory than the guest has, piece by piece: an error, and no process is killed for it.
static void test_host_exhaustion(void) {
  enum { kLimit = 4096 };
  static uint32_t handles[kLimit];
  struct context c = context_new();
  int count = 0, error = 0;
  while (count < kLimit && !error) {
    struct drm_npu_bo_create create = {.size = 64 << 20, .flags = DRM_NPU_BO_HOST};
    if (npu_ioctl(c.fd, DRM_IOCTL_NPU_BO_CREATE, &create))
      error = errno;
    else
      handles[count++] = create.handle;
  }
  is_equal(error, ENOMEM, "host memory runs out with ENOMEM");
  diag("%d pieces of 64 MiB were had", count);
  while (count > 0) {
    struct drm_gem_close args = {.handle = handles[--count]};
    npu_ioctl(c.fd, DRM_IOCTL_GEM_CLOSE, &args);
  }
  struct buffer b = buffer_new(&c, 64 << 20, DRM_NPU_BO_HOST);
  ok(b.map != NULL, "freed host memory can be had again");
  buffer_free(&b);
  context_close(&c);
}

static void test_status_page(void) {
  struct context c = context_new();
  struct queue q = queue_new(&c, 6);
  ok(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, c.fd, (off_t)q.status_offset) == MAP_FAILED &&
         errno == EACCES,
     "writable mmap of a status page: EACCES");
  ok(mprotect((void*)q.status, PAGE, PROT_READ | PROT_WRITE) != 0 && errno == EACCES, "nor by mprotect: EACCES");
  ok(q.status->rptr == 0 && q.status->state == NPU_QUEUE_OK, "a new queue's status");
  queue_free(&q);
  context_close(&c);
}

int main(void) {
  const int watch = open_node();
  const uint64_t before = memory_info(watch).device_free;
  test_cleared(DRM_NPU_BO_DEVICE, "device");
  test_cleared(DRM_NPU_BO_HOST, "host");
  test_accounting();
  test_exhaustion();
  test_host_exhaustion();
  test_status_page();
  ok(free_returns_to(watch, before), "the device has all its memory again");
  close(watch);
  return tap_done();
}
