// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "../tap.h"

void rig_open(struct rig* r) {
  rig_open_with(r, 6, DRM_NPU_BO_HOST);
}

void rig_open_with(struct rig* r, uint32_t ring_log2, uint32_t fence_flags) {
  *r = (struct rig){.context = context_new()};
  r->queue = queue_new(&r->context, ring_log2);
  r->fence = buffer_new(&r->context, PAGE, fence_flags);
  r->out = buffer_new(&r->context, PAGE, DRM_NPU_BO_HOST);
  r->fence_ptr = publish(&r->fence, kFence, FENCE_VA);
  r->out_ptr = publish(&r->out, kOut, OUT_VA);
  // A window whose bounds always allow it: what is refused in it is refused by the page tables.
  struct npu_bounds_entry* entry = &r->context.bounds[kWindow];
  entry->base = BASE_VA;
  entry->size = WINDOW_BYTES;
  __atomic_store_n(&entry->ctl, BOUNDS_RW, __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  r->window_ptr = NPU_PTR(kWindow, 0, BASE_VA);
}

void rig_close(struct rig* r) {
  queue_free(&r->queue);
  buffer_free(&r->fence);
  buffer_free(&r->out);
  context_close(&r->context);
}

void submit_gated(struct rig* r, uint64_t gate, uint64_t value) {
  put_gated(&r->queue, r->fence_ptr + RIG_GATE, gate, r->fence_ptr, value);
}

void open_gate(struct rig* r, uint64_t gate) {
  __atomic_store_n((uint64_t*)((char*)r->fence.map + RIG_GATE), gate, __ATOMIC_SEQ_CST);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  r->queue.doorbell[NPU_DB_KICK / 8] = 1;
}

void rig_start(struct rig* r, const struct npu_packet* packet) {
  struct npu_packet signalled = *packet;
  signalled.flags |= NPU_PKT_F_SIGNAL;
  signalled.signal_addr = r->fence_ptr;
  signalled.signal_value = ++r->count;
  put_packet(&r->queue, &signalled);
  ring_doorbell(&r->queue);
}

uint32_t rig_end(struct rig* r) {
  if (wait_value(&r->fence, 0, r->count, NPU_WAIT_EQ, 20000, r->queue.id) == 0) return 0;
  if (errno != EIO) bail("wait for a packet: %s", strerror(errno));
  const uint32_t kind = r->queue.status->error;
  struct drm_npu_queue_resume resume = {.queue = r->queue.id, .mode = NPU_RESUME_SKIP};
  if (npu_ioctl(r->context.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume)) bail("resume: %s", strerror(errno));
  if (!wait_state(&r->queue, NPU_QUEUE_OK)) bail("the queue does not go on after its resume");
  return kind;
}

uint32_t run_copy(struct rig* r, uint64_t dst, uint64_t src, uint64_t bytes) {
  const struct npu_packet packet = copy_packet(dst, src, bytes, 0, 0);
  rig_start(r, &packet);
  return rig_end(r);
}

uint64_t device_reads(struct rig* r, uint64_t offset) {
  const uint32_t kind = run_copy(r, r->out_ptr, r->window_ptr + offset, 8);
  if (kind == NPU_FAULT_PAGE) return UINT64_MAX;
  if (kind) bail("a read of the window ended with fault %u", kind);
  return *(volatile uint64_t*)r->out.map;
}

uint32_t device_writes(struct rig* r, uint64_t offset, uint64_t value) {
  *(volatile uint64_t*)r->out.map = value;
  return run_copy(r, r->window_ptr + offset, r->out_ptr, 8);
}

struct buffer operator_new(struct rig* r, const uint32_t* words, uint32_t bytes) {
  struct buffer code = buffer_new(&r->context, PAGE, DRM_NPU_BO_DEVICE);
  memcpy(code.map, words, bytes);
  struct npu_bounds_entry* entry = &r->context.bounds[kCode];
  entry->base = CODE_VA;
  entry->size = PAGE;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  __atomic_store_n(&entry->ctl, BOUNDS_RW | NPU_BOUNDS_EXEC, __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return code;
}

void operator_start(struct rig* r) {
  struct npu_packet launch = packet_of(NPU_PKT_LAUNCH, 0, 0);
  launch.u.launch = (struct npu_pkt_launch){.entry = NPU_PTR(kCode, 0, CODE_VA),
                                            .args = r->out_ptr + 8 * kArgs,
                                            .args_bytes = PAGE - 8 * kArgs,
                                            .grid = {1, 1, 1}};
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  rig_start(r, &launch);
}

uint32_t operator_run(struct rig* r) {
  operator_start(r);
  return rig_end(r);
}

void number_pages(struct buffer* b, uint64_t first) {
  for (uint64_t i = 0; i < b->size / PAGE; ++i) ((uint64_t*)b->map)[i * PAGE / 8] = first + i;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool pages_numbered(const struct buffer* b, uint64_t first) {
  for (uint64_t i = 0; i < b->size / PAGE; ++i) {
    const uint64_t got = ((volatile uint64_t*)b->map)[i * PAGE / 8];
    if (got == first + i) continue;
    diag("page %llu of %llu holds %#llx instead of %#llx", (unsigned long long)i, (unsigned long long)(b->size / PAGE),
         (unsigned long long)got, (unsigned long long)(first + i));
    return false;
  }
  return true;
}

const char* debugfs_path(const char* name) {
  static _Thread_local char path[128];
  char target[PATH_MAX];
  if (!realpath(sysfs_path(), target)) bail("%s: %s", sysfs_path(), strerror(errno));
  snprintf(path, sizeof path, "/sys/kernel/debug/accel/%s/%s", strrchr(target, '/') + 1, name);
  return path;
}

int debugfs_write(const char* name, const char* text) {
  const char* path = debugfs_path(name);
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) bail("%s: %s", path, strerror(errno));
  const int ret = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
  const int error = errno;
  close(fd);
  errno = error;
  return ret;
}

char* debugfs_read(const char* name) {
  const char* path = debugfs_path(name);
  FILE* f = fopen(path, "re");
  if (!f) bail("%s: %s", path, strerror(errno));
  size_t bytes = 0, room = 1 << 16;
  char* text = malloc(room);
  for (size_t n; (n = fread(text + bytes, 1, room - bytes - 1, f)) > 0;) {
    bytes += n;
    if (bytes + 1 == room) text = realloc(text, room *= 2);
  }
  text[bytes] = 0;
  fclose(f);
  return text;
}

void module_parameter(const char* name, const char* value, char* was) {
  char path[96];
  snprintf(path, sizeof path, "/sys/module/npu/parameters/%s", name);
  FILE* f = fopen(path, "r+e");
  if (!f) bail("%s: %s", path, strerror(errno));
  if (was && !fgets(was, 16, f)) bail("%s cannot be read", path);
  if (was) was[strcspn(was, "\n")] = 0;
  rewind(f);
  if (fputs(value, f) < 0 || fclose(f)) bail("%s = %s: %s", path, value, strerror(errno));
}

long long fdinfo_kib(int fd, const char* key) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  FILE* f = fopen(path, "re");
  if (!f) bail("%s: %s", path, strerror(errno));
  long long value = -1;
  const size_t n = strlen(key);
  while (fgets(line, sizeof line, f)) {
    if (strncmp(line, key, n) != 0 || line[n] != ':') continue;
    char unit[8] = "";
    if (sscanf(line + n + 1, "%lld %7s", &value, unit) == 2) {
      if (strcmp(unit, "MiB") == 0) value *= 1024;
    } else {
      value /= 1024;
    }
  }
  fclose(f);
  return value;
}

char place_of(const char* name) {
  char* text = debugfs_read("buffers");
  char place = 0, key[64];
  snprintf(key, sizeof key, " name %s", name);
  for (char* line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    char where[16] = "";
    const char* at = strstr(line, key);
    if (at && !at[strlen(key)] && sscanf(line, "%*s %15s", where) == 1) place = where[0];
  }
  free(text);
  return place;
}

void name_buffer(struct buffer* b, const char* name) {
  struct drm_npu_bo_name args = {.handle = b->handle};
  snprintf(args.name, sizeof args.name, "%s", name);
  if (npu_ioctl(b->context->fd, DRM_IOCTL_NPU_BO_NAME, &args)) bail("bo_name: %s", strerror(errno));
}
