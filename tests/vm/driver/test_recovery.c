// SPDX-License-Identifier: Apache-2.0
//
// Injected errors: what the driver does when the device does not do what it should.
#include "rig.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../tap.h"
#include "sleeper.h"

static int inject(const char* what) {
  return debugfs_write("inject", what);
}

static void inject_kind(uint32_t kind, uint32_t count) {
  char text[64];
  snprintf(text, sizeof text, "%u %u", kind, count);
  if (inject(text)) bail("injection of \"%s\": %s", text, strerror(errno));
}

static int injected(void) {
  char* text = debugfs_read("inject");
  const int count = atoi(text);
  free(text);
  return count;
}

static int inject_unprivileged(void* arg) {
  (void)arg;
  if (setresuid(65534, 65534, 65534)) return 99;
  return access(debugfs_path("inject"), W_OK) < 0 ? errno : 0;
}

static void test_refusals(void) {
  is_errno(inject(""), EINVAL, "an empty injection");
  is_errno(inject("nonsense"), EINVAL, "an injection of nonsense");
  is_errno(inject("99"), EINVAL, "an unknown kind of injection");
  is_errno(inject("0"), 0, "disarm");
  is_equal(in_child(inject_unprivileged, NULL), EACCES, "injection by a user");
}

// The message is lost, the sleeper is not.
static void test_lost_interrupt(void) {
  struct rig r;
  rig_open(&r);
  submit_gated(&r, 1, 1);
  struct sleeper s = {.fence = &r.fence, .value = 1, .queue = NO_QUEUE};
  sleeper_start_asleep(&s);
  const int before = injected();
  inject_kind(NPU_INJ_LOST_IRQ, 1);
  open_gate(&r, 1);
  is_equal(sleeper_end(&s), 0, "a sleeper whose interrupt is lost still wakes");
  is_equal(injected() - before, 1, "one interrupt was lost");
  inject("0");
  rig_close(&r);
}

// A launch that makes no progress is killed; the queue says so and can go on.
static void test_hang(void) {
  struct context c = context_new();
  struct buffer fence = buffer_new(&c, PAGE, DRM_NPU_BO_HOST), code = buffer_new(&c, PAGE, DRM_NPU_BO_DEVICE);
  const uint64_t fence_ptr = publish(&fence, 1, FENCE_VA);
  *(volatile uint32_t*)code.map = 0x00008067;  // ret
  if (bind_range(&code, 0, CODE_VA, PAGE, DRM_NPU_VM_READ | DRM_NPU_VM_EXEC)) bail("bind: %s", strerror(errno));
  c.bounds[2].base = CODE_VA;
  c.bounds[2].size = PAGE;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  c.bounds[2].ctl = NPU_BOUNDS_READ | NPU_BOUNDS_EXEC | (NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT);

  struct drm_npu_queue_create create = {.ring_log2 = 4, .priority = 1, .timeout_ms = 300};
  if (npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_CREATE, &create)) bail("queue: %s", strerror(errno));
  struct queue q = {.context = &c, .id = create.queue, .packets = 16};
  q.ring = map_offset(c.fd, create.ring_offset, 16 * NPU_PACKET_BYTES, PROT_READ | PROT_WRITE);
  q.status = map_offset(c.fd, create.status_offset, PAGE, PROT_READ);
  q.doorbell = map_offset(c.fd, create.doorbell_offset, PAGE, PROT_READ | PROT_WRITE);

  struct npu_packet launch = packet_of(NPU_PKT_LAUNCH, fence_ptr, 1);
  launch.u.launch = (struct npu_pkt_launch){.entry = NPU_PTR(2, 0, CODE_VA), .grid = {4, 1, 1}};
  put_packet(&q, &launch);
  ring_doorbell(&q);
  is_errno(wait_value(&fence, 0, 1, NPU_WAIT_EQ, 20000, q.id), 0, "a launch that returns at once");

  inject_kind(NPU_INJ_HANG, 1);
  launch.signal_value = 2;
  put_packet(&q, &launch);
  launch.signal_value = 3;
  put_packet(&q, &launch);
  ring_doorbell(&q);
  is_errno(wait_value(&fence, 0, 3, NPU_WAIT_EQ, 20000, q.id), EIO, "a launch that hangs ends the wait");
  is_equal(q.status->error, NPU_FAULT_TIMEOUT, "error");
  struct drm_npu_queue_resume resume = {.queue = q.id, .mode = NPU_RESUME_SKIP};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), 0, "resume");
  ok(wait_state(&q, NPU_QUEUE_OK), "the queue is fine");  // until then a wait ends with EIO
  is_errno(wait_value(&fence, 0, 3, NPU_WAIT_EQ, 20000, q.id), 0, "the next launch runs");
  inject("0");
  queue_free(&q);
  buffer_free(&fence);
  buffer_free(&code);
  context_close(&c);
}

// Host memory does not answer: the queue's fault, nobody else's.
static void test_bus_error(void) {
  struct rig r;
  rig_open_with(&r, 4, DRM_NPU_BO_DEVICE);
  struct buffer host = buffer_new(&r.context, PAGE, DRM_NPU_BO_HOST);
  const uint64_t host_ptr = publish(&host, kRigEntries, BASE_VA);
  const struct npu_packet packet = copy_packet(r.fence_ptr + 1024, host_ptr, 64, r.fence_ptr, 1);
  inject_kind(NPU_INJ_DMA_ERROR, 1);
  put_packet(&r.queue, &packet);
  ring_doorbell(&r.queue);
  is_errno(wait_value(&r.fence, 0, 1, NPU_WAIT_EQ, 20000, r.queue.id), EIO, "a copy from memory that does not answer");
  is_equal(r.queue.status->error, NPU_FAULT_BUS, "error");
  inject("0");
  buffer_free(&host);
  rig_close(&r);
}

static int reload(void) {
  char path[256];
  snprintf(path, sizeof path, "%s/fw_reload", sysfs_path());
  const int fd = open(path, O_WRONLY);
  const int ret = write(fd, "1", 1) == 1 ? 0 : -1;
  const int error = errno;
  close(fd);
  errno = error;
  return ret;
}

static void set_reset_limit(const char* limit) {
  const int fd = open("/sys/module/npu/parameters/reset_limit", O_WRONLY);
  if (fd < 0 || write(fd, limit, strlen(limit)) < 0) bail("reset_limit: %s", strerror(errno));
  close(fd);
}

// Never reset by itself: all calls end with ENODEV, memory is kept while the device might use it, and a reload brings
// everything back, contexts that are still open included.
static void test_wedged(int watch, int kept) {
  const uint64_t before = memory_info(watch).device_free;
  struct rig r, second;
  rig_open(&r);
  rig_open_with(&second, 4, DRM_NPU_BO_DEVICE);
  struct sleeper s = {.fence = &r.fence, .value = 1, .queue = NO_QUEUE};
  sleeper_start_asleep(&s);
  set_reset_limit("0");
  inject_kind(NPU_INJ_FW_CRASH, 1);
  ok(sleeper_end(&s) && s.error == ENODEV, "a sleeper wakes with ENODEV");
  ok(strcmp(read_attribute("fw_state"), "wedged") == 0, "fw_state: \"%s\"", read_attribute("fw_state"));

  struct drm_npu_bo_create create = {.size = PAGE, .flags = DRM_NPU_BO_HOST};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_BO_CREATE, &create), ENODEV, "bo_create");
  is_errno(unbind_range(&r.context, FENCE_VA, PAGE), ENODEV, "vm_bind");
  struct drm_npu_queue_create queue = {.ring_log2 = 4, .priority = 1};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_QUEUE_CREATE, &queue), ENODEV, "queue_create");
  is_errno(wait_value(&r.fence, 0, 0, NPU_WAIT_EQ, 0, NO_QUEUE), ENODEV, "wait");
  struct drm_npu_context_init init = {.fault_entries = 8, .fault_eventfd = -1};
  is_errno(npu_ioctl(watch, DRM_IOCTL_NPU_CONTEXT_INIT, &init), ENODEV, "context_init of another file");
  set_reset_limit("16");

  // Everything that maps the files goes, then the files.
  struct rig* rigs[] = {&r, &second};
  for (int i = kept; i < 2; ++i) {
    buffer_free(&rigs[i]->fence);
    buffer_free(&rigs[i]->out);
    munmap_queue(&rigs[i]->queue);
    context_close(&rigs[i]->context);
  }
  ok(memory_info(watch).device_free < before, "a device that does not answer keeps its memory");
  is_errno(reload(), 0, "fw_reload");
  for (int i = 0; i < kept; ++i) {
    const struct npu_packet packet = packet_of(NPU_PKT_NOP, rigs[i]->fence_ptr, 1);
    put_packet(&rigs[i]->queue, &packet);
    ring_doorbell(&rigs[i]->queue);
    is_errno(wait_value(&rigs[i]->fence, 0, 1, NPU_WAIT_EQ, 20000, rigs[i]->queue.id), 0,
             "a context that was open works again");
    rig_close(rigs[i]);
  }
  ok(free_returns_to(watch, before), "gives all of it back");
  check_works("the device works again");
}

// The firmware crashes: it is started again, and nobody who does not look at the clock sees it.
static void test_firmware_crash(void) {
  const int before = atoi(read_attribute("device_resets"));
  struct rig r, second;
  rig_open(&r);
  rig_open_with(&second, 4, DRM_NPU_BO_DEVICE);
  struct sleeper s = {.fence = &r.fence, .value = 1, .queue = NO_QUEUE};
  sleeper_start_asleep(&s);
  inject_kind(NPU_INJ_FW_CRASH, 1);
  // Calls wait for the reset, or are made again by libdrm.
  struct drm_npu_bo_create create = {.size = PAGE, .flags = DRM_NPU_BO_DEVICE};
  is_errno(npu_ioctl(second.context.fd, DRM_IOCTL_NPU_BO_CREATE, &create), 0, "bo_create");
  struct queue third = queue_new(&second.context, 4);
  const struct npu_packet packet = packet_of(NPU_PKT_NOP, r.fence_ptr, 1);
  put_packet(&r.queue, &packet);
  ring_doorbell(&r.queue);
  is_equal(sleeper_end(&s), 0, "a sleeper of before the crash sees work that was rung after it");
  const struct npu_packet other = packet_of(NPU_PKT_NOP, second.fence_ptr, 1);
  put_packet(&third, &other);
  ring_doorbell(&third);
  is_errno(wait_value(&second.fence, 0, 1, NPU_WAIT_EQ, 20000, third.id), 0, "a queue made beside the crash works");
  is_equal(atoi(read_attribute("device_resets")), before + 1, "the device was reset once");
  ok(strcmp(read_attribute("fw_state"), "ready") == 0, "fw_state: \"%s\"", read_attribute("fw_state"));
  queue_free(&third);
  rig_close(&second);
  rig_close(&r);
}

// The firmware crashes, and the interrupt that would tell is lost: a sleeper finds out, though it waits for something
// else.
static void test_unheard_crash(void) {
  const int resets = atoi(read_attribute("device_resets"));
  struct rig r;
  rig_open(&r);
  struct sleeper s = {.fence = &r.fence, .value = 1, .queue = NO_QUEUE};
  sleeper_start_asleep(&s);
  inject_kind(NPU_INJ_LOST_IRQ, 1);
  inject_kind(NPU_INJ_FW_CRASH, 1);
  const uint64_t end = now_ns() + 20000000000ull;
  while (atoi(read_attribute("device_resets")) == resets && now_ns() < end) poll(NULL, 0, 20);
  is_equal(atoi(read_attribute("device_resets")), resets + 1, "a crash that nobody was told of is found and mended");
  const struct npu_packet packet = packet_of(NPU_PKT_NOP, r.fence_ptr, 1);
  put_packet(&r.queue, &packet);
  ring_doorbell(&r.queue);
  is_equal(sleeper_end(&s), 0, "the sleeper sleeps on, and wakes");
  rig_close(&r);
}

// A firmware that does not answer ends no queue, but the process has ended it: that does not fail.
static void test_end_without_firmware(void) {
  const int resets = atoi(read_attribute("device_resets"));
  struct rig r;
  rig_open(&r);
  inject_kind(NPU_INJ_LOST_IRQ, 1);
  inject_kind(NPU_INJ_FW_CRASH, 1);
  struct drm_npu_queue_destroy destroy = {.queue = r.queue.id};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy), 0, "queue_destroy without firmware");
  is_equal(r.queue.status->state, NPU_QUEUE_DEAD, "the queue is dead");
  munmap_queue(&r.queue);
  r.queue = queue_new(&r.context, 4);
  is_equal(atoi(read_attribute("device_resets")), resets + 1, "the next call waits for a reset");
  const struct npu_packet packet = packet_of(NPU_PKT_NOP, r.fence_ptr, 1);
  put_packet(&r.queue, &packet);
  ring_doorbell(&r.queue);
  is_errno(wait_value(&r.fence, 0, 1, NPU_WAIT_EQ, 20000, r.queue.id), 0, "and the context works");
  rig_close(&r);
}

int main(void) {
  const int watch = open_node();
  const uint64_t before = memory_info(watch).device_free;
  // More resets than the driver makes within a minute on its own account.
  set_reset_limit("16");
  test_refusals();
  test_lost_interrupt();
  test_hang();
  test_bus_error();
  ok(free_returns_to(watch, before), "no device memory is lost");
  for (int i = 0; i < 2; ++i) test_firmware_crash();
  test_unheard_crash();
  test_end_without_firmware();
  for (int i = 0; i < 3; ++i) test_wedged(watch, i);
  set_reset_limit("6");
  close(watch);
  return tap_done();
}
