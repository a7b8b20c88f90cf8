// SPDX-License-Identifier: Apache-2.0
//
// Every call of the driver, made by a 32-bit program on a 64-bit kernel: they come in through another door
// (compat_ioctl), and structures, addresses and offsets must mean the same there.
#include <linux/fcntl.h>
#include <stddef.h>

#include "npu_accel.h"
#include "npu_admin.h"
#include "npu_fault.h"
#include "npu_mmu.h"
#include "npu_packet.h"
#include "npu_regs.h"
#include "sys32.h"

enum { kPage = 4096, kRingLog2 = 6 };
enum { kHostEntry = 1, kDeviceEntry = 2, kUserEntry = 3 };  // bounds entries
#define DEVICE_VA 0x1234567000ull                           // behind 4 GiB, as a 32-bit program's pointers never are
#define HOST_VA 0x40000000ull
#define USER_VA 0x80000000ull
#define LONG_VALUE 0x500000000ull  // its lower half is 0
#define RW (DRM_NPU_VM_READ | DRM_NPU_VM_WRITE)
#define LIVE (NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | (NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT))

static int fd, event;
static struct npu_fault_ring* faults;
static struct npu_bounds_entry* bounds;
static struct npu_packet* ring;
static volatile struct npu_queue_status* status;
static volatile uint32_t* doorbell;
static uint32_t queue, written;
static uint32_t host, device;  // handles
static uint64_t* host_map;     // one page: words 0.. data, 256.. results, 500 fence, 501 import
static uint64_t* device_map;
enum { kResult = 256, kFence = 500, kImport = 501 };  // words of the host page

static void* map(uint64_t offset, unsigned bytes, int writable) {
  void* p = sys_map(fd, offset, bytes, writable);
  if (!p) bail("mmap");
  return p;
}

// No 64-bit store that is one store is needed: the device looks at an entry by its ctl.
static uint64_t publish(uint32_t number, uint64_t va) {
  bounds[number].base = va;
  bounds[number].size = kPage;
  __sync_synchronize();
  *(volatile uint32_t*)&bounds[number].ctl = LIVE;
  return NPU_PTR(number, 0, va);
}

static void submit(const struct npu_packet* packet) {
  memcpy(&ring[written++ % (1u << kRingLog2)], packet, sizeof *packet);
  __sync_synchronize();
  doorbell[NPU_DB_WPTR / 4] = written;
}

static struct npu_packet copy_of(uint64_t dst, uint64_t src, uint64_t signal) {
  struct npu_packet p = {.type = NPU_PKT_COPY,
                         .flags = NPU_PKT_F_SIGNAL,
                         .signal_addr = NPU_PTR(kHostEntry, 0, HOST_VA + 8 * kFence),
                         .signal_value = signal};
  p.u.copy = (struct npu_pkt_copy){.dst = dst, .src = src, .row_bytes = 512, .rows = 1};
  return p;
}

static int wait_for(uint64_t word, uint64_t value, uint32_t cond, int64_t timeout_ms) {
  struct drm_npu_wait args = {.handle = host,
                              .cond = cond,
                              .offset = 8 * word,
                              .value = value,
                              .timeout_ns = sys_monotonic_ns() + timeout_ms * 1000000,
                              .queue = queue};
  return sys_ioctl(fd, DRM_IOCTL_NPU_WAIT, &args);
}

// A resume is asked for; the device says when it has happened.
static int goes_on(void) {
  for (const int64_t end = sys_monotonic_ns() + 60000000000ll; status->state != NPU_QUEUE_OK; sys_nap(1))
    if (sys_monotonic_ns() > end) return 0;
  return 1;
}

static void test_info(void) {
  static uint8_t tree[1 << 16];
  struct drm_npu_info_device info;
  struct drm_npu_get_info get = {.query = DRM_NPU_INFO_DEVICE};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get), 0, "get_info says how long its answer is");
  is_equal(get.size, sizeof info, "... which is as long as this program believes");
  get.data = (uintptr_t)&info;
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get), 0, "get_info about the device");
  ok(info.num_cores && info.num_queues && info.va_end == 1ull << NPU_VA_BITS && info.pad == 0, "... is an answer");
  get = (struct drm_npu_get_info){.query = DRM_NPU_INFO_TREE, .size = sizeof tree, .data = (uintptr_t)tree};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get), 0, "get_info about the hardware");
  is_equal((uint32_t)tree[0] << 24 | tree[1] << 16 | tree[2] << 8 | tree[3], 0xd00dfeed, "... is a device tree");
  get = (struct drm_npu_get_info){
      .query = DRM_NPU_INFO_DEVICE, .size = sizeof info, .data = 1ull << 32 | (uintptr_t)&info};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get), kEFAULT, "a pointer's upper half is not dropped");
  is_error(sys_ioctl(fd, DRM_IOWR(DRM_COMMAND_BASE + 0x3f, struct drm_npu_get_info), &get), kEINVAL,
           "a call that there is not");
}

static void test_context(void) {
  struct drm_npu_context_init init = {.fault_entries = 8, .fault_eventfd = event, .flags = 1};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_CONTEXT_INIT, &init), kEINVAL, "context_init with an unknown flag");
  init.flags = 0;
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_CONTEXT_INIT, &init), 0, "context_init");
  is_equal(init.fault_bytes, kPage, "... has a fault ring of a page");
  is_equal(init.bounds_bytes, NPU_BOUNDS_TABLE_BYTES, "... and a bounds table");
  faults = map(init.fault_offset, kPage, 1);
  bounds = map(init.bounds_offset, NPU_BOUNDS_TABLE_BYTES, 1);
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_CONTEXT_INIT, &init), kEEXIST, "a second context_init");
}

static uint32_t buffer(uint32_t flags, uint64_t va, uint64_t** at) {
  struct drm_npu_bo_create create = {.size = 1, .flags = flags};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_BO_CREATE, &create), 0, "bo_create");
  is_equal(create.size, kPage, "... rounds up to a page");
  struct drm_npu_bo_name name = {.handle = create.handle, .name = "made by 32 bits"};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_BO_NAME, &name), 0, "bo_name");
  struct drm_npu_bo_mmap where = {.handle = create.handle};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_BO_MMAP, &where), 0, "bo_mmap");
  ok(where.offset >> 32, "... gives an offset beyond 4 GiB");
  *at = map(where.offset, kPage, 1);
  struct drm_npu_vm_bind bind = {.op = DRM_NPU_VM_MAP, .flags = RW, .handle = create.handle, .va = va, .size = kPage};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_VM_BIND, &bind), 0, "vm_bind");
  bind.offset = 1ull << 32;
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_VM_BIND, &bind), kEINVAL,
           "vm_bind of an offset whose lower half alone is right");
  return create.handle;
}

static void test_queue(void) {
  struct drm_npu_queue_create create = {.ring_log2 = kRingLog2, .priority = 1};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_QUEUE_CREATE, &create), 0, "queue_create");
  queue = create.queue;
  ring = map(create.ring_offset, NPU_PACKET_BYTES << kRingLog2, 1);
  status = map(create.status_offset, kPage, 0);
  doorbell = map(create.doorbell_offset, kPage, 1);
  // To the device's memory and back.
  const uint64_t near = publish(kHostEntry, HOST_VA), far = publish(kDeviceEntry, DEVICE_VA);
  for (unsigned i = 0; i < 64; ++i) host_map[i] = 0x0101010101010101ull * i + LONG_VALUE;
  const struct npu_packet there = copy_of(far, near, 1), back = copy_of(near + 8 * kResult, far, LONG_VALUE);
  submit(&there);
  submit(&back);
  is_error(wait_for(kFence, LONG_VALUE, NPU_WAIT_EQ, 60000), 0, "wait for a value of more than 32 bits");
  ok(memcmp(host_map, host_map + kResult, 512) == 0, "what was copied there and back is the same");
  ok(memcmp(host_map, device_map, 512) == 0, "... and is what this program sees in device memory");
  is_error(wait_for(kFence, LONG_VALUE + (1ull << 32), NPU_WAIT_GE, 20), kETIME, "wait compares all 64 bits, and ends");
  is_error(wait_for(1ull << 29, 0, NPU_WAIT_GE, 20), kEINVAL, "wait at an offset whose lower half alone is right");
}

static void test_userptr(void) {
  uint64_t* mine = sys_map(-1, 0, kPage, 1);
  if (!mine) bail("mmap of memory");
  mine[0] = 1;
  struct drm_npu_bo_userptr import = {.addr = 1ull << 32 | (uintptr_t)mine, .size = kPage};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_BO_USERPTR, &import), kEFAULT, "bo_userptr beyond the end of such a process");
  import.addr = (uintptr_t)mine;
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_BO_USERPTR, &import), 0, "bo_userptr");
  struct drm_npu_vm_bind bind = {
      .op = DRM_NPU_VM_MAP, .flags = RW, .handle = import.handle, .va = USER_VA, .size = kPage};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_VM_BIND, &bind), 0, "vm_bind of it");
  const struct npu_packet copy = copy_of(publish(kUserEntry, USER_VA), NPU_PTR(kHostEntry, 0, HOST_VA), LONG_VALUE + 1);
  submit(&copy);
  is_error(wait_for(kFence, LONG_VALUE + 1, NPU_WAIT_EQ, 60000), 0, "a copy into it ends");
  ok(memcmp(host_map, mine, 512) == 0, "... and has arrived");
  bind = (struct drm_npu_vm_bind){.op = DRM_NPU_VM_UNMAP, .va = USER_VA, .size = kPage};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_VM_BIND, &bind), 0, "vm_bind takes it away");
  struct drm_gem_close close = {.handle = import.handle};
  is_error(sys_ioctl(fd, DRM_IOCTL_GEM_CLOSE, &close), 0, "its handle is closed");
  sys_unmap(mine, kPage);
}

static void test_fault(void) {
  uint64_t events = 0;
  const struct npu_packet stray =
      copy_of(NPU_PTR(kDeviceEntry, 0, DEVICE_VA + kPage - 256), NPU_PTR(kHostEntry, 0, HOST_VA), LONG_VALUE + 2);
  submit(&stray);
  is_error(wait_for(kFence, LONG_VALUE + 2, NPU_WAIT_EQ, 60000), kEIO, "a fault ends the wait");
  is_equal(faults->written, 1, "the fault ring has a record");
  const struct npu_fault_record* record = (const void*)(faults + 1);
  is_equal(record->kind, NPU_FAULT_OOB, "... of the kind");
  is_equal(record->bad_addr, DEVICE_VA + kPage, "... of the address");
  is_equal((uint32_t)sys_read(event, &events, sizeof events), sizeof events, "the eventfd is signalled");
  struct drm_npu_queue_resume resume = {.queue = queue, .mode = 77};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), kEINVAL, "queue_resume in an unknown mode");
  resume.mode = NPU_RESUME_SKIP;
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), 0, "queue_resume");
  ok(goes_on(), "... has the status page say so");
  const struct npu_packet signal = {.type = NPU_PKT_SIGNAL,
                                    .flags = NPU_PKT_F_SIGNAL,
                                    .signal_addr = stray.signal_addr,
                                    .signal_value = LONG_VALUE + 3};
  submit(&signal);
  is_error(wait_for(kFence, LONG_VALUE + 3, NPU_WAIT_EQ, 60000), 0, "the queue works again");
}

// A syncobj's fence of a position; its signal lets a queue go on that waits for a word.
static void test_sync(void) {
  struct drm_syncobj_create made = {.flags = 0};
  is_error(sys_ioctl(fd, DRM_IOCTL_SYNCOBJ_CREATE, &made), 0, "a syncobj");
  struct drm_npu_sync_export out = {.queue = queue, .syncobj = made.handle, .position = 1ull << 32 | written};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_SYNC_EXPORT, &out), kEINVAL,
           "sync_export of a position whose lower half is rung");
  out.position = written;
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_SYNC_EXPORT, &out), 0, "sync_export");
  struct drm_syncobj_wait wait = {
      .handles = (uintptr_t)&made.handle, .count_handles = 1, .timeout_nsec = sys_monotonic_ns() + 60000000000ll};
  is_error(sys_ioctl(fd, DRM_IOCTL_SYNCOBJ_WAIT, &wait), 0, "the syncobj signals");
  const struct npu_packet gate = {
      .type = NPU_PKT_WAIT,
      .flags = NPU_PKT_F_SIGNAL,
      .signal_addr = NPU_PTR(kHostEntry, 0, HOST_VA + 8 * kFence),
      .signal_value = LONG_VALUE + 4,
      .u.wait = {.addr = NPU_PTR(kHostEntry, 0, HOST_VA + 8 * kImport), .value = 7 * LONG_VALUE, .cond = NPU_WAIT_EQ}};
  submit(&gate);
  struct drm_npu_sync_import in = {
      .syncobj = made.handle, .handle = host, .offset = 8 * kImport, .value = 7 * LONG_VALUE, .queue = queue};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_SYNC_IMPORT, &in), 0, "sync_import");
  is_error(wait_for(kFence, LONG_VALUE + 4, NPU_WAIT_EQ, 60000), 0, "the queue goes on at the value that it stores");
  struct drm_syncobj_destroy gone = {.handle = made.handle};
  is_error(sys_ioctl(fd, DRM_IOCTL_SYNCOBJ_DESTROY, &gone), 0, "the syncobj goes");
}

static void test_end(void) {
  struct drm_npu_queue_destroy destroy = {.queue = queue, .pad = 1};
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy), kEINVAL, "queue_destroy with padding that is not 0");
  destroy.pad = 0;
  is_error(sys_ioctl(fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy), 0, "queue_destroy");
  is_equal(status->state, NPU_QUEUE_DEAD, "... and the status page says so");
  struct drm_prime_handle share = {.handle = device, .flags = DRM_CLOEXEC};
  is_error(sys_ioctl(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &share), 0, "a buffer becomes a dma-buf");
  sys_close(share.fd);
}

void test(void) {
  fd = sys_open("/dev/accel/accel0");
  if (fd < 0) bail("/dev/accel/accel0 cannot be opened");
  event = sys_eventfd();
  test_info();
  test_context();
  host = buffer(DRM_NPU_BO_HOST, HOST_VA, &host_map);
  device = buffer(DRM_NPU_BO_DEVICE, DEVICE_VA, &device_map);
  test_queue();
  test_userptr();
  test_fault();
  test_sync();
  test_end();
  sys_close(fd);
}
