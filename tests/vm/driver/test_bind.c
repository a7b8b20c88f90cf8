// SPDX-License-Identifier: Apache-2.0
//
// Address spaces, as the device sees them: copies through bound ranges, replaced, split, taken away, with big and
// small pages in both kinds of memory.
#include "rig.h"

#include <poll.h>
#include <unistd.h>

#include "../tap.h"
#include "rv.h"

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

static struct npu_fault_record last_fault(struct context* c) {
  const struct npu_fault_record* records = (const void*)(c->faults + 1);
  const uint64_t n = __atomic_load_n(&c->faults->written, __ATOMIC_ACQUIRE);
  return records[(n - 1) % c->fault_entries];
}

// An operator's fetches and stores against the rights of its pages.
static void test_operator_rights(void) {
  const uint32_t words[] = {rv_ld(T0, 0, A0), rv_ld(T1, 8, A0), rv_sd(T1, 0, T0), rv_ret()};
  struct rig r;
  rig_open(&r);
  volatile uint64_t* args = (volatile uint64_t*)r.out.map + kArgs;
  struct buffer code = operator_new(&r, words, sizeof words);
  struct buffer target = buffer_new(&r.context, PAGE, DRM_NPU_BO_DEVICE);
  volatile uint64_t* value = target.map;
  *value = 5;
  args[0] = r.window_ptr;
  args[1] = 77;
  if (bind_range(&target, 0, BASE_VA, PAGE, RIGHTS_RW)) bail("bind: %s", strerror(errno));

  is_errno(bind_range(&code, 0, CODE_VA, PAGE, RIGHTS_RW), 0, "code without the right to execute");
  is_equal(operator_run(&r), NPU_FAULT_FETCH, "is not fetched");
  struct npu_fault_record record = last_fault(&r.context);
  is_equal(record.detail, NPU_FAULT_PAGE_PERM, "because of its page's rights");
  is_equal(record.access, NPU_ACCESS_EXEC, "the access");
  is_equal(*value, 5, "nothing of it was executed");
  is_errno(bind_range(&code, 0, CODE_VA, PAGE, DRM_NPU_VM_READ | DRM_NPU_VM_EXEC), 0, "code with the right");
  is_equal(operator_run(&r), 0, "runs");
  is_equal(*value, 77, "and stores");

  args[1] = 88;
  is_errno(bind_range(&target, 0, BASE_VA, PAGE, DRM_NPU_VM_READ), 0, "its target is bound to read only");
  is_equal(operator_run(&r), NPU_FAULT_PAGE_PERM, "the operator's store faults");
  record = last_fault(&r.context);
  is_equal(record.engine, NPU_ENGINE_SCALAR, "of the scalar unit");
  is_equal(record.bad_addr, BASE_VA, "at the address");
  is_equal(*value, 77, "and changes nothing");
  is_errno(bind_range(&target, 0, BASE_VA, PAGE, RIGHTS_RW), 0, "with the right again");
  is_equal(operator_run(&r), 0, "it runs");
  is_equal(*value, 88, "and stores");
  buffer_free(&target);
  buffer_free(&code);
  rig_close(&r);
}

// An operator that has used a translation meets a word of the process, after which it uses it again; what it reads
// then.
static uint64_t read_after_rebind(struct rig* r, struct buffer* old, struct buffer* next, bool skip) {
  volatile uint64_t* args = (volatile uint64_t*)r->out.map + kArgs;
  const uint64_t end = now_ns() + 60000000000ull;
  if (bind_range(old, 0, BASE_VA, PAGE, RIGHTS_RW)) bail("bind: %s", strerror(errno));
  args[0] = r->window_ptr;
  for (int i = 1; i < 5; ++i) args[i] = 0;
  operator_start(r);
  while (!__atomic_load_n(&args[1], __ATOMIC_ACQUIRE)) {
    if (now_ns() > end) bail("the operator does not begin");
    poll(NULL, 0, 1);
  }
  if (args[2] != 111) bail("the operator reads %llu through the first binding", (unsigned long long)args[2]);
  if (debugfs_write("skip_tlb", skip ? "1" : "0")) bail("skip_tlb: %s", strerror(errno));
  const int ret = bind_range(next, 0, BASE_VA, PAGE, RIGHTS_RW);
  if (debugfs_write("skip_tlb", "0") || ret) bail("bind: %s", strerror(errno));
  __atomic_store_n(&args[3], 1, __ATOMIC_RELEASE);
  if (rig_end(r)) bail("the operator faults");
  return args[4];
}

// That the driver's invalidation is needed, and done: left out on purpose, a core goes on with the old translation.
static void test_stale(void) {
  const uint32_t words[] = {rv_ld(T0, 0, A0),  rv_ld(T1, 0, T0),  rv_sd(T1, 16, A0),  rv_addi(T2, X0, 1),
                            rv_sd(T2, 8, A0),  rv_ld(T3, 24, A0), rv_bne(T3, T2, -4), rv_ld(T1, 0, T0),
                            rv_sd(T1, 32, A0), rv_ret()};
  struct rig r;
  rig_open(&r);
  struct buffer code = operator_new(&r, words, sizeof words);
  if (bind_range(&code, 0, CODE_VA, PAGE, DRM_NPU_VM_READ | DRM_NPU_VM_EXEC)) bail("bind: %s", strerror(errno));
  struct buffer old = buffer_new(&r.context, PAGE, DRM_NPU_BO_DEVICE);
  struct buffer next = buffer_new(&r.context, PAGE, DRM_NPU_BO_DEVICE);
  *(volatile uint64_t*)old.map = 111;
  *(volatile uint64_t*)next.map = 222;
  is_equal(read_after_rebind(&r, &old, &next, false), 222, "a running operator reads the new page after VM_BIND");
  is_equal(read_after_rebind(&r, &old, &next, true), 111, "without the invalidation it would read the old page");
  is_equal(read_after_rebind(&r, &old, &next, false), 222, "with it again, the new one");
  buffer_free(&old);
  buffer_free(&next);
  buffer_free(&code);
  rig_close(&r);
}

static int bind_sparse(struct context* c, uint64_t va, uint64_t bytes) {
  struct drm_npu_vm_bind args = {
      .op = DRM_NPU_VM_MAP, .flags = DRM_NPU_VM_READ | DRM_NPU_VM_SPARSE, .va = va, .size = bytes};
  return npu_ioctl(c->fd, DRM_IOCTL_NPU_VM_BIND, &args);
}

static void refuse_sparse(struct context* c, uint32_t flags, uint32_t handle, uint64_t offset, const char* what) {
  struct drm_npu_vm_bind args = {
      .op = DRM_NPU_VM_MAP, .flags = flags, .handle = handle, .offset = offset, .va = BASE_VA, .size = PAGE};
  is_errno(npu_ioctl(c->fd, DRM_IOCTL_NPU_VM_BIND, &args), EINVAL, what);
}

// A range that is there before its buffers are.
static void test_sparse(void) {
  struct rig r;
  rig_open(&r);
  struct buffer b = buffer_new(&r.context, 6 * MIB, DRM_NPU_BO_DEVICE);
  number_pages(&b, 1000);
  const uint64_t before = memory_info(r.context.fd).device_free;
  const uint32_t sparse = DRM_NPU_VM_READ | DRM_NPU_VM_SPARSE;
  refuse_sparse(&r.context, sparse | DRM_NPU_VM_WRITE, 0, 0, "sparse and WRITE");
  refuse_sparse(&r.context, sparse | DRM_NPU_VM_EXEC, 0, 0, "sparse and EXEC");
  refuse_sparse(&r.context, DRM_NPU_VM_SPARSE, 0, 0, "sparse without READ");
  refuse_sparse(&r.context, sparse, b.handle, 0, "sparse with a handle");
  refuse_sparse(&r.context, sparse, 0, PAGE, "sparse with an offset");
  struct drm_npu_vm_bind unmap = {.op = DRM_NPU_VM_UNMAP, .flags = DRM_NPU_VM_SPARSE, .va = BASE_VA, .size = PAGE};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_VM_BIND, &unmap), EINVAL, "unmap with SPARSE");
  is_equal(device_reads(&r, 0), UINT64_MAX, "none of them has mapped anything");

  is_errno(bind_sparse(&r.context, BASE_VA + PAGE, 512 * MIB), 0, "512 MiB of nothing");
  is_equal(device_reads(&r, 0), UINT64_MAX, "before it is nothing");
  const uint64_t at[] = {PAGE, 2 * MIB - PAGE, 2 * MIB, 100 * MIB + 24, 512 * MIB};
  for (int i = 0; i < 5; ++i) is_equal(device_reads(&r, at[i]), 0, "the device reads zeros");
  is_equal(device_reads(&r, 512 * MIB + PAGE), UINT64_MAX, "behind it is nothing");
  is_equal(device_writes(&r, 100 * MIB, 5), NPU_FAULT_PAGE_PERM, "a store faults");
  is_equal(device_reads(&r, 100 * MIB), 0, "and changes nothing");
  ok(before - memory_info(r.context.fd).device_free < MIB, "it costs page tables only");

  is_errno(bind_range(&b, 0, BASE_VA + 7 * MIB, b.size, RIGHTS_RW), 0, "a buffer is bound into it");
  is_equal(device_reads(&r, 7 * MIB - PAGE), 0, "zeros before");
  is_equal(device_reads(&r, 7 * MIB), 1000, "its first page");
  is_equal(device_reads(&r, 13 * MIB - PAGE), 1000 + 6 * MIB / PAGE - 1, "its last page");
  is_equal(device_reads(&r, 13 * MIB), 0, "zeros behind");
  is_errno(bind_sparse(&r.context, BASE_VA + 8 * MIB, 2 * MIB), 0, "sparse again in the middle");
  is_equal(device_reads(&r, 8 * MIB), 0, "zeros");
  is_equal(device_reads(&r, 10 * MIB), 1000 + 3 * MIB / PAGE, "the rest stays");
  is_equal(((volatile uint64_t*)b.map)[MIB / 8], 1000 + MIB / PAGE, "the buffer has its contents");
  is_errno(unbind_range(&r.context, BASE_VA + 20 * MIB + PAGE, PAGE), 0, "one page is unmapped");
  is_equal(device_reads(&r, 20 * MIB), 0, "the page before stays");
  is_equal(device_reads(&r, 20 * MIB + PAGE), UINT64_MAX, "it is gone");
  is_equal(device_reads(&r, 20 * MIB + 2 * PAGE), 0, "the page behind stays");
  is_errno(unbind_range(&r.context, BASE_VA, 1024 * MIB), 0, "all is unmapped");
  is_equal(device_reads(&r, 100 * MIB), UINT64_MAX, "and gone");
  is_equal(memory_info(r.context.fd).device_free, before, "with all page tables");
  is_errno(bind_sparse(&r.context, BASE_VA, 64 * MIB), 0, "one that is left when the file is closed");
  buffer_free(&b);
  rig_close(&r);
}

// Few pages, far apart: page tables at both ends of the address space.
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
  test_operator_rights();
  test_stale();
  test_sparse();
  test_extremes();
  return tap_done();
}
