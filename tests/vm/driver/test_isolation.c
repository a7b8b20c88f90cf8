// SPDX-License-Identifier: Apache-2.0
//
// Two processes with a context each: neither reaches what belongs to the other, by any number it can name.
#include "drv.h"

#include <sys/mman.h>
#include <unistd.h>

#include "../tap.h"

// What the attacker knows of its victim: everything.
struct victim {
  struct context context;
  struct buffer buffer;
  struct queue queue;
};

static struct victim victim;

// Each attack returns 0 when it was refused as it should be.
static int map_refused(int fd, uint64_t offset, uint64_t bytes) {
  void* p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, (off_t)offset);
  return p == MAP_FAILED && errno == EACCES ? 0 : 1;
}

static int attack_mappings(void* arg) {
  (void)arg;
  struct context own = context_new();
  int failed = 0;
  failed |= map_refused(own.fd, victim.buffer.offset, PAGE) << 0;
  failed |= map_refused(own.fd, victim.queue.ring_offset, PAGE) << 1;
  failed |= map_refused(own.fd, victim.queue.status_offset, PAGE) << 2;
  failed |= map_refused(own.fd, victim.queue.doorbell_offset, PAGE) << 3;
  failed |= map_refused(own.fd, victim.context.bounds_offset, PAGE) << 4;
  failed |= map_refused(own.fd, victim.context.fault_offset, PAGE) << 5;
  return failed;
}

static int refused(int ret, int error) {
  return ret != 0 && errno == error ? 0 : 1;
}

static int attack_handles(void* arg) {
  (void)arg;
  struct context own = context_new();
  int failed = 0;
  struct drm_npu_bo_mmap where = {.handle = victim.buffer.handle};
  failed |= refused(npu_ioctl(own.fd, DRM_IOCTL_NPU_BO_MMAP, &where), ENOENT) << 0;
  struct buffer forged = victim.buffer;
  forged.context = &own;
  failed |= refused(bind_range(&forged, 0, BASE_VA, PAGE, RIGHTS_RW), ENOENT) << 1;
  failed |= refused(wait_value(&forged, 0, 0, NPU_WAIT_EQ, 0, NO_QUEUE), ENOENT) << 2;
  struct drm_npu_queue_destroy destroy = {.queue = victim.queue.id};
  failed |= refused(npu_ioctl(own.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy), ENOENT) << 3;
  struct drm_npu_queue_resume resume = {.queue = victim.queue.id};
  failed |= refused(npu_ioctl(own.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), ENOENT) << 4;
  struct buffer fence = buffer_new(&own, PAGE, DRM_NPU_BO_HOST);
  failed |= refused(wait_value(&fence, 0, 0, NPU_WAIT_EQ, 0, victim.queue.id), ENOENT) << 5;
  return failed;
}

// The victim's device addresses, through a queue of the attacker's own: its own address space has nothing there.
static int attack_addresses(void* arg) {
  const uint64_t secret_va = *(uint64_t*)arg;
  struct context own = context_new();
  struct queue queue = queue_new(&own, 4);
  struct buffer loot = buffer_new(&own, PAGE, DRM_NPU_BO_HOST);
  const uint64_t loot_ptr = publish(&loot, 1, 0x10000000);
  own.bounds[2] = (struct npu_bounds_entry){.base = secret_va, .size = PAGE, .ctl = BOUNDS_RW};
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  const struct npu_packet packet = copy_packet(loot_ptr, NPU_PTR(2, 0, secret_va), 64, 0, 0);
  put_packet(&queue, &packet);
  ring_doorbell(&queue);
  if (!wait_state(&queue, NPU_QUEUE_FAULTED)) return 1;
  if (queue.status->error != NPU_FAULT_PAGE) return 2;
  for (int i = 0; i < 512; ++i)
    if (((volatile uint64_t*)loot.map)[i]) return 4;
  return 0;
}

// A child that inherits the file does not inherit ring, doorbell, status, fault ring and bounds table.
static int touch_doorbell(void* arg) {
  (void)arg;
  victim.queue.doorbell[NPU_DB_WPTR / 8] = 1;
  return 0;
}

static int touch_bounds(void* arg) {
  (void)arg;
  victim.context.bounds[1].ctl = 0;
  return 0;
}

// Guesses every offset near those it knows: only its own may be mapped.
static int attack_guesses(void* arg) {
  (void)arg;
  struct context own = context_new();
  struct buffer mine = buffer_new(&own, PAGE, DRM_NPU_BO_HOST);
  int mapped = 0;
  for (int64_t step = -4096; step <= 4096; ++step) {
    const uint64_t offset = mine.offset + (uint64_t)(step * (int64_t)PAGE);
    if (offset == mine.offset || offset == own.bounds_offset || offset == own.fault_offset) continue;
    void* p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, own.fd, (off_t)offset);
    if (p != MAP_FAILED) ++mapped;
  }
  return mapped;
}

int main(void) {
  victim.context = context_new();
  victim.buffer = buffer_new(&victim.context, PAGE, DRM_NPU_BO_DEVICE);
  victim.queue = queue_new(&victim.context, 4);
  uint64_t secret_va = BASE_VA;
  publish(&victim.buffer, 1, secret_va);
  memset(victim.buffer.map, 0x5e, PAGE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);

  is_equal(in_child(attack_mappings, NULL), 0, "mmap offsets of another process: EACCES, each");
  is_equal(in_child(attack_handles, NULL), 0, "handles and queues of another process: ENOENT, each");
  is_equal(in_child(attack_addresses, &secret_va), 0, "device addresses of another process: a page fault of one's own");
  is_equal(in_child(attack_guesses, NULL), 0, "guessed mmap offsets");
  is_equal(in_child(touch_doorbell, NULL), 128 + 11, "a doorbell is not inherited by fork: SIGSEGV");
  is_equal(in_child(touch_bounds, NULL), 128 + 11, "nor a bounds table");

  bool whole = true;
  for (uint64_t i = 0; i < PAGE; ++i) whole &= ((volatile uint8_t*)victim.buffer.map)[i] == 0x5e;
  ok(whole, "the victim's memory is unchanged");
  ok(victim.queue.status->state == NPU_QUEUE_OK && victim.queue.status->rptr == 0, "its queue, too");
  is_equal(victim.context.faults->written, 0, "it has no fault records");
  const struct npu_packet packet = packet_of(NPU_PKT_NOP, NPU_PTR(1, 0, secret_va), 77);
  put_packet(&victim.queue, &packet);
  ring_doorbell(&victim.queue);
  is_errno(wait_value(&victim.buffer, 0, 77, NPU_WAIT_EQ, 20000, victim.queue.id), 0, "and it works");
  return tap_done();
}
