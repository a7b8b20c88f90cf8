// SPDX-License-Identifier: Apache-2.0
//
// Processes that end in the middle of things leave nothing behind.
#include "drv.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"

#define FENCE_VA 0x10000000ull

// A context with everything, at work: copies in one queue, a wait that never ends in another, a faulted third.
static int work_and_vanish(void* arg) {
  const int rounds = *(int*)arg;
  struct context c = context_new();
  struct buffer fence = buffer_new(&c, PAGE, DRM_NPU_BO_HOST);
  struct buffer a = buffer_new(&c, 4 << 20, DRM_NPU_BO_DEVICE);
  struct buffer b = buffer_new(&c, 4 << 20, DRM_NPU_BO_HOST);
  const uint64_t fence_ptr = publish(&fence, 1, FENCE_VA);
  const uint64_t a_ptr = publish(&a, 2, BASE_VA), b_ptr = publish(&b, 3, BASE_VA + (64 << 20));
  struct queue copies = queue_new(&c, 8), waits = queue_new(&c, 4), faults = queue_new(&c, 4);

  for (int i = 0; i < rounds; ++i) {
    const struct npu_packet packet = i % 2 ? copy_packet(a_ptr, b_ptr, 4 << 20, fence_ptr, i + 1)
                                           : copy_packet(b_ptr, a_ptr, 4 << 20, fence_ptr, i + 1);
    put_packet(&copies, &packet);
  }
  ring_doorbell(&copies);
  const struct npu_packet wait = wait_packet(fence_ptr + 8, 1, NPU_WAIT_EQ, 0, 0);
  put_packet(&waits, &wait);
  ring_doorbell(&waits);
  const struct npu_packet garbage = {.type = 77};
  put_packet(&faults, &garbage);
  ring_doorbell(&faults);
  return 0;  // without closing, unmapping, or waiting for anything
}

static int vanish_by_signal(void* arg) {
  work_and_vanish(arg);
  raise(SIGKILL);
  return 1;
}

static int sleep_for_ever(void* arg) {
  const int ready = *(int*)arg;
  struct context c = context_new();
  struct buffer fence = buffer_new(&c, PAGE, DRM_NPU_BO_HOST);
  if (write(ready, "x", 1) != 1) return 2;
  wait_value(&fence, 0, 1, NPU_WAIT_EQ, -1, NO_QUEUE);
  return 1;
}

// A sleeper can be killed.
static void test_kill_sleeper(void) {
  int ready[2];
  char byte;
  if (pipe(ready)) bail("pipe: %s", strerror(errno));
  fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) _exit(sleep_for_ever(&ready[1]));
  close(ready[1]);
  if (read(ready[0], &byte, 1) != 1) bail("the sleeper does not start");
  usleep(20000);
  kill(pid, SIGKILL);
  int status = 0;
  ok(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
     "a sleeper dies at SIGKILL");
  close(ready[0]);
}

int main(void) {
  const int watch = open_node();
  const uint64_t before = memory_info(watch).device_free;
  int rounds = 200;

  is_equal(in_child(work_and_vanish, &rounds), 0, "a process exits with copies, a wait and a fault in its queues");
  ok(free_returns_to(watch, before), "nothing of it is left");
  is_equal(in_child(vanish_by_signal, &rounds), 128 + SIGKILL, "a process is killed in the middle of copies");
  ok(free_returns_to(watch, before), "nothing of it is left");
  test_kill_sleeper();
  ok(free_returns_to(watch, before), "nothing of it is left");

  rounds = 4;
  int failed = 0;
  for (int i = 0; i < 30; ++i) failed += in_child(work_and_vanish, &rounds) != 0;
  is_equal(failed, 0, "30 more processes, one after another");
  ok(free_returns_to(watch, before), "nothing of them is left");

  // Side by side.
  fflush(stdout);
  for (int i = 0; i < 8; ++i)
    if (fork() == 0) _exit(work_and_vanish(&rounds));
  int status, bad = 0;
  for (int i = 0; i < 8; ++i) bad += wait(&status) < 0 || status != 0;
  is_equal(bad, 0, "8 at once");
  ok(free_returns_to(watch, before), "nothing of them is left");

  // All contexts that the device has, and one more.
  int fds[NPU_MAX_CONTEXTS], count = 0, error = 0;
  while (count < (int)NPU_MAX_CONTEXTS && !error) {
    struct drm_npu_context_init init = {.fault_entries = 8, .fault_eventfd = -1};
    fds[count] = open_node();
    if (npu_ioctl(fds[count++], DRM_IOCTL_NPU_CONTEXT_INIT, &init)) error = errno;
  }
  is_equal(error, ENOSPC, "there is an end to contexts: ENOSPC");
  diag("%d contexts were had", count - 1);
  while (count > 0) close(fds[--count]);
  ok(free_returns_to(watch, before), "all are given back");
  struct context c = context_new();
  ok(c.id != 0, "and there is room again");
  context_close(&c);
  close(watch);
  return tap_done();
}
