// SPDX-License-Identifier: Apache-2.0
//
// The device is pulled out of its slot while 8 processes work, and put in again, twice.  tests/vm/bus.py plays the bus:
// a line "@ COMMAND" asks it for something, and what the guest sees of it says when it has happened.
#include <dirent.h>
#include <fcntl.h>
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

// Until something of the device is there no more, within a minute.  The slot's lamp blinks for five seconds first.
static bool goes(const char* format, const char* device) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, format, device);
  for (const uint64_t end = now_ns() + 60000000000ull; now_ns() < end; poll(NULL, 0, 20))
    if (access(path, F_OK)) return true;
  return false;
}

// The node is made after the device's name in sysfs, and lets nobody in at first: a test that opens it too early fails.
static bool has_node(const char* device) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/accel", device);
  DIR* names = opendir(path);
  const struct dirent* entry = NULL;
  bool found = false;
  while (names && !found && (entry = readdir(names))) {
    snprintf(path, sizeof path, "/dev/accel/%s", entry->d_name);
    const int fd = entry->d_name[0] == '.' ? -1 : open(path, O_RDWR | O_CLOEXEC);
    found = fd >= 0;
    if (found) close(fd);
  }
  if (names) closedir(names);
  return found;
}

static bool node_comes(const char* device) {
  for (const uint64_t end = now_ns() + 60000000000ull; now_ns() < end; poll(NULL, 0, 20))
    if (has_node(device)) return true;
  return false;
}

static void test_pull(const char* device) {
  struct victims victims;
  victims_start(&victims);
  ask("pull");
  ok(goes("/sys/bus/pci/drivers/npu/%s", device), "a device that is pulled loses its driver");
  is_equal((unsigned)victims_end(&victims), 0, "8 processes that worked see that it is gone, and nothing else");
  ok(goes("/sys/bus/pci/devices/%s", device), "and is no device of the bus any more");
  ask("plug");
  ok(node_comes(device), "one that is put in has a node");
  check_works("and works");
}

int main(void) {
  char target[PATH_MAX], device[64];
  if (!realpath(sysfs_path(), target)) bail("%s: %s", sysfs_path(), strerror(errno));
  snprintf(device, sizeof device, "%s", strrchr(target, '/') + 1);
  for (int i = 0; i < 2; ++i) test_pull(device);
  return tap_done();
}
