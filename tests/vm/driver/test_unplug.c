// SPDX-License-Identifier: Apache-2.0
//
// The device leaves its driver while it is used: calls end, mappings end, and after a new bind it works again.
#include "drv.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../tap.h"
#include "sleeper.h"
#include "victims.h"

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

static void test_unbind(void) {
  struct context c = context_new();
  struct buffer host = buffer_new(&c, 1 << 20, DRM_NPU_BO_HOST), device = buffer_new(&c, PAGE, DRM_NPU_BO_DEVICE);
  const uint64_t host_ptr = publish(&host, 1, BASE_VA);
  publish(&device, 2, BASE_VA + (1 << 21));
  struct queue q = queue_new(&c, 6);
  // Stands at a wait packet, with copies behind it.
  const struct npu_packet wait = wait_packet(host_ptr + 64, 1, NPU_WAIT_EQ, 0, 0);
  put_packet(&q, &wait);
  ring_doorbell(&q);
  *(volatile uint64_t*)device.map = 1;
  ((volatile uint64_t*)host.map)[1] = 4711;
  struct sleeper s[4];
  for (int i = 0; i < 4; ++i) {
    s[i] = (struct sleeper){.fence = &host, .value = 1, .queue = NO_QUEUE};
    sleeper_start_asleep(&s[i]);
  }

  is_errno(write_driver("unbind"), 0, "unbind while a context, a queue and four sleepers are there");
  int woken = 0;
  for (int i = 0; i < 4; ++i) {
    woken += sleeper_end(&s[i]) != 0 && s[i].error == ENODEV;
  }
  is_equal(woken, 4, "the sleepers wake with ENODEV");
  struct drm_npu_bo_create create = {.size = PAGE, .flags = DRM_NPU_BO_HOST};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_BO_CREATE, &create), ENODEV, "bo_create afterwards");
  is_errno(bind_range(&host, 0, BASE_VA, PAGE, RIGHTS_RW), ENODEV, "vm_bind afterwards");
  struct drm_npu_queue_destroy destroy = {.queue = q.id};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy), ENODEV, "queue_destroy afterwards");
  is_equal(touch(&q.doorbell[0]), SIGBUS, "the doorbell: SIGBUS");
  is_equal(touch(device.map), SIGBUS, "device memory: SIGBUS");
  is_equal(touch(host.map), 0, "host memory is still there");
  is_equal(((volatile uint64_t*)host.map)[1], 4711, "with its contents");
  is_equal(q.status->state, NPU_QUEUE_DEAD, "the status page says that the queue is dead");
  // Mappings keep the file, and the file the module.
  munmap_queue(&q);
  munmap(host.map, host.size);
  munmap(device.map, device.size);
  context_close(&c);

  is_errno(write_driver("bind"), 0, "bind again");
}

static void test_under_load(void) {
  struct victims victims;
  victims_start(&victims);
  is_errno(write_driver("unbind"), 0, "unbind under 8 processes that work");
  is_equal(victims_end(&victims), 0, "all see that it is gone, and nothing else");
  is_errno(write_driver("bind"), 0, "bind again");
}

// The module, not only the device: refused while a file is open, clean when none is.
static void test_rmmod(void) {
  const int fd = open_node();
  const int refused = syscall(SYS_delete_module, "npu", O_NONBLOCK);
  ok(refused == -1 && (errno == EWOULDBLOCK || errno == EBUSY), "rmmod while a file is open is refused");
  close(fd);
  const int module = open("/lib/modules/npu.ko", O_RDONLY | O_CLOEXEC);
  if (module < 0) bail("/lib/modules/npu.ko: %s", strerror(errno));
  int failed = 0;
  for (int i = 0; i < 100 && !failed; ++i) {
    // A file that was closed just now may still be on its way out.
    const uint64_t end = now_ns() + 10000000000ull;
    int gone;
    while ((gone = syscall(SYS_delete_module, "npu", O_NONBLOCK)) && now_ns() < end) poll(NULL, 0, 5);
    if (gone) diag("rmmod %d: %s", i, strerror(errno));
    const int back = syscall(SYS_finit_module, module, "", 0);
    if (back) diag("insmod %d: %s", i, strerror(errno));
    failed += gone || back;
  }
  close(module);
  is_equal(failed, 0, "100 times rmmod and insmod");
}

int main(void) {
  find_bdf();
  test_unbind();
  check_works("the device works after it");
  for (int i = 0; i < 3; ++i) test_under_load();
  check_works("the device works after those");
  int failed = 0;
  for (int i = 0; i < 10; ++i) failed += write_driver("unbind") || write_driver("bind");
  is_equal(failed, 0, "10 times unbind and bind");
  check_works("the device still works");
  test_rmmod();
  check_works("the device works under a module loaded anew");
  return tap_done();
}
