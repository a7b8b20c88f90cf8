// SPDX-License-Identifier: Apache-2.0
#include "workers.h"

#include "../tap.h"
#include "drv.h"

#define FENCE_VA 0x10000000ull
#define DATA_VA 0x30000000ull
#define WORDS 512u  // of a buffer that is copied back and forth

static void* work(void* arg) {
  struct worker* w = arg;
  struct context c = context_new();
  struct queue q = queue_new(&c, 5);
  struct buffer fence = buffer_new(&c, PAGE, DRM_NPU_BO_HOST);
  struct buffer host = buffer_new(&c, 8 * WORDS, DRM_NPU_BO_HOST),
                device = buffer_new(&c, 8 * WORDS, DRM_NPU_BO_DEVICE);
  const uint64_t fence_ptr = publish(&fence, 1, FENCE_VA);
  const uint64_t host_ptr = publish(&host, 2, DATA_VA), device_ptr = publish(&device, 3, DATA_VA + (1 << 21));
  volatile uint64_t* words = host.map;
  for (uint32_t i = 0; i < WORDS; ++i) words[i] = i;
  for (w->rounds = 0; !w->stop && !w->error;) {
    const uint64_t n = ++w->rounds;
    words[n % WORDS] += n;
    // Out to the device, wiped here, back again: every round's values went through device memory.
    struct npu_packet out = copy_packet(device_ptr, host_ptr, 8 * WORDS, 0, 0);
    struct npu_packet wipe = packet_of(NPU_PKT_FILL, 0, 0);
    wipe.u.fill = (struct npu_pkt_fill){.dst = host_ptr, .bytes = 8 * WORDS, .pattern = ~0ull, .pattern_bytes = 8};
    struct npu_packet back = copy_packet(host_ptr, device_ptr, 8 * WORDS, fence_ptr, n);
    put_packet(&q, &out);
    put_packet(&q, &wipe);
    put_packet(&q, &back);
    ring_doorbell(&q);
    if (wait_value(&fence, 0, n, NPU_WAIT_EQ, 60000, q.id)) w->error = errno;
  }
  uint64_t* expected = calloc(WORDS, 8);
  for (uint32_t i = 0; i < WORDS; ++i) expected[i] = i;
  for (uint64_t n = 1; n <= w->rounds; ++n) expected[n % WORDS] += n;
  for (uint32_t i = 0; i < WORDS; ++i) w->wrong += words[i] != expected[i];
  if (w->error)
    diag("round %llu: %s, queue state %u error %u", (unsigned long long)w->rounds, strerror(w->error), q.status->state,
         q.status->error);
  free(expected);
  if (!w->error) {  // a device that is gone refuses these calls; closing the file gives everything back
    queue_free(&q);
    buffer_free(&fence);
    buffer_free(&host);
    buffer_free(&device);
  }
  context_close(&c);
  return NULL;
}

void workers_start(struct worker* w, int n) {
  memset(w, 0, n * sizeof *w);
  for (int i = 0; i < n; ++i) pthread_create(&w[i].thread, NULL, work, &w[i]);
}

int workers_end(struct worker* w, int n) {
  int bad = 0;
  for (int i = 0; i < n; ++i) w[i].stop = 1;
  for (int i = 0; i < n; ++i) {
    pthread_join(w[i].thread, NULL);
    bad += w[i].wrong + (w[i].error != 0);
  }
  return bad;
}
