// SPDX-License-Identifier: Apache-2.0
//
// Sleeping: by interrupt, to the deadline, through signals, many at once; and no interrupt when nobody sleeps.
#include "drv.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "../tap.h"

#define FENCE_VA 0x10000000ull

struct rig {
  struct context context;
  struct queue queue;
  struct buffer fence;
  uint64_t fence_ptr;
};

static void rig_open(struct rig* r, uint32_t flags) {
  r->context = context_new();
  r->queue = queue_new(&r->context, 8);
  r->fence = buffer_new(&r->context, 2 * PAGE, flags);
  r->fence_ptr = publish(&r->fence, 1, FENCE_VA);
}

static void rig_close(struct rig* r) {
  queue_free(&r->queue);
  buffer_free(&r->fence);
  context_close(&r->context);
}

// Holds the queue at a wait packet until word 1 of the fence's second page is `gate`, then signals value at offset 0.
static void submit_gated(struct rig* r, uint64_t gate, uint64_t value) {
  struct npu_packet wait = packet_of(NPU_PKT_WAIT, 0, 0);
  wait.u.wait = (struct npu_pkt_wait){.addr = r->fence_ptr + PAGE, .value = gate, .cond = NPU_WAIT_GE};
  const struct npu_packet signal_packet = packet_of(NPU_PKT_SIGNAL, r->fence_ptr, value);
  put_packet(&r->queue, &wait);
  put_packet(&r->queue, &signal_packet);
  ring_doorbell(&r->queue);
}

static void open_gate(struct rig* r, uint64_t gate) {
  __atomic_store_n((uint64_t*)((char*)r->fence.map + PAGE), gate, __ATOMIC_SEQ_CST);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  r->queue.doorbell[NPU_DB_KICK / 8] = 1;
}

struct sleeper {
  pthread_t thread;
  struct rig* rig;
  uint64_t value;
  int ret, error;
};

static void* sleep_for_value(void* arg) {
  struct sleeper* s = arg;
  s->ret = wait_value(&s->rig->fence, 0, s->value, NPU_WAIT_GE, 30000, s->rig->queue.id);
  s->error = errno;
  return NULL;
}

// The state letter of a thread of this process, so that a test knows that a waiter sleeps.
static char thread_state(int tid) {
  char path[64], text[256] = "";
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  FILE* f = fopen(path, "r");
  if (!f) return '?';
  const size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = 0;
  const char* end = strrchr(text, ')');
  return end ? end[2] : '?';
}

static void test_sleep(uint32_t flags, const char* name) {
  struct rig r;
  rig_open(&r, flags);
  int failed = 0;
  for (uint64_t i = 1; i <= 50; ++i) {
    struct sleeper s = {.rig = &r, .value = i};
    submit_gated(&r, i, i);
    pthread_create(&s.thread, NULL, sleep_for_value, &s);
    if (i % 2) usleep(2000);  // both orders: the value before the sleep, and after it
    open_gate(&r, i);
    pthread_join(s.thread, NULL);
    failed += s.ret != 0;
  }
  ok(failed == 0, "50 sleepers are woken, fence in %s memory", name);
  rig_close(&r);
}

static void test_many_sleepers(void) {
  enum { kSleepers = 32 };
  struct rig r;
  struct sleeper s[kSleepers];
  rig_open(&r, DRM_NPU_BO_HOST);
  for (int i = 0; i < kSleepers; ++i) {
    s[i] = (struct sleeper){.rig = &r, .value = i + 1};
    pthread_create(&s[i].thread, NULL, sleep_for_value, &s[i]);
  }
  int failed = 0;
  for (int i = 0; i < kSleepers; ++i) {
    submit_gated(&r, i + 1, i + 1);
    open_gate(&r, i + 1);
    pthread_join(s[i].thread, NULL);
    failed += s[i].ret != 0;
  }
  is_equal(failed, 0, "32 sleepers on one word, each with a value of its own");
  rig_close(&r);
}

static void test_deadline(void) {
  struct rig r;
  rig_open(&r, DRM_NPU_BO_HOST);
  const uint64_t start = now_ns();
  is_errno(wait_value(&r.fence, 0, 1, NPU_WAIT_EQ, 200, NO_QUEUE), ETIME, "a value that never comes");
  const uint64_t took = now_ns() - start;
  ok(took >= 200000000ull, "not before the deadline");
  ok(took < 5000000000ull, "and soon after it");
  rig_close(&r);
}

static volatile sig_atomic_t alarms;
static void on_alarm(int signal_number) {
  (void)signal_number;
  ++alarms;
}

// Signals interrupt the sleep; it is restarted and still ends at its own deadline.
static void test_signals(void) {
  struct rig r;
  rig_open(&r, DRM_NPU_BO_HOST);
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, old;
  const struct itimerval every = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
  sigaction(SIGALRM, &action, &old);
  setitimer(ITIMER_REAL, &every, NULL);
  const uint64_t start = now_ns();
  const int ret = wait_value(&r.fence, 0, 1, NPU_WAIT_EQ, 300, NO_QUEUE);
  const uint64_t took = now_ns() - start;
  setitimer(ITIMER_REAL, &never, NULL);
  is_errno(ret, ETIME, "a wait among signals");
  ok(alarms > 5, "there were signals");
  ok(took >= 300000000ull && took < 5000000000ull, "the deadline holds");

  // Without SA_RESTART the ioctl itself says EINTR.
  action.sa_flags = 0;
  sigaction(SIGALRM, &action, NULL);
  struct drm_npu_wait args = {
      .handle = r.fence.handle, .value = 1, .cond = NPU_WAIT_EQ, .queue = NO_QUEUE, .timeout_ns = INT64_MAX};
  setitimer(ITIMER_REAL, &every, NULL);
  extern int ioctl(int, unsigned long, ...);
  is_errno(ioctl(r.context.fd, DRM_IOCTL_NPU_WAIT, &args), EINTR, "an endless wait, interrupted");
  setitimer(ITIMER_REAL, &never, NULL);
  sigaction(SIGALRM, &old, NULL);
  rig_close(&r);
}

static void* destroy_when_asleep(void* arg) {
  struct sleeper* s = arg;
  const uint64_t end = now_ns() + 10000000000ull;
  while (thread_state(getpid()) != 'S' && now_ns() < end) usleep(1000);
  struct drm_npu_queue_destroy destroy = {.queue = s->rig->queue.id};
  s->ret = npu_ioctl(s->rig->context.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy);
  return NULL;
}

static void test_queue_ends(void) {
  struct rig r;
  rig_open(&r, DRM_NPU_BO_HOST);
  struct sleeper s = {.rig = &r};
  pthread_create(&s.thread, NULL, destroy_when_asleep, &s);
  is_errno(wait_value(&r.fence, 0, 1, NPU_WAIT_EQ, 20000, r.queue.id), EIO, "a wait whose queue is destroyed");
  pthread_join(s.thread, NULL);
  is_equal(s.ret, 0, "destroyed by another thread");
  buffer_free(&r.fence);
  context_close(&r.context);
}

// Of all NPUs' fences since the guest's start, on one CPU, or on all (-1).
static unsigned long long fence_interrupts(int cpu) {
  char line[4096];
  unsigned long long sum = 0;
  FILE* f = fopen("/proc/interrupts", "r");
  while (f && fgets(line, sizeof line, f)) {
    if (!strstr(line, "npu-fence")) continue;
    char* p = strchr(line, ':') + 1;
    char* end;
    for (int column = 0;; ++column, p = end) {
      const unsigned long long n = strtoull(p, &end, 10);
      if (end == p) break;
      if (cpu < 0 || column == cpu) sum += n;
    }
  }
  if (f) fclose(f);
  return sum;
}

// Interrupts are for sleepers only.
static void test_polled_is_silent(void) {
  struct rig r;
  rig_open(&r, DRM_NPU_BO_HOST);
  const unsigned long long before = fence_interrupts(-1);
  volatile uint64_t* fence = r.fence.map;
  for (uint64_t i = 1; i <= 200; ++i) {
    const struct npu_packet packet = packet_of(NPU_PKT_NOP, r.fence_ptr, i);
    put_packet(&r.queue, &packet);
    ring_doorbell(&r.queue);
    const uint64_t end = now_ns() + 20000000000ull;
    while (*fence != i)
      if (now_ns() > end) bail("packet %llu is not done", (unsigned long long)i);
  }
  is_equal(fence_interrupts(-1) - before, 0, "200 polled packets make no interrupt");
  struct sleeper s = {.rig = &r, .value = 1000};
  submit_gated(&r, 1000, 1000);
  pthread_create(&s.thread, NULL, sleep_for_value, &s);
  usleep(50000);  // asleep by now, most likely: the value comes afterwards in any case
  open_gate(&r, 1000);
  pthread_join(s.thread, NULL);
  is_equal(s.ret, 0, "a sleeper is woken");
  const unsigned long long interrupts = fence_interrupts(-1) - before;
  ok(interrupts >= 1 && interrupts <= 2, "by an interrupt");
  rig_close(&r);
}

struct pinned_sleeper {
  struct sleeper sleeper;
  int cpu;
  pid_t thread_id;  // set last
};

static void* sleep_on_cpu(void* arg) {
  struct pinned_sleeper* p = arg;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(p->cpu, &cpus);
  if (sched_setaffinity(0, sizeof cpus, &cpus)) bail("CPU %d: %s", p->cpu, strerror(errno));
  __atomic_store_n(&p->thread_id, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
  return sleep_for_value(&p->sleeper);
}

// Whether the thread sleeps in the kernel.
static bool asleep(pid_t thread) {
  char path[64], line[256] = "";
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
  FILE* f = fopen(path, "r");
  const char* name_end = f && fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
  if (f) fclose(f);
  return name_end && name_end[1] && name_end[2] == 'S';
}

static void sleep_once_on(struct rig* r, int cpu, uint64_t value) {
  struct pinned_sleeper p = {.sleeper = {.rig = r, .value = value}, .cpu = cpu};
  submit_gated(r, value, value);
  pthread_create(&p.sleeper.thread, NULL, sleep_on_cpu, &p);
  while (!__atomic_load_n(&p.thread_id, __ATOMIC_ACQUIRE) || !asleep(p.thread_id)) usleep(100);
  open_gate(r, value);
  pthread_join(p.sleeper.thread, NULL);
  if (p.sleeper.ret) bail("a sleeper on CPU %d: %s", cpu, strerror(p.sleeper.error));
}

// The interrupt comes to the CPU on which the sleeper lay down.
static void test_wakes_where_it_sleeps(void) {
  struct rig r;
  rig_open(&r, DRM_NPU_BO_HOST);
  uint64_t value = 0;
  const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  for (int cpu = 0; cpu < cpus && cpu < 4; ++cpu) {
    // The kernel moves a vector to its CPU when it comes for the first time.
    for (int i = 0; i < 4; ++i) sleep_once_on(&r, cpu, ++value);
    const unsigned long long before = fence_interrupts(cpu);
    for (int i = 0; i < 4; ++i) sleep_once_on(&r, cpu, ++value);
    ok(fence_interrupts(cpu) - before >= 4, "four sleeps on CPU %d are ended by interrupts of CPU %d", cpu, cpu);
  }
  rig_close(&r);
}

#define SPIN "/sys/module/npu/parameters/wait_spin_us"

static void set_spin(unsigned us) {
  FILE* f = fopen(SPIN, "w");
  if (!f || fprintf(f, "%u", us) < 0 || fclose(f)) bail(SPIN ": %s", strerror(errno));
}

static uint64_t thread_cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

// Waiters look a while before they sleep: not at all, or as long as may be, all see the value, and long waits sleep.
static void test_spin(void) {
  enum { kRounds = 100, kLong = 20 };
  static const unsigned kSpins[] = {0, 25, 1000, 4000000000};
  for (unsigned i = 0; i < sizeof kSpins / sizeof *kSpins; ++i) {
    struct rig r;
    rig_open(&r, DRM_NPU_BO_HOST);
    set_spin(kSpins[i]);
    int failed = 0;
    for (uint64_t n = 1; n <= kRounds; ++n) {
      const struct npu_packet packet = packet_of(NPU_PKT_SIGNAL, r.fence_ptr, n);
      put_packet(&r.queue, &packet);
      ring_doorbell(&r.queue);
      failed += wait_value(&r.fence, 0, n, NPU_WAIT_GE, 30000, r.queue.id) != 0;
    }
    ok(!failed, "short waits that may look for %u us see their values", kSpins[i]);
    const uint64_t wall = now_ns(), used = thread_cpu_ns();
    for (int n = 0; n < kLong; ++n) failed += wait_value(&r.fence, 0, 1000, NPU_WAIT_GE, 50, r.queue.id) == 0;
    ok(!failed && (thread_cpu_ns() - used) * 2 < now_ns() - wall, "long ones sleep");
    rig_close(&r);
  }
  set_spin(25);
}

int main(void) {
  test_sleep(DRM_NPU_BO_HOST, "host");
  test_sleep(DRM_NPU_BO_DEVICE, "device");
  test_many_sleepers();
  test_deadline();
  test_signals();
  test_queue_ends();
  test_polled_is_silent();
  test_wakes_where_it_sleeps();
  test_spin();
  return tap_done();
}
