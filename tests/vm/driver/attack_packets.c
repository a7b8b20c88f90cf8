// SPDX-License-Identifier: Apache-2.0
//
// Attacks by what the device reads: packets, pointers, bounds tables, operators, what is left in a core.
#include <poll.h>
#include <string.h>

#include "../tap.h"
#include "attack_list.h"

#define STEP(condition)                \
  do {                                 \
    if (!(condition)) return __LINE__; \
  } while (0)

enum { kKinds = 13 };

// A packet of each kind that reaches for the address `to`; the rest of it is the attacker's own.
static struct npu_packet reach(struct party* me, int kind, uint64_t to) {
  struct npu_packet p = {.type = NPU_PKT_NOP};
  volatile uint64_t* args = me->args.map;
  switch (kind) {
    case 0:
      return copy_packet(me->loot_ptr, to, 64, 0, 0);
    case 1:
      return copy_packet(to, me->loot_ptr, 64, 0, 0);
    case 2:
      p.type = NPU_PKT_FILL;
      p.u.fill = (struct npu_pkt_fill){.dst = to, .bytes = 64, .pattern = 0x66, .pattern_bytes = 8};
      break;
    case 3:
      p.type = NPU_PKT_TIMESTAMP;
      p.u.timestamp.addr = to;
      break;
    case 4:
      p.type = NPU_PKT_COUNTERS;
      p.u.counters.addr = to;
      break;
    case 5:
      return packet_of(NPU_PKT_SIGNAL, to, 0x66);
    case 6:
      return packet_of(NPU_PKT_NOP, to, 0x66);
    case 7:
      p.type = NPU_PKT_WAIT;
      p.u.wait = (struct npu_pkt_wait){.addr = to, .value = 0, .cond = NPU_WAIT_GE};
      break;
    case 8:
      p.type = NPU_PKT_INDIRECT;
      p.u.indirect = (struct npu_pkt_indirect){.addr = to, .count = 4};
      break;
    case 9:
      p.type = NPU_PKT_LAUNCH;
      p.u.launch = (struct npu_pkt_launch){.entry = to, .grid = {1, 1, 1}};
      break;
    default:  // operators that load, store and add
      args[0] = to;
      args[2] = 0x66;
      args[4] = 0;
      p.type = NPU_PKT_LAUNCH;
      p.u.launch = (struct npu_pkt_launch){.entry = me->code_ptr + (kind == 10   ? kCodeLoad
                                                                    : kind == 11 ? kCodeStore
                                                                                 : kCodeAtomic),
                                           .args = me->args_ptr,
                                           .args_bytes = 40,
                                           .grid = {1, 1, 1}};
  }
  return p;
}

// All kinds of packets at one address: each is a fault of the own queue, and brings nothing home.
static int reach_for(struct party* me, struct queue* queue, uint64_t to) {
  volatile uint64_t* loot = me->loot.map;
  volatile uint64_t* args = me->args.map;
  for (int kind = 0; kind < kKinds; ++kind) {
    const struct npu_packet packet = reach(me, kind, to);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    STEP(!run_packet(queue, &packet));
    STEP(flush(queue));
    for (int i = 0; i < 8; ++i) STEP(loot[i] == 0);
    STEP(args[4] == 0);
  }
  return 0;
}

// The other's pointers as they are, without tag, with every right of one's own number, as offsets of device memory.
int attack_pointers(struct party* me) {
  struct queue queue = queue_new(&me->context, 4);
  int bad = 0;
  for (int i = 0; i < 4 && !bad; ++i) {
    const uint64_t theirs = me->other->pointers[i], va = NPU_PTR_VA(theirs),
                   own_number = me->device_ptr >> NPU_BUF_SHIFT;
    const uint64_t forms[] = {theirs,
                              va,
                              NPU_PTR(own_number, 0, va),
                              theirs | 1ull << NPU_GEN_SHIFT,
                              NPU_PTR(NPU_BUF_LOCAL_FIRST, 0, va),
                              NPU_PTR(NPU_BUF_MASK, 0, va)};
    for (unsigned f = 0; f < sizeof forms / sizeof *forms && !bad; ++f) bad = reach_for(me, &queue, forms[f]);
  }
  queue_free(&queue);
  return bad;
}

// A bounds table that allows everything: what is not in the own page table is still not there.
int attack_bounds(struct party* me) {
  struct npu_bounds_entry* bounds = me->context.bounds;
  const uint32_t first = 1000, count = 64;
  const uint32_t all = NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | NPU_BOUNDS_EXEC | NPU_BOUNDS_ATOMIC |
                       NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT;
  struct queue queue = queue_new(&me->context, 4);
  int bad = 0;
  for (uint32_t i = 0; i < count; ++i) {
    // From the whole address space, to sizes that overflow, to noise.
    bounds[first + i].base = i == 0 ? 0 : i < 32 ? NPU_PTR_VA(me->other->pointers[i % 4]) : next_random(&me->random);
    bounds[first + i].size = i == 0   ? 1ull << NPU_VA_BITS
                             : i < 16 ? PAGE << i
                             : i < 32 ? UINT64_MAX
                                      : next_random(&me->random);
    bounds[first + i].ctl = i < 48 ? all : (uint32_t)next_random(&me->random);
  }
  ++bounds[0].ctl;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  for (uint32_t i = 0; i < 4 && !bad; ++i) {
    const uint64_t va = NPU_PTR_VA(me->other->pointers[i]);
    bad = reach_for(me, &queue, NPU_PTR(first, 0, va));
    for (uint32_t n = i; n < count && !bad; n += 16)
      bad = reach_for(me, &queue, NPU_PTR(first + n, bounds[first + n].ctl, va));
  }
  // Device memory and host memory as the driver's tables name them, from the bottom.
  for (uint64_t va = 0; va < 64 * PAGE && !bad; va += 9 * PAGE) bad = reach_for(me, &queue, NPU_PTR(first, 0, va));
  for (uint32_t i = 0; i < count; ++i) bounds[first + i].ctl = 0;
  ++bounds[0].ctl;
  queue_free(&queue);
  return bad;
}

// What a packet of noise may be: nothing that holds, and nothing that ends the test by waiting for ever.
static struct npu_packet noise(struct party* me) {
  struct npu_packet p;
  uint64_t* words = (uint64_t*)&p;
  for (unsigned i = 0; i < sizeof p / 8; ++i) words[i] = next_random(&me->random);
  if (next_random(&me->random) % 4) {
    // Well-formed but for its addresses, which are the other's or nobody's.
    const uint64_t to = next_random(&me->random) % 2 ? me->other->pointers[next_random(&me->random) % 4]
                                                     : next_random(&me->random) & ~7ull;
    p = reach(me, (int)(next_random(&me->random) % kKinds), to);
    if (next_random(&me->random) % 4 == 0) words[next_random(&me->random) % 8] ^= 1ull << next_random(&me->random) % 64;
  }
  if (p.type == NPU_PKT_WAIT) p.u.wait.cond = 3 + (uint32_t)(next_random(&me->random) % 100);
  return p;
}

// Lets the queue run over everything in it.  1: it has; 0: it works on something that takes too long; -1: it is broken.
static int run_over_garbage(struct queue* queue) {
  struct drm_npu_queue_resume resume = {.queue = queue->id, .mode = NPU_RESUME_SKIP};
  const uint64_t end = now_ns() + 2000000000ull;
  while (queue->status->rptr != queue->wptr) {
    if (queue->status->state == NPU_QUEUE_FAULTED) {
      const uint64_t at = queue->status->rptr;
      if (npu_ioctl(queue->context->fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume)) return -1;
      // It stands again, at a later packet, or runs.
      while (queue->status->rptr == at && now_ns() < end + 20000000000ull) poll(NULL, 0, 0);
      if (queue->status->rptr == at) return -1;
    }
    if (now_ns() > end) return 0;
  }
  return 1;
}

int attack_garbage(struct party* me) {
  struct queue queue = queue_new(&me->context, 5);
  int over = 0;
  for (int batch = 0; batch < 10; ++batch) {
    for (int i = 0; i < 32; ++i) {
      const struct npu_packet p = noise(me);
      put_packet(&queue, &p);
    }
    ring_doorbell(&queue);
    const int end = run_over_garbage(&queue);
    STEP(end >= 0);
    over += end;
    if (end) continue;
    // A flipped bit has made work for hours: another queue.
    queue_free(&queue);
    queue = queue_new(&me->context, 5);
  }
  STEP(over > 0);
  queue_free(&queue);
  return 0;
}

// Packets in memory that changes while the device reads them.
int attack_indirect(struct party* me) {
  struct buffer list = buffer_new(&me->context, PAGE, DRM_NPU_BO_HOST);
  const uint64_t list_ptr = publish(&list, 2000, BASE_VA + (31ull << 30));
  struct queue queue = queue_new(&me->context, 4);
  volatile struct npu_packet* packets = list.map;
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 8; ++i) {
      const struct npu_packet good = copy_packet(me->loot_ptr + 4096, me->device_ptr, 64, 0, 0);
      memcpy((void*)&packets[i], &good, sizeof good);
    }
    struct npu_packet indirect = {.type = NPU_PKT_INDIRECT};
    indirect.u.indirect = (struct npu_pkt_indirect){.addr = list_ptr, .count = 8};
    put_packet(&queue, &indirect);
    ring_doorbell(&queue);
    for (int i = 0; i < 200 && queue.status->rptr != queue.wptr && queue.status->state == NPU_QUEUE_OK; ++i) {
      packets[i % 8].u.copy.src = me->other->pointers[i % 4];
      packets[(i + 3) % 8].u.copy.dst = me->other->pointers[i % 2];
      packets[(i + 5) % 8].type = i % 12;
    }
    const uint64_t end = now_ns() + 60000000000ull;
    while (queue.status->rptr != queue.wptr && queue.status->state == NPU_QUEUE_OK) STEP(now_ns() < end);
    if (queue.status->state == NPU_QUEUE_FAULTED) STEP(flush(&queue));
    for (uint64_t i = 512; i < 520; ++i) STEP(!is_secret(!me->number, ((volatile uint64_t*)me->loot.map)[i]));
  }
  memset(me->loot.map, 0, PAGE * 2);
  queue_free(&queue);
  STEP(unbind_range(&me->context, NPU_PTR_VA(list_ptr), PAGE) == 0);
  me->context.bounds[2000].ctl = 0;
  buffer_free(&list);
  return 0;
}

// Fills the cores' local memory with secrets and looks what the other has left there.
int attack_leftovers(struct party* me) {
  struct queue queue = queue_new(&me->context, 4);
  volatile uint64_t* args = me->args.map;
  const uint64_t words = SECRET_WORDS;
  uint64_t found = 0;
  STEP(is_secret(me->number, secret_word(me->number, 2, words - 1)) && !is_secret(!me->number, args[1]));
  for (int round = 0; round < 6; ++round) {
    struct npu_packet launch = {.type = NPU_PKT_LAUNCH};
    launch.u.launch = (struct npu_pkt_launch){
        .entry = me->code_ptr + kCodePlant, .args = me->args_ptr, .args_bytes = 32, .grid = {4, 1, 1}};
    args[1] = words;
    args[2] = secret_word(me->number, 2, 0);
    args[3] = secret_word(me->number, 2, 1) - secret_word(me->number, 2, 0);
    STEP(run_packet(&queue, &launch));
    launch.u.launch.entry = me->code_ptr + kCodeDump;
    launch.u.launch.grid[0] = 1;
    args[0] = me->loot_ptr;
    STEP(run_packet(&queue, &launch));
    for (uint64_t i = 0; i < words; ++i) {
      const uint64_t word = ((volatile uint64_t*)me->loot.map)[i];
      found += is_secret(!me->number, word);
    }
  }
  memset(me->loot.map, 0, me->loot.size);
  if (found) diag("%llu words of the other's local memory", (unsigned long long)found);
  queue_free(&queue);
  return found != 0;
}
