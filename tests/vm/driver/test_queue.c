// SPDX-License-Identifier: Apache-2.0
//
// Queues: work through the ring, faults, resume, limits, doorbells that are taken away.
#include "rig.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tap.h"

static void submit_nop(struct queue* q, uint64_t fence_ptr, uint64_t value) {
  const struct npu_packet packet = packet_of(NPU_PKT_NOP, fence_ptr, value);
  put_packet(q, &packet);
  ring_doorbell(q);
}

static int event_readable(int fd, int timeout_ms) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, timeout_ms) == 1;
}

static uint64_t event_take(int fd) {
  uint64_t value = 0;
  if (read(fd, &value, sizeof value) != sizeof value) return 0;
  return value;
}

static void test_work(void) {
  struct rig r;
  rig_open_with(&r, 4, DRM_NPU_BO_HOST);
  uint64_t value = 0;
  for (int i = 0; i < 3 * 16; ++i)
    submit_nop(&r.queue, r.fence_ptr, ++value), wait_value(&r.fence, 0, value, NPU_WAIT_EQ, 20000, r.queue.id);
  is_equal(*(volatile uint64_t*)r.fence.map, value, "48 packets through a ring of 16");
  is_equal(r.queue.status->rptr, value, "the read index");

  // A batch behind one doorbell.
  for (int i = 0; i < 16; ++i) {
    const struct npu_packet packet = packet_of(NPU_PKT_NOP, r.fence_ptr, ++value);
    put_packet(&r.queue, &packet);
  }
  ring_doorbell(&r.queue);
  is_errno(wait_value(&r.fence, 0, value, NPU_WAIT_EQ, 20000, r.queue.id), 0, "a full ring behind one doorbell");
  is_equal(r.queue.status->state, NPU_QUEUE_OK, "the queue is fine");
  rig_close(&r);
}

// A packet of garbage: the queue faults, the eventfd says so, the other queue goes on, the queue can be resumed.
static void test_fault(void) {
  struct rig r;
  rig_open_with(&r, 4, DRM_NPU_BO_HOST);
  struct queue second = queue_new(&r.context, 4);
  struct npu_packet garbage;
  memset(&garbage, 0xcc, sizeof garbage);

  ok(!event_readable(r.context.event, 0), "no event before the fault");
  submit_nop(&r.queue, r.fence_ptr, 1);
  put_packet(&r.queue, &garbage);
  submit_nop(&r.queue, r.fence_ptr, 3);
  is_errno(wait_value(&r.fence, 0, 3, NPU_WAIT_EQ, -1, r.queue.id), EIO, "a wait that names the queue");
  is_equal(r.queue.status->state, NPU_QUEUE_FAULTED, "state");
  is_equal(r.queue.status->error, NPU_FAULT_BAD_PACKET, "error");
  is_equal(r.queue.status->rptr, 1, "it stands at the packet");
  is_equal(*(volatile uint64_t*)r.fence.map, 1, "what came before it is done, what comes behind is not");
  ok(event_readable(r.context.event, 10000), "the eventfd is readable");
  ok(event_take(r.context.event) >= 1, "and counts");
  is_equal(r.context.faults->written, 1, "one record");
  const struct npu_fault_record* record = (const void*)(r.context.faults + 1);
  ok(record->seq == 1 && record->queue == r.queue.id && record->context == r.context.id && record->packet == 1 &&
         record->kind == NPU_FAULT_BAD_PACKET,
     "the record names queue, context, packet and kind");

  submit_nop(&second, r.fence_ptr + 8, 1);
  is_errno(wait_value(&r.fence, 8, 1, NPU_WAIT_EQ, 20000, second.id), 0, "the other queue goes on");
  is_errno(wait_value(&r.fence, 0, 3, NPU_WAIT_EQ, 50, NO_QUEUE), ETIME, "the faulted one does not");

  struct drm_npu_queue_resume resume = {.queue = r.queue.id, .mode = NPU_RESUME_SKIP};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), 0, "resume behind the packet");
  is_errno(wait_value(&r.fence, 0, 3, NPU_WAIT_EQ, 20000, NO_QUEUE), 0, "the next packet runs");
  ok(wait_state(&r.queue, NPU_QUEUE_OK), "the queue is fine again");

  put_packet(&r.queue, &garbage);
  submit_nop(&r.queue, r.fence_ptr, 5);
  is_errno(wait_value(&r.fence, 0, 5, NPU_WAIT_EQ, -1, r.queue.id), EIO, "a second fault");
  ok(event_readable(r.context.event, 10000), "and event");
  resume.mode = NPU_RESUME_FLUSH;
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), 0, "resume behind everything");
  ok(wait_state(&r.queue, NPU_QUEUE_OK), "the queue is fine");
  submit_nop(&r.queue, r.fence_ptr, 6);
  is_errno(wait_value(&r.fence, 0, 6, NPU_WAIT_EQ, 20000, r.queue.id), 0, "new work runs");
  is_equal(r.context.faults->written, 2, "two records in all");
  queue_free(&second);
  rig_close(&r);
}

// A doorbell that is nonsense is a fault of that queue, too.
static void test_bad_doorbell(void) {
  struct rig r;
  rig_open_with(&r, 4, DRM_NPU_BO_HOST);
  r.queue.doorbell[NPU_DB_WPTR / 8] = 1000000;
  ok(wait_state(&r.queue, NPU_QUEUE_FAULTED), "a write index far ahead stops the queue");
  is_equal(r.queue.status->error, NPU_FAULT_BAD_DOORBELL, "error");
  ok(event_readable(r.context.event, 10000), "event");
  rig_close(&r);
}

static void test_full_fault_ring(void) {
  struct rig r;
  rig_open_with(&r, 4, DRM_NPU_BO_HOST);
  struct drm_npu_queue_resume resume = {.queue = r.queue.id, .mode = NPU_RESUME_SKIP};
  struct npu_packet garbage = {.type = 200};
  const uint32_t faults = r.context.fault_entries + 10;
  for (uint32_t i = 0; i < faults; ++i) {
    put_packet(&r.queue, &garbage);
    ring_doorbell(&r.queue);
    if (!wait_state(&r.queue, NPU_QUEUE_FAULTED)) bail("fault %u does not come", i);
    if (npu_ioctl(r.context.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume)) bail("resume %u: %s", i, strerror(errno));
    if (!wait_state(&r.queue, NPU_QUEUE_OK)) bail("resume %u has no effect", i);
  }
  is_equal(r.context.faults->written, r.context.fault_entries, "a full ring is not overwritten");
  is_equal(r.context.faults->dropped, 10, "what did not fit is counted");
  r.context.faults->read = r.context.faults->written;
  put_packet(&r.queue, &garbage);
  ring_doorbell(&r.queue);
  ok(wait_state(&r.queue, NPU_QUEUE_FAULTED), "another fault");
  is_equal(r.context.faults->written, r.context.fault_entries + 1, "has room after the reader moved on");
  rig_close(&r);
}

static void test_limit(void) {
  struct context c = context_new();
  const uint64_t before = memory_info(c.fd).device_free;
  uint32_t ids[65];
  int count = 0, error = 0;
  while (count < 65 && !error) {
    struct drm_npu_queue_create create = {.ring_log2 = 4, .priority = count % 2};
    if (npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_CREATE, &create))
      error = errno;
    else
      ids[count++] = create.queue;
  }
  is_equal(count, 64, "a file has up to 64 queues");
  is_equal(error, ENOSPC, "the next: ENOSPC");
  int failed = 0;
  while (count > 0) {
    struct drm_npu_queue_destroy destroy = {.queue = ids[--count]};
    failed += npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy) != 0;
  }
  is_equal(failed, 0, "all can be destroyed");
  is_equal(memory_info(c.fd).device_free, before, "their rings are given back");
  struct queue q = queue_new(&c, 4);
  ok(q.status->state == NPU_QUEUE_OK, "there is room again");
  queue_free(&q);
  context_close(&c);
}

static void set_parameter(const char* name, const char* value) {
  char path[96];
  snprintf(path, sizeof path, "/sys/module/npu/parameters/%s", name);
  const int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, value, strlen(value)) < 0) bail("%s: %s", path, strerror(errno));
  close(fd);
}

// As a user without privileges: 2 contexts and 3 queues, whatever the files.
static int use_up_limits(void* arg) {
  (void)arg;
  if (setresuid(65534, 65534, 65534)) return 99;
  struct context a = context_new(), b = context_new();
  const int third = open_node();
  struct drm_npu_context_init init = {.fault_entries = 8, .fault_eventfd = -1};
  if (!npu_ioctl(third, DRM_IOCTL_NPU_CONTEXT_INIT, &init) || errno != EDQUOT) return 1;
  struct queue first = queue_new(&a, 4), second = queue_new(&b, 4);
  queue_new(&b, 4);
  struct drm_npu_queue_create create = {.ring_log2 = 4, .priority = 1};
  if (!npu_ioctl(a.fd, DRM_IOCTL_NPU_QUEUE_CREATE, &create) || errno != EDQUOT) return 2;
  queue_free(&second);
  if (npu_ioctl(a.fd, DRM_IOCTL_NPU_QUEUE_CREATE, &create)) return 3;
  queue_free(&first);
  context_close(&a);
  return npu_ioctl(third, DRM_IOCTL_NPU_CONTEXT_INIT, &init) ? 4 : 0;
}

static void test_user_limits(void) {
  set_parameter("user_contexts", "2");
  set_parameter("user_queues", "3");
  if (chmod(node_path(), 0666)) bail("%s: %s", node_path(), strerror(errno));
  is_equal(in_child(use_up_limits, NULL), 0, "a user has so many contexts and queues, EDQUOT beyond, and room after");
  struct context c[3];
  for (int i = 0; i < 3; ++i) c[i] = context_new();
  ok(1, "root is not limited");
  for (int i = 0; i < 3; ++i) context_close(&c[i]);
  set_parameter("user_contexts", "128");
  set_parameter("user_queues", "512");
}

// More queues than slots, all busy at once.
static void test_many(void) {
  enum { kQueues = 40, kPackets = 500 };
  static struct queue queues[kQueues];
  struct rig r;
  rig_open_with(&r, 4, DRM_NPU_BO_HOST);
  for (int i = 0; i < kQueues; ++i) queues[i] = queue_new(&r.context, 9);
  for (int n = 1; n <= kPackets; ++n) {
    for (int i = 0; i < kQueues; ++i) {
      const struct npu_packet packet = packet_of(NPU_PKT_NOP, r.fence_ptr + 64 + 8 * i, n);
      put_packet(&queues[i], &packet);
      if (n % 50 == 0) ring_doorbell(&queues[i]);
    }
  }
  int failed = 0;
  for (int i = 0; i < kQueues; ++i)
    failed += wait_value(&r.fence, 64 + 8 * i, kPackets, NPU_WAIT_EQ, 60000, queues[i].id) != 0;
  is_equal(failed, 0, "40 queues with 500 packets each");
  failed = 0;
  for (int i = 0; i < kQueues; ++i) failed += !(queues[i].status->rptr == kPackets);
  is_equal(failed, 0, "nothing is lost");
  for (int i = 0; i < kQueues; ++i) queue_free(&queues[i]);
  rig_close(&r);
}

static sigjmp_buf bus_error;
static void on_bus_error(int signal_number) {
  siglongjmp(bus_error, signal_number);
}

// The number of a destroyed queue goes to somebody else: the old mapping of its doorbell must be dead.
static void test_doorbell_revoked(void) {
  struct context c = context_new();
  struct queue q = queue_new(&c, 4);
  struct drm_npu_queue_destroy destroy = {.queue = q.id};
  q.doorbell[NPU_DB_KICK / 8] = 0;  // so that the page is present
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy), 0, "destroy a queue whose pages are mapped");
  is_equal(q.status->state, NPU_QUEUE_DEAD, "its status says so");
  struct sigaction action = {.sa_handler = on_bus_error}, old;
  sigaction(SIGBUS, &action, &old);
  const int caught = sigsetjmp(bus_error, 1);
  if (!caught) q.doorbell[NPU_DB_WPTR / 8] = 1;
  sigaction(SIGBUS, &old, NULL);
  is_equal(caught, SIGBUS, "its doorbell: SIGBUS");
  ok(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, c.fd, (off_t)q.doorbell_offset) == MAP_FAILED, "and no new mapping");
  context_close(&c);
}

// While it works.
static void test_destroy_busy(void) {
  struct rig r;
  rig_open_with(&r, 4, DRM_NPU_BO_HOST);
  const struct npu_packet wait = wait_packet(r.fence_ptr + 128, 1, NPU_WAIT_EQ, 0, 0);
  for (int i = 0; i < 20; ++i) {
    struct queue q = queue_new(&r.context, 4);
    put_packet(&q, &wait);
    ring_doorbell(&q);
    queue_free(&q);
  }
  ok(1, "20 queues destroyed while they stand at a wait packet");
  submit_nop(&r.queue, r.fence_ptr, 1);
  is_errno(wait_value(&r.fence, 0, 1, NPU_WAIT_EQ, 20000, r.queue.id), 0, "the device goes on");
  rig_close(&r);
}

int main(void) {
  test_work();
  test_fault();
  test_bad_doorbell();
  test_full_fault_ring();
  test_limit();
  test_user_limits();
  test_many();
  test_doorbell_revoked();
  test_destroy_busy();
  return tap_done();
}
