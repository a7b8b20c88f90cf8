// SPDX-License-Identifier: Apache-2.0
#include "victims.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"
#include "drv.h"

static sigjmp_buf bus_error;
static void on_bus_error(int signal_number) {
  siglongjmp(bus_error, signal_number);
}

// SIGBUS when the byte is not there any more.
int touch(volatile void* p) {
  struct sigaction action = {.sa_handler = on_bus_error}, old;
  sigaction(SIGBUS, &action, &old);
  const int caught = sigsetjmp(bus_error, 1);
  if (!caught) *(volatile uint64_t*)p = 1;
  sigaction(SIGBUS, &old, NULL);
  return caught;
}

// A process that works until the device is gone; 0: it saw that, and nothing else.
static int work_until_gone(int started) {
  struct context c = context_new();
  struct queue q = queue_new(&c, 5);
  struct buffer fence = buffer_new(&c, PAGE, DRM_NPU_BO_HOST), device = buffer_new(&c, 1 << 16, DRM_NPU_BO_DEVICE);
  const uint64_t fence_ptr = publish(&fence, 1, BASE_VA), device_ptr = publish(&device, 2, BASE_VA + (1 << 21));
  struct sigaction action = {.sa_handler = on_bus_error};
  sigaction(SIGBUS, &action, NULL);
  volatile int error = 0;
  // The ring and the doorbell end with SIGBUS, calls with ENODEV: either is the end.
  if (!sigsetjmp(bus_error, 1)) {
    for (uint64_t n = 1; !error; ++n) {
      const struct npu_packet packet = copy_packet(device_ptr + 4096, device_ptr, 4096, fence_ptr, n);
      put_packet(&q, &packet);
      ring_doorbell(&q);
      if (wait_value(&fence, 0, n, NPU_WAIT_EQ, 60000, q.id)) error = errno;
      if (n == 3 && write(started, "", 1) != 1) return 3;
    }
    // Unbinding marks queues as dead, too.
    if (error != ENODEV && error != EIO) return 1;
  }
  struct drm_npu_bo_create create = {.size = PAGE, .flags = DRM_NPU_BO_HOST};
  return npu_ioctl(c.fd, DRM_IOCTL_NPU_BO_CREATE, &create) && errno == ENODEV ? 0 : 2;
}

void victims_start(struct victims* victims) {
  int started[2];
  if (pipe(started)) bail("pipe: %s", strerror(errno));
  for (int i = 0; i < kVictims; ++i) {
    victims->pids[i] = fork();
    if (victims->pids[i] < 0) bail("fork: %s", strerror(errno));
    if (victims->pids[i] == 0) _exit(work_until_gone(started[1]));
  }
  char byte;
  for (int i = 0; i < kVictims; ++i)
    if (read(started[0], &byte, 1) != 1) bail("pipe: %s", strerror(errno));
  close(started[0]);
  close(started[1]);
}

int victims_end(struct victims* victims) {
  int bad = 0;
  for (int i = 0; i < kVictims; ++i) {
    int status;
    if (waitpid(victims->pids[i], &status, 0) != victims->pids[i]) bail("waitpid: %s", strerror(errno));
    bad += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    if (status) diag("process %d: status %#x", i, status);
  }
  return bad;
}
