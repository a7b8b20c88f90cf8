// SPDX-License-Identifier: Apache-2.0
//
// sysfs, hwmon and fdinfo.
#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tap.h"

static bool is_number(const char* text) {
  char* end;
  strtoll(text, &end, 0);
  return *text && !*end;
}

static void test_sysfs(void) {
  static const char* const numbers[] = {
      "health",        "num_cores",     "num_queues",    "num_slots",    "clock_khz",   "temp_mc",
      "power_mw",      "energy_uj",     "util_permille", "throttle",     "ecc_ce",      "ecc_ue",
      "retired_pages", "active_queues", "fault_count",   "memory_total", "memory_free",
  };
  for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; ++i)
    ok(is_number(read_attribute(numbers[i])), "attribute %s is a number: \"%s\"", numbers[i],
       read_attribute(numbers[i]));
  unsigned a, b, c;
  ok(sscanf(read_attribute("fw_version"), "%u.%u.%u", &a, &b, &c) == 3, "attribute fw_version");
  ok(sscanf(read_attribute("contract_version"), "%u.%u", &a, &b) == 2 && a == NPU_CONTRACT_MAJOR,
     "attribute contract_version");
  ok(strcmp(read_attribute("fw_state"), "ready") == 0, "attribute fw_state");
  ok(read_attribute("fw_error")[0] == 0, "attribute fw_error is empty");
  ok(strlen(read_attribute("uuid")) == 16, "attribute uuid");
  const int khz = atoi(read_attribute("clock_khz"));
  ok(khz >= 100000 && khz <= 5000000, "a clock of %d kHz", khz);

  struct context context = context_new();
  const int queues = atoi(read_attribute("active_queues"));
  struct queue q = queue_new(&context, 4);
  is_equal(atoi(read_attribute("active_queues")), queues + 1, "active_queues counts a queue");
  queue_free(&q);
  is_equal(strtoull(read_attribute("memory_free"), NULL, 10), memory_info(context.fd).device_free,
           "memory_free is what the ioctl says");
  context_close(&context);
}

static void test_tree(void) {
  const int fd = open_node();
  struct drm_npu_get_info get = {.query = DRM_NPU_INFO_TREE};
  npu_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get);
  char* tree = malloc(get.size);
  char* file = malloc(get.size + 100);
  get.data = (uintptr_t)tree;
  npu_ioctl(fd, DRM_IOCTL_NPU_GET_INFO, &get);
  char path[256];
  snprintf(path, sizeof path, "%s/hw_tree", sysfs_path());
  const int attribute = open(path, O_RDONLY);
  ssize_t n = 0, got;
  // In odd pieces, which cross the ROM's words.
  while ((got = read(attribute, file + n, 37)) > 0 && n + got <= (ssize_t)get.size) n += got;
  is_equal(n, get.size, "hw_tree is as long as the ioctl's tree");
  ok(memcmp(file, tree, get.size) == 0, "and the same");
  close(attribute);
  close(fd);
  free(tree);
  free(file);
}

static void test_hwmon(void) {
  char path[256];
  snprintf(path, sizeof path, "%s/hwmon", sysfs_path());
  DIR* dir = opendir(path);
  char name[300] = "";
  for (struct dirent* e; dir && (e = readdir(dir));)
    if (strncmp(e->d_name, "hwmon", 5) == 0) snprintf(name, sizeof name, "hwmon/%s", e->d_name);
  if (dir) closedir(dir);
  if (!ok(name[0], "there is a hwmon device")) return;
  static const char* const sensors[] = {"temp1_input", "power1_average", "energy1_input", "freq1_input"};
  for (int i = 0; i < 4; ++i) {
    char attribute[400];
    snprintf(attribute, sizeof attribute, "%s/%s", name, sensors[i]);
    const char* text = read_attribute(attribute);
    ok(is_number(text), "hwmon %s: \"%s\"", sensors[i], text);
    if (i == 0) ok(atoi(text) > 0 && atoi(text) < 150000, "a temperature that can be");
  }
}

// The value of a key in the fdinfo of a file; -1 when it is not there.
static long long fdinfo(int fd, const char* key, char* text, size_t bytes) {
  char path[64], line[256];
  long long value = -1;
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  FILE* f = fopen(path, "r");
  while (f && fgets(line, sizeof line, f)) {
    const size_t n = strlen(key);
    if (strncmp(line, key, n) || line[n] != ':') continue;
    value = strtoll(line + n + 1, NULL, 10);
    snprintf(text, bytes, "%s", line + n + 1 + strspn(line + n + 1, " \t"));
  }
  if (f) fclose(f);
  return value;
}

// Has the sensor show so much more than there is, and waits until the clock follows.
static bool clock_follows(const char* millidegrees, int khz, bool slower) {
  char line[32];
  snprintf(line, sizeof line, "%u 1 %s", NPU_INJ_TEMP, millidegrees);
  if (debugfs_write("inject", line)) bail("inject: %s", strerror(errno));
  const uint64_t end = now_ns() + 60000000000ull;
  while ((atoi(read_attribute("clock_khz")) < khz) != slower)
    if (now_ns() > end) return false;
  return true;
}

// What work has cost does not change when the clock does.
static void check_throttled(int fd) {
  char text[256] = "";
  const long long ns = fdinfo(fd, "drm-engine-compute", text, sizeof text);
  const int khz = atoi(read_attribute("clock_khz"));
  ok(clock_follows("65000", khz, true), "a hot device runs slower");
  is_equal((unsigned long long)fdinfo(fd, "drm-engine-compute", text, sizeof text), (unsigned long long)ns,
           "without work no time passes");
  ok(clock_follows("0", khz, false), "a cool one does not");
  is_equal((unsigned long long)fdinfo(fd, "drm-engine-compute", text, sizeof text), (unsigned long long)ns,
           "nor does it run backwards");
}

static void test_fdinfo(void) {
  struct context c = context_new();
  char text[256] = "";
  fdinfo(c.fd, "drm-driver", text, sizeof text);
  ok(strncmp(text, "npu", 3) == 0, "drm-driver");
  ok(fdinfo(c.fd, "drm-client-id", text, sizeof text) >= 0, "drm-client-id");
  ok(fdinfo(c.fd, "drm-pdev", text, sizeof text) >= 0 && strchr(text, ':'), "drm-pdev");

  const long long device = fdinfo(c.fd, "drm-total-device", text, sizeof text);
  const long long host = fdinfo(c.fd, "drm-total-host", text, sizeof text);
  struct buffer a = buffer_new(&c, 1 << 20, DRM_NPU_BO_DEVICE);
  struct buffer b = buffer_new(&c, 2 << 20, DRM_NPU_BO_HOST);
  ok(fdinfo(c.fd, "drm-total-device", text, sizeof text) >= device, "drm-total-device");
  diag("drm-total-device: %s", text);
  ok(fdinfo(c.fd, "drm-total-host", text, sizeof text) >= host, "drm-total-host");

  is_equal(fdinfo(c.fd, "drm-cycles-compute", text, sizeof text), 0, "no cycles before work");
  struct queue q = queue_new(&c, 4);
  const uint64_t a_ptr = publish(&a, 1, BASE_VA), b_ptr = publish(&b, 2, BASE_VA + (64 << 20));
  const struct npu_packet packet = copy_packet(a_ptr, b_ptr, 1 << 20, b_ptr + (1 << 20), 1);
  put_packet(&q, &packet);
  ring_doorbell(&q);
  is_errno(wait_value(&b, 1 << 20, 1, NPU_WAIT_EQ, 20000, q.id), 0, "some work");
  // The counters follow the signal.
  const uint64_t end = now_ns() + 5000000000ull;
  while (q.status->rptr != 1 && now_ns() < end) usleep(1000);
  const long long cycles = fdinfo(c.fd, "drm-cycles-compute", text, sizeof text);
  ok(cycles > 0, "drm-cycles-compute: %lld", cycles);
  ok(fdinfo(c.fd, "drm-engine-compute", text, sizeof text) > 0 && strstr(text, "ns"), "drm-engine-compute");
  check_throttled(c.fd);
  queue_free(&q);
  is_equal(fdinfo(c.fd, "drm-cycles-compute", text, sizeof text), cycles, "a queue that has ended still counts");
  context_close(&c);
}

int main(void) {
  test_sysfs();
  test_tree();
  test_hwmon();
  test_fdinfo();
  return tap_done();
}
