// SPDX-License-Identifier: Apache-2.0
//
// The machine sleeps (S3) while contexts work: the device loses everything, and nobody sees it.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "../tap.h"
#include "drv.h"
#include "workers.h"

#define GATE_VA 0x10000000ull

static int sleeps_so_far(void) {
  char text[32] = "";
  const int fd = open("/sys/power/suspend_stats/success", O_RDONLY);
  if (fd < 0 || read(fd, text, sizeof text - 1) < 1) bail("suspend_stats: %s", strerror(errno));
  close(fd);
  return atoi(text);
}

// 0 when the machine has slept and is awake again.
static int sleep_once(void) {
  const int fd = open("/sys/power/state", O_WRONLY);
  if (fd < 0) bail("/sys/power/state: %s", strerror(errno));
  const int ret = write(fd, "mem", 3) == 3 ? 0 : -1;
  close(fd);
  return ret;
}

static void reset_device(void) {
  char path[256];
  snprintf(path, sizeof path, "%s/reset", sysfs_path());
  const int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, "1", 1) != 1) bail("%s: %s", path, strerror(errno));
  close(fd);
}

int main(int argc, char** argv) {
  enum { kWorkers = 4, kSleeps = 3 };
  const char* mode = argc > 1 ? argv[1] : "deep";
  struct worker w[kWorkers];
  const int fd = open("/sys/power/mem_sleep", O_WRONLY);
  if (fd < 0 || write(fd, mode, strlen(mode)) < 0) bail("mem_sleep %s: %s", mode, strerror(errno));
  close(fd);

  // A queue at a gate, with device memory behind it that only it will write to.
  struct context c = context_new();
  struct queue q = queue_new(&c, 4);
  struct buffer gate = buffer_new(&c, PAGE, DRM_NPU_BO_HOST), kept = buffer_new(&c, 1 << 20, DRM_NPU_BO_DEVICE);
  const uint64_t gate_ptr = publish(&gate, 1, GATE_VA), kept_ptr = publish(&kept, 2, BASE_VA);
  volatile uint64_t* words = kept.map;
  for (uint32_t i = 0; i < (1 << 17); ++i) words[i] = 0x9e3779b97f4a7c15ull * (i + 1);
  const struct npu_packet wait = wait_packet(gate_ptr + 64, 1, NPU_WAIT_GE, 0, 0);
  const struct npu_packet copy = copy_packet(gate_ptr + 128, kept_ptr + 8 * 1000, 8, gate_ptr, 1);
  put_packet(&q, &wait);
  put_packet(&q, &copy);
  ring_doorbell(&q);

  workers_start(w, kWorkers);
  for (int i = 0; i < kSleeps; ++i) {
    uint64_t rounds[kWorkers];
    poll(NULL, 0, 50);
    const int before = sleeps_so_far(), resets = atoi(read_attribute("device_resets"));
    is_errno(sleep_once(), 0, "the machine sleeps and wakes");
    is_equal(sleeps_so_far(), before + 1, "the kernel counts it");
    is_equal(atoi(read_attribute("device_resets")), resets + 1, "the device was brought back");
    for (int k = 0; k < kWorkers; ++k) rounds[k] = w[k].rounds;
    const uint64_t end = now_ns() + 30000000000ull;
    int moving = 0;
    while (moving < kWorkers && now_ns() < end) {
      moving = 0;
      for (int k = 0; k < kWorkers; ++k) moving += w[k].rounds > rounds[k] + 1;
      poll(NULL, 0, 5);
    }
    is_equal(moving, kWorkers, "all workers go on");
  }
  is_equal(workers_end(w, kWorkers), 0, "4 workers live through 3 sleeps");
  reset_device();
  is_equal(q.status->state, NPU_QUEUE_OK, "a reset after a sleep takes nothing away");
  uint32_t wrong = 0;
  for (uint32_t i = 0; i < (1 << 17); ++i) wrong += words[i] != 0x9e3779b97f4a7c15ull * (i + 1);
  is_equal(wrong, 0, "device memory has kept its contents");
  is_equal(((volatile uint64_t*)gate.map)[0], 0, "the gated queue still waits");
  ((volatile uint64_t*)gate.map)[8] = 1;
  q.doorbell[NPU_DB_KICK / 8] = 1;
  is_errno(wait_value(&gate, 0, 1, NPU_WAIT_EQ, 20000, q.id), 0, "and goes on when its gate opens");
  is_equal(((volatile uint64_t*)gate.map)[16], 0x9e3779b97f4a7c15ull * 1001, "with the right word");
  ok(strcmp(read_attribute("fw_state"), "ready") == 0, "fw_state is ready");
  queue_free(&q);
  buffer_free(&gate);
  buffer_free(&kept);
  context_close(&c);
  return tap_done();
}
