// SPDX-License-Identifier: Apache-2.0
//
// Errors that the bus reports while contexts work, and a reset.  tests/vm/bus.py plays the bus: a line "@ COMMAND" asks
// it for something, and what the guest sees of it says when it has happened.
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"
#include "drv.h"
#include "workers.h"

enum { kWorkers = 4 };

static void ask(const char* command) {
  printf("@ %s\n", command);
  fflush(stdout);
}

static uint64_t seconds_from_now(int n) {
  return now_ns() + n * 1000000000ull;
}

// Of the kernel's counters of errors that this device has reported: the line of that name, or -1.
static int errors(const char* file, const char* name) {
  char path[256], line[128], key[64];
  int n, value = -1;
  snprintf(path, sizeof path, "%s/%s", sysfs_path(), file);
  FILE* f = fopen(path, "r");
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "%63s %d", key, &n) == 2 && strcmp(key, name) == 0) value = n;
  if (f) fclose(f);
  return value;
}

// How often the kernel's log has the text.
static int logged(const char* text) {
  char command[160], answer[32] = "";
  snprintf(command, sizeof command, "dmesg | grep -c '%s'", text);
  FILE* f = popen(command, "r");
  if (!f || !fgets(answer, sizeof answer, f)) bail("dmesg: %s", strerror(errno));
  pclose(f);
  return atoi(answer);
}

static bool logged_soon(const char* text, int count) {
  for (const uint64_t end = seconds_from_now(60); now_ns() < end; poll(NULL, 0, 20))
    if (logged(text) >= count) return true;
  return false;
}

static bool all_move(struct worker* w) {
  uint64_t rounds[kWorkers];
  for (int i = 0; i < kWorkers; ++i) rounds[i] = w[i].rounds;
  for (const uint64_t end = seconds_from_now(60); now_ns() < end; poll(NULL, 0, 5)) {
    int moving = 0;
    for (int i = 0; i < kWorkers; ++i) moving += w[i].rounds > rounds[i] + 1;
    if (moving == kWorkers) return true;
  }
  return false;
}

static void reset_device(void) {
  char path[256];
  snprintf(path, sizeof path, "%s/reset", sysfs_path());
  const int fd = open(path, O_WRONLY);
  is_errno(fd < 0 || write(fd, "1", 1) != 1 ? -1 : 0, 0, "root resets the function");
  if (fd >= 0) close(fd);
}

static void check_workers(const char* what) {
  struct worker w[kWorkers];
  workers_start(w, kWorkers);
  const bool moving = all_move(w);
  is_equal(workers_end(w, kWorkers) + !moving, 0, what);
}

// Errors after which the device goes on as if nothing had happened, and a reset in between.
static void test_mild_errors(void) {
  struct worker w[kWorkers];
  const int resets = atoi(read_attribute("device_resets"));
  workers_start(w, kWorkers);
  ok(all_move(w), "workers work");
  ask("aer RCVR");
  for (const uint64_t end = seconds_from_now(60); errors("aer_dev_correctable", "RxErr") < 1 && now_ns() < end;)
    poll(NULL, 0, 20);
  is_equal(errors("aer_dev_correctable", "RxErr"), 1, "the kernel has heard of a correctable error");
  ok(all_move(w), "workers go on after it");
  ask("aer COMP_TIME");
  ok(logged_soon("npu.*goes on after a bus error", 1), "the driver's handlers run at a non-fatal error");
  is_equal(errors("aer_dev_nonfatal", "CmpltTO"), 1, "the kernel counts it");
  ok(all_move(w), "workers go on after it");
  is_equal(atoi(read_attribute("device_resets")), resets, "the device was not reset");
  reset_device();
  ok(all_move(w), "workers go on after a reset of the function");
  is_equal(workers_end(w, kWorkers), 0, "and not a bit is wrong");
}

// Whether the slot can be reset is the bus's affair.  If not, nobody may wait for ever.
static void test_fatal_error(void) {
  struct worker w[kWorkers];
  workers_start(w, kWorkers);
  ok(all_move(w), "workers work again");
  ask("aer DLP");
  ok(logged_soon("npu.*the bus reports an error", 2), "the driver hears of a fatal error");
  ok(logged_soon("npu.*goes on after a bus error\\|npu.*the device is wedged", 2), "it goes on or gives up");
  workers_end(w, kWorkers);
  int strange = 0;
  for (int i = 0; i < kWorkers; ++i)
    strange += w[i].error ? w[i].error != ENODEV && w[i].error != EIO : w[i].wrong != 0;
  is_equal(strange, 0, "workers go on without a wrong bit, or end with an error that says why");
  // QEMU's ports come back; the kernel does not wait for ever on a busy machine.
  if (logged("npu.*goes on after a bus error") < 2)
    skip("new contexts after the reset of the slot: its port has not come back");
  else
    check_workers("new contexts work after the reset of the slot");
}

// Another function of the slot wants a reset (tests/vm/neighbour), so the slot counts as reset.  Nothing was; the
// device has worked all the time, and its memory is what it was.
static void test_neighbour(void) {
  enum { kErrors = 5 };
  struct worker w[kWorkers];
  const int resets = atoi(read_attribute("device_resets"));
  workers_start(w, kWorkers);
  ok(all_move(w), "workers work");
  for (int i = 1; i <= kErrors; ++i) {
    ask("aer COMP_TIME");
    ok(logged_soon("npu.*goes on after a bus error", i), "the driver's handlers run at a non-fatal error");
    is_equal(logged("neighbour.s slot has been reset"), i, "the slot counts as reset");
    is_equal(atoi(read_attribute("device_resets")), resets + i, "so the device was");
    ok(all_move(w), "workers go on after it");
  }
  is_equal(workers_end(w, kWorkers), 0, "and not a bit is wrong");
  is_equal(logged("memory was lost"), 0, "its memory was never given up");
}

// The driver is taken away between an error and the reset of the slot: who touches the device's memory gets SIGBUS.
static void test_unbind(void) {
  char target[PATH_MAX];
  int status = 0;
  pid_t ended = 0;
  if (!realpath(sysfs_path(), target)) bail("%s: %s", sysfs_path(), strerror(errno));
  struct context c = context_new();
  struct buffer b = buffer_new(&c, PAGE, DRM_NPU_BO_DEVICE);
  const pid_t child = fork();
  if (child == 0)
    for (;;) (void)*(volatile uint64_t*)b.map;
  ask("aer DLP");
  ok(logged_soon("npu.*the bus reports an error", 1), "the driver hears of a fatal error");
  const char* bdf = strrchr(target, '/') + 1;
  const int fd = open("/sys/bus/pci/drivers/npu/unbind", O_WRONLY);
  is_errno(fd < 0 || write(fd, bdf, strlen(bdf)) < 0 ? -1 : 0, 0, "the driver is unbound");
  close(fd);
  for (const uint64_t end = seconds_from_now(60); !ended && now_ns() < end; poll(NULL, 0, 20))
    ended = waitpid(child, &status, WNOHANG);
  ok(ended == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS,
     "a process that reads its memory gets SIGBUS");
  kill(child, SIGKILL);
}

static void no_complaints(void) {
  is_equal(logged("WARNING: \\|BUG: \\|Call Trace\\|blocked for more"), 0, "the kernel has not complained");
}

int main(int argc, char** argv) {
  if (errors("aer_dev_fatal", "DLP") < 0) bail("the kernel does not watch for errors of this device");
  if (argc > 1 && strcmp(argv[1], "unbind") == 0) {
    test_unbind();
    no_complaints();
    return tap_done();
  }
  if (argc > 1 && strcmp(argv[1], "neighbour") == 0) {
    test_neighbour();
    no_complaints();
    return tap_done();
  }
  test_mild_errors();
  check_workers("new contexts work, and not a bit is wrong");
  test_fatal_error();
  no_complaints();
  return tap_done();
}
