// SPDX-License-Identifier: Apache-2.0
//
// The device leaves its driver while it is used: calls end, mappings end, and after a new bind it works again.
#include "drv.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include "../tap.h"

static char bdf[64];

static void find_bdf(void) {
  char target[PATH_MAX];
  if (!realpath(sysfs_path(), target)) bail("%s: %s", sysfs_path(), strerror(errno));
  snprintf(bdf, sizeof bdf, "%s", strrchr(target, '/') + 1);
}

static int write_driver(const char* file) {
  char path[128];
  snprintf(path, sizeof path, "/sys/bus/pci/drivers/npu/%s", file);
  const int fd = open(path, O_WRONLY);
  if (fd < 0) bail("%s: %s", path, strerror(errno));
  const int ret = write(fd, bdf, strlen(bdf)) > 0 ? 0 : -1;
  const int error = errno;
  close(fd);
  errno = error;
  return ret;
}

static sigjmp_buf bus_error;
static void on_bus_error(int signal_number) {
  siglongjmp(bus_error, signal_number);
}

// SIGBUS when the byte is not there any more.
static int touch(volatile void* p) {
  struct sigaction action = {.sa_handler = on_bus_error}, old;
  sigaction(SIGBUS, &action, &old);
  const int caught = sigsetjmp(bus_error, 1);
  if (!caught) *(volatile uint64_t*)p = 1;
  sigaction(SIGBUS, &old, NULL);
  return caught;
}

struct sleeper {
  pthread_t thread;
  struct buffer* fence;
  int ret, error;
};

static void* sleep_for_ever(void* arg) {
  struct sleeper* s = arg;
  s->ret = wait_value(s->fence, 0, 1, NPU_WAIT_EQ, -1, NO_QUEUE);
  s->error = errno;
  return NULL;
}

static void test_unbind(void) {
  struct context c = context_new();
  struct buffer host = buffer_new(&c, 1 << 20, DRM_NPU_BO_HOST), device = buffer_new(&c, PAGE, DRM_NPU_BO_DEVICE);
  const uint64_t host_ptr = publish(&host, 1, BASE_VA);
  publish(&device, 2, BASE_VA + (1 << 21));
  struct queue q = queue_new(&c, 6);
  // Stands at a wait packet, with copies behind it.
  struct npu_packet wait = packet_of(NPU_PKT_WAIT, 0, 0);
  wait.u.wait = (struct npu_pkt_wait){.addr = host_ptr + 64, .value = 1, .cond = NPU_WAIT_EQ};
  put_packet(&q, &wait);
  ring_doorbell(&q);
  *(volatile uint64_t*)device.map = 1;
  struct sleeper s[4];
  for (int i = 0; i < 4; ++i) {
    s[i] = (struct sleeper){.fence = &host};
    pthread_create(&s[i].thread, NULL, sleep_for_ever, &s[i]);
  }
  poll(NULL, 0, 50);

  is_errno(write_driver("unbind"), 0, "unbind while a context, a queue and four sleepers are there");
  int woken = 0;
  for (int i = 0; i < 4; ++i) {
    pthread_join(s[i].thread, NULL);
    woken += s[i].ret != 0 && s[i].error == ENODEV;
  }
  is_equal(woken, 4, "the sleepers wake with ENODEV");
  struct drm_npu_bo_create create = {.size = PAGE, .flags = DRM_NPU_BO_HOST};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_BO_CREATE, &create), ENODEV, "bo_create afterwards");
  is_errno(bind_range(&host, 0, BASE_VA, PAGE, RIGHTS_RW), ENODEV, "vm_bind afterwards");
  struct drm_npu_queue_destroy destroy = {.queue = q.id};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy), ENODEV, "queue_destroy afterwards");
  is_equal(touch(&q.doorbell[0]), SIGBUS, "the doorbell: SIGBUS");
  is_equal(touch(device.map), SIGBUS, "device memory: SIGBUS");
  context_close(&c);

  is_errno(write_driver("bind"), 0, "bind again");
}

static void check_works(const char* what) {
  struct context c = context_new();
  struct queue q = queue_new(&c, 4);
  struct buffer b = buffer_new(&c, PAGE, DRM_NPU_BO_HOST);
  const struct npu_packet packet = packet_of(NPU_PKT_NOP, publish(&b, 1, BASE_VA), 1);
  put_packet(&q, &packet);
  ring_doorbell(&q);
  is_errno(wait_value(&b, 0, 1, NPU_WAIT_EQ, 20000, q.id), 0, what);
  queue_free(&q);
  buffer_free(&b);
  context_close(&c);
}

int main(void) {
  find_bdf();
  test_unbind();
  check_works("the device works after it");
  int failed = 0;
  for (int i = 0; i < 10; ++i) failed += write_driver("unbind") || write_driver("bind");
  is_equal(failed, 0, "10 times unbind and bind");
  check_works("the device still works");
  return tap_done();
}
