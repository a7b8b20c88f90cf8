// SPDX-License-Identifier: Apache-2.0
//
// Every ioctl: that it does what it says, and each way in which it refuses.
#include "drv.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../tap.h"

static void test_get_info(void) {
  const int fd = open_node();
  struct drm_npu_info_device device = {0};
  struct drm_npu_get_info get = {.query = DRM_NPU_INFO_DEVICE, .size = sizeof device, .data = (uintptr_t)&device};

  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get), 0, "get_info of the device");
  is_equal(get.size, sizeof device, "its size");
  is_equal(device.contract_version >> 16, NPU_CONTRACT_MAJOR, "contract");
  ok(device.num_cores && device.num_queues && device.num_slots && device.sram_bytes, "counts are there");
  ok(device.va_start && device.va_start < device.va_end && device.va_end <= 1ull << NPU_VA_BITS, "address range");
  ok(device.fw_version != 0, "firmware version");

  get = (struct drm_npu_get_info){.query = DRM_NPU_INFO_DEVICE};
  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get), 0, "size 0 asks");
  is_equal(get.size, sizeof device, "and is told");

  uint32_t part[3] = {0, 0, 0xdeadbeef};
  get = (struct drm_npu_get_info){.query = DRM_NPU_INFO_DEVICE, .size = 8, .data = (uintptr_t)part};
  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get), 0, "a part");
  ok(part[0] == device.hw_version && part[1] == device.contract_version && part[2] == 0xdeadbeef,
     "no more than asked for is written");

  get = (struct drm_npu_get_info){.query = DRM_NPU_INFO_TREE};
  npu_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get);
  uint8_t* tree = calloc(1, get.size + 4);
  get.data = (uintptr_t)tree;
  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get), 0, "the hardware's device tree");
  const uint8_t magic[] = {0xd0, 0x0d, 0xfe, 0xed};
  ok(get.size > 40 && memcmp(tree, magic, sizeof magic) == 0, "is a flattened device tree");
  is_equal((uint64_t)tree[4] << 24 | tree[5] << 16 | tree[6] << 8 | tree[7], get.size, "whole");
  free(tree);

  get = (struct drm_npu_get_info){.query = DRM_NPU_INFO_MEMORY, .size = 1000000, .data = (uintptr_t)1};
  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get), EFAULT, "a pointer to nothing");
  is_equal(get.size, 1000000, "changes nothing");
  get = (struct drm_npu_get_info){.query = 99};
  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get), EINVAL, "an unknown query");
  close(fd);
}

static void refuse_init(int fd, struct drm_npu_context_init init, int error, const char* what) {
  const struct drm_npu_context_init before = init;
  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_CONTEXT_INIT, &init), error, what);
  ok(memcmp(&before, &init, sizeof init) == 0, "%s: the arguments are unchanged", what);
}

static void test_context_init(void) {
  const int fd = open_node();
  const uint64_t free_before = memory_info(fd).device_free;
  const struct drm_npu_context_init good = {.fault_entries = 8, .fault_eventfd = -1};
  struct drm_npu_context_init init = good;

  init.flags = 1;
  refuse_init(fd, init, EINVAL, "context_init with a flag");
  init = good, init.pad = 1;
  refuse_init(fd, init, EINVAL, "context_init with padding");
  static const uint32_t bad_entries[] = {0, 4, 9, 8192, 0x80000000u, 0xffffffffu};
  for (unsigned i = 0; i < sizeof bad_entries / sizeof *bad_entries; ++i) {
    init = good, init.fault_entries = bad_entries[i];
    refuse_init(fd, init, EINVAL, "context_init with a wrong number of fault entries");
  }
  init = good, init.fault_eventfd = -2;
  refuse_init(fd, init, EINVAL, "context_init with eventfd -2");
  init = good, init.fault_eventfd = fd;
  refuse_init(fd, init, EINVAL, "context_init with a file that is no eventfd");
  init = good, init.fault_eventfd = 9999;
  refuse_init(fd, init, EBADF, "context_init with a file that is not open");
  is_equal(memory_info(fd).device_free, free_before, "refused contexts leave no memory behind");

  struct drm_npu_bo_create create = {.size = PAGE, .flags = DRM_NPU_BO_HOST};
  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_BO_CREATE, &create), EINVAL, "bo_create before context_init");
  struct drm_npu_queue_create queue = {.ring_log2 = 4};
  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_QUEUE_CREATE, &queue), EINVAL, "queue_create before context_init");
  struct drm_npu_vm_bind bind = {.op = DRM_NPU_VM_UNMAP, .va = BASE_VA, .size = PAGE};
  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_VM_BIND, &bind), EINVAL, "vm_bind before context_init");
  struct drm_npu_wait wait = {.queue = NO_QUEUE};
  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_WAIT, &wait), EINVAL, "wait before context_init");

  init = good;
  init.fault_entries = 4096;
  init.fault_offset = init.bounds_offset = init.bounds_bytes = ~0ull;
  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_CONTEXT_INIT, &init), 0, "context_init");
  ok(init.context_id > 0 && init.context_id < NPU_MAX_CONTEXTS, "context number");
  is_equal(init.bounds_bytes, NPU_BOUNDS_TABLE_BYTES, "size of the bounds table");
  ok(init.fault_bytes >= sizeof(struct npu_fault_ring) + 4096 * sizeof(struct npu_fault_record) &&
         init.fault_bytes % PAGE == 0,
     "size of the fault ring");
  refuse_init(fd, good, EEXIST, "a second context_init");

  const uint64_t* table = map_offset(fd, init.bounds_offset, init.bounds_bytes, PROT_READ | PROT_WRITE);
  uint64_t bits = 0;
  for (uint64_t i = 0; i < init.bounds_bytes / 8; ++i) bits |= table[i];
  is_equal(bits, 0, "the bounds table is empty");
  const uint64_t* ring = map_offset(fd, init.fault_offset, init.fault_bytes, PROT_READ | PROT_WRITE);
  for (uint64_t i = 0; i < init.fault_bytes / 8; ++i) bits |= ring[i];
  is_equal(bits, 0, "the fault ring is empty");
  munmap((void*)table, init.bounds_bytes);
  munmap((void*)ring, init.fault_bytes);
  close(fd);
}

static void refuse_create(struct context* c, uint64_t size, uint32_t flags, int error, const char* what) {
  struct drm_npu_bo_create create = {.size = size, .flags = flags};
  is_errno(npu_ioctl(c->fd, DRM_IOCTL_NPU_BO_CREATE, &create), error, what);
  ok(create.size == size && create.handle == 0, "%s: the arguments are unchanged", what);
}

static void test_bo(void) {
  struct context c = context_new();
  const uint64_t free_before = memory_info(c.fd).device_free;

  refuse_create(&c, PAGE, 0, EINVAL, "bo_create without flag");
  refuse_create(&c, PAGE, DRM_NPU_BO_DEVICE | DRM_NPU_BO_HOST, EINVAL, "bo_create with both flags");
  refuse_create(&c, PAGE, DRM_NPU_BO_DEVICE | 4, EINVAL, "bo_create with an unknown flag");
  refuse_create(&c, PAGE, 0x80000000u, EINVAL, "bo_create with the highest flag");
  refuse_create(&c, 0, DRM_NPU_BO_DEVICE, EINVAL, "bo_create of 0 bytes");
  refuse_create(&c, UINT64_MAX, DRM_NPU_BO_DEVICE, EINVAL, "bo_create of 2^64 - 1 bytes");
  refuse_create(&c, UINT64_MAX - PAGE, DRM_NPU_BO_HOST, EINVAL, "bo_create of nearly 2^64 bytes");
  refuse_create(&c, 1ull << 62, DRM_NPU_BO_DEVICE, ENOSPC, "bo_create of more than the device has");
  refuse_create(&c, 1ull << 62, DRM_NPU_BO_HOST, ENOMEM, "bo_create of more than the host has");
  is_equal(memory_info(c.fd).device_free, free_before, "nothing was taken");

  static const uint32_t kinds[] = {DRM_NPU_BO_DEVICE, DRM_NPU_BO_HOST};
  for (int k = 0; k < 2; ++k) {
    struct drm_npu_bo_create create = {.size = 1, .flags = kinds[k], .handle = 0xdeadbeef};
    is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_BO_CREATE, &create), 0, "bo_create");
    is_equal(create.size, PAGE, "the size is rounded up");
    struct drm_npu_bo_mmap where = {.handle = create.handle, .pad = 1};
    is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_BO_MMAP, &where), EINVAL, "bo_mmap with padding");
    where = (struct drm_npu_bo_mmap){.handle = create.handle + 1000};
    is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_BO_MMAP, &where), ENOENT, "bo_mmap of a handle that is not there");
    where = (struct drm_npu_bo_mmap){.handle = create.handle, .offset = ~0ull};
    is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_BO_MMAP, &where), 0, "bo_mmap");
    uint64_t* p = map_offset(c.fd, where.offset, PAGE, PROT_READ | PROT_WRITE);
    p[511] = 0x1234567890abcdefull;
    is_equal(p[511], 0x1234567890abcdefull, "a mapping holds what is written");
    munmap(p, PAGE);

    const uint64_t offset = where.offset;
    ok(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, c.fd, (off_t)offset) == MAP_FAILED && errno == EINVAL,
       "mmap of more than the buffer has: EINVAL");
    ok(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, c.fd, (off_t)offset) == MAP_FAILED && errno == EINVAL,
       "private mmap: EINVAL");
    ok(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, c.fd, (off_t)offset) == MAP_FAILED && errno == EACCES,
       "executable mmap: EACCES");
    ok(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, c.fd, (off_t)(offset + (1ull << 40))) == MAP_FAILED && errno == EINVAL,
       "mmap of an offset that is nobody's: EINVAL");

    struct drm_prime_handle prime = {.handle = create.handle, .flags = O_CLOEXEC};
    is_errno(npu_ioctl(c.fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime), 0, "export as dma-buf");
    close(prime.fd);
    struct drm_gem_close gone = {.handle = create.handle};
    is_errno(npu_ioctl(c.fd, DRM_IOCTL_GEM_CLOSE, &gone), 0, "close of the handle");
    is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_BO_MMAP, &where), ENOENT, "the handle is gone");
  }
  is_equal(memory_info(c.fd).device_free, free_before, "all is given back");
  context_close(&c);
}

static void refuse_bind(struct context* c, struct drm_npu_vm_bind bind, int error, const char* what) {
  const struct drm_npu_vm_bind before = bind;
  is_errno(npu_ioctl(c->fd, DRM_IOCTL_NPU_VM_BIND, &bind), error, what);
  if (memcmp(&before, &bind, sizeof bind)) ok(0, "%s: the arguments are unchanged", what);
}

static void test_bind_refusals(void) {
  struct context c = context_new();
  struct buffer b = buffer_new(&c, 4 * PAGE, DRM_NPU_BO_DEVICE);
  const struct drm_npu_vm_bind good = {
      .op = DRM_NPU_VM_MAP, .flags = RIGHTS_RW, .handle = b.handle, .va = BASE_VA, .size = 4 * PAGE};
  const uint64_t free_before = memory_info(c.fd).device_free;
#define REFUSE(what, error, ...)                \
  do {                                          \
    struct drm_npu_vm_bind bind = good;         \
    __VA_ARGS__;                                \
    refuse_bind(&c, bind, error, "bind " what); \
  } while (0)
  REFUSE("with an unknown operation", EINVAL, bind.op = 2);
  REFUSE("with padding", EINVAL, bind.pad = 1);
  REFUSE("with an unknown flag", EINVAL, bind.flags |= 8);
  REFUSE("with the highest flag", EINVAL, bind.flags |= 0x80000000u);
  REFUSE("without READ", EINVAL, bind.flags = DRM_NPU_VM_WRITE);
  REFUSE("without rights", EINVAL, bind.flags = 0);
  REFUSE("of handle 0", ENOENT, bind.handle = 0);
  REFUSE("of a handle that is not there", ENOENT, bind.handle = b.handle + 1000);
  REFUSE("of 0 bytes", EINVAL, bind.size = 0);
  REFUSE("of half a page", EINVAL, bind.size = PAGE / 2);
  REFUSE("at an unaligned address", EINVAL, bind.va += 8);
  REFUSE("at an unaligned offset", EINVAL, bind.offset = 8; bind.size = PAGE);
  REFUSE("of more than the buffer", EINVAL, bind.size = 5 * PAGE);
  REFUSE("behind the buffer", EINVAL, bind.offset = 4 * PAGE; bind.size = PAGE);
  REFUSE("across the buffer's end", EINVAL, bind.offset = PAGE);
  REFUSE("with an offset that overflows", EINVAL, bind.offset = UINT64_MAX - PAGE + 1; bind.size = PAGE);
  REFUSE("with a size that overflows", EINVAL, bind.size = UINT64_MAX - PAGE + 1);
  REFUSE("at the null page", EINVAL, bind.va = 0);
  REFUSE("across the end of the address space", EINVAL, bind.va = NPU_VA_MASK + 1 - PAGE);
  REFUSE("behind the address space", EINVAL, bind.va = NPU_VA_MASK + 1);
  REFUSE("at a tagged address", EINVAL, bind.va = NPU_PTR(1, 0, BASE_VA));
  REFUSE("at an address that overflows", EINVAL, bind.va = UINT64_MAX - PAGE + 1);
  REFUSE("(unmap) with flags", EINVAL, bind.op = DRM_NPU_VM_UNMAP; bind.handle = 0);
  REFUSE("(unmap) with a handle", EINVAL, bind.op = DRM_NPU_VM_UNMAP; bind.flags = 0);
  REFUSE("(unmap) with an offset", EINVAL, bind.op = DRM_NPU_VM_UNMAP; bind.flags = 0; bind.handle = 0;
         bind.offset = PAGE);
#undef REFUSE
  is_equal(memory_info(c.fd).device_free, free_before, "refused binds leave no page tables behind");
  is_errno(unbind_range(&c, BASE_VA, 1ull << 30), 0, "unmap of a range in which nothing is mapped");
  refuse_bind(&c, good, 0, "a good bind");
  is_errno(unbind_range(&c, BASE_VA, 4 * PAGE), 0, "and unmap");
  is_equal(memory_info(c.fd).device_free, free_before, "the page tables are given back");
  buffer_free(&b);
  context_close(&c);
}

static int create_realtime(void* arg) {
  struct context* c = arg;
  if (setresuid(65534, 65534, 65534)) return 99;
  struct drm_npu_queue_create create = {.ring_log2 = 4, .priority = 3};
  return npu_ioctl(c->fd, DRM_IOCTL_NPU_QUEUE_CREATE, &create) ? errno : 0;
}

static void test_queue_refusals(void) {
  struct context c = context_new();
  const uint64_t free_before = memory_info(c.fd).device_free;
  const struct drm_npu_queue_create good = {.ring_log2 = NPU_RING_LOG2_MIN, .priority = 1};
#define REFUSE(what, error, ...)                                                                 \
  do {                                                                                           \
    struct drm_npu_queue_create create = good;                                                   \
    __VA_ARGS__;                                                                                 \
    is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_CREATE, &create), error, "queue_create " what); \
  } while (0)
  REFUSE("with a flag", EINVAL, create.flags = 1);
  REFUSE("with padding", EINVAL, create.pad = 1);
  REFUSE("with too small a ring", EINVAL, create.ring_log2 = NPU_RING_LOG2_MIN - 1);
  REFUSE("with too large a ring", EINVAL, create.ring_log2 = NPU_RING_LOG2_MAX + 1);
  REFUSE("with a ring of 2^64 packets", EINVAL, create.ring_log2 = 64);
  REFUSE("with priority 4", EINVAL, create.priority = 4);
  REFUSE("with priority -1", EINVAL, create.priority = -1);
#undef REFUSE
  is_equal(in_child(create_realtime, &c), EPERM, "realtime priority without CAP_SYS_NICE: EPERM");
  struct drm_npu_queue_create realtime = {.ring_log2 = NPU_RING_LOG2_MAX, .priority = 3, .timeout_ms = 1000};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_CREATE, &realtime), 0, "realtime priority with it, largest ring");

  struct drm_npu_queue_destroy destroy = {.queue = realtime.queue, .pad = 1};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy), EINVAL, "queue_destroy with padding");
  struct drm_npu_queue_resume resume = {.queue = realtime.queue, .mode = NPU_RESUME_SKIP};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), EINVAL, "queue_resume of a queue that is not faulted");
  resume.mode = 2;
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), EINVAL, "queue_resume with an unknown mode");
  resume = (struct drm_npu_queue_resume){.queue = realtime.queue + 1};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), ENOENT, "queue_resume of a queue that is not there");
  destroy.pad = 0;
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy), 0, "queue_destroy");
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy), ENOENT, "queue_destroy again");
  destroy.queue = 0xffffffffu;
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy), ENOENT, "queue_destroy of no queue");
  is_equal(memory_info(c.fd).device_free, free_before, "rings are given back");
  context_close(&c);
}

static void test_wait_refusals(void) {
  struct context c = context_new();
  struct buffer b = buffer_new(&c, 2 * PAGE, DRM_NPU_BO_HOST);
  const struct drm_npu_wait good = {.handle = b.handle, .cond = NPU_WAIT_EQ, .queue = NO_QUEUE};
#define WAIT(what, error, ...)                                                 \
  do {                                                                         \
    struct drm_npu_wait wait = good;                                           \
    __VA_ARGS__;                                                               \
    is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_WAIT, &wait), error, "wait " what); \
  } while (0)
  WAIT("with padding", EINVAL, wait.pad = 1);
  WAIT("with an unknown condition", EINVAL, wait.cond = 3);
  WAIT("at an unaligned offset", EINVAL, wait.offset = 4);
  WAIT("behind the buffer", EINVAL, wait.offset = 2 * PAGE);
  WAIT("at an offset that overflows", EINVAL, wait.offset = UINT64_MAX - 7);
  WAIT("on a handle that is not there", ENOENT, wait.handle = 12345);
  WAIT("with a queue that is not there", ENOENT, wait.queue = 0);
  WAIT("for what holds", 0, );
  WAIT("on the last word", 0, wait.offset = 2 * PAGE - 8);
  WAIT("for what does not hold, without sleeping", ETIME, wait.value = 1);
  WAIT("with a deadline in the past", ETIME, wait.value = 1; wait.timeout_ns = -1);
  WAIT("NE", ETIME, wait.cond = NPU_WAIT_NE);
  *(uint64_t*)b.map = 5;
  WAIT("GE of less", 0, wait.cond = NPU_WAIT_GE; wait.value = 4);
  WAIT("GE of more", ETIME, wait.cond = NPU_WAIT_GE; wait.value = 6);
  WAIT("GE across the wrap", 0, wait.cond = NPU_WAIT_GE; wait.value = UINT64_MAX);
  WAIT("NE of another", 0, wait.cond = NPU_WAIT_NE; wait.value = 6);
#undef WAIT
  buffer_free(&b);
  context_close(&c);
}

// Arguments that end where the page ends: the kernel must not touch a byte behind them.
static void test_end_of_page(void) {
  struct context c = context_new();
  uint8_t* page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(page + PAGE, PAGE, PROT_NONE);
#define AT_END(type) ((type*)(page + PAGE - sizeof(type)))
  struct drm_npu_bo_create* create = AT_END(struct drm_npu_bo_create);
  *create = (struct drm_npu_bo_create){.size = PAGE, .flags = DRM_NPU_BO_HOST};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_BO_CREATE, create), 0, "bo_create at the end of a page");
  const uint32_t handle = create->handle;
  struct drm_npu_vm_bind* bind = AT_END(struct drm_npu_vm_bind);
  *bind = (struct drm_npu_vm_bind){.flags = RIGHTS_RW, .handle = handle, .va = BASE_VA, .size = PAGE};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_VM_BIND, bind), 0, "vm_bind at the end of a page");
  struct drm_npu_queue_create* queue = AT_END(struct drm_npu_queue_create);
  *queue = (struct drm_npu_queue_create){.ring_log2 = 4};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_QUEUE_CREATE, queue), 0, "queue_create at the end of a page");
  struct drm_npu_wait* wait = AT_END(struct drm_npu_wait);
  *wait = (struct drm_npu_wait){.handle = handle, .queue = NO_QUEUE};
  is_errno(npu_ioctl(c.fd, DRM_IOCTL_NPU_WAIT, wait), 0, "wait at the end of a page");
#undef AT_END
  munmap(page, 2 * PAGE);
  context_close(&c);
}

// DRM's calls for those who own a display are not for this node, which has no master for them to look at.
static void test_not_ours(void) {
  const int fd = open_node();
  struct drm_unique unique = {0};
  is_errno(npu_ioctl(fd, DRM_IOCTL_GET_UNIQUE, &unique), EACCES, "get_unique");
  is_errno(npu_ioctl(fd, DRM_IOCTL_SET_MASTER, NULL), EACCES, "set_master");
  struct drm_auth auth = {0};
  is_errno(npu_ioctl(fd, DRM_IOCTL_GET_MAGIC, &auth), EACCES, "get_magic");
  is_errno(npu_ioctl(fd, DRM_IOCTL_AUTH_MAGIC, &auth), EACCES, "auth_magic");
  struct drm_version version = {0};
  is_errno(npu_ioctl(fd, DRM_IOCTL_VERSION, &version), 0, "version");
  is_equal((unsigned)version.version_major, NPU_DRIVER_MAJOR, "is ours");
  close(fd);
}

int main(void) {
  test_get_info();
  test_not_ours();
  test_context_init();
  test_bo();
  test_bind_refusals();
  test_queue_refusals();
  test_wait_refusals();
  test_end_of_page();
  return tap_done();
}
