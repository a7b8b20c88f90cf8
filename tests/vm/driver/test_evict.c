// SPDX-License-Identifier: Apache-2.0
//
// Device memory that is not in the device: lost in sleep, or lent to somebody else because it was idle.  Contents come
// back, and nobody sees a difference.
#include "rig.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../tap.h"

static void test_lose_memory(void) {
  struct rig r;
  rig_open(&r);
  struct buffer a = buffer_new(&r.context, 5 * MIB, DRM_NPU_BO_DEVICE);
  struct buffer zero = buffer_new(&r.context, MIB, DRM_NPU_BO_DEVICE);
  struct buffer host = buffer_new(&r.context, MIB, DRM_NPU_BO_HOST);
  number_pages(&a, 1000);
  number_pages(&host, 5000);
  if (bind_range(&a, 0, BASE_VA, a.size, RIGHTS_RW)) bail("bind: %s", strerror(errno));
  is_equal(device_reads(&r, 3 * PAGE), 1003, "the device reads its memory");
  is_errno(debugfs_write("lose_memory", "0"), EINVAL, "lose_memory takes 1 only");
  is_errno(debugfs_write("lose_memory", "1"), 0, "all device memory is saved, spoiled and brought back");
  ok(pages_numbered(&a, 1000), "contents are back");
  ok(pages_numbered(&host, 5000), "host memory is as it was");
  uint64_t bits = 0;
  for (uint64_t i = 0; i < zero.size / 8; ++i) bits |= ((volatile uint64_t*)zero.map)[i];
  is_equal(bits, 0, "zeros are back as well");
  is_equal(device_reads(&r, 4 * PAGE), 1004, "the device works: ring, tables and bounds are back");
  buffer_free(&a);
  buffer_free(&zero);
  buffer_free(&host);
  rig_close(&r);
}

enum { kMost = 64 };

// Bytes of device memory of the whole device that are in host memory now.
static long long moved_kib(void) {
  char* text = debugfs_read("buffers");
  long long kib = -1;
  sscanf(text, "moved out: %lld KiB", &kib);
  free(text);
  return kib;
}

static bool all_come_back(void) {
  const uint64_t end = now_ns() + 120000000000ull;  // a loaded machine copies hundreds of MiB
  while (moved_kib() != 0) {
    if (now_ns() > end) {
      char* text = debugfs_read("buffers");
      diag("%s", text);
      free(text);
      return false;
    }
    poll(NULL, 0, 20);
  }
  return true;
}

// Twice the device memory in one process: everything keeps its contents, for the CPU and for the device.
static void test_twice(void) {
  static struct buffer b[kMost];
  struct rig r;
  rig_open(&r);
  const struct drm_npu_info_memory info = memory_info(r.context.fd);
  const uint64_t piece = (2 * info.device_total / (kMost - 2)) & ~(MIB - 1);
  int n = 0;
  for (;;) {
    struct drm_npu_bo_create create = {.size = piece, .flags = DRM_NPU_BO_DEVICE};
    if (n == kMost || npu_ioctl(r.context.fd, DRM_IOCTL_NPU_BO_CREATE, &create)) break;
    struct drm_npu_bo_mmap where = {.handle = create.handle};
    npu_ioctl(r.context.fd, DRM_IOCTL_NPU_BO_MMAP, &where);
    b[n] = (struct buffer){.context = &r.context, .handle = create.handle, .size = piece, .offset = where.offset};
    b[n].map = map_offset(r.context.fd, where.offset, piece, PROT_READ | PROT_WRITE);
    number_pages(&b[n], 1000000ull * (n + 1));
    if (bind_range(&b[n], 0, BASE_VA + n * piece, piece, RIGHTS_RW)) bail("bind %d: %s", n, strerror(errno));
    ++n;
  }
  is_equal((unsigned)errno, ENOSPC, "more than twice the device's memory is refused");
  ok(n * piece > 2 * info.device_total - 3 * piece, "twice the device's memory can be had in pieces of %llu MiB: %d",
     (unsigned long long)(piece / MIB), n);
  const long long moved = moved_kib();
  ok((uint64_t)moved * 1024 + info.device_total >= n * piece, "%lld KiB are in host memory", moved);
  is_equal((unsigned long long)fdinfo_kib(r.context.fd, "drm-total-device") -
               (unsigned long long)fdinfo_kib(r.context.fd, "drm-resident-device"),
           (unsigned long long)moved, "fdinfo says so");

  int wrong = 0;
  for (int i = 0; i < n; ++i) wrong += !pages_numbered(&b[i], 1000000ull * (i + 1));
  is_equal((unsigned)wrong, 0, "the process reads all of it");
  for (int i = 0; i < n; ++i) {
    wrong += device_reads(&r, i * piece) != 1000000ull * (i + 1);
    wrong += device_reads(&r, (i + 1) * piece - PAGE) != 1000000ull * (i + 1) + piece / PAGE - 1;
    wrong += device_writes(&r, i * piece + 8, 7000 + i) != 0;
    wrong += ((volatile uint64_t*)b[i].map)[1] != 7000u + i;
  }
  is_equal((unsigned)wrong, 0, "the device reads and writes all of it");

  for (int i = 0; i < n; ++i) {
    if (i % 2 && i > 3) continue;
    if (unbind_range(&r.context, BASE_VA + i * piece, piece)) bail("unbind: %s", strerror(errno));
    buffer_free(&b[i]);
  }
  ok(all_come_back(), "when there is room, what was moved comes back");
  for (int i = 5; i < n; i += 2) {
    wrong += !pages_numbered(&b[i], 1000000ull * (i + 1));
    wrong += ((volatile uint64_t*)b[i].map)[1] != 7000u + i;
    wrong += device_reads(&r, i * piece + 8) != 7000u + i;
  }
  is_equal((unsigned)wrong, 0, "with its contents");
  for (int i = 5; i < n; i += 2) buffer_free(&b[i]);
  rig_close(&r);
}

// Buffers of a context with work in flight stay, whatever else has to go.
static void test_in_flight(void) {
  struct rig busy, idle;
  rig_open(&busy);
  rig_open(&idle);
  const uint64_t total = memory_info(busy.context.fd).device_total, piece = total / 4;
  struct buffer stays = buffer_new(&busy.context, piece, DRM_NPU_BO_DEVICE);
  struct buffer goes = buffer_new(&idle.context, piece, DRM_NPU_BO_DEVICE);
  name_buffer(&stays, "stays");
  name_buffer(&goes, "goes");
  number_pages(&stays, 3000);
  number_pages(&goes, 4000);
  if (bind_range(&stays, 0, BASE_VA, piece, RIGHTS_RW) || bind_range(&goes, 0, BASE_VA, piece, RIGHTS_RW))
    bail("bind: %s", strerror(errno));
  is_equal(device_reads(&idle, 0), 4000, "the idle context has worked");

  // A packet that waits for a value which comes later.
  const struct npu_packet wait = wait_packet(busy.out_ptr, 1, NPU_WAIT_EQ, busy.fence_ptr, 1);
  busy.count = 1;
  put_packet(&busy.queue, &wait);
  ring_doorbell(&busy.queue);

  struct context other = context_new();
  struct buffer more[4];
  int n = 0;
  for (; n < 4; ++n) {
    struct drm_npu_bo_create create = {.size = piece - 2 * MIB, .flags = DRM_NPU_BO_DEVICE};
    if (npu_ioctl(other.fd, DRM_IOCTL_NPU_BO_CREATE, &create)) bail("piece %d: %s", n, strerror(errno));
    more[n] = (struct buffer){.context = &other, .handle = create.handle, .size = create.size};
  }
  is_equal((unsigned char)place_of("stays"), 'd', "a buffer in flight stays");
  is_equal((unsigned char)place_of("goes"), 'h', "an idle one goes");
  ok(pages_numbered(&stays, 3000), "both have their contents");
  ok(pages_numbered(&goes, 4000), "both, indeed");

  *(volatile uint64_t*)busy.out.map = 1;
  ring_doorbell(&busy.queue);
  is_errno(wait_value(&busy.fence, 0, 1, NPU_WAIT_EQ, 20000, busy.queue.id), 0, "what waited goes on");
  is_equal(device_reads(&busy, PAGE), 3001, "and works");
  is_equal(device_reads(&idle, PAGE), 4001, "so does the other");
  for (int i = 0; i < n; ++i) {
    struct drm_gem_close args = {.handle = more[i].handle};
    npu_ioctl(other.fd, DRM_IOCTL_GEM_CLOSE, &args);
  }
  ok(all_come_back(), "everything comes back");
  is_equal(device_reads(&idle, 2 * PAGE), 4002, "and is there");
  context_close(&other);
  buffer_free(&stays);
  buffer_free(&goes);
  rig_close(&busy);
  rig_close(&idle);
}

// When everything is in flight, or nothing may move, there is no room and nothing has changed.
static void test_no_room(void) {
  struct rig r;
  rig_open(&r);
  const uint64_t total = memory_info(r.context.fd).device_total, piece = total / 8;
  struct buffer b[7];
  for (int i = 0; i < 7; ++i) {
    b[i] = buffer_new(&r.context, piece, DRM_NPU_BO_DEVICE);
    number_pages(&b[i], 100 * i);
    if (bind_range(&b[i], 0, BASE_VA + i * piece, piece, RIGHTS_RW)) bail("bind: %s", strerror(errno));
  }
  const struct npu_packet wait = wait_packet(r.out_ptr, 1, NPU_WAIT_EQ, r.fence_ptr, 1);
  r.count = 1;
  put_packet(&r.queue, &wait);
  ring_doorbell(&r.queue);
  const uint64_t free_before = memory_info(r.context.fd).device_free;
  struct drm_npu_bo_create create = {.size = 2 * piece, .flags = DRM_NPU_BO_DEVICE};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_BO_CREATE, &create), ENOSPC, "no room while all is in flight");
  is_equal(memory_info(r.context.fd).device_free, free_before, "nothing has been moved");
  *(volatile uint64_t*)r.out.map = 1;
  ring_doorbell(&r.queue);
  is_errno(wait_value(&r.fence, 0, 1, NPU_WAIT_EQ, 20000, r.queue.id), 0, "the work ends");
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_BO_CREATE, &create), 0, "then there is room");
  struct drm_gem_close args = {.handle = create.handle};
  npu_ioctl(r.context.fd, DRM_IOCTL_GEM_CLOSE, &args);

  ok(all_come_back(), "what had to go comes back");
  char was[16];
  module_parameter("oversubscription", "100", was);
  create = (struct drm_npu_bo_create){.size = 2 * piece, .flags = DRM_NPU_BO_DEVICE};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_BO_CREATE, &create), ENOSPC, "no room when nothing may be moved");
  module_parameter("oversubscription", was, NULL);
  for (int i = 0; i < 7; ++i) {
    is_equal(device_reads(&r, i * piece + PAGE), 100 * i + 1, "contents stay");
    buffer_free(&b[i]);
  }
  rig_close(&r);
}

// Without a mapping.
static struct buffer named_buffer(struct context* c, uint64_t bytes, const char* name) {
  struct drm_npu_bo_create create = {.size = bytes, .flags = DRM_NPU_BO_DEVICE};
  if (npu_ioctl(c->fd, DRM_IOCTL_NPU_BO_CREATE, &create)) bail("%s: %s", name, strerror(errno));
  struct buffer b = {.context = c, .handle = create.handle, .size = bytes};
  name_buffer(&b, name);
  return b;
}

static void close_buffer(struct buffer* b) {
  struct drm_gem_close args = {.handle = b->handle};
  if (npu_ioctl(b->context->fd, DRM_IOCTL_GEM_CLOSE, &args)) bail("close of a handle: %s", strerror(errno));
}

// What is kept back for the tables of buffers that move is not given to buffers, on no way.
static void test_kept_back(void) {
  struct context c = context_new();
  struct buffer big = named_buffer(&c, 4 * MIB, "big");
  const uint64_t free_now = memory_info(c.fd).device_free;
  struct drm_npu_bo_create create = {.size = free_now + 4 * MIB + 64 * 1024, .flags = DRM_NPU_BO_DEVICE};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_BO_CREATE, &create), ENOSPC, "more than there would be if all moved");
  is_equal((unsigned char)place_of("big"), 'd', "nothing has been moved for it");

  // Both move for the third, oldest first.  Then there is room for the small one only.
  struct buffer small = named_buffer(&c, 64 * 1024, "small");
  struct buffer gap = named_buffer(&c, 4 * MIB - 256 * 1024, "gap");
  struct buffer rest = named_buffer(&c, free_now + big.size - gap.size, "rest");
  is_equal((unsigned char)place_of("big"), 'h', "a buffer has moved");
  is_equal((unsigned char)place_of("small"), 'h', "and another");
  is_equal(memory_info(c.fd).device_free, 0, "there is no room");
  close_buffer(&gap);
  const uint64_t end = now_ns() + 60000000000ull;
  while (place_of("small") != 'd' && now_ns() < end) poll(NULL, 0, 20);
  is_equal((unsigned char)place_of("small"), 'd', "what has room comes back");
  is_equal((unsigned char)place_of("big"), 'h', "what has none does not");
  close_buffer(&rest);
  ok(all_come_back(), "until there is room");
  close_buffer(&big);
  close_buffer(&small);
  context_close(&c);
}

static void refuse_name(struct context* c, struct drm_npu_bo_name args, int error, const char* what) {
  is_errno(npu_ioctl(c->fd, DRM_IOCTL_NPU_BO_NAME, &args), error, what);
}

static void test_names(void) {
  struct context c = context_new();
  struct buffer b = buffer_new(&c, PAGE, DRM_NPU_BO_HOST);
  is_equal((unsigned char)place_of("weights 7"), 0, "no buffer has the name yet");
  name_buffer(&b, "weights 7");
  is_equal((unsigned char)place_of("weights 7"), 'h', "debugfs shows the name");
  struct drm_npu_bo_name args = {.handle = b.handle, .pad = 1};
  refuse_name(&c, args, EINVAL, "bo_name with padding");
  args = (struct drm_npu_bo_name){.handle = 4711};
  refuse_name(&c, args, ENOENT, "bo_name of no handle");
  args = (struct drm_npu_bo_name){.handle = b.handle, .name = "a\nb"};
  refuse_name(&c, args, EINVAL, "a name with a control character");
  args = (struct drm_npu_bo_name){.handle = b.handle, .name = "\xc3\xa4"};
  refuse_name(&c, args, EINVAL, "a name that is not ASCII");
  args = (struct drm_npu_bo_name){.handle = b.handle, .name = "ab"};
  args.name[5] = 'x';
  refuse_name(&c, args, EINVAL, "a name with something behind its end");
  memset(args.name, 'x', sizeof args.name);
  refuse_name(&c, args, EINVAL, "a name without end");
  is_equal((unsigned char)place_of("weights 7"), 'h', "none of them has changed it");
  args = (struct drm_npu_bo_name){.handle = b.handle};
  refuse_name(&c, args, 0, "a name can be taken away");
  is_equal((unsigned char)place_of("weights 7"), 0, "and is gone");
  buffer_free(&b);
  context_close(&c);
}

int main(void) {
  const int watch = open_node();
  const uint64_t before = memory_info(watch).device_free;
  for (int round = 0; round < 2; ++round) test_lose_memory();
  test_names();
  test_twice();
  test_in_flight();
  test_no_room();
  test_kept_back();
  ok(free_returns_to(watch, before), "the device has all its memory again");
  close(watch);
  return tap_done();
}
