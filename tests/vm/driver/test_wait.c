// SPDX-License-Identifier: Apache-2.0
//
// Sleeping: by interrupt, to the deadline, through signals, many at once; and no interrupt when nobody sleeps.
#include "rig.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "../tap.h"
#include "sleeper.h"

static void test_sleep(uint32_t flags, const char* name) {
  struct rig r;
  rig_open_with(&r, 8, flags);
  int failed = 0;
  for (uint64_t i = 1; i <= 50; ++i) {
    struct sleeper s = {.fence = &r.fence, .value = i, .queue = r.queue.id};
    submit_gated(&r, i, i);
    if (i % 2)  // both orders: the value after the sleep, and perhaps before it
      sleeper_start_asleep(&s);
    else
      sleeper_start(&s);
    open_gate(&r, i);
    failed += sleeper_end(&s) != 0;
  }
  ok(failed == 0, "50 sleepers are woken, fence in %s memory", name);
  rig_close(&r);
}

static void test_many_sleepers(void) {
  enum { kSleepers = 32 };
  struct rig r;
  struct sleeper s[kSleepers];
  rig_open_with(&r, 8, DRM_NPU_BO_HOST);
  for (int i = 0; i < kSleepers; ++i) {
    s[i] = (struct sleeper){.fence = &r.fence, .value = i + 1, .queue = r.queue.id};
    sleeper_start(&s[i]);
  }
  int failed = 0;
  for (int i = 0; i < kSleepers; ++i) {
    submit_gated(&r, i + 1, i + 1);
    open_gate(&r, i + 1);
    failed += sleeper_end(&s[i]) != 0;
  }
  is_equal(failed, 0, "32 sleepers on one word, each with a value of its own");
  rig_close(&r);
}

static void test_deadline(void) {
  struct rig r;
  rig_open_with(&r, 8, DRM_NPU_BO_HOST);
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
  rig_open_with(&r, 8, DRM_NPU_BO_HOST);
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

static void test_queue_ends(void) {
  struct rig r;
  rig_open_with(&r, 8, DRM_NPU_BO_HOST);
  struct sleeper s = {.fence = &r.fence, .value = 1, .queue = r.queue.id};
  sleeper_start_asleep(&s);
  struct drm_npu_queue_destroy destroy = {.queue = r.queue.id};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy), 0, "a queue is destroyed");
  ok(sleeper_end(&s) && s.error == EIO, "which ends a wait with EIO");
  buffer_free(&r.fence);
  buffer_free(&r.out);
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
  rig_open_with(&r, 8, DRM_NPU_BO_HOST);
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
  struct sleeper s = {.fence = &r.fence, .value = 1000, .queue = r.queue.id};
  submit_gated(&r, 1000, 1000);
  sleeper_start_asleep(&s);
  open_gate(&r, 1000);
  is_equal(sleeper_end(&s), 0, "a sleeper is woken");
  const unsigned long long interrupts = fence_interrupts(-1) - before;
  ok(interrupts >= 1 && interrupts <= 2, "by an interrupt");
  rig_close(&r);
}

static void sleep_once_on(struct rig* r, int cpu, uint64_t value) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  struct sleeper s = {.fence = &r->fence, .value = value, .queue = r->queue.id, .cpus = &cpus};
  submit_gated(r, value, value);
  sleeper_start_asleep(&s);
  open_gate(r, value);
  if (sleeper_end(&s)) bail("a sleeper on CPU %d: %s", cpu, strerror(s.error));
}

// The interrupt comes to the CPU on which the sleeper lay down.
static void test_wakes_where_it_sleeps(void) {
  struct rig r;
  rig_open_with(&r, 8, DRM_NPU_BO_HOST);
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
    rig_open_with(&r, 8, DRM_NPU_BO_HOST);
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
