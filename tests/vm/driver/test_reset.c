// SPDX-License-Identifier: Apache-2.0
//
// Resets of the device while contexts work: whose fault it was, who goes on, and that nobody loses a bit.
#include "drv.h"
#include "rv.h"
#include "workers.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../tap.h"

#define FENCE_VA 0x10000000ull
#define CODE_VA 0x20000000ull

struct rig {
  struct context context;
  struct queue queue;
  struct buffer fence, code;
  uint64_t fence_ptr;
};

static struct queue queue_with_timeout(struct context* c, uint32_t timeout_ms) {
  struct drm_npu_queue_create create = {.ring_log2 = 4, .priority = 1, .timeout_ms = timeout_ms};
  if (npu_ioctl(c->fd, DRM_IOCTL_NPU_QUEUE_CREATE, &create)) bail("queue: %s", strerror(errno));
  struct queue q = {.context = c, .id = create.queue, .packets = 16};
  q.ring = map_offset(c->fd, create.ring_offset, 16 * NPU_PACKET_BYTES, PROT_READ | PROT_WRITE);
  q.status = map_offset(c->fd, create.status_offset, PAGE, PROT_READ);
  q.doorbell = map_offset(c->fd, create.doorbell_offset, PAGE, PROT_READ | PROT_WRITE);
  return q;
}

static void rig_open(struct rig* r) {
  r->context = context_new();
  r->queue = queue_with_timeout(&r->context, 300);
  r->fence = buffer_new(&r->context, PAGE, DRM_NPU_BO_HOST);
  r->fence_ptr = publish(&r->fence, 1, FENCE_VA);
  r->code = buffer_new(&r->context, PAGE, DRM_NPU_BO_DEVICE);
  *(volatile uint32_t*)r->code.map = rv_ret();
  if (bind_range(&r->code, 0, CODE_VA, PAGE, DRM_NPU_VM_READ | DRM_NPU_VM_EXEC)) bail("bind: %s", strerror(errno));
  r->context.bounds[2].base = CODE_VA;
  r->context.bounds[2].size = PAGE;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  r->context.bounds[2].ctl = NPU_BOUNDS_READ | NPU_BOUNDS_EXEC | (NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT);
}

static void rig_close(struct rig* r) {
  queue_free(&r->queue);
  buffer_free(&r->fence);
  buffer_free(&r->code);
  context_close(&r->context);
}

static void put_launch_of(struct rig* r, uint64_t value, uint64_t args) {
  struct npu_packet launch = packet_of(NPU_PKT_LAUNCH, r->fence_ptr, value);
  launch.u.launch = (struct npu_pkt_launch){.entry = NPU_PTR(2, 0, CODE_VA), .args = args, .grid = {4, 1, 1}};
  put_packet(&r->queue, &launch);
}

static void put_launch(struct rig* r, uint64_t value) {
  put_launch_of(r, value, 0);
}

// Launches 1 to n, each when the one before has ended.
static void run_launches(struct rig* r, uint64_t n) {
  for (uint64_t i = 1; i <= n; ++i) {
    put_launch(r, i);
    ring_doorbell(&r->queue);
    if (wait_value(&r->fence, 0, i, NPU_WAIT_EQ, 20000, r->queue.id)) bail("launch: %s", strerror(errno));
  }
}

static void write_text(const char* path, const char* text, int must) {
  const int fd = open(path, O_WRONLY);
  const int ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  if (!ok && must) bail("%s: %s", path, strerror(errno));
  if (fd >= 0) close(fd);
}

static void bdf_of(char* text, size_t bytes) {
  char target[PATH_MAX];
  if (!realpath(sysfs_path(), target)) bail("%s: %s", sysfs_path(), strerror(errno));
  snprintf(text, bytes, "%s", strrchr(target, '/') + 1);
}

static void inject(uint32_t kind, uint32_t count, uint64_t addr) {
  char bdf[64], path[160], text[64];
  bdf_of(bdf, sizeof bdf);
  snprintf(path, sizeof path, "/sys/kernel/debug/accel/%s/inject", bdf);
  snprintf(text, sizeof text, "%u %u %llu", kind, count, (unsigned long long)addr);
  write_text(path, text, 1);
}

static void reset_device(void) {
  char path[256];
  snprintf(path, sizeof path, "%s/reset", sysfs_path());
  write_text(path, "1", 1);
}

static int counter(const char* name) {
  return atoi(read_attribute(name));
}

static uint64_t fdinfo_of(int fd, const char* key) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  FILE* f = fopen(path, "r");
  uint64_t value = UINT64_MAX;
  while (f && fgets(line, sizeof line, f))
    if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
      value = strtoull(strchr(line, ':') + 1, NULL, 0);
  if (f) fclose(f);
  return value;
}

// Where queues stand: idle, behind many rounds of the ring, at a wait packet, with work that has not begun.
static void test_positions(void) {
  struct rig r;
  rig_open(&r);
  struct queue idle = queue_new(&r.context, 4), gated = queue_new(&r.context, 4);
  const int before = counter("device_resets");
  run_launches(&r, 40);
  put_gated(&gated, r.fence_ptr + 64, 1, r.fence_ptr + 8, 77);
  reset_device();
  is_equal(counter("device_resets"), before + 1, "the device was reset through the attribute reset");
  is_equal(r.queue.status->rptr, 40, "the read index stays");
  put_launch(&r, 41);
  ring_doorbell(&r.queue);
  is_errno(wait_value(&r.fence, 0, 41, NPU_WAIT_EQ, 20000, r.queue.id), 0, "a queue 40 packets on goes on");
  const struct npu_packet first = packet_of(NPU_PKT_SIGNAL, r.fence_ptr + 16, 5);
  put_packet(&idle, &first);
  ring_doorbell(&idle);
  is_errno(wait_value(&r.fence, 16, 5, NPU_WAIT_EQ, 20000, idle.id), 0, "an idle queue works");
  is_equal(((volatile uint64_t*)r.fence.map)[1], 0, "a gated queue still waits");
  ((volatile uint64_t*)r.fence.map)[8] = 1;
  gated.doorbell[NPU_DB_KICK / 8] = 1;
  is_errno(wait_value(&r.fence, 8, 77, NPU_WAIT_EQ, 20000, gated.id), 0, "and goes on when its gate opens");
  is_equal(r.context.faults->written, 0, "no fault was recorded");
  queue_free(&idle);
  queue_free(&gated);
  rig_close(&r);
}

// A faulted queue stays faulted, hears its doorbell meanwhile, and can be resumed.
static void test_faulted(uint32_t mode) {
  struct rig r;
  rig_open(&r);
  struct npu_packet garbage = {.type = 200};
  put_launch(&r, 1);
  put_packet(&r.queue, &garbage);
  put_launch(&r, 2);
  ring_doorbell(&r.queue);
  is_errno(wait_value(&r.fence, 0, 2, NPU_WAIT_EQ, 20000, r.queue.id), EIO, "a queue faults");
  reset_device();
  is_equal(r.queue.status->state, NPU_QUEUE_FAULTED, "it is faulted after the reset");
  is_equal(r.queue.status->error, NPU_FAULT_BAD_PACKET, "with its own error");
  is_equal(r.queue.status->rptr, 1, "at its packet");
  put_launch(&r, 3);
  ring_doorbell(&r.queue);  // heard, not obeyed
  is_errno(wait_value(&r.fence, 0, 3, NPU_WAIT_EQ, 100, NO_QUEUE), ETIME, "a doorbell does not start it");
  struct drm_npu_queue_resume resume = {.queue = r.queue.id, .mode = NPU_RESUME_CONTINUE};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), EINVAL, "its packet cannot be tried again");
  resume.mode = mode;
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), 0, "resume");
  ok(wait_state(&r.queue, NPU_QUEUE_OK), "the queue is fine");
  if (mode == NPU_RESUME_FLUSH) {
    put_launch(&r, 4);
    ring_doorbell(&r.queue);
  }
  const uint64_t last = mode == NPU_RESUME_FLUSH ? 4 : 3;
  is_errno(wait_value(&r.fence, 0, last, NPU_WAIT_EQ, 20000, r.queue.id), 0,
           "what was rung meanwhile runs, or is dropped");
  put_packet(&r.queue, &garbage);
  ring_doorbell(&r.queue);
  ok(wait_state(&r.queue, NPU_QUEUE_FAULTED), "it faults again");
  is_equal(r.context.faults->written, 2, "records are numbered on");
  const struct npu_fault_record* record = (const struct npu_fault_record*)(r.context.faults + 1) + 1;
  ok(record->seq == 2 && record->queue == r.queue.id && record->kind == NPU_FAULT_BAD_PACKET, "the record is right");
  rig_close(&r);
}

// A parked queue whose process rings nonsense: its own fault when it goes on, and not the device's.
static void test_nonsense_after_reset(void) {
  const uint64_t nonsense[] = {1ull << 40, 0};
  struct rig r;
  rig_open(&r);
  struct npu_packet garbage = {.type = 200};
  struct drm_npu_queue_resume resume = {.queue = r.queue.id, .mode = NPU_RESUME_SKIP};
  put_launch(&r, 1);
  put_packet(&r.queue, &garbage);
  put_launch(&r, 2);
  ring_doorbell(&r.queue);
  is_errno(wait_value(&r.fence, 0, 2, NPU_WAIT_EQ, 20000, r.queue.id), EIO, "a queue faults");
  reset_device();
  const int before = counter("device_resets");
  for (int i = 0; i < 2; ++i) {
    r.queue.doorbell[0] = nonsense[i];
    is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), 0,
             i ? "resume after an index in the past was rung" : "resume after an index far ahead was rung");
    is_equal(r.queue.status->state, NPU_QUEUE_FAULTED, "it faults at once");
    is_equal(r.queue.status->error, NPU_FAULT_BAD_DOORBELL, "and for that");
    is_equal(r.queue.status->rptr, 2, "behind the packet that was skipped");
  }
  is_equal(r.context.faults->written, 3, "each time with a record");
  ring_doorbell(&r.queue);
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), 0, "resume with a right index");
  is_errno(wait_value(&r.fence, 0, 2, NPU_WAIT_EQ, 20000, r.queue.id), 0, "what is left runs");
  is_equal(counter("device_resets"), before, "nobody else has noticed");
  rig_close(&r);
}

static void decode_memory(bool on) {
  char path[256];
  uint16_t command;
  snprintf(path, sizeof path, "%s/config", sysfs_path());
  const int fd = open(path, O_RDWR);
  if (fd < 0 || pread(fd, &command, 2, 4) != 2) bail("%s: %s", path, strerror(errno));
  command = on ? command | 2 : command & ~2;
  if (pwrite(fd, &command, 2, 4) != 2) bail("%s: %s", path, strerror(errno));
  close(fd);
}

// A reset of a device that does not answer fails.  The one that succeeds goes on from where everybody stood before.
static void test_failed_reset(void) {
  struct rig r;
  rig_open(&r);
  struct queue gated = queue_new(&r.context, 4);
  run_launches(&r, 20);
  put_gated(&gated, r.fence_ptr + 64, 1, r.fence_ptr + 8, 77);
  decode_memory(false);
  reset_device();
  ok(strcmp(read_attribute("fw_state"), "wedged") == 0, "a device that does not answer: wedged");
  ok(read_attribute("ecc_ue")[0] == 0, "and there is no reading of its counters");
  decode_memory(true);
  reset_device();
  ok(strcmp(read_attribute("fw_state"), "ready") == 0, "root's second reset brings it back");
  struct queue* both[] = {&r.queue, &gated};
  for (int i = 0; i < 2; ++i) {
    // Nobody could ask the device what had been rung: the process is told, so that it can ring again.
    is_equal(both[i]->status->state, NPU_QUEUE_FAULTED, "a queue whose doorbell could not be read is faulted");
    is_equal(both[i]->status->error, NPU_FAULT_RESET, "without being guilty");
    struct drm_npu_queue_resume resume = {.queue = both[i]->id, .mode = NPU_RESUME_CONTINUE};
    is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), 0, "resume");
    ring_doorbell(both[i]);
  }
  ((volatile uint64_t*)r.fence.map)[8] = 1;
  gated.doorbell[NPU_DB_KICK / 8] = 1;
  is_errno(wait_value(&r.fence, 8, 77, NPU_WAIT_EQ, 20000, gated.id), 0, "what had been rung runs");
  put_launch(&r, 21);
  ring_doorbell(&r.queue);
  is_errno(wait_value(&r.fence, 0, 21, NPU_WAIT_EQ, 20000, r.queue.id), 0, "and so does what comes after it");
  queue_free(&gated);
  rig_close(&r);
}

struct reader {
  pthread_t thread;
  struct rig* rig;
  uint32_t fw_version, tree_bytes;
  char* tree;
  atomic_bool stop;
  int reads, no_value, wrong_tree, wrong_version, wrong_wait, ones;
};

// Text of an attribute, or "": many at a time may read, unlike with read_attribute().
static void attribute(const char* name, char* text, size_t bytes) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", sysfs_path(), name);
  const int fd = open(path, O_RDONLY);
  const ssize_t n = fd < 0 ? 0 : read(fd, text, bytes - 1);
  text[n > 0 ? n : 0] = 0;
  if (fd >= 0) close(fd);
}

static void* read_all_the_time(void* arg) {
  static const char* const names[] = {"ecc_ue",    "ecc_ce",        "temp_mc",    "health",
                                      "energy_uj", "retired_pages", "fault_count"};
  struct reader* s = arg;
  char text[64], *tree = malloc(s->tree_bytes);
  do {
    for (unsigned i = 0; i < sizeof names / sizeof *names; ++i) {
      attribute(names[i], text, sizeof text);
      s->no_value += !text[0];
      s->ones +=
          strcmp(text, "-1\n") == 0 || strcmp(text, "4294967295\n") == 0 || strcmp(text, "18446744073709551615\n") == 0;
    }
    struct drm_npu_get_info get = {.query = DRM_NPU_INFO_TREE, .size = s->tree_bytes, .data = (uintptr_t)tree};
    s->wrong_tree +=
        npu_ioctl(s->rig->context.fd, DRM_IOCTL_NPU_GET_INFO, &get) || memcmp(tree, s->tree, s->tree_bytes);
    struct drm_npu_info_device device;
    get = (struct drm_npu_get_info){.query = DRM_NPU_INFO_DEVICE, .size = sizeof device, .data = (uintptr_t)&device};
    s->wrong_version +=
        npu_ioctl(s->rig->context.fd, DRM_IOCTL_NPU_GET_INFO, &get) || device.fw_version != s->fw_version;
    // The value is there, and host memory can be read at any time.
    s->wrong_wait += wait_value(&s->rig->fence, 0, 1, NPU_WAIT_EQ, 0, s->rig->queue.id) != 0;
    ++s->reads;
  } while (!atomic_load(&s->stop));
  free(tree);
  return NULL;
}

// Who asks during a reset gets an answer that is right, or none.
static void test_readers(void) {
  struct rig r;
  rig_open(&r);
  struct npu_packet garbage = {.type = 200};
  put_launch(&r, 1);
  put_packet(&r.queue, &garbage);
  ring_doorbell(&r.queue);
  ok(wait_state(&r.queue, NPU_QUEUE_FAULTED), "a value is there, and its queue has faulted since");
  struct reader s = {.rig = &r};
  struct drm_npu_get_info get = {.query = DRM_NPU_INFO_TREE};
  if (npu_ioctl(r.context.fd, DRM_IOCTL_NPU_GET_INFO, &get)) bail("get_info: %s", strerror(errno));
  s.tree_bytes = get.size;
  s.tree = malloc(get.size);
  get.data = (uintptr_t)s.tree;
  struct drm_npu_info_device device;
  struct drm_npu_get_info info = {.query = DRM_NPU_INFO_DEVICE, .size = sizeof device, .data = (uintptr_t)&device};
  if (npu_ioctl(r.context.fd, DRM_IOCTL_NPU_GET_INFO, &get) || npu_ioctl(r.context.fd, DRM_IOCTL_NPU_GET_INFO, &info))
    bail("get_info: %s", strerror(errno));
  s.fw_version = device.fw_version;
  if (pthread_create(&s.thread, NULL, read_all_the_time, &s)) bail("pthread_create");
  for (int i = 0; i < 5; ++i) reset_device();
  atomic_store(&s.stop, true);
  pthread_join(s.thread, NULL);
  printf("# %d rounds of readings during 5 resets; %d had no value\n", s.reads, s.no_value);
  is_equal(s.ones, 0, "no counter reads as all ones");
  is_equal(s.wrong_tree, 0, "the hardware's tree is whole");
  is_equal(s.wrong_version, 0, "the firmware's version is right");
  is_equal(s.wrong_wait, 0, "a value in host memory is reported");
  free(s.tree);
  rig_close(&r);
}

// Root resets the device under processes that work.
static void test_under_load(void) {
  enum { kWorkers = 4 };
  struct worker w[kWorkers];
  workers_start(w, kWorkers);
  for (int i = 0; i < 4; ++i) {
    poll(NULL, 0, 100);
    reset_device();
  }
  inject(NPU_INJ_FW_CRASH, 1, 0);
  int idle = kWorkers;
  for (const uint64_t end = now_ns() + 60000000000ull; idle && now_ns() < end; poll(NULL, 0, 5)) {
    idle = 0;
    for (int i = 0; i < kWorkers; ++i) idle += w[i].rounds < 5;
  }
  is_equal(idle, 0, "all have worked");
  is_equal(workers_end(w, kWorkers), 0, "4 workers live through 4 resets and a crash of the firmware");
}

// A launch that hangs until a reset of the kind that `resets` counts.
static void hang_until(struct rig* r, unsigned end_of_hang, const char* resets, const char* launch) {
  const int before = counter(resets);
  inject(NPU_INJ_HANG, 1, end_of_hang);
  put_launch(r, 1);
  ring_doorbell(&r->queue);
  is_errno(wait_value(&r->fence, 0, 1, NPU_WAIT_EQ, 60000, r->queue.id), EIO, launch);
  is_equal(r->queue.status->error, NPU_FAULT_TIMEOUT, "its queue is guilty");
  const uint64_t end = now_ns() + 30000000000ull;
  while (counter(resets) == before && now_ns() < end) poll(NULL, 0, 5);
  is_equal(counter(resets), before + 1, "one reset is counted");
}

// Behind the packet that faulted; the injection is over.
static void goes_on(struct rig* r) {
  struct drm_npu_queue_resume resume = {.queue = r->queue.id, .mode = NPU_RESUME_SKIP};
  is_errno(npu_ioctl(r->context.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), 0, "resume");
  ok(wait_state(&r->queue, NPU_QUEUE_OK), "the queue is fine");  // until then a wait ends with EIO
  put_launch(r, 2);
  ring_doorbell(&r->queue);
  is_errno(wait_value(&r->fence, 0, 2, NPU_WAIT_EQ, 60000, r->queue.id), 0, "its next launch runs");
  inject(0, 0, 0);
}

// The first rung and the second: the packet is killed, or the core reset; the device is not.
static void test_core_reset(void) {
  struct worker w[2];
  struct rig r;
  rig_open(&r);
  workers_start(w, 2);
  const int devices = counter("device_resets");
  hang_until(&r, 1, "core_resets", "a launch that only a core reset ends");
  is_equal(counter("device_resets"), devices, "the device was not reset");
  goes_on(&r);
  is_equal(workers_end(w, 2), 0, "2 workers beside it saw nothing");
  rig_close(&r);
}

// The third: only a reset of the device helps.
static void test_device_hang(void) {
  struct worker w[3];
  struct rig r;
  rig_open(&r);
  workers_start(w, 3);
  const uint64_t guilty = fdinfo_of(r.context.fd, "npu-resets-guilty");
  hang_until(&r, 2, "device_resets", "a launch that only a device reset ends");
  is_equal(fdinfo_of(r.context.fd, "npu-resets-guilty"), guilty + 1, "fdinfo counts the guilty");
  ok(r.context.faults->written >= 1, "the fault ring has a record");
  goes_on(&r);
  is_equal(workers_end(w, 3), 0, "3 workers beside it go on");
  rig_close(&r);
}

// In the middle of a packet when the device is reset: an innocent's launch that runs for ever, and can be tried again.
static void test_innocent_in_launch(void) {
  struct rig r;
  rig_open(&r);
  struct queue slow = queue_with_timeout(&r.context, 60000), keep = r.queue;
  // Says that it has begun, and stays.
  const uint32_t code[] = {rv_addi(T0, X0, 1), rv_sd(T0, 0, A0), rv_self()};
  for (int i = 0; i < 3; ++i) ((volatile uint32_t*)r.code.map)[i] = code[i];
  volatile uint64_t* begun = (volatile uint64_t*)r.fence.map + 16;
  r.queue = slow;
  put_launch_of(&r, 1, r.fence_ptr + 128);
  ring_doorbell(&r.queue);
  for (const uint64_t end = now_ns() + 30000000000ull; !*begun && now_ns() < end;) poll(NULL, 0, 1);
  is_equal(*begun, 1, "a launch that runs for ever has begun");
  reset_device();
  is_equal(r.queue.status->state, NPU_QUEUE_FAULTED, "it was in the middle: its queue is faulted");
  is_equal(r.queue.status->error, NPU_FAULT_RESET, "but not guilty");
  ok(fdinfo_of(r.context.fd, "npu-resets-innocent") >= 1 && fdinfo_of(r.context.fd, "npu-resets-guilty") == 0,
     "fdinfo tells it apart");
  const struct npu_fault_record* record = (const struct npu_fault_record*)(r.context.faults + 1);
  ok(r.context.faults->written == 1 && record->kind == NPU_FAULT_RESET && record->queue == r.queue.id,
     "the fault ring says so");
  struct pollfd p = {.fd = r.context.event, .events = POLLIN};
  is_equal(poll(&p, 1, 20000), 1, "and the eventfd");
  *(volatile uint32_t*)r.code.map = rv_ret();
  struct drm_npu_queue_resume resume = {.queue = r.queue.id, .mode = NPU_RESUME_CONTINUE};
  is_errno(npu_ioctl(r.context.fd, DRM_IOCTL_NPU_QUEUE_RESUME, &resume), 0, "the packet is tried again");
  is_errno(wait_value(&r.fence, 0, 1, NPU_WAIT_EQ, 60000, r.queue.id), 0, "and ends");
  queue_free(&r.queue);
  r.queue = keep;
  rig_close(&r);
}

// What the failures before have left: whole, and npu-smi can tell what it says.
static void test_dump(void) {
  if (access("/sys/class/devcoredump", F_OK)) {
    skip("no device core dumps in this kernel");
    return;
  }
  ok(system("npu-smi dump > /tmp/dump.txt") == 0, "npu-smi dump");
  const char* words[] = {"reason: a queue made no progress", "fw_state: ready", "TIMEOUT", "<- at fault",
                         "Translation of 0x20000000",        "LAUNCH",          "MAGIC",   "Firmware log"};
  for (unsigned i = 0; i < sizeof words / sizeof *words; ++i) {
    char command[128];
    snprintf(command, sizeof command, "grep -q '%s' /tmp/dump.txt", words[i]);
    ok(system(command) == 0, "it has \"%s\"", words[i]);
  }
  ok(system("npu-smi dump --json | grep -q '\"kind\": \"TIMEOUT\"'") == 0, "also as JSON");
  // Written to, a dump goes away, and the next failure leaves a new one.
  ok(system("for d in /sys/class/devcoredump/devcd*/data; do echo 1 > $d; done") == 0, "it is given back");
}

static int uevents_open(void) {
  const int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
  if (fd < 0 || bind(fd, (struct sockaddr*)&address, sizeof address)) bail("netlink: %s", strerror(errno));
  return fd;
}

static int uevent_with(int fd, const char* what, int timeout_ms) {
  char text[4096];
  struct pollfd p = {.fd = fd, .events = POLLIN};
  while (poll(&p, 1, timeout_ms) == 1) {
    const ssize_t n = recv(fd, text, sizeof text - 1, 0);
    for (ssize_t i = 0; i < n; i += strlen(text + i) + 1) {
      text[n] = 0;
      if (strncmp(text + i, what, strlen(what)) == 0) return 1;
    }
  }
  return 0;
}

// Too often: the device is given up, says so, and root brings it back with everything in it.
static void test_wedged(void) {
  const char* limit = "/sys/module/npu/parameters/reset_limit";
  struct rig r;
  rig_open(&r);
  const int events = uevents_open();
  write_text(limit, "1", 1);
  // The window may be full of what other tests have done; then the first crash wedges.
  for (int i = 0; i < 2 && strcmp(read_attribute("fw_state"), "wedged") != 0; ++i) {
    const int before = counter("device_resets");
    inject(NPU_INJ_FW_CRASH, 1, 0);
    const uint64_t end = now_ns() + 30000000000ull;
    while (counter("device_resets") == before && strcmp(read_attribute("fw_state"), "wedged") != 0 && now_ns() < end)
      poll(NULL, 0, 5);
  }
  ok(strcmp(read_attribute("fw_state"), "wedged") == 0, "no loop of resets: wedged");
  ok(uevent_with(events, "WEDGED=", 20000), "the uevent says WEDGED=");
  is_errno(wait_value(&r.fence, 0, 1, NPU_WAIT_EQ, 100, NO_QUEUE), ENODEV, "calls give ENODEV");
  write_text(limit, "6", 1);
  reset_device();
  ok(strcmp(read_attribute("fw_state"), "ready") == 0, "root's reset brings it back");
  put_launch(&r, 1);
  ring_doorbell(&r.queue);
  is_errno(wait_value(&r.fence, 0, 1, NPU_WAIT_EQ, 20000, r.queue.id), 0, "with its contexts");
  close(events);
  rig_close(&r);
}

int main(void) {
  const int watch = open_node();
  const uint64_t before = memory_info(watch).device_free;
  write_text("/sys/module/npu/parameters/reset_limit", "16", 1);
  test_positions();
  test_faulted(NPU_RESUME_SKIP);
  test_faulted(NPU_RESUME_FLUSH);
  test_under_load();
  (void)!system("for d in /sys/class/devcoredump/devcd*/data; do [ ! -e $d ] || echo 1 > $d; done");
  test_core_reset();
  test_dump();
  test_device_hang();
  test_innocent_in_launch();
  test_wedged();
  test_nonsense_after_reset();
  test_readers();
  test_failed_reset();
  ok(free_returns_to(watch, before), "no device memory is lost");
  close(watch);
  return tap_done();
}
