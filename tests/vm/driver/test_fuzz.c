// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer: four processes make random calls on the driver, while root injects errors into the device and resets it.
// The work comes in rounds: after each, all processes have ended (by themselves, with everything open, or killed), the
// device is brought back if it was given up, and must compute right.  The kernel's log must not have a report.
//
//   driver-fuzz-test [CALLS [SEED]]     (NPU_FUZZ_CALLS, NPU_FUZZ_SEED; 5000 and 1)
//
// What a process does follows from the seed; how the processes meet does not.
#include "fuzz.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"
#include "reach.h"

enum { kProcesses = 4, kRound = 500, kWords = 2048 };
// Basic blocks of the driver that calls alone reach, of some 3100: fewer mean that calls are refused at the door.
enum { kReached = 1100 };

static struct shared {
  struct fuzz_counts counts;
  uint64_t injections, resets;  // by the injector
  int stop;                     // set by the parent: the injector ends
  struct reach reach;
} * shared;

static int kernel_log;

// What the kernel's checkers write, and what no driver may cause.
static const char* const reports[] = {
    "BUG:",         "WARNING:",          "KASAN:",         "UBSAN:",        "Oops",         "INFO: task",
    "refcount_t:",  "general protect",   "list_add corr",  "list_del corr", "possible cir", "possible rec",
    "possible irq", "inconsistent lock", "suspicious RCU", "DMA-API: npu",  "ODEBUG:",      "scheduling while",
    "Call Trace",   "blocked for more"};

// Lines of the kernel's log since the last call that are reports; prints the first ones.
static int log_reports(void) {
  char line[2048];
  int found = 0;
  for (;;) {
    const ssize_t n = read(kernel_log, line, sizeof line - 1);
    if (n < 0 && errno == EPIPE) continue;  // overtaken by the ring: older lines are lost
    if (n <= 0) return found;
    line[n] = 0;
    for (unsigned i = 0; i < sizeof reports / sizeof *reports; ++i)
      if (strstr(line, reports[i])) {
        if (++found < 20) diag("%s", line);
        break;
      }
  }
}

static int write_file(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const int ret = write(fd, text, strlen(text)) < 0 ? -1 : 0;
  close(fd);
  return ret;
}

static void read_away(const char* path) {
  char bytes[4096];
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return;
  while (read(fd, bytes, sizeof bytes) > 0) {
  }
  close(fd);
}

static void device_file(char* path, size_t bytes, const char* name) {
  snprintf(path, bytes, "%s/%s", sysfs_path(), name);
}

static void debug_file(char* path, size_t bytes, const char* name) {
  static char slot[32];  // the device's name on its bus
  char target[PATH_MAX];
  if (!*slot && !realpath(sysfs_path(), target)) bail("%s: %s", sysfs_path(), strerror(errno));
  if (!*slot) snprintf(slot, sizeof slot, "%s", strrchr(target, '/') + 1);
  snprintf(path, bytes, "/sys/kernel/debug/accel/%s/%s", slot, name);
}

static uint64_t draw(uint64_t* random) {
  *random ^= *random << 13;
  *random ^= *random >> 7;
  *random ^= *random << 17;
  return *random;
}

static void inject(uint64_t* random) {
  char path[PATH_MAX], text[96];
  uint32_t kind = 1 + (uint32_t)(draw(random) % (NPU_INJ_KINDS - 1));
  // What takes the device seconds to get over comes seldom: the processes are to do something, too.
  if ((kind == NPU_INJ_FW_CRASH || kind == NPU_INJ_HANG) && draw(random) % 40) kind = NPU_INJ_LOST_IRQ;
  const uint64_t addr = draw(random) % 2 ? draw(random) % 3 : draw(random) % 2 ? UINT64_MAX : draw(random) % (64 << 20);
  snprintf(text, sizeof text, "%u %u %lld %u", kind, 1 + (uint32_t)(draw(random) % 3), (long long)addr,
           (uint32_t)draw(random));
  debug_file(path, sizeof path, "inject");
  if (write_file(path, text) == 0) ++shared->injections;
}

static void act_as_root(uint64_t* random) {
  static const char* const attributes[] = {"fw_state", "fw_version", "fw_error", "health",   "temp_mc",    "ecc_ce",
                                           "hw_tree",  "hangs",      "uevent",   "power_mw", "memory_free"};
  char path[PATH_MAX];
  const uint32_t what = (uint32_t)(draw(random) % 400);
  if (what < 240) {
    inject(random);
  } else if (what < 390) {
    device_file(path, sizeof path, attributes[draw(random) % (sizeof attributes / sizeof *attributes)]);
    read_away(path);
  } else if (what < 395) {
    debug_file(path, sizeof path, "lose_memory");
    write_file(path, "1");
  } else if (what < 398) {
    device_file(path, sizeof path, what == 395 ? "fw_reload" : "reset");
    if (write_file(path, "1") == 0) ++shared->resets;
  }
}

// Root, beside the fuzzers: errors of every kind, resets, and a reader of everything there is to read.  Something
// happens every dozen calls, however long they take.
static void injector(uint64_t random) {
  char path[PATH_MAX];
  uint64_t next = __atomic_load_n(&shared->counts.calls, __ATOMIC_RELAXED);
  while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
    if (__atomic_load_n(&shared->counts.calls, __ATOMIC_RELAXED) < next) {
      poll(NULL, 0, 10);
      continue;
    }
    act_as_root(&random);
    next += 1 + draw(&random) % 24;
  }
  debug_file(path, sizeof path, "inject");
  write_file(path, "0");
}

static void worker(uint64_t seed, uint64_t calls) {
  static struct fuzzer f;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  write_file("/proc/self/oom_score_adj", "1000");
  fuzz_init(&f, seed, &shared->counts);
  reach_begin(&shared->reach);
  while (f.calls < calls) {
    fuzz_step(&f);
    reach_collect(&shared->reach);
  }
  if (seed % 3 == 0) fuzz_end(&f);
  if (seed % 3 == 1) raise(SIGKILL);
  _exit(0);  // with everything open
}

static pid_t start(void (*body)(uint64_t, uint64_t), uint64_t seed, uint64_t calls) {
  fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) bail("fork: %s", strerror(errno));
  if (pid == 0) {
    if (body)
      body(seed, calls);
    else
      injector(seed);
    _exit(0);
  }
  return pid;
}

// Waits for a process for ten minutes, which is long for what takes a second: a process that does not end then is
// stuck.
static bool ended(pid_t pid) {
  int status = 0;
  const uint64_t end = now_ns() + 600000000000ull;
  for (;;) {
    const pid_t got = waitpid(pid, &status, WNOHANG);
    if (got == pid) {
      const bool as_meant = status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
      if (!as_meant) diag("a process ends with status %#x", (unsigned)status);
      return as_meant;
    }
    if (now_ns() > end) break;
    poll(NULL, 0, 20);
  }
  kill(pid, SIGKILL);
  return false;
}

// A device that was given up, or whose firmware is gone, is brought back as an administrator would.
static bool bring_back(void) {
  char path[PATH_MAX];
  debug_file(path, sizeof path, "inject");
  if (write_file(path, "0") && errno != ENODEV) bail("%s: %s", path, strerror(errno));
  for (int i = 0; i < 50; ++i) {
    if (strcmp(read_attribute("fw_state"), "ready") == 0) return true;
    device_file(path, sizeof path, i % 2 ? "fw_reload" : "reset");
    write_file(path, "1");
    poll(NULL, 0, 100);
  }
  diag("fw_state: %s", read_attribute("fw_state"));
  return false;
}

// A pattern through all kinds of memory and back.
static bool computes(uint64_t salt) {
  struct context c = context_new();
  struct queue q = queue_new(&c, 4);
  struct buffer from = buffer_new(&c, kWords * 8, DRM_NPU_BO_HOST), mid = buffer_new(&c, kWords * 8, DRM_NPU_BO_DEVICE);
  struct buffer to = buffer_new(&c, kWords * 8 + PAGE, DRM_NPU_BO_HOST);
  const uint64_t from_ptr = publish(&from, 1, BASE_VA), mid_ptr = publish(&mid, 2, BASE_VA + (1 << 24));
  const uint64_t to_ptr = publish(&to, 3, BASE_VA + (2 << 24));
  for (uint64_t i = 0; i < kWords; ++i) ((uint64_t*)from.map)[i] = (i + salt) * 0x9e3779b97f4a7c15ull;
  const struct npu_packet out = copy_packet(mid_ptr, from_ptr, kWords * 8, 0, 0);
  const struct npu_packet back = copy_packet(to_ptr, mid_ptr, kWords * 8, to_ptr + kWords * 8, 1);
  put_packet(&q, &out);
  put_packet(&q, &back);
  ring_doorbell(&q);
  bool good = wait_value(&to, kWords * 8, 1, NPU_WAIT_EQ, 60000, q.id) == 0;
  if (!good) diag("wait: %s, queue state %u error %u", strerror(errno), q.status->state, q.status->error);
  for (uint64_t i = 0; i < kWords; ++i) good &= ((uint64_t*)to.map)[i] == (i + salt) * 0x9e3779b97f4a7c15ull;
  queue_free(&q);
  buffer_free(&from);
  buffer_free(&mid);
  buffer_free(&to);
  context_close(&c);
  return good;
}

static uint64_t number(const char* argument, const char* variable, uint64_t otherwise) {
  const char* text = argument ? argument : getenv(variable);
  if (!text || !*text) return otherwise;
  char* end;
  const uint64_t value = strtoull(text, &end, 0);
  if (*end || !value) bail("%s: not a number", text);
  return value;
}

int main(int argc, char** argv) {
  const uint64_t wanted = number(argc > 1 ? argv[1] : NULL, "NPU_FUZZ_CALLS", 5000);
  const uint64_t seed = number(argc > 2 ? argv[2] : NULL, "NPU_FUZZ_SEED", 1);
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  kernel_log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (kernel_log < 0 || lseek(kernel_log, 0, SEEK_END) < 0) bail("/dev/kmsg: %s", strerror(errno));
  // More resets than a device in service should need: here they are made on purpose.
  write_file("/sys/module/npu/parameters/reset_limit", "16");
  const int watch = open_node();
  const uint64_t before = memory_info(watch).device_free;
  const char* unseen = reach_open(&shared->reach);

  const uint64_t start_time = now_ns();
  int stuck = 0, wrong = 0, dead = 0, found = 0, rounds = 0;
  while (shared->counts.calls < wanted && !stuck && !dead && !found) {
    pid_t pids[kProcesses];
    shared->stop = 0;
    const pid_t root = start(NULL, seed * 31 + (uint64_t)++rounds, 0);
    for (int i = 0; i < kProcesses; ++i)
      pids[i] = start(worker, seed * 1000003 + (uint64_t)rounds * kProcesses + i, kRound);
    for (int i = 0; i < kProcesses; ++i) stuck += !ended(pids[i]);
    __atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
    stuck += !ended(root);
    dead += !bring_back();
    if (!dead) wrong += !computes(seed + (uint64_t)rounds);
    found += log_reports();
    if (rounds % 10 == 0 || found || wrong || dead)
      diag("%llu calls, %.0f s", (unsigned long long)shared->counts.calls, (now_ns() - start_time) / 1e9);
  }
  diag(
      "%llu calls in %d rounds and %.0f s, seed %llu: %llu succeeded; %llu touches of mappings, %llu injections, %llu "
      "resets",
      (unsigned long long)shared->counts.calls, rounds, (now_ns() - start_time) / 1e9, (unsigned long long)seed,
      (unsigned long long)shared->counts.good, (unsigned long long)shared->counts.touches,
      (unsigned long long)shared->injections, (unsigned long long)shared->resets);
  fuzz_print_times(&shared->counts);
  ok(shared->counts.calls >= wanted, "%llu calls are made", (unsigned long long)wanted);
  is_equal((unsigned)stuck, 0, "every process ends");
  is_equal((unsigned)dead, 0, "the device can be brought back after each round");
  is_equal((unsigned)wrong, 0, "... and computes right");
  is_equal((unsigned)found, 0, "the kernel's log has no report");
  // A short run may miss what needs several things at once to be so.
  for (int i = 0; i < call_count; ++i)
    ok(shared->counts.good_by_call[i] > 0 || wanted < 50000, "%s: %llu calls have succeeded", calls[i].name,
       (unsigned long long)shared->counts.good_by_call[i]);
  ok(shared->counts.good * 10 > shared->counts.calls, "more than a tenth of the calls do something");
  ok(shared->injections > 0, "errors were injected");
  if (unseen)
    skip("what the calls reach is not counted: %s", unseen);
  else
    ok(reach_count(&shared->reach) >= kReached || wanted < 50000, "%u places of the driver are reached",
       reach_count(&shared->reach));
  ok(free_returns_to(watch, before), "no device memory is lost");
  close(watch);
  return tap_done();
}
