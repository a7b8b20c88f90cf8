// SPDX-License-Identifier: Apache-2.0
#include "drv.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xf86drm.h>

#include "../tap.h"

int npu_ioctl(int fd, unsigned long request, void* args) {
  return drmIoctl(fd, request, args);
}

const char* node_path(void) {
  static _Thread_local char path[64];
  path[0] = 0;  // a device that was bound again may have another number
  for (int i = 0; i < 64 && !path[0]; ++i) {
    char link[96], target[PATH_MAX];
    snprintf(link, sizeof link, "/sys/class/accel/accel%d/device/driver", i);
    const ssize_t n = readlink(link, target, sizeof target - 1);
    if (n <= 0) continue;
    target[n] = 0;
    if (strcmp(strrchr(target, '/') + 1, "npu") == 0) snprintf(path, sizeof path, "/dev/accel/accel%d", i);
  }
  if (!path[0]) bail("no accel node belongs to the driver npu: is npu.ko loaded?");
  return path;
}

const char* sysfs_path(void) {
  static _Thread_local char path[128];
  snprintf(path, sizeof path, "/sys/class/accel/%s/device", strrchr(node_path(), '/') + 1);
  return path;
}

int open_node(void) {
  const int fd = open(node_path(), O_RDWR | O_CLOEXEC);
  if (fd < 0) bail("%s: %s", node_path(), strerror(errno));
  return fd;
}

const char* read_attribute(const char* name) {
  static _Thread_local char text[4096];
  char path[256];
  text[0] = 0;
  snprintf(path, sizeof path, "%s/%s", sysfs_path(), name);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  const ssize_t n = read(fd, text, sizeof text - 1);
  const int error = errno;
  close(fd);
  errno = error;
  text[n > 0 ? n : 0] = 0;
  text[strcspn(text, "\n")] = 0;
  return text;
}

uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct drm_npu_info_memory memory_info(int fd) {
  struct drm_npu_info_memory info;
  struct drm_npu_get_info get = {.query = DRM_NPU_INFO_MEMORY, .size = sizeof info, .data = (uintptr_t)&info};
  if (npu_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get)) bail("memory info: %s", strerror(errno));
  return info;
}

bool free_returns_to(int fd, uint64_t bytes) {
  const uint64_t end = now_ns() + 30000000000ull;
  uint64_t free;
  do {
    free = memory_info(fd).device_free;
    if (free == bytes) return true;
    poll(NULL, 0, 5);
  } while (now_ns() < end);
  diag("free: %llu, expected %llu", (unsigned long long)free, (unsigned long long)bytes);
  return false;
}

void* map_offset(int fd, uint64_t offset, uint64_t bytes, int protection) {
  void* p = mmap(NULL, bytes, protection, MAP_SHARED, fd, (off_t)offset);
  if (p == MAP_FAILED) bail("mmap of %llu bytes: %s", (unsigned long long)bytes, strerror(errno));
  return p;
}

struct context context_new(void) {
  struct context c = {.fd = open_node(), .event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .fault_entries = 64};
  struct drm_npu_context_init init = {.fault_entries = c.fault_entries, .fault_eventfd = c.event};
  if (npu_ioctl(c.fd, DRM_IOCTL_NPU_CONTEXT_INIT, &init)) bail("context: %s", strerror(errno));
  c.id = init.context_id;
  c.fault_bytes = init.fault_bytes;
  c.fault_offset = init.fault_offset;
  c.bounds_offset = init.bounds_offset;
  c.faults = map_offset(c.fd, init.fault_offset, init.fault_bytes, PROT_READ | PROT_WRITE);
  c.bounds = map_offset(c.fd, init.bounds_offset, init.bounds_bytes, PROT_READ | PROT_WRITE);
  return c;
}

void context_close(struct context* context) {
  munmap(context->faults, context->fault_bytes);
  munmap(context->bounds, NPU_BOUNDS_TABLE_BYTES);
  close(context->event);
  close(context->fd);
}

struct buffer buffer_new(struct context* context, uint64_t bytes, uint32_t flags) {
  struct drm_npu_bo_create create = {.size = bytes, .flags = flags};
  if (npu_ioctl(context->fd, DRM_IOCTL_NPU_BO_CREATE, &create)) bail("buffer: %s", strerror(errno));
  struct drm_npu_bo_mmap where = {.handle = create.handle};
  if (npu_ioctl(context->fd, DRM_IOCTL_NPU_BO_MMAP, &where)) bail("buffer's offset: %s", strerror(errno));
  struct buffer b = {.context = context, .handle = create.handle, .size = create.size, .offset = where.offset};
  b.map = map_offset(context->fd, where.offset, create.size, PROT_READ | PROT_WRITE);
  return b;
}

void buffer_free(struct buffer* buffer) {
  struct drm_gem_close args = {.handle = buffer->handle};
  munmap(buffer->map, buffer->size);
  if (npu_ioctl(buffer->context->fd, DRM_IOCTL_GEM_CLOSE, &args)) bail("close of a handle: %s", strerror(errno));
}

int bind_range(struct buffer* buffer, uint64_t offset, uint64_t va, uint64_t bytes, uint32_t rights) {
  struct drm_npu_vm_bind args = {
      .op = DRM_NPU_VM_MAP, .flags = rights, .handle = buffer->handle, .offset = offset, .va = va, .size = bytes};
  return npu_ioctl(buffer->context->fd, DRM_IOCTL_NPU_VM_BIND, &args);
}

int unbind_range(struct context* context, uint64_t va, uint64_t bytes) {
  struct drm_npu_vm_bind args = {.op = DRM_NPU_VM_UNMAP, .va = va, .size = bytes};
  return npu_ioctl(context->fd, DRM_IOCTL_NPU_VM_BIND, &args);
}

uint64_t publish(struct buffer* buffer, uint32_t number, uint64_t va) {
  if (bind_range(buffer, 0, va, buffer->size, RIGHTS_RW)) bail("bind: %s", strerror(errno));
  struct npu_bounds_entry* entry = &buffer->context->bounds[number];
  entry->base = va;
  entry->size = buffer->size;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  __atomic_store_n(&entry->ctl, BOUNDS_RW, __ATOMIC_RELEASE);
  return NPU_PTR(number, 0, va);
}

struct queue queue_new(struct context* context, uint32_t ring_log2) {
  struct drm_npu_queue_create create = {.ring_log2 = ring_log2, .priority = 1};
  if (npu_ioctl(context->fd, DRM_IOCTL_NPU_QUEUE_CREATE, &create)) bail("queue: %s", strerror(errno));
  struct queue q = {.context = context,
                    .id = create.queue,
                    .packets = 1u << ring_log2,
                    .ring_offset = create.ring_offset,
                    .status_offset = create.status_offset,
                    .doorbell_offset = create.doorbell_offset};
  q.ring = map_offset(context->fd, q.ring_offset, (uint64_t)q.packets * NPU_PACKET_BYTES, PROT_READ | PROT_WRITE);
  q.status = map_offset(context->fd, q.status_offset, PAGE, PROT_READ);
  q.doorbell = map_offset(context->fd, q.doorbell_offset, PAGE, PROT_READ | PROT_WRITE);
  return q;
}

void queue_free(struct queue* queue) {
  struct drm_npu_queue_destroy args = {.queue = queue->id};
  if (npu_ioctl(queue->context->fd, DRM_IOCTL_NPU_QUEUE_DESTROY, &args)) bail("end of a queue: %s", strerror(errno));
  munmap_queue(queue);
}

void munmap_queue(struct queue* queue) {
  munmap(queue->ring, (uint64_t)queue->packets * NPU_PACKET_BYTES);
  munmap((void*)queue->status, PAGE);
  munmap((void*)queue->doorbell, PAGE);
}

void put_packet(struct queue* queue, const struct npu_packet* packet) {
  memcpy(&queue->ring[queue->wptr++ % queue->packets], packet, sizeof *packet);
}

void ring_doorbell(struct queue* queue) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);  // the ring is write-combined
  queue->doorbell[NPU_DB_WPTR / 8] = queue->wptr;
}

struct npu_packet packet_of(uint8_t type, uint64_t signal_addr, uint64_t signal_value) {
  return (struct npu_packet){.type = type,
                             .flags = signal_addr ? NPU_PKT_F_SIGNAL : 0,
                             .signal_addr = signal_addr,
                             .signal_value = signal_addr ? signal_value : 0};
}

struct npu_packet copy_packet(uint64_t dst, uint64_t src, uint64_t bytes, uint64_t signal_addr, uint64_t signal_value) {
  struct npu_packet packet = packet_of(NPU_PKT_COPY, signal_addr, signal_value);
  packet.u.copy = (struct npu_pkt_copy){.dst = dst, .src = src, .row_bytes = bytes, .rows = 1};
  return packet;
}

struct npu_packet wait_packet(uint64_t addr, uint64_t value, uint32_t cond, uint64_t signal_ptr,
                              uint64_t signal_value) {
  struct npu_packet packet = packet_of(NPU_PKT_WAIT, signal_ptr, signal_value);
  packet.u.wait = (struct npu_pkt_wait){.addr = addr, .value = value, .cond = cond};
  return packet;
}

int wait_value(struct buffer* buffer, uint64_t offset, uint64_t value, uint32_t cond, int64_t timeout_ms,
               uint32_t queue) {
  struct drm_npu_wait args = {.handle = buffer->handle,
                              .cond = cond,
                              .offset = offset,
                              .value = value,
                              .queue = queue,
                              .timeout_ns = INT64_MAX};
  if (timeout_ms >= 0) args.timeout_ns = (int64_t)(now_ns() + (uint64_t)timeout_ms * 1000000u);
  return npu_ioctl(buffer->context->fd, DRM_IOCTL_NPU_WAIT, &args);
}

void put_gated(struct queue* queue, uint64_t gate_ptr, uint64_t gate, uint64_t signal_ptr, uint64_t value) {
  const struct npu_packet wait = wait_packet(gate_ptr, gate, NPU_WAIT_GE, 0, 0);
  const struct npu_packet done = packet_of(NPU_PKT_SIGNAL, signal_ptr, value);
  put_packet(queue, &wait);
  put_packet(queue, &done);
  ring_doorbell(queue);
}

void check_works(const char* what) {
  struct context c = context_new();
  struct queue q = queue_new(&c, 4);
  struct buffer b = buffer_new(&c, PAGE, DRM_NPU_BO_HOST);
  const struct npu_packet packet = packet_of(NPU_PKT_NOP, publish(&b, 1, BASE_VA), 1);
  put_packet(&q, &packet);
  ring_doorbell(&q);
  is_errno(wait_value(&b, 0, 1, NPU_WAIT_EQ, 20000, q.id), 0, what);
  queue_free(&q);
  buffer_free(&b);
  context_close(&c);
}

bool wait_state(struct queue* queue, uint32_t state) {
  const uint64_t end = now_ns() + 10000000000ull;
  while (__atomic_load_n(&queue->status->state, __ATOMIC_ACQUIRE) != state) {
    if (now_ns() > end) return false;
    poll(NULL, 0, 1);
  }
  return true;
}

static char thread_state(int tid) {
  char path[64], text[256] = "";
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  FILE* f = fopen(path, "r");
  if (!f) return '?';
  const size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = 0;
  const char* end = strrchr(text, ')');
  return end ? end[2] : '?';
}

bool thread_sleeps(const int* tid) {
  const uint64_t end = now_ns() + 20000000000ull;
  int number;
  while (!(number = __atomic_load_n(tid, __ATOMIC_ACQUIRE)) || thread_state(number) != 'S') {
    if (now_ns() > end) return false;
    poll(NULL, 0, 1);
  }
  return true;
}

int in_child(int (*body)(void*), void* arg) {
  fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) bail("fork: %s", strerror(errno));
  if (pid == 0) _exit(body(arg));
  int status;
  if (waitpid(pid, &status, 0) != pid) bail("waitpid: %s", strerror(errno));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
