// SPDX-License-Identifier: Apache-2.0
//
// Fences across drivers: a queue's position as a syncobj point and as a sync_file, and fences of others (another
// process's queue, vgem) that open a queue's gate.
#include "rig.h"

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/sync_file.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xf86drm.h>

#include "../tap.h"

static uint32_t syncobj_new(struct rig* r) {
  uint32_t handle;
  if (drmSyncobjCreate(r->context.fd, 0, &handle)) bail("syncobj: %s", strerror(errno));
  return handle;
}

static int export_position(struct rig* r, uint32_t syncobj, uint64_t position, uint64_t point, uint32_t timeout_ms) {
  struct drm_npu_sync_export args = {
      .queue = r->queue.id, .syncobj = syncobj, .position = position, .point = point, .timeout_ms = timeout_ms};
  return npu_ioctl(r->context.fd, DRM_IOCTL_NPU_SYNC_EXPORT, &args);
}

static int import_fence(struct rig* r, uint32_t syncobj, uint64_t point, uint64_t value) {
  struct drm_npu_sync_import args = {.syncobj = syncobj,
                                     .handle = r->fence.handle,
                                     .point = point,
                                     .offset = RIG_GATE,
                                     .value = value,
                                     .queue = r->queue.id};
  return npu_ioctl(r->context.fd, DRM_IOCTL_NPU_SYNC_IMPORT, &args);
}

// 0, or -1 and errno; waits 20 s or not at all.
static int timeline_wait(struct rig* r, uint32_t syncobj, uint64_t point, int wait) {
  const int64_t until = wait ? (int64_t)now_ns() + 20000000000ll : 0;
  const int ret = drmSyncobjTimelineWait(r->context.fd, &syncobj, &point, 1, until, 0, NULL);
  if (ret < 0 && ret != -1) errno = -ret;
  return ret ? -1 : 0;
}

static int sync_file_of(struct rig* r, uint32_t syncobj) {
  int fd = -1;
  if (drmSyncobjExportSyncFile(r->context.fd, syncobj, &fd)) bail("sync_file: %s", strerror(errno));
  return fd;
}

static int file_signalled(int fd, int timeout_ms) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, timeout_ms) == 1;
}

// 1: signalled; 0: not; negative: its error.
static int file_status(int fd) {
  struct sync_file_info info = {};
  if (ioctl(fd, SYNC_IOC_FILE_INFO, &info)) bail("sync_file info: %s", strerror(errno));
  return info.status;
}

static void test_export(void) {
  struct rig r;
  rig_open(&r);
  const uint32_t timeline = syncobj_new(&r), binary = syncobj_new(&r);
  submit_gated(&r, 1, 1);
  submit_gated(&r, 2, 2);
  is_errno(export_position(&r, timeline, 2, 10, 0), 0, "position 2 as point 10");
  is_errno(export_position(&r, timeline, 4, 20, 0), 0, "position 4 as point 20");
  is_errno(export_position(&r, binary, 4, 0, 0), 0, "position 4 without timeline");
  const int file = sync_file_of(&r, binary);
  is_errno(timeline_wait(&r, timeline, 10, 0), ETIME, "point 10 before the gate opens");
  ok(!file_signalled(file, 0) && file_status(file) == 0, "the sync_file has not signalled");
  open_gate(&r, 1);
  is_errno(timeline_wait(&r, timeline, 10, 1), 0, "point 10 after the gate opened");
  is_equal(*(volatile uint64_t*)r.fence.map, 1, "the work before it is done");
  is_errno(timeline_wait(&r, timeline, 20, 0), ETIME, "point 20 has not come");
  open_gate(&r, 2);
  is_errno(timeline_wait(&r, timeline, 20, 1), 0, "point 20");
  ok(file_signalled(file, 20000) && file_status(file) == 1, "poll() of the sync_file");
  is_errno(export_position(&r, binary, 4, 0, 0), 0, "a position that has been passed");
  is_errno(timeline_wait(&r, binary, 0, 1), 0, "has signalled");

  is_errno(export_position(&r, timeline, 5, 30, 0), EINVAL, "a position that has not been rung");
  is_errno(export_position(&r, 999, 4, 30, 0), ENOENT, "no such syncobj");
  is_errno(export_position(&r, timeline, 4, 30, 60001), EINVAL, "a timeout of more than a minute");
  struct drm_npu_sync_export bad = {.queue = r.queue.id, .syncobj = timeline, .point = 30, .flags = 1};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_SYNC_EXPORT, &bad), EINVAL, "flags");
  bad = (struct drm_npu_sync_export){.queue = 12345, .syncobj = timeline, .point = 30};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_SYNC_EXPORT, &bad), ENOENT, "no such queue");
  const int plain = open_node();
  bad.queue = 0;
  is_errno(npu_ioctl(plain, DRM_IOCTL_NPU_SYNC_EXPORT, &bad), EINVAL, "without a context");
  close(plain);
  close(file);
  rig_close(&r);
}

// Fences end even when the work does not.
static void test_export_errors(void) {
  struct rig r;
  rig_open(&r);
  const uint32_t syncobj = syncobj_new(&r);
  submit_gated(&r, 1, 1);
  is_errno(export_position(&r, syncobj, 2, 0, 100), 0, "a fence with 100 ms");
  int file = sync_file_of(&r, syncobj);
  ok(file_signalled(file, 20000), "it signals although the work does not end");
  is_equal(-file_status(file), ETIMEDOUT, "its error");
  close(file);
  open_gate(&r, 1);
  is_errno(wait_value(&r.fence, 0, 1, NPU_WAIT_EQ, 20000, r.queue.id), 0, "the queue has gone on");

  submit_gated(&r, 2, 2);
  struct npu_packet garbage = {.type = 200};
  put_packet(&r.queue, &garbage);
  ring_doorbell(&r.queue);
  is_errno(export_position(&r, syncobj, 5, 0, 0), 0, "a position behind a bad packet");
  file = sync_file_of(&r, syncobj);
  is_errno(export_position(&r, syncobj, 4, 0, 0), 0, "the position before it");
  const int good = sync_file_of(&r, syncobj);
  open_gate(&r, 2);
  ok(file_signalled(file, 20000) && file_status(file) == -EIO, "a queue that faults: EIO");
  ok(file_signalled(good, 20000) && file_status(good) == 1, "what was finished before has no error");
  is_errno(export_position(&r, syncobj, 5, 0, 0), EIO, "an export of a faulted queue");
  close(good);
  close(file);

  struct queue second = queue_new(&r.context, 4);
  const struct npu_packet wait = wait_packet(r.fence_ptr + RIG_GATE, 100, NPU_WAIT_GE, 0, 0);
  put_packet(&second, &wait);
  ring_doorbell(&second);
  struct drm_npu_sync_export args = {.queue = second.id, .syncobj = syncobj, .position = 1};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_SYNC_EXPORT, &args), 0, "a queue that will be destroyed");
  file = sync_file_of(&r, syncobj);
  queue_free(&second);
  ok(file_signalled(file, 20000) && file_status(file) == -ECANCELED, "its fence: ECANCELED");
  close(file);
  rig_close(&r);
}

// The fence outlives its file.
static void test_export_close(void) {
  struct rig r;
  rig_open(&r);
  const uint32_t syncobj = syncobj_new(&r);
  submit_gated(&r, 1, 1);
  is_errno(export_position(&r, syncobj, 2, 0, 0), 0, "a fence of a file that will be closed");
  const int file = sync_file_of(&r, syncobj);
  munmap_queue(&r.queue);
  buffer_free(&r.fence);
  buffer_free(&r.out);
  context_close(&r.context);
  ok(file_signalled(file, 20000) && file_status(file) == -ECANCELED, "its fence: ECANCELED");
  close(file);
}

// Another process's queue (here: another file's) is waited for, through a sync_file.
static void test_import(void) {
  struct rig a, b;
  rig_open(&a);
  rig_open(&b);
  const uint32_t out = syncobj_new(&a), in = syncobj_new(&b);
  submit_gated(&a, 1, 1);
  is_errno(export_position(&a, out, 2, 0, 0), 0, "export from one file");
  const int file = sync_file_of(&a, out);
  is_errno(drmSyncobjImportSyncFile(b.context.fd, in, file), 0, "its sync_file in another");
  close(file);
  submit_gated(&b, 7, 70);
  is_errno(import_fence(&b, in, 0, 7), 0, "a fence that will open a gate");
  is_errno(wait_value(&b.fence, 0, 70, NPU_WAIT_EQ, 100, NO_QUEUE), ETIME, "the gate is closed");
  open_gate(&a, 1);
  is_errno(wait_value(&b.fence, 0, 70, NPU_WAIT_EQ, 20000, b.queue.id), 0, "the other's work opens it");
  is_errno(import_fence(&b, in, 0, 8), 0, "a fence that has signalled");
  submit_gated(&b, 8, 80);
  is_errno(wait_value(&b.fence, 0, 80, NPU_WAIT_EQ, 20000, b.queue.id), 0, "opens at once");

  // A point of a timeline.
  const uint32_t timeline = syncobj_new(&a);
  submit_gated(&a, 2, 2);
  is_errno(export_position(&a, timeline, 4, 5, 0), 0, "a point of a timeline");
  const struct npu_packet wait = wait_packet(a.fence_ptr + 128, 1, NPU_WAIT_GE, 0, 0);
  struct queue second = queue_new(&a.context, 4);
  const struct npu_packet done = packet_of(NPU_PKT_SIGNAL, a.fence_ptr + 8, 9);
  put_packet(&second, &wait);
  put_packet(&second, &done);
  ring_doorbell(&second);
  struct drm_npu_sync_import args = {
      .syncobj = timeline, .handle = a.fence.handle, .point = 5, .offset = 128, .value = 1, .queue = second.id};
  is_errno(npu_ioctl(a.context.fd, DRM_IOCTL_NPU_SYNC_IMPORT, &args), 0, "opens another queue's gate");
  open_gate(&a, 2);
  is_errno(wait_value(&a.fence, 8, 9, NPU_WAIT_EQ, 20000, second.id), 0, "when it comes");

  args.point = 6;
  is_errno(npu_ioctl(a.context.fd, DRM_IOCTL_NPU_SYNC_IMPORT, &args), EINVAL, "a point that nobody has made");
  args.point = 5, args.offset = 4;
  is_errno(npu_ioctl(a.context.fd, DRM_IOCTL_NPU_SYNC_IMPORT, &args), EINVAL, "an unaligned offset");
  args.offset = PAGE;
  is_errno(npu_ioctl(a.context.fd, DRM_IOCTL_NPU_SYNC_IMPORT, &args), EINVAL, "an offset outside");
  args.offset = 0, args.handle = 999;
  is_errno(npu_ioctl(a.context.fd, DRM_IOCTL_NPU_SYNC_IMPORT, &args), ENOENT, "no such handle");
  struct buffer device = buffer_new(&a.context, PAGE, DRM_NPU_BO_DEVICE);
  args.handle = device.handle;
  is_errno(npu_ioctl(a.context.fd, DRM_IOCTL_NPU_SYNC_IMPORT, &args), EINVAL, "a device buffer");
  args.handle = a.fence.handle, args.queue = 12345;
  is_errno(npu_ioctl(a.context.fd, DRM_IOCTL_NPU_SYNC_IMPORT, &args), ENOENT, "no such queue");
  args.queue = second.id, args.syncobj = 999;
  is_errno(npu_ioctl(a.context.fd, DRM_IOCTL_NPU_SYNC_IMPORT, &args), ENOENT, "no such syncobj");
  args.syncobj = timeline, args.pad = 1;
  is_errno(npu_ioctl(a.context.fd, DRM_IOCTL_NPU_SYNC_IMPORT, &args), EINVAL, "padding");
  buffer_free(&device);
  queue_free(&second);
  rig_close(&b);
  rig_close(&a);
}

// Closing the file of a gate that waits, and the gate of a queue that is gone.
static void test_import_close(void) {
  struct rig a;
  rig_open(&a);
  const uint32_t out = syncobj_new(&a);
  submit_gated(&a, 1, 1);
  if (export_position(&a, out, 2, 0, 0)) bail("export: %s", strerror(errno));
  const int file = sync_file_of(&a, out);
  int failed = 0;
  for (int i = 0; i < 20; ++i) {
    struct rig b;
    rig_open(&b);
    const uint32_t in = syncobj_new(&b);
    failed += drmSyncobjImportSyncFile(b.context.fd, in, file) || import_fence(&b, in, 0, 1) != 0;
    if (i % 2) queue_free(&b.queue);
    if (i == 19) open_gate(&a, 1);
    if (!(i % 2)) munmap_queue(&b.queue);
    buffer_free(&b.fence);
    context_close(&b.context);
  }
  is_equal(failed, 0, "20 files closed with a gate that waits");
  is_errno(wait_value(&a.fence, 0, 1, NPU_WAIT_EQ, 20000, a.queue.id), 0, "the fence they waited for");
  close(file);
  rig_close(&a);
}

// As vgem_drm.h has it.
struct vgem_attach {
  uint32_t handle, flags, out_fence, pad;
};
struct vgem_signal {
  uint32_t fence, flags;
};
#define VGEM_ATTACH DRM_IOWR(DRM_COMMAND_BASE + 1, struct vgem_attach)
#define VGEM_SIGNAL DRM_IOW(DRM_COMMAND_BASE + 2, struct vgem_signal)

static int vgem_open(void) {
  if (access("/sys/module/vgem", F_OK) && system("modprobe vgem >/dev/null 2>&1")) return -1;
  for (int i = 0; i < 16; ++i) {
    char path[32];
    snprintf(path, sizeof path, "/dev/dri/card%d", i);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) continue;
    drmVersionPtr version = drmGetVersion(fd);
    const int found = version && strcmp(version->name, "vgem") == 0;
    drmFreeVersion(version);
    if (found) return fd;
    close(fd);
  }
  return -1;
}

// Both ways with another driver: vgem's fence opens our gate; our fence becomes one of a vgem buffer.
static void test_foreign(void) {
  const int vgem = vgem_open();
  if (vgem < 0) {
    skip("no vgem in this kernel");
    return;
  }
  struct rig r;
  rig_open(&r);
  struct drm_mode_create_dumb dumb = {.width = 64, .height = 64, .bpp = 32};
  int buf = -1;
  if (drmIoctl(vgem, DRM_IOCTL_MODE_CREATE_DUMB, &dumb) || drmPrimeHandleToFD(vgem, dumb.handle, O_RDWR, &buf))
    bail("vgem buffer: %s", strerror(errno));
  struct vgem_attach attach = {.handle = dumb.handle, .flags = 1};
  if (drmIoctl(vgem, VGEM_ATTACH, &attach)) bail("vgem fence: %s", strerror(errno));
  struct dma_buf_export_sync_file get = {.flags = DMA_BUF_SYNC_RW, .fd = -1};
  if (ioctl(buf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &get)) bail("fence of a dma-buf: %s", strerror(errno));
  const uint32_t in = syncobj_new(&r);
  is_errno(drmSyncobjImportSyncFile(r.context.fd, in, get.fd), 0, "vgem's fence in a syncobj");
  close(get.fd);
  submit_gated(&r, 1, 5);
  is_errno(import_fence(&r, in, 0, 1), 0, "opens a gate");
  is_errno(wait_value(&r.fence, 0, 5, NPU_WAIT_EQ, 100, NO_QUEUE), ETIME, "not yet");
  struct vgem_signal signal_args = {.fence = attach.out_fence};
  is_errno(drmIoctl(vgem, VGEM_SIGNAL, &signal_args), 0, "vgem signals");
  is_errno(wait_value(&r.fence, 0, 5, NPU_WAIT_EQ, 20000, r.queue.id), 0, "and the queue goes on");

  submit_gated(&r, 2, 6);
  const uint32_t out = syncobj_new(&r);
  if (export_position(&r, out, 4, 0, 0)) bail("export: %s", strerror(errno));
  struct dma_buf_import_sync_file put = {.flags = DMA_BUF_SYNC_RW, .fd = sync_file_of(&r, out)};
  is_errno(ioctl(buf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &put), 0, "our fence on vgem's buffer");
  struct pollfd p = {.fd = buf, .events = POLLOUT};
  is_equal(poll(&p, 1, 0), 0, "who writes to it must wait");
  open_gate(&r, 2);
  is_equal(poll(&p, 1, 20000), 1, "until the queue has come there");
  close(put.fd);
  close(buf);
  close(vgem);
  rig_close(&r);
}

int main(void) {
  test_export();
  test_export_errors();
  test_export_close();
  test_import();
  test_import_close();
  test_foreign();
  return tap_done();
}
