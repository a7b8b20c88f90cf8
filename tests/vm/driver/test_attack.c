// SPDX-License-Identifier: Apache-2.0
//
// Two processes attack each other, both at once and each in every way of the list, while a third one computes beside
// them.  After each attack both look at everything they own: nothing of it may have changed, and neither may have seen
// a word of the other.  What the third one computes must be right to the bit.
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"
#include "attack_list.h"
#include "rv.h"

static const struct attack attacks[] = {
    {"handles and queues of others", attack_handles},
    {"mmap offsets of others", attack_offsets},
    {"doorbells beside the own", attack_doorbells},
    {"pointers of others in every packet and operator", attack_pointers},
    {"bounds tables that allow everything", attack_bounds},
    {"rings full of garbage", attack_garbage},
    {"indirect packets that change while they are read", attack_indirect},
    {"what is left in fresh memory", attack_fresh_memory},
    {"what is left in the cores", attack_leftovers},
    {"processes killed in launches, copies, binds, creates and waits", attack_dying},
};
enum { kAttacks = sizeof attacks / sizeof *attacks, kRounds = kAttacks + 1, kWords = 4096 };

static struct stage {
  pthread_barrier_t barrier;      // of the two parties
  struct published published[2];  // each written by its owner before the first barrier
  int verdict[2][kRounds];        // of the attack: 0, or the step that was not refused; written by the attacker
  int damage[2][kRounds];         // what its owner found: 0, or the step
  uint64_t milliseconds[2][kRounds];
  int done;                  // set by main when both parties have ended
  uint64_t computed, wrong;  // by the witness: rounds, words that were wrong
  int witness_error;
} * stage;

// Everything a party owns is as it was, and its own queue works.  0, or the line of what is not.
static int look_at_own(struct party* me) {
#define SAME(condition)                \
  do {                                 \
    if (!(condition)) return __LINE__; \
  } while (0)
  for (uint64_t i = 0; i < SECRET_WORDS; ++i) {
    SAME(((volatile uint64_t*)me->device.map)[i] == secret_word(me->number, 0, i));
    SAME(((volatile uint64_t*)me->host.map)[i] == secret_word(me->number, 1, i));
  }
  SAME(me->home.status->state == NPU_QUEUE_OK && me->home.status->rptr == me->home_value);
  for (unsigned i = 0; i < PAGE / 8; ++i) SAME(((volatile uint64_t*)me->fence.map)[i] == (i ? 0 : me->home_value));
  // Records of one's own context only, whatever the other has done.
  const struct npu_fault_record* records = (const void*)(me->context.faults + 1);
  const uint64_t written = me->context.faults->written;
  for (uint64_t i = me->context.faults->read; i < written; ++i) {
    const struct npu_fault_record* record = &records[i % me->context.fault_entries];
    SAME(record->context == me->context.id && record->queue != me->home.id && record->queue != me->other->queue);
  }
  __atomic_store_n(&me->context.faults->read, written, __ATOMIC_RELEASE);
  const struct npu_packet packet = packet_of(NPU_PKT_NOP, me->fence_ptr, ++me->home_value);
  put_packet(&me->home, &packet);
  ring_doorbell(&me->home);
  SAME(wait_value(&me->fence, 0, me->home_value, NPU_WAIT_EQ, 60000, me->home.id) == 0);
  while (me->home.status->rptr != me->home_value) {
  }
#undef SAME
  return 0;
}

static void party_main(int number) {
  static struct party me;
  party_open(&me, number, &stage->published[number], &stage->published[!number]);
  pthread_barrier_wait(&stage->barrier);
  for (int i = 0; i < kAttacks; ++i) {
    const uint64_t start = now_ns();
    stage->verdict[number][i] = attacks[i].run(&me);
    stage->milliseconds[number][i] = (now_ns() - start) / 1000000u;
    pthread_barrier_wait(&stage->barrier);
    stage->damage[number][i] = look_at_own(&me);
    pthread_barrier_wait(&stage->barrier);
  }
}

// out[i] = in[i] * factor + (n - i), by an operator; the input moves through all kinds of memory on its way.
static void witness_main(void) {
  struct context c = context_new();
  struct buffer in = buffer_new(&c, kWords * 8, DRM_NPU_BO_HOST), mid = buffer_new(&c, kWords * 8, DRM_NPU_BO_DEVICE);
  struct buffer out = buffer_new(&c, kWords * 8, DRM_NPU_BO_DEVICE), back = buffer_new(&c, kWords * 8, DRM_NPU_BO_HOST);
  struct buffer rest = buffer_new(&c, 2 * PAGE, DRM_NPU_BO_HOST);  // args, fence at 2048, code in the second page
  const uint64_t in_ptr = publish(&in, 1, BASE_VA), mid_ptr = publish(&mid, 2, BASE_VA + (1 << 24));
  const uint64_t out_ptr = publish(&out, 3, BASE_VA + (2 << 24)), back_ptr = publish(&back, 4, BASE_VA + (3 << 24));
  if (bind_range(&rest, 0, BASE_VA + (4 << 24), 2 * PAGE, RIGHTS_RW | DRM_NPU_VM_EXEC))
    bail("code: %s", strerror(errno));
  c.bounds[5].base = BASE_VA + (4 << 24);
  c.bounds[5].size = 2 * PAGE;
  __atomic_store_n(&c.bounds[5].ctl, BOUNDS_RW | NPU_BOUNDS_EXEC, __ATOMIC_RELEASE);
  const uint64_t rest_ptr = NPU_PTR(5, 0, BASE_VA + (4 << 24));
  const uint32_t code[] = {
      rv_ld(T0, 0, A0),    rv_ld(T1, 8, A0),    rv_ld(T2, 16, A0), rv_ld(T3, 24, A0),  rv_ld(T4, 0, T0),
      rv_mul(T4, T4, T3),  rv_add(T4, T4, T2),  rv_sd(T4, 0, T1),  rv_addi(T0, T0, 8), rv_addi(T1, T1, 8),
      rv_addi(T2, T2, -1), rv_bne(T2, X0, -28), rv_ret()};
  memcpy((uint8_t*)rest.map + PAGE, code, sizeof code);
  struct queue queue = queue_new(&c, 6);
  volatile uint64_t* args = rest.map;
  uint64_t random = 99, value = 0;
  while (!__atomic_load_n(&stage->done, __ATOMIC_ACQUIRE) && !stage->witness_error) {
    const uint64_t factor = next_random(&random) | 1;
    for (int i = 0; i < kWords; ++i) ((uint64_t*)in.map)[i] = next_random(&random);
    args[0] = mid_ptr, args[1] = out_ptr, args[2] = kWords, args[3] = factor;
    struct npu_packet there = copy_packet(mid_ptr, in_ptr, kWords * 8, 0, 0), clear = {.type = NPU_PKT_FILL};
    clear.u.fill = (struct npu_pkt_fill){.dst = back_ptr, .bytes = kWords * 8, .pattern = 0xdd, .pattern_bytes = 1};
    struct npu_packet launch = {.type = NPU_PKT_LAUNCH};
    launch.u.launch =
        (struct npu_pkt_launch){.entry = rest_ptr + PAGE, .args = rest_ptr, .args_bytes = 32, .grid = {1, 1, 1}};
    struct npu_packet home = copy_packet(back_ptr, out_ptr, kWords * 8, rest_ptr + 2048, ++value);
    put_packet(&queue, &there);
    put_packet(&queue, &clear);
    put_packet(&queue, &launch);
    put_packet(&queue, &home);
    ring_doorbell(&queue);
    if (wait_value(&rest, 2048, value, NPU_WAIT_EQ, 100000, queue.id)) stage->witness_error = errno;
    for (uint64_t i = 0; i < kWords && !stage->witness_error; ++i)
      stage->wrong += ((volatile uint64_t*)back.map)[i] != ((uint64_t*)in.map)[i] * factor + (kWords - i);
    ++stage->computed;
  }
  if (c.faults->written || c.faults->dropped) stage->witness_error = -1;
}

static pid_t start(int number) {
  fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) bail("fork: %s", strerror(errno));
  if (pid) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (number < 2)
    party_main(number);
  else
    witness_main();
  _exit(0);
}

int main(void) {
  const int watch = open_node();
  const uint64_t before = memory_info(watch).device_free;
  stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_barrierattr_t shared;
  pthread_barrierattr_init(&shared);
  pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init(&stage->barrier, &shared, 2);
  for (int n = 0; n < 2; ++n)
    for (int i = 0; i < kAttacks; ++i) stage->verdict[n][i] = stage->damage[n][i] = -1;  // until it has been run

  const pid_t witness = start(2), parties[2] = {start(0), start(1)};
  int status = 0;
  for (int n = 0; n < 2; ++n) {
    const pid_t ended = waitpid(parties[n], &status, 0);
    if (ended != parties[n] || status) {
      // The other would wait for it for ever.
      kill(parties[!n], SIGKILL);
      ok(0, "party %d ends well (status %#x)", n, status);
    }
  }
  __atomic_store_n(&stage->done, 1, __ATOMIC_RELEASE);
  waitpid(witness, &status, 0);

  for (int i = 0; i < kAttacks; ++i) {
    diag("%llu and %llu ms", (unsigned long long)stage->milliseconds[0][i],
         (unsigned long long)stage->milliseconds[1][i]);
    for (int n = 0; n < 2; ++n) {
      if (!ok(stage->verdict[n][i] == 0, "%s: party %d gets nothing", attacks[i].name, n))
        diag("line %d of the attack", stage->verdict[n][i]);
      if (!ok(stage->damage[n][i] == 0, "%s: party %d is whole", attacks[i].name, n))
        diag("line %d of the look at it", stage->damage[n][i]);
    }
  }
  is_equal(status, 0, "the third process ends well");
  is_equal((uint64_t)stage->witness_error, 0, "... without an error or a fault record");
  ok(stage->computed >= 3, "... has computed %llu rounds meanwhile", (unsigned long long)stage->computed);
  is_equal(stage->wrong, 0, "... all of them right to the bit");
  ok(free_returns_to(watch, before), "nothing is left of the three");
  close(watch);
  return tap_done();
}
