// SPDX-License-Identifier: Apache-2.0
//
// Address spaces, as the device sees them: copies through bound ranges, replaced, split, taken away, with big and
// small pages in both kinds of memory.
#include "rig.h"

#include <unistd.h>

#include "../tap.h"

static void test_kind(uint32_t flags, const char* name) {
  struct rig r = {0};
  rig_open(&r);
  const uint64_t pages = 8 * MIB / PAGE;
  struct buffer a = buffer_new(&r.context, 8 * MIB, flags);
  struct buffer b = buffer_new(&r.context, 8 * MIB, flags);
  const uint64_t free_before = memory_info(r.context.fd).device_free;
  number_pages(&a, 1000);
  number_pages(&b, 500000);

  is_equal(device_reads(&r, 0), UINT64_MAX, "nothing is mapped at first");
  is_errno(bind_range(&a, 0, BASE_VA, 8 * MIB, RIGHTS_RW), 0, name);
  is_equal(device_reads(&r, 0), 1000, "first page");
  is_equal(device_reads(&r, 8 * MIB - PAGE), 1000 + pages - 1, "last page");
  is_equal(device_reads(&r, 8 * MIB), UINT64_MAX, "behind the last page");

  // One page in the middle of what may be a big page is replaced, and must split it.
  is_errno(bind_range(&b, 7 * PAGE, BASE_VA + 3 * MIB, PAGE, RIGHTS_RW), 0, "replace one page");
  is_equal(device_reads(&r, 3 * MIB), 500007, "the new page");
  is_equal(device_reads(&r, 3 * MIB - PAGE), 1000 + 3 * MIB / PAGE - 1, "the page before it stays");
  is_equal(device_reads(&r, 3 * MIB + PAGE), 1000 + 3 * MIB / PAGE + 1, "the page behind it stays");

  is_errno(unbind_range(&r.context, BASE_VA + 5 * MIB, 2 * PAGE), 0, "unmap two pages");
  is_equal(device_reads(&r, 5 * MIB), UINT64_MAX, "they are gone");
  is_equal(device_reads(&r, 5 * MIB + PAGE), UINT64_MAX, "both");
  is_equal(device_reads(&r, 5 * MIB - PAGE), 1000 + 5 * MIB / PAGE - 1, "the page before stays");
  is_equal(device_reads(&r, 5 * MIB + 2 * PAGE), 1000 + 5 * MIB / PAGE + 2, "the page behind stays");

  // Over both holes, at an address that is no multiple of a big page.
  is_errno(bind_range(&b, PAGE, BASE_VA + 2 * MIB + PAGE, 4 * MIB, RIGHTS_RW), 0, "replace across pieces");
  is_equal(device_reads(&r, 2 * MIB), 1000 + 2 * MIB / PAGE, "the page before stays");
  is_equal(device_reads(&r, 2 * MIB + PAGE), 500001, "the first of the new ones");
  is_equal(device_reads(&r, 6 * MIB), 500000 + 4 * MIB / PAGE, "the last of the new ones");
  is_equal(device_reads(&r, 6 * MIB + PAGE), 1000 + 6 * MIB / PAGE + 1, "the page behind stays");

  is_errno(bind_range(&b, 0, BASE_VA, 8 * MIB, RIGHTS_RW), 0, "replace all of it");
  is_equal(device_reads(&r, 0), 500000, "first page of the new buffer");
  is_equal(device_reads(&r, 4 * MIB + PAGE), 500000 + 4 * MIB / PAGE + 1, "a page in the middle");

  is_errno(unbind_range(&r.context, BASE_VA - 4 * MIB, 32 * MIB), 0, "unmap more than is mapped");
  is_equal(device_reads(&r, 0), UINT64_MAX, "first page is gone");
  is_equal(device_reads(&r, 8 * MIB - PAGE), UINT64_MAX, "last page is gone");
  is_equal(memory_info(r.context.fd).device_free, free_before, "all page tables are given back");
  buffer_free(&a);
  buffer_free(&b);
  rig_close(&r);
}

static void test_rights(void) {
  struct rig r = {0};
  rig_open(&r);
  struct buffer b = buffer_new(&r.context, 2 * MIB, DRM_NPU_BO_DEVICE);
  number_pages(&b, 7);
  *(uint64_t*)r.out.map = 99;
  is_errno(bind_range(&b, 0, BASE_VA, 2 * MIB, DRM_NPU_VM_READ), 0, "bind to read only");
  is_equal(run_copy(&r, r.window_ptr, r.out_ptr, 8), NPU_FAULT_PAGE_PERM, "a store is refused");
  is_equal(*(volatile uint64_t*)b.map, 7, "and changes nothing");
  is_equal(device_reads(&r, 0), 7, "a load is not");
  *(uint64_t*)r.out.map = 99;
  is_errno(bind_range(&b, 0, BASE_VA, 2 * MIB, RIGHTS_RW), 0, "bind to read and write");
  is_equal(run_copy(&r, r.window_ptr, r.out_ptr, 8), 0, "the store is done");
  is_equal(*(volatile uint64_t*)b.map, 99, "and arrives");
  is_errno(bind_range(&b, 0, BASE_VA + PAGE, PAGE, DRM_NPU_VM_READ), 0, "take the right from one page");
  is_equal(run_copy(&r, r.window_ptr, r.out_ptr, 8), 0, "its neighbour is not concerned");
  is_equal(run_copy(&r, r.window_ptr + PAGE, r.out_ptr, 8), NPU_FAULT_PAGE_PERM, "the page is");
  buffer_free(&b);
  rig_close(&r);
}

// A page that the device has used, unmapped, freed and had by somebody else: without invalidation the device would
// still write to it.
static void test_invalidation(void) {
  struct rig r = {0};
  rig_open(&r);
  int stale = 0, leaked = 0;
  for (int i = 0; i < 200; ++i) {
    struct buffer a = buffer_new(&r.context, PAGE, DRM_NPU_BO_DEVICE);
    if (bind_range(&a, 0, BASE_VA, PAGE, RIGHTS_RW)) bail("bind: %s", strerror(errno));
    *(uint64_t*)r.out.map = 0x1111;
    if (run_copy(&r, r.window_ptr, r.out_ptr, 8)) bail("a copy into a bound page faults");
    if (unbind_range(&r.context, BASE_VA, PAGE)) bail("unbind: %s", strerror(errno));
    buffer_free(&a);
    struct buffer b = buffer_new(&r.context, PAGE, DRM_NPU_BO_DEVICE);  // most likely the same page
    leaked += *(volatile uint64_t*)b.map != 0;
    stale += run_copy(&r, r.window_ptr, r.out_ptr, 8) != NPU_FAULT_PAGE;
    leaked += *(volatile uint64_t*)b.map != 0;
    buffer_free(&b);
  }
  is_equal(stale, 0, "an unmapped page faults, 200 times");
  is_equal(leaked, 0, "and nothing reaches its next owner");
  rig_close(&r);
}

// Sparse and far apart: page tables at both ends of the address space.
static void test_extremes(void) {
  struct context c = context_new();
  struct drm_npu_info_device info;
  struct drm_npu_get_info get = {.query = DRM_NPU_INFO_DEVICE, .size = sizeof info, .data = (uintptr_t)&info};
  npu_ioctl(c.fd, DRM_IOCTL_NPU_GET_INFO, &get);
  struct buffer b = buffer_new(&c, PAGE, DRM_NPU_BO_HOST);
  const uint64_t before = memory_info(c.fd).device_free;
  is_errno(bind_range(&b, 0, info.va_start, PAGE, RIGHTS_RW), 0, "bind at the first address");
  is_errno(bind_range(&b, 0, info.va_end - PAGE, PAGE, RIGHTS_RW), 0, "bind at the last address");
  int failed = 0;
  for (uint64_t va = 1ull << 30; va < info.va_end; va += 1ull << 30)
    failed += bind_range(&b, 0, va, PAGE, RIGHTS_RW) != 0;
  is_equal(failed, 0, "bind one page in every GiB");
  is_errno(unbind_range(&c, info.va_start, info.va_end - info.va_start), 0, "unmap the whole address space");
  is_equal(memory_info(c.fd).device_free, before, "all page tables are given back");
  buffer_free(&b);
  context_close(&c);
}

int main(void) {
  test_kind(DRM_NPU_BO_DEVICE, "bind device memory");
  test_kind(DRM_NPU_BO_HOST, "bind host memory");
  test_rights();
  test_invalidation();
  test_extremes();
  return tap_done();
}
