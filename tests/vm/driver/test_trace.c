// SPDX-License-Identifier: Apache-2.0
//
// The trace points: what happens beside a command's way is told, once, with the right fields.  In an instance of
// tracefs of its own, so that nobody else's tracing is touched.
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tap.h"
#include "drv.h"

#define TRACING "/sys/kernel/tracing"
#define INSTANCE TRACING "/instances/driver-trace-test"

static void write_file(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) bail("%s: %s", path, strerror(errno));
  close(fd);
}

// Called for each line of the event, with what stands behind the device's name; true: that is the one.
typedef bool match(const char* fields, const void* wanted);

// How many lines of the event match.
static int count(const char* event, match* matches, const void* wanted) {
  char line[512], start[64];
  int n = 0;
  snprintf(start, sizeof start, ": %s: ", event);
  FILE* f = fopen(INSTANCE "/trace", "re");
  if (!f) bail(INSTANCE "/trace: %s", strerror(errno));
  while (fgets(line, sizeof line, f)) {
    const char* at = line[0] == '#' ? NULL : strstr(line, start);
    const char* device = at ? at + strlen(start) : NULL;
    const char* fields = device ? strchr(device, ' ') : NULL;
    // A PCI address: 0000:01:00.0
    n += fields && fields - device == 12 && device[4] == ':' && matches(fields + 1, wanted);
  }
  fclose(f);
  return n;
}

// The same, when at least one has come, within 20 s: for what the kernel does in the background.
static int count_soon(const char* event, match* matches, const void* wanted) {
  int n;
  for (const uint64_t end = now_ns() + 20000000000ull; !(n = count(event, matches, wanted)) && now_ns() < end;)
    poll(NULL, 0, 10);
  return n;
}

struct queue_event {
  unsigned context, queue, priority;
  int ret;
};

static bool is_queue(const char* fields, const void* wanted) {
  const struct queue_event* w = wanted;
  struct queue_event e;
  return sscanf(fields, "context=%u queue=%u priority=%u ret=%d", &e.context, &e.queue, &e.priority, &e.ret) == 4 &&
         e.context == w->context && e.queue == w->queue && e.priority == w->priority && e.ret == w->ret;
}

struct wait_event {
  unsigned context;
  unsigned long long value, ns_min;
  int ret;
};

static bool is_wait(const char* fields, const void* wanted) {
  const struct wait_event* w = wanted;
  struct wait_event e;
  return sscanf(fields, "context=%u value=%llu ret=%d ns=%llu", &e.context, &e.value, &e.ret, &e.ns_min) == 4 &&
         e.context == w->context && e.value == w->value && e.ret == w->ret && e.ns_min >= w->ns_min;
}

struct mbox_event {
  unsigned op;
  unsigned long long arg0;
};

// One that has succeeded, and took some time.
static bool is_mbox(const char* fields, const void* wanted) {
  const struct mbox_event* w = wanted;
  unsigned op;
  unsigned long long arg0, arg1, ns;
  int ret;
  return sscanf(fields, "op=%u arg0=%llu arg1=%llu ret=%d ns=%llu", &op, &arg0, &arg1, &ret, &ns) == 5 && op == w->op &&
         arg0 == w->arg0 && ret == 0 && ns > 0;
}

struct fault_event {
  unsigned queue, kind;
};

static bool is_fault(const char* fields, const void* wanted) {
  const struct fault_event* w = wanted;
  unsigned queue, kind;
  return sscanf(fields, "queue=%u kind=%u", &queue, &kind) == 2 && queue == w->queue && kind == w->kind;
}

static bool starts_with(const char* fields, const void* wanted) {
  return strncmp(fields, wanted, strlen(wanted)) == 0;
}

static void test_queue_and_wait(void) {
  struct context c = context_new();
  struct queue q = queue_new(&c, 4);
  struct buffer b = buffer_new(&c, PAGE, DRM_NPU_BO_HOST);
  struct queue_event made = {.context = c.id, .queue = q.id, .priority = 1};
  is_equal(count("npu_queue_create", is_queue, &made), 1, "a queue is made");
  const struct mbox_event create = {.op = NPU_ADMIN_CTX_CREATE, .arg0 = c.id};
  ok(count("npu_mbox", is_mbox, &create) >= 1, "the firmware has been told of the context");

  // Never met.  On a busy machine the deadline may have passed before the call: then it does not sleep.
  const struct wait_event in_vain = {.context = c.id, .value = 4711, .ret = -ETIME, .ns_min = 1};
  int waits = 0;
  while (!count("npu_wait", is_wait, &in_vain) && ++waits <= 20)
    if (!wait_value(&b, 0, 4711, NPU_WAIT_EQ, 50, q.id) || errno != ETIME) bail("a wait in vain: %s", strerror(errno));
  is_equal(count("npu_wait", is_wait, &in_vain), 1, "a wait in vain is told, with what it waited for and how it ended");

  const struct npu_packet bad = packet_of(200, 0, 0);
  put_packet(&q, &bad);
  ring_doorbell(&q);
  ok(wait_state(&q, NPU_QUEUE_FAULTED), "a queue with a bad packet stops");
  const struct fault_event fault = {.queue = q.id, .kind = NPU_FAULT_BAD_PACKET};
  is_equal(count_soon("npu_fault", is_fault, &fault), 1, "its fault is told, with its kind");

  queue_free(&q);
  is_equal(count("npu_queue_destroy", is_queue, &made), 1, "a queue is ended");
  buffer_free(&b);
  context_close(&c);
}

static void test_reset(void) {
  char path[256];
  snprintf(path, sizeof path, "%s/reset", sysfs_path());
  write_file(path, "1");
  is_equal(count("npu_reset", starts_with, "begin: asked for by reset"), 1, "a reset begins");
  is_equal(count("npu_reset", starts_with, "done: asked for by reset"), 1, "and is done");
  is_equal(count("npu_reset", starts_with, "wedged"), 0, "nothing is wedged");
}

static void test_silence(void) {
  write_file(INSTANCE "/events/npu/enable", "0");
  write_file(INSTANCE "/trace", "\n");
  struct context c = context_new();
  struct queue q = queue_new(&c, 4);
  queue_free(&q);
  context_close(&c);
  is_equal(count("npu_mbox", starts_with, ""), 0, "nothing is told when nobody has asked");
}

int main(void) {
  if (access(TRACING "/events", F_OK)) {
    skip("this kernel has no trace events");
    return tap_done();
  }
  if (mkdir(INSTANCE, 0700)) bail(INSTANCE ": %s", strerror(errno));
  write_file(INSTANCE "/events/npu/enable", "1");
  test_queue_and_wait();
  test_reset();
  test_silence();
  is_errno(rmdir(INSTANCE), 0, "tracing ends");
  return tap_done();
}
