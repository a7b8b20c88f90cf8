// SPDX-License-Identifier: Apache-2.0
//
// Buffers shared as dma-buf: between processes, with other drivers in both directions, and between two NPUs.
#include "rig.h"
#include "rv.h"

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/udmabuf.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xf86drm.h>

#include "../tap.h"

static int export_buffer(struct buffer* b) {
  int fd;
  if (drmPrimeHandleToFD(b->context->fd, b->handle, DRM_CLOEXEC | DRM_RDWR, &fd)) bail("export: %s", strerror(errno));
  return fd;
}

// Without a mapping; handle 0 when it failed.
static struct buffer import_buffer(struct context* c, int fd, uint64_t bytes) {
  struct buffer b = {.context = c, .size = bytes};
  if (drmPrimeFDToHandle(c->fd, fd, &b.handle)) b.handle = 0;
  return b;
}

static void close_handle(struct buffer* b) {
  struct drm_gem_close args = {.handle = b->handle};
  if (npu_ioctl(b->context->fd, DRM_IOCTL_GEM_CLOSE, &args)) bail("close of a handle: %s", strerror(errno));
}

static void test_processes(uint32_t flags, const char* name) {
  struct rig one, two;
  rig_open(&one);
  rig_open(&two);
  struct buffer mine = buffer_new(&one.context, 3 * MIB, flags);
  number_pages(&mine, 1000);
  const int fd = export_buffer(&mine);
  is_equal((unsigned long long)lseek(fd, 0, SEEK_END), 3 * MIB, name);
  uint64_t* map = mmap(NULL, 3 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ok(map != MAP_FAILED, "the dma-buf can be mapped");
  is_equal(map[5 * PAGE / 8], 1005, "and shows the contents");
  struct buffer theirs = import_buffer(&two.context, fd, 3 * MIB);
  close(fd);
  ok(theirs.handle, "another file imports it");
  is_errno(bind_range(&theirs, 0, BASE_VA, 3 * MIB, RIGHTS_RW), 0, "and binds it");
  is_equal(device_reads(&two, 7 * PAGE), 1007, "the device reads it there");
  is_equal(device_writes(&two, 8, 4711), 0, "and writes it");
  is_equal(((volatile uint64_t*)mine.map)[1], 4711, "what the first file sees");
  is_equal(map[1], 4711, "and the mapping of the dma-buf");
  const char* key = flags == DRM_NPU_BO_DEVICE ? "drm-shared-device" : "drm-shared-host";
  const char* total = flags == DRM_NPU_BO_DEVICE ? "drm-total-device" : "drm-total-host";
  is_equal((unsigned long long)fdinfo_kib(two.context.fd, key), 3072, "fdinfo calls it shared");
  key = flags == DRM_NPU_BO_DEVICE ? "drm-resident-device" : "drm-resident-host";
  const long long resident = fdinfo_kib(two.context.fd, key);
  ok(resident >= 3072 && resident == fdinfo_kib(two.context.fd, total), "and resident: %lld KiB", resident);
  buffer_free(&mine);
  munmap(map, 3 * MIB);
  is_equal(device_reads(&two, 9 * PAGE), 1009, "it outlives its maker's handle");
  close_handle(&theirs);
  rig_close(&one);
  is_equal(device_reads(&two, 10 * PAGE), 1010, "and its maker");
  rig_close(&two);
}

// Somebody else's buffer, with all that can be done and not be done with it.
static void use_foreign(struct rig* r, int fd, volatile uint64_t* cpu, uint64_t bytes, const char* name) {
  struct buffer b = import_buffer(&r->context, fd, bytes);
  if (!ok(b.handle, "import from %s", name)) return diag("%s", strerror(errno));
  for (uint64_t i = 0; i < bytes / PAGE; ++i) cpu[i * PAGE / 8] = 2000 + i;
  is_errno(bind_range(&b, 0, BASE_VA, bytes, RIGHTS_RW), 0, "bind");
  int wrong = 0;
  for (uint64_t i = 0; i < bytes / PAGE; ++i) wrong += device_reads(r, i * PAGE) != 2000 + i;
  is_equal((unsigned)wrong, 0, "the device reads all of it");
  is_equal(device_writes(r, bytes - 8, 4712), 0, "the device writes it");
  is_equal(cpu[bytes / 8 - 1], 4712, "and it arrives");
  is_errno(wait_value(&b, 0, 0, NPU_WAIT_NE, 0, NO_QUEUE), EOPNOTSUPP, "a wait on it");
  int again;
  ok(drmPrimeHandleToFD(r->context.fd, b.handle, DRM_CLOEXEC, &again) == 0, "its dma-buf can be had again");
  close(again);
  is_errno(bind_range(&b, PAGE, BASE_VA, bytes, RIGHTS_RW), EINVAL, "a bind behind its end");
  if (unbind_range(&r->context, BASE_VA, bytes)) bail("unbind: %s", strerror(errno));
  is_equal(device_reads(r, 0), UINT64_MAX, "unbound, it is out of reach");
  close_handle(&b);
}

// A buffer of udmabuf's: its dma-buf, and the memory file behind it; -1 when the kernel has none.
static int udmabuf_new(uint64_t bytes, int* memory) {
  const int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
  if (dev < 0) return -1;
  *memory = memfd_create("npu-test", MFD_ALLOW_SEALING | MFD_CLOEXEC);
  if (ftruncate(*memory, (off_t)bytes) || fcntl(*memory, F_ADD_SEALS, F_SEAL_SHRINK))
    bail("memfd: %s", strerror(errno));
  struct udmabuf_create create = {.memfd = (unsigned)*memory, .flags = UDMABUF_FLAGS_CLOEXEC, .size = bytes};
  const int fd = ioctl(dev, UDMABUF_CREATE, &create);
  if (fd < 0) bail("udmabuf: %s", strerror(errno));
  close(dev);
  return fd;
}

static void test_udmabuf(void) {
  const uint64_t bytes = 16 * PAGE;
  int memory;
  const int fd = udmabuf_new(bytes, &memory);
  if (fd < 0) return skip("this kernel has no udmabuf");
  struct rig r;
  rig_open(&r);
  uint64_t* cpu = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  use_foreign(&r, fd, cpu, bytes, "udmabuf");
  munmap(cpu, bytes);
  close(fd);
  close(memory);
  rig_close(&r);
}

// Foreign buffers between ones of our own, which only their mappings keep: one call ends them all.  What this does to
// locks shows in the debug kernel.
static void test_end_together(void) {
  enum { kBuffers = 4 };
  const uint64_t bytes = 16 * PAGE;
  if (access("/dev/udmabuf", R_OK)) return skip("this kernel has no udmabuf");
  struct rig r;
  rig_open(&r);
  const uint64_t before = memory_info(r.context.fd).device_free;
  for (int i = 0; i < kBuffers; ++i) {
    int memory = -1, fd = -1;
    if (i % 2) fd = udmabuf_new(bytes, &memory);
    struct buffer b = i % 2 ? import_buffer(&r.context, fd, bytes) : buffer_new(&r.context, bytes, DRM_NPU_BO_DEVICE);
    if (!b.handle) bail("import: %s", strerror(errno));
    if (bind_range(&b, 0, BASE_VA + i * bytes, bytes, RIGHTS_RW)) bail("bind: %s", strerror(errno));
    if (i % 2) {
      close_handle(&b);
      close(fd);
      close(memory);
    } else {
      buffer_free(&b);
    }
  }
  is_equal(device_reads(&r, 2 * bytes), 0, "buffers live by their mappings alone");
  struct drm_npu_vm_bind all = {.op = DRM_NPU_VM_UNMAP, .va = BASE_VA, .size = kBuffers * bytes};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_VM_BIND, &all), 0, "which end together");
  is_equal(device_reads(&r, 2 * bytes), UINT64_MAX, "and the device reaches none of them");
  ok(free_returns_to(r.context.fd, before), "nor is their memory lost");
  rig_close(&r);
}

static int open_vgem(void) {
  for (int i = 0; i < 16; ++i) {
    char path[64];
    snprintf(path, sizeof path, "/dev/dri/card%d", i);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) continue;
    drmVersionPtr version = drmGetVersion(fd);
    const bool found = version && strcmp(version->name, "vgem") == 0;
    drmFreeVersion(version);
    if (found) return fd;
    close(fd);
  }
  return -1;
}

// A driver that reaches host memory only: it exports to us, and our device memory moves for it.
static void test_vgem(void) {
  if (system("modprobe vgem 2>/dev/null")) diag("vgem is built in, or missing");
  const int card = open_vgem();
  if (card < 0) return skip("this kernel has no vgem");
  struct rig r;
  rig_open(&r);
  struct drm_mode_create_dumb dumb = {.width = 1024, .height = 16, .bpp = 32};
  if (drmIoctl(card, DRM_IOCTL_MODE_CREATE_DUMB, &dumb)) bail("vgem's buffer: %s", strerror(errno));
  struct drm_mode_map_dumb where = {.handle = dumb.handle};
  if (drmIoctl(card, DRM_IOCTL_MODE_MAP_DUMB, &where)) bail("vgem's offset: %s", strerror(errno));
  uint64_t* cpu = map_offset(card, where.offset, dumb.size, PROT_READ | PROT_WRITE);
  int fd;
  if (drmPrimeHandleToFD(card, dumb.handle, DRM_CLOEXEC | DRM_RDWR, &fd)) bail("vgem's export: %s", strerror(errno));
  use_foreign(&r, fd, cpu, dumb.size, "vgem");
  munmap(cpu, dumb.size);
  close(fd);

  struct buffer b = buffer_new(&r.context, MIB, DRM_NPU_BO_DEVICE);
  name_buffer(&b, "lent");
  number_pages(&b, 600);
  if (bind_range(&b, 0, BASE_VA, MIB, RIGHTS_RW)) bail("bind: %s", strerror(errno));
  is_equal((unsigned char)place_of("lent"), 'd', "a buffer in device memory");
  fd = export_buffer(&b);
  uint32_t handle;
  if (ok(drmPrimeFDToHandle(card, fd, &handle) == 0, "vgem imports it")) {
    is_equal((unsigned char)place_of("lent"), 'h', "it has moved to where vgem reaches it");
    is_equal(device_reads(&r, PAGE), 601, "the device still reads it");
    is_equal(device_writes(&r, 2 * PAGE, 5), 0, "and writes it");
    is_equal(((volatile uint64_t*)b.map)[2 * PAGE / 8], 5, "and the process sees that");
    struct drm_gem_close args = {.handle = handle};
    drmIoctl(card, DRM_IOCTL_GEM_CLOSE, &args);
  }
  close(fd);
  const uint64_t end = now_ns() + 20000000000ull;
  while (place_of("lent") != 'd' && now_ns() < end) usleep(20000);
  is_equal((unsigned char)place_of("lent"), 'd', "it comes back when vgem has let go");
  is_equal(device_reads(&r, 3 * PAGE), 603, "with its contents");
  buffer_free(&b);
  rig_close(&r);
  close(card);
}

// The node of the second NPU, or -1.
static int open_second(void) {
  const char* first = node_path();
  for (int i = 0; i < 16; ++i) {
    char path[64];
    snprintf(path, sizeof path, "/dev/accel/accel%d", i);
    if (strcmp(path, first) == 0) continue;
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) return fd;
  }
  return -1;
}

// What the operator below gets; its two descriptors go to SRAM first.
struct peer_args {
  uint64_t words, sram;      // of the descriptors, and where they go
  uint64_t scalar, counter;  // pointers into the other device's buffer
  struct npu_dma_desc in, out;
};
enum {
  kPeerBytes = 64 * 1024,
  kPeerOut = 1024 * 1024 + 24,
  kPeerScalar = 2 * 1024 * 1024,
  kPeerCounter = 3 * 1024 * 1024
};

// An operator's pipes, its own loads and stores, and its atomics on memory of the other device, which is
// bound to the window here.
static void operate_on_peer(struct rig* r, struct buffer* b) {
  const uint32_t words[] = {rv_ld(T0, 0, A0), rv_ld(T1, 8, A0), rv_addi(T2, A0, offsetof(struct peer_args, in)),
                            // loop: descriptors to SRAM
                            rv_ld(T3, 0, T2), rv_sd(T3, 0, T1), rv_addi(T2, T2, 8), rv_addi(T1, T1, 8),
                            rv_addi(T0, T0, -1), rv_bne(T0, X0, -20),
                            // peer -> SRAM -> peer
                            rv_ld(T1, 8, A0), rv_issue(NPU_PIPE_DMA_IN, T1), rv_addi(T2, X0, 1 << NPU_PIPE_DMA_IN),
                            rv_drain(T2), rv_addi(T3, T1, sizeof(struct npu_dma_desc)), rv_issue(NPU_PIPE_DMA_OUT, T3),
                            rv_addi(T2, X0, 1 << NPU_PIPE_DMA_OUT), rv_drain(T2),
                            // second word = first word + 1
                            rv_ld(T5, 16, A0), rv_ld(T4, 0, T5), rv_addi(T4, T4, 1), rv_sd(T4, 8, T5),
                            // counter += 5, second word = what it was
                            rv_ld(T5, 24, A0), rv_addi(T4, X0, 5), rv_amoadd_d(T6, T4, T5), rv_sd(T6, 8, T5), rv_ret()};
  struct buffer code = operator_new(r, words, sizeof words);
  if (bind_range(&code, 0, CODE_VA, PAGE, DRM_NPU_VM_READ | DRM_NPU_VM_EXEC)) bail("bind of code: %s", strerror(errno));
  const uint64_t sram = NPU_LOCAL_SRAM_BASE + 0x1000;
  const struct peer_args args = {
      .words = 2 * sizeof(struct npu_dma_desc) / 8,
      .sram = NPU_LOCAL_SRAM_BASE,
      .scalar = r->window_ptr + kPeerScalar,
      .counter = r->window_ptr + kPeerCounter,
      .in = {.op = NPU_DMA_COPY, .dst = sram, .src = r->window_ptr + 8, .count = {kPeerBytes}},
      .out = {.op = NPU_DMA_COPY, .dst = r->window_ptr + kPeerOut, .src = sram, .count = {kPeerBytes}},
  };
  memcpy((uint64_t*)r->out.map + kArgs, &args, sizeof args);
  volatile uint64_t* memory = b->map;
  for (uint64_t i = 0; i < kPeerBytes / 8; ++i) memory[1 + i] = i * 0x9e3779b97f4a7c15ull;
  memory[kPeerScalar / 8] = 41;
  memory[kPeerScalar / 8 + 1] = 0;
  memory[kPeerCounter / 8] = 100;
  memory[kPeerOut / 8 - 1] = memory[(kPeerOut + kPeerBytes) / 8] = 0xfe;
  is_equal(operator_run(r), 0, "an operator here works on it");
  unsigned wrong = 0;
  for (uint64_t i = 0; i < kPeerBytes / 8; ++i) wrong += memory[kPeerOut / 8 + i] != i * 0x9e3779b97f4a7c15ull;
  is_equal(wrong, 0, "its pipes have copied a part of it through SRAM");
  ok(memory[kPeerOut / 8 - 1] == 0xfe && memory[(kPeerOut + kPeerBytes) / 8] == 0xfe, "and touched nothing beside");
  is_equal(memory[kPeerScalar / 8 + 1], 42, "its loads and stores");
  ok(memory[kPeerCounter / 8] == 105 && memory[kPeerCounter / 8 + 1] == 100, "its atomics");
  if (unbind_range(&r->context, CODE_VA, PAGE)) bail("unbind of code: %s", strerror(errno));
  buffer_free(&code);
}

static void test_two_devices(void) {
  struct context far = {.fd = open_second(), .fault_entries = 64};
  if (far.fd < 0) return skip("one NPU only");
  struct drm_npu_context_init init = {.fault_entries = 64, .fault_eventfd = -1};
  if (npu_ioctl(far.fd, DRM_IOCTL_NPU_CONTEXT_INIT, &init)) bail("second device: %s", strerror(errno));
  struct rig r;
  rig_open(&r);
  for (int pass = 0; pass < 2; ++pass) {
    module_parameter("p2p", pass ? "0" : "1", NULL);
    // Made on the second device, used by the first.
    struct buffer b = buffer_new(&far, 4 * MIB, DRM_NPU_BO_DEVICE);
    number_pages(&b, 9000);
    const int fd = export_buffer(&b);
    const long long near = fdinfo_kib(far.fd, "drm-resident-device");
    struct buffer here = import_buffer(&r.context, fd, 4 * MIB);
    if (!ok(here.handle, "import from another NPU, %s", pass ? "without peer-to-peer" : "peer-to-peer")) break;
    is_equal((unsigned long long)(near - fdinfo_kib(far.fd, "drm-resident-device")), pass ? 4096 : 0,
             pass ? "the buffer has moved to host memory" : "the buffer stays in the device");
    if (bind_range(&here, 0, BASE_VA, 4 * MIB, RIGHTS_RW)) bail("bind: %s", strerror(errno));
    int wrong = 0;
    for (uint64_t i = 0; i < 4 * MIB / PAGE; i += 37) wrong += device_reads(&r, i * PAGE) != 9000 + i;
    is_equal((unsigned)wrong, 0, "this NPU reads the other's buffer");
    is_equal(device_writes(&r, 8, 77), 0, "and writes it");
    is_equal(((volatile uint64_t*)b.map)[1], 77, "and it arrives");
    operate_on_peer(&r, &b);
    is_errno(bind_range(&here, 0, BASE_VA, 4 * MIB, DRM_NPU_VM_READ), 0, "bound to read only");
    is_equal(device_writes(&r, 8, 78), NPU_FAULT_PAGE_PERM, "it is not written");
    if (unbind_range(&r.context, BASE_VA, 4 * MIB)) bail("unbind: %s", strerror(errno));
    close_handle(&here);
    close(fd);
    buffer_free(&b);
  }
  module_parameter("p2p", "1", NULL);
  rig_close(&r);
  close(far.fd);
}

int main(void) {
  const int watch = open_node();
  const uint64_t before = memory_info(watch).device_free;
  test_processes(DRM_NPU_BO_DEVICE, "a dma-buf of device memory");
  test_processes(DRM_NPU_BO_HOST, "a dma-buf of host memory");
  test_udmabuf();
  test_end_together();
  test_vgem();
  test_two_devices();
  ok(free_returns_to(watch, before), "the device has all its memory again");
  close(watch);
  return tap_done();
}
