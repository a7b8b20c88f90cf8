// SPDX-License-Identifier: Apache-2.0
#include "attack.h"

#include <poll.h>
#include <string.h>

#include "../tap.h"
#include "rv.h"

#define SECRET_STEP 0x9e3779b97f4a7c15ull  // odd: every word of a secret is another

static uint64_t secret_base(int party, int kind) {
  return 0x5ec2e70000000001ull ^ (uint64_t)(party * 8 + kind + 1) << 40;
}

uint64_t secret_word(int party, int kind, uint64_t i) {
  return secret_base(party, kind) + i * SECRET_STEP;
}

// The inverse of an odd number modulo 2^64, by Newton's iteration.
static uint64_t inverse(uint64_t odd) {
  uint64_t x = odd;
  for (int i = 0; i < 6; ++i) x *= 2 - odd * x;
  return x;
}

bool is_secret(int party, uint64_t word) {
  static uint64_t back;
  if (!back) back = inverse(SECRET_STEP);
  for (int kind = 0; kind < 3; ++kind)
    if ((word - secret_base(party, kind)) * back < (1u << 20)) return true;
  return false;
}

uint64_t next_random(uint64_t* state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}

// Kernels get in a0 what the args buffer holds: [0] a pointer, [1] a count, [2] a word, [3] a step.
static void write_code(uint8_t* at) {
  const uint32_t null_code[] = {rv_ret()};
  const uint32_t load[] = {rv_ld(T0, 0, A0), rv_ld(T1, 0, T0), rv_sd(T1, 32, A0), rv_ret()};
  const uint32_t store[] = {rv_ld(T0, 0, A0), rv_ld(T1, 16, A0), rv_sd(T1, 0, T0), rv_ret()};
  const uint32_t atomic[] = {rv_ld(T0, 0, A0), rv_ld(T1, 16, A0), rv_amoadd_d(T2, T1, T0), rv_ret()};
  const uint32_t spin[] = {rv_self()};
  // Writes [2], [2] + [3], ... to [1] words of local SRAM.
  const uint32_t plant[] = {0x100002b7,  // lui t0, 0x10000: local SRAM
                            rv_ld(T2, 8, A0),    rv_ld(T3, 16, A0),   rv_ld(T4, 24, A0),
                            rv_sd(T3, 0, T0),    rv_add(T3, T3, T4),  rv_addi(T0, T0, 8),
                            rv_addi(T2, T2, -1), rv_bne(T2, X0, -16), rv_ret()};
  // Copies [1] words of local SRAM to the pointer [0].
  const uint32_t dump[] = {
      0x100002b7,         rv_ld(T1, 0, A0),   rv_ld(T2, 8, A0),    rv_ld(T3, 0, T0),    rv_sd(T3, 0, T1),
      rv_addi(T0, T0, 8), rv_addi(T1, T1, 8), rv_addi(T2, T2, -1), rv_bne(T2, X0, -20), rv_ret()};
  memcpy(at + kCodeNull, null_code, sizeof null_code);
  memcpy(at + kCodeLoad, load, sizeof load);
  memcpy(at + kCodeStore, store, sizeof store);
  memcpy(at + kCodeAtomic, atomic, sizeof atomic);
  memcpy(at + kCodeSpin, spin, sizeof spin);
  memcpy(at + kCodePlant, plant, sizeof plant);
  memcpy(at + kCodeDump, dump, sizeof dump);
}

static uint64_t publish_code(struct party* me, uint32_t number, uint64_t va) {
  struct npu_bounds_entry* entry = &me->context.bounds[number];
  if (bind_range(&me->code, 0, va, me->code.size, DRM_NPU_VM_READ | DRM_NPU_VM_EXEC)) bail("code: %s", strerror(errno));
  entry->base = va;
  entry->size = me->code.size;
  __atomic_store_n(&entry->ctl, NPU_BOUNDS_READ | NPU_BOUNDS_EXEC | NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT,
                   __ATOMIC_RELEASE);
  return NPU_PTR(number, 0, va);
}

void party_open(struct party* me, int number, struct published* mine, const struct published* other) {
  // Neither has anything where the other has something.
  const uint64_t va = BASE_VA + ((uint64_t)number << 33);
  *me = (struct party){.number = number, .context = context_new(), .random = 12345 + number, .other = other};
  struct context* c = &me->context;
  me->device = buffer_new(c, SECRET_BYTES, DRM_NPU_BO_DEVICE);
  me->host = buffer_new(c, SECRET_BYTES, DRM_NPU_BO_HOST);
  me->fence = buffer_new(c, PAGE, DRM_NPU_BO_HOST);
  me->code = buffer_new(c, PAGE, DRM_NPU_BO_DEVICE);
  me->args = buffer_new(c, PAGE, DRM_NPU_BO_HOST);
  me->loot = buffer_new(c, SECRET_BYTES, DRM_NPU_BO_HOST);
  // Numbers of bounds entries, too, are each one's own.
  const uint32_t first = 1 + 100 * (uint32_t)number;
  me->device_ptr = publish(&me->device, first, va);
  me->host_ptr = publish(&me->host, first + 1, va + (1 << 24));
  me->fence_ptr = publish(&me->fence, first + 2, va + (2 << 24));
  me->code_ptr = publish_code(me, first + 3, va + (3 << 24));
  me->args_ptr = publish(&me->args, first + 4, va + (4 << 24));
  me->loot_ptr = publish(&me->loot, first + 5, va + (5 << 24));
  me->home = queue_new(c, 4);
  write_code(me->code.map);
  for (uint64_t i = 0; i < SECRET_WORDS; ++i) {
    ((uint64_t*)me->device.map)[i] = secret_word(number, 0, i);
    ((uint64_t*)me->host.map)[i] = secret_word(number, 1, i);
  }
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  *mine =
      (struct published){.context_id = c->id,
                         .handles = {me->device.handle, me->host.handle, me->fence.handle, me->code.handle},
                         .queue = me->home.id,
                         .offsets = {me->device.offset, me->host.offset, me->home.ring_offset, me->home.status_offset,
                                     me->home.doorbell_offset, c->fault_offset, c->bounds_offset},
                         .pointers = {me->device_ptr, me->host_ptr, me->fence_ptr, me->code_ptr}};
}

bool run_packet(struct queue* queue, const struct npu_packet* packet) {
  put_packet(queue, packet);
  ring_doorbell(queue);
  const uint64_t end = now_ns() + 60000000000ull;
  for (;;) {
    if (__atomic_load_n(&queue->status->rptr, __ATOMIC_ACQUIRE) == queue->wptr) return true;
    if (__atomic_load_n(&queue->status->state, __ATOMIC_ACQUIRE) != NPU_QUEUE_OK) return false;
    if (now_ns() > end) bail("a packet of type %u neither runs nor faults", packet->type);
    poll(NULL, 0, 0);
  }
}

bool flush(struct queue* queue) {
  struct drm_npu_queue_resume resume = {.queue = queue->id, .mode = NPU_RESUME_FLUSH};
  return npu_ioctl(queue->context->fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume) == 0 && wait_state(queue, NPU_QUEUE_OK);
}
