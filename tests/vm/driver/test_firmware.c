// SPDX-License-Identifier: Apache-2.0
//
// Firmware: a bad file is refused with a reason, the device says so to those who ask, and a good file brings it back.
#include "drv.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "npu_fw.h"

#include "../tap.h"

#define PATH "/lib/firmware/" NPU_FW_FILE_NAME
#define KEPT PATH ".kept"

static uint8_t* image;
static size_t image_bytes;

static void read_image(void) {
  struct stat st;
  const int fd = open(PATH, O_RDONLY);
  if (fd < 0 || fstat(fd, &st)) bail("%s: %s", PATH, strerror(errno));
  image_bytes = st.st_size;
  image = malloc(image_bytes);
  if (read(fd, image, image_bytes) != st.st_size) bail("%s: short read", PATH);
  close(fd);
  if (rename(PATH, KEPT)) bail("%s cannot be replaced: %s", PATH, strerror(errno));
}

static void write_image(const uint8_t* bytes, size_t n) {
  const int fd = open(PATH, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, bytes, n) != (ssize_t)n) bail("%s: %s", PATH, strerror(errno));
  close(fd);
}

static int reload(void) {
  char path[256];
  snprintf(path, sizeof path, "%s/fw_reload", sysfs_path());
  const int fd = open(path, O_WRONLY);
  if (fd < 0) bail("%s: %s", path, strerror(errno));
  const int ret = write(fd, "1", 1) == 1 ? 0 : -1;
  const int error = errno;
  close(fd);
  errno = error;
  return ret;
}

// The device without firmware: there, explaining itself, and of no use.
static void check_unusable(const char* what) {
  ok(read_attribute("fw_error")[0] != 0, "%s: fw_error says \"%s\"", what, read_attribute("fw_error"));
  ok(strcmp(read_attribute("fw_state"), "ready") != 0, "%s: fw_state is \"%s\"", what, read_attribute("fw_state"));
  const int fd = open_node();
  struct drm_npu_context_init init = {.fault_entries = 8, .fault_eventfd = -1};
  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_CONTEXT_INIT, &init), ENOTCONN, "context_init without firmware");
  struct drm_npu_info_device device;
  struct drm_npu_get_info get = {.query = DRM_NPU_INFO_DEVICE, .size = sizeof device, .data = (uintptr_t)&device};
  is_errno(npu_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get), 0, "get_info without firmware");
  is_equal(device.fw_version, 0, "which shows no version");
  close(fd);
}

static void check_usable(void) {
  ok(strcmp(read_attribute("fw_state"), "ready") == 0, "fw_state is ready");
  ok(read_attribute("fw_error")[0] == 0, "fw_error is empty");
  check_works("the device works");
}

// With a context open a bad file is refused, too, but what ran before runs again.
static void test_with_context(void) {
  struct context c = context_new();
  struct queue q = queue_new(&c, 4);
  struct buffer b = buffer_new(&c, PAGE, DRM_NPU_BO_HOST);
  const uint64_t fence = publish(&b, 1, BASE_VA);
  unlink(PATH);
  is_errno(reload(), ENOENT, "fw_reload without a file while a context is open");
  write_image((const uint8_t*)"this is not firmware\n", 21);
  is_errno(reload(), EINVAL, "fw_reload of a bad file while a context is open");
  ok(strcmp(read_attribute("fw_state"), "ready") == 0, "fw_state is ready");
  const struct npu_packet packet = packet_of(NPU_PKT_NOP, fence, 1);
  put_packet(&q, &packet);
  ring_doorbell(&q);
  is_errno(wait_value(&b, 0, 1, NPU_WAIT_EQ, 20000, q.id), 0, "its queue works");
  queue_free(&q);
  buffer_free(&b);
  context_close(&c);
}

// The package that never answers: built beside the tests.
static void write_mute(void) {
  char path[512];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
  if (n < 0) bail("/proc/self/exe: %s", strerror(errno));
  path[n] = 0;
  strcpy(strrchr(path, '/'), "/../tests/vm/mute.npufw");
  uint8_t bytes[65536];
  const int fd = open(path, O_RDONLY);
  const ssize_t size = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
  if (size <= 0) bail("%s: %s", path, strerror(errno));
  close(fd);
  write_image(bytes, size);
}

// A firmware that starts, and does not answer: refused like a bad file, also by contexts that go on with the one
// before.
static void test_mute(void) {
  write_mute();
  struct context c = context_new();
  struct queue q = queue_new(&c, 4);
  struct buffer b = buffer_new(&c, PAGE, DRM_NPU_BO_HOST);
  struct npu_packet packet = packet_of(NPU_PKT_NOP, publish(&b, 1, BASE_VA), 1);
  put_packet(&q, &packet);
  ring_doorbell(&q);
  is_errno(wait_value(&b, 0, 1, NPU_WAIT_EQ, 20000, q.id), 0, "a queue works");
  ok(reload() != 0, "fw_reload of a firmware that does not answer, with a context open: refused (%s)", strerror(errno));
  ok(strcmp(read_attribute("fw_state"), "ready") == 0, "fw_state is ready");
  packet.signal_value = 2;
  put_packet(&q, &packet);
  ring_doorbell(&q);
  is_errno(wait_value(&b, 0, 2, NPU_WAIT_EQ, 20000, q.id), 0, "its queue works on");
  queue_free(&q);
  buffer_free(&b);
  context_close(&c);
  ok(reload() != 0, "fw_reload of a firmware that does not answer: refused (%s)", strerror(errno));
  check_unusable("a firmware that does not answer");
}

static void check_flipped(size_t at, const char* what) {
  uint8_t* copy = malloc(image_bytes);
  memcpy(copy, image, image_bytes);
  copy[at] ^= 0x10;
  write_image(copy, image_bytes);
  free(copy);
  ok(reload() != 0, "%s: refused (%s)", what, strerror(errno));
  check_unusable(what);
}

int main(void) {
  const int watch = open_node();
  const uint64_t before = memory_info(watch).device_free;
  read_image();
  test_with_context();

  unlink(PATH);
  is_errno(reload(), ENOENT, "no file");
  check_unusable("no file");
  write_image(image, 0);
  is_errno(reload(), EINVAL, "an empty file");
  check_unusable("an empty file");
  uint8_t* large = calloc(1, NPU_FW_MAX_BYTES + 1);
  write_image(large, NPU_FW_MAX_BYTES + 1);
  free(large);
  is_errno(reload(), EFBIG, "a file of more than the device takes");
  write_image(image, image_bytes / 2);
  ok(reload() != 0, "half a file: refused (%s)", strerror(errno));
  check_unusable("half a file");
  check_flipped(0, "another magic number");
  check_flipped(image_bytes / 2, "one bit flipped in the middle");
  write_image((const uint8_t*)"this is not firmware\n", 21);
  ok(reload() != 0, "a text file: refused (%s)", strerror(errno));
  check_unusable("a text file");

  write_image(image, image_bytes);
  is_errno(reload(), 0, "the good file");
  test_mute();

  if (rename(KEPT, PATH)) bail("%s: %s", KEPT, strerror(errno));
  is_errno(reload(), 0, "the good file");
  check_usable();
  for (int i = 0; i < 5; ++i)
    if (reload()) ok(0, "reload %d: %s", i, strerror(errno));
  check_usable();
  ok(free_returns_to(watch, before), "no device memory is lost");
  close(watch);
  return tap_done();
}
