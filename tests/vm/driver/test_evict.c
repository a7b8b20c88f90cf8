// SPDX-License-Identifier: Apache-2.0
//
// Device memory that is not in the device: lost in sleep, or lent to somebody else because it was idle.  Contents come
// back, and nobody sees a difference.
#include "rig.h"

#include <unistd.h>

#include "../tap.h"

static void test_lose_memory(void) {
  struct rig r;
  rig_open(&r);
  struct buffer a = buffer_new(&r.context, 5 * MIB, DRM_NPU_BO_DEVICE);
  struct buffer zero = buffer_new(&r.context, MIB, DRM_NPU_BO_DEVICE);
  struct buffer host = buffer_new(&r.context, MIB, DRM_NPU_BO_HOST);
  number_pages(&a, 1000);
  number_pages(&host, 5000);
  if (bind_range(&a, 0, BASE_VA, a.size, RIGHTS_RW)) bail("bind: %s", strerror(errno));
  is_equal(device_reads(&r, 3 * PAGE), 1003, "the device reads its memory");
  is_errno(debugfs_write("lose_memory", "0"), EINVAL, "lose_memory takes 1 only");
  is_errno(debugfs_write("lose_memory", "1"), 0, "all device memory is saved, spoiled and brought back");
  ok(pages_numbered(&a, 1000), "contents are back");
  ok(pages_numbered(&host, 5000), "host memory is as it was");
  uint64_t bits = 0;
  for (uint64_t i = 0; i < zero.size / 8; ++i) bits |= ((volatile uint64_t*)zero.map)[i];
  is_equal(bits, 0, "zeros are back as well");
  is_equal(device_reads(&r, 4 * PAGE), 1004, "the device works: ring, tables and bounds are back");
  buffer_free(&a);
  buffer_free(&zero);
  buffer_free(&host);
  rig_close(&r);
}

int main(void) {
  const int watch = open_node();
  const uint64_t before = memory_info(watch).device_free;
  for (int round = 0; round < 2; ++round) test_lose_memory();
  ok(free_returns_to(watch, before), "the device has all its memory again");
  close(watch);
  return tap_done();
}
