// SPDX-License-Identifier: Apache-2.0
//
// The device is pulled out of its slot while 8 processes work, and put in again, twice.  tests/vm/bus.py plays the bus:
// a line "@ COMMAND" asks it for something, and what the guest sees of it says when it has happened.
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "../tap.h"
#include "drv.h"
#include "victims.h"

static void ask(const char* command) {
  printf("@ %s\n", command);
  fflush(stdout);
}

// Until something of the device is there (or is not), within a minute.  The slot's lamp blinks for five seconds first.
static bool comes_to(const char* format, const char* device, bool there) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, format, device);
  for (const uint64_t end = now_ns() + 60000000000ull; now_ns() < end; poll(NULL, 0, 20))
    if ((access(path, F_OK) == 0) == there) return true;
  return false;
}

static void test_pull(const char* device) {
  struct victims victims;
  victims_start(&victims);
  ask("pull");
  ok(comes_to("/sys/bus/pci/drivers/npu/%s", device, false), "a device that is pulled loses its driver");
  is_equal((unsigned)victims_end(&victims), 0, "8 processes that worked see that it is gone, and nothing else");
  ok(comes_to("/sys/bus/pci/devices/%s", device, false), "and is no device of the bus any more");
  ask("plug");
  // The node is made at the end of the probe.
  ok(comes_to("/sys/bus/pci/devices/%s/accel", device, true), "one that is put in has a node");
  check_works("and works");
}

int main(void) {
  char target[PATH_MAX], device[64];
  if (!realpath(sysfs_path(), target)) bail("%s: %s", sysfs_path(), strerror(errno));
  snprintf(device, sizeof device, "%s", strrchr(target, '/') + 1);
  for (int i = 0; i < 2; ++i) test_pull(device);
  return tap_done();
}
