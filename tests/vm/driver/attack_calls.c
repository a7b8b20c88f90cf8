// SPDX-License-Identifier: Apache-2.0
//
// Attacks by numbers: handles, queues, mmap offsets, doorbells, fresh memory, ends in the middle.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"
#include "attack_list.h"

static int refused(int ret, int error) {
  return ret != 0 && errno == error;
}

#define STEP(condition)                \
  do {                                 \
    if (!(condition)) return __LINE__; \
  } while (0)

// A file that has nothing of its own: every handle and every queue that it names is somebody else's.
int attack_handles(struct party* me) {
  struct context own = context_new();
  struct buffer fence = buffer_new(&own, PAGE, DRM_NPU_BO_HOST);
  for (uint32_t handle = 0; handle < 64; ++handle) {
    if (handle == fence.handle) continue;
    struct buffer forged = {.context = &own, .handle = handle, .size = PAGE};
    struct drm_npu_bo_mmap where = {.handle = handle};
    struct drm_gem_close gone = {.handle = handle};
    STEP(refused(npu_ioctl(own.fd, DRM_IOCTL_NPU_BO_MMAP, &where), ENOENT));
    STEP(refused(bind_range(&forged, 0, BASE_VA, PAGE, RIGHTS_RW), ENOENT));
    STEP(refused(wait_value(&forged, 0, 0, NPU_WAIT_EQ, 0, NO_QUEUE), ENOENT));
    STEP(refused(npu_ioctl(own.fd, DRM_IOCTL_GEM_CLOSE, &gone), EINVAL));
  }
  struct drm_npu_info_device info;
  struct drm_npu_get_info get = {.query = DRM_NPU_INFO_DEVICE, .size = sizeof info, .data = (uintptr_t)&info};
  STEP(npu_ioctl(own.fd, DRM_IOCTL_NPU_GET_INFO, &get) == 0);
  for (uint32_t id = 0; id <= info.num_queues; ++id) {
    struct drm_npu_queue_destroy destroy = {.queue = id};
    struct drm_npu_queue_resume resume = {.queue = id};
    STEP(refused(npu_ioctl(own.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy), ENOENT));
    STEP(refused(npu_ioctl(own.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), ENOENT));
    STEP(refused(wait_value(&fence, 0, 1, NPU_WAIT_EQ, 0, id), ENOENT));
  }
  (void)me;
  buffer_free(&fence);
  context_close(&own);
  return 0;
}

// The other's offsets, in the own file and in a new one, whole and in part.
int attack_offsets(struct party* me) {
  static const int rights[] = {PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE, PROT_NONE};
  struct context own = context_new();
  const int files[] = {own.fd, me->context.fd};
  for (int f = 0; f < 2; ++f)
    for (unsigned i = 0; i < 7; ++i)
      for (unsigned r = 0; r < 4; ++r)
        for (int pages = 0; pages < (i < 2 ? 2 : 1); ++pages) {  // buffers have more pages than the first
          const uint64_t offset = me->other->offsets[i] + (uint64_t)pages * PAGE;
          void* p = mmap(NULL, PAGE, rights[r], MAP_SHARED, files[f], (off_t)offset);
          STEP(p == MAP_FAILED && (errno == EACCES || errno == EINVAL));
        }
  context_close(&own);
  return 0;
}

// The next page behind the own doorbell is another queue's.  Then noise on every word of the own.
int attack_doorbells(struct party* me) {
  struct queue queue = queue_new(&me->context, 4);
  STEP(mmap(NULL, 2 * PAGE, PROT_WRITE, MAP_SHARED, me->context.fd, (off_t)queue.doorbell_offset) == MAP_FAILED);
  STEP(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, me->context.fd, (off_t)(queue.doorbell_offset + PAGE)) == MAP_FAILED);
  STEP(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, me->context.fd, (off_t)(queue.doorbell_offset - PAGE)) == MAP_FAILED);
  STEP(mremap((void*)queue.doorbell, PAGE, 4 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
  STEP(mremap((void*)queue.status, PAGE, 4 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
  STEP(mprotect((void*)queue.status, PAGE, PROT_READ | PROT_WRITE) != 0);
  for (unsigned i = 0; i < PAGE / 8; ++i) queue.doorbell[i] = next_random(&me->random);
  for (unsigned i = 0; i < PAGE / 4; ++i) ((volatile uint32_t*)queue.doorbell)[i] = (uint32_t)next_random(&me->random);
  for (unsigned i = 0; i < PAGE; ++i) ((volatile uint8_t*)queue.doorbell)[i] = (uint8_t)next_random(&me->random);
  STEP(wait_state(&queue, NPU_QUEUE_FAULTED));
  queue_free(&queue);
  return 0;
}

static uint64_t secrets_in(const struct party* me, const struct buffer* b) {
  uint64_t found = 0;
  for (uint64_t i = 0; i < b->size / 8; ++i) found += is_secret(!me->number, ((const uint64_t*)b->map)[i]);
  return found;
}

// Gives memory full of secrets back and takes new memory: what is in it?  Rings, fault rings and tables, too.
int attack_fresh_memory(struct party* me) {
  static const uint32_t kinds[] = {DRM_NPU_BO_DEVICE, DRM_NPU_BO_HOST};
  for (int round = 0; round < 6; ++round) {
    struct context own = context_new();
    for (int k = 0; k < 2; ++k) {
      struct buffer b = buffer_new(&own, 2 << 20, kinds[k]);
      STEP(secrets_in(me, &b) == 0);
      for (uint64_t i = 0; i < b.size / 8; ++i) ((uint64_t*)b.map)[i] = secret_word(me->number, k, i);
      buffer_free(&b);
    }
    struct queue queue = queue_new(&own, 12);
    const struct buffer ring = {.map = queue.ring, .size = queue.packets * NPU_PACKET_BYTES};
    const struct buffer table = {.map = own.bounds, .size = NPU_BOUNDS_TABLE_BYTES};
    STEP(secrets_in(me, &ring) == 0 && secrets_in(me, &table) == 0);
    queue_free(&queue);
    context_close(&own);
  }
  return 0;
}

// The bodies of processes that are killed in the middle; they do not return.
static void die_launching(struct party* me) {
  struct party own;
  struct published mine;
  party_open(&own, me->number, &mine, me->other);
  struct npu_packet spin = packet_of(NPU_PKT_LAUNCH, 0, 0);
  spin.u.launch = (struct npu_pkt_launch){.entry = own.code_ptr + kCodeSpin, .grid = {2, 1, 1}};
  put_packet(&own.home, &spin);
  ring_doorbell(&own.home);
  for (;;) pause();
}

static void die_copying(struct party* me) {
  struct party own;
  struct published mine;
  party_open(&own, me->number, &mine, me->other);
  for (;;) {
    const struct npu_packet copy = copy_packet(own.loot_ptr, own.device_ptr, SECRET_BYTES, 0, 0);
    run_packet(&own.home, &copy);
  }
}

static void die_binding(struct party* me) {
  struct context own = context_new();
  struct buffer b = buffer_new(&own, 1 << 20, DRM_NPU_BO_DEVICE);
  (void)me;
  for (uint64_t i = 0;; ++i) {
    bind_range(&b, 0, BASE_VA + (i % 64 << 21), b.size, RIGHTS_RW);
    if (i % 3 == 2) unbind_range(&own, BASE_VA + (i % 64 << 21) - (1 << 21), 4 << 20);
  }
}

static void die_creating(struct party* me) {
  (void)me;
  for (;;) {
    struct context own = context_new();
    struct queue a = queue_new(&own, 6);
    struct buffer b = buffer_new(&own, 64 << 10, DRM_NPU_BO_HOST);
    queue_free(&a);
    buffer_free(&b);
    context_close(&own);
  }
}

static void die_waiting(struct party* me) {
  struct context own = context_new();
  struct buffer b = buffer_new(&own, PAGE, DRM_NPU_BO_HOST);
  (void)me;
  for (uint64_t i = 0;; ++i) wait_value(&b, 0, 1, NPU_WAIT_EQ, (int64_t)(next_random(&me->random) % 20), NO_QUEUE);
}

int attack_dying(struct party* me) {
  static void (*const bodies[])(struct party*) = {die_launching, die_copying, die_binding, die_creating, die_waiting};
  for (int round = 0; round < 15; ++round) {
    const useconds_t delay = 1000 + (useconds_t)(next_random(&me->random) % 60000);
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
      // What fails in here because the device is full does not count: it dies anyway.
      alarm(60);
      bodies[round % 5](me);
    }
    STEP(pid > 0);
    usleep(delay);
    kill(pid, SIGKILL);
    int status = 0;
    STEP(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  }
  return 0;
}
