/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later */
/*
 * A device model that does nothing but what the test of the QEMU glue tells it to: each host operation can be called on
 * a thread of its own, and every call of the glue is counted.  Its registers are its own, not the NPU's.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npu_model.h"

enum { /* registers, 64 bits wide */
       REG_ID = 0x00,
       REG_SCRATCH = 0x08, /* cleared by every reset */
       REG_UUID = 0x48,    /* where the NPU has it: the glue reads it */
       REG_OP = 0x100,     /* write: start OP_*; read: operations finished */
       REG_BUS = 0x108,
       REG_VALUE = 0x110,
       REG_EXPECTED = 0x118,
       REG_BYTES = 0x120,
       REG_RESULT = 0x128,
       REG_FLRS = 0x200,
       REG_COLDS = 0x208,
       REG_PAUSES = 0x210,
       REG_RESUMES = 0x218,
       REG_ACCESSES = 0x220, /* register accesses in all, this one included */
       REG_MEMORY0 = 0x228,  /* first word of device memory */
       REG_DRAINS = 0x230,
};
enum { OP_READ = 1, OP_WRITE, OP_STORE64, OP_LOAD64, OP_CMPXCHG8, OP_CMPXCHG4, OP_MSIX, OP_LOG, OP_LINK };

#define ID 0x74736574756e7055ull

struct npu_model {
  struct npu_model_config config;
  pthread_t thread;
  pthread_mutex_t lock; /* guards everything below */
  pthread_cond_t changed;
  int stop, paused, busy;
  uint64_t op, done, bus, value, expected, bytes, scratch;
  int64_t result;
  uint64_t flrs, colds, pauses, resumes, accesses, drains;
};

/* Runs on the worker, without the lock: what the glue is asked for may take any time. */
static int64_t perform(struct npu_model* m, uint64_t op, uint64_t* value, uint64_t* expected, uint64_t bytes) {
  const struct npu_model_host_ops* host = &m->config.ops;
  void* opaque = m->config.opaque;
  switch (op) {
    case OP_READ:
      return host->dma_read(opaque, m->bus, m->config.memory, bytes);
    case OP_WRITE:
      return host->dma_write(opaque, m->bus, m->config.memory, bytes);
    case OP_STORE64:
      return host->dma_store64(opaque, m->bus, *value);
    case OP_LOAD64:
      return host->dma_load64(opaque, m->bus, value);
    case OP_CMPXCHG8:
      return host->dma_cmpxchg(opaque, m->bus, expected, *value, 8);
    case OP_CMPXCHG4:
      return host->dma_cmpxchg(opaque, m->bus, expected, *value, 4);
    case OP_MSIX:
      host->msix(opaque, *value);
      return 0;
    case OP_LOG:
      host->log(opaque, NPU_MODEL_LOG_GUEST_ERROR, "the test says hello");
      return 0;
    case OP_LINK:
      host->link_error(opaque, *value != 0);
      return 0;
  }
  return -2;
}

static void* work(void* arg) {
  struct npu_model* m = arg;
  pthread_mutex_lock(&m->lock);
  while (!m->stop) {
    if (!m->op || m->paused) {
      pthread_cond_wait(&m->changed, &m->lock);
      continue;
    }
    uint64_t op = m->op, value = m->value, expected = m->expected, bytes = m->bytes;
    m->op = 0;
    m->busy = 1;
    pthread_mutex_unlock(&m->lock);
    int64_t result = perform(m, op, &value, &expected, bytes);
    pthread_mutex_lock(&m->lock);
    m->busy = 0;
    m->value = value;
    m->expected = expected;
    m->result = result;
    m->done++;
    pthread_cond_broadcast(&m->changed);
  }
  pthread_mutex_unlock(&m->lock);
  return NULL;
}

static void wait_idle(struct npu_model* m) {
  while (m->busy) pthread_cond_wait(&m->changed, &m->lock);
}

static struct npu_model* create(const struct npu_model_config* config, char* err, size_t err_bytes) {
  struct npu_model* m = calloc(1, sizeof(*m));
  if (config->seed == 13) {
    snprintf(err, err_bytes, "seed 13 brings bad luck");
    free(m);
    return NULL;
  }
  m->config = *config;
  pthread_mutex_init(&m->lock, NULL);
  pthread_cond_init(&m->changed, NULL);
  pthread_create(&m->thread, NULL, work, m);
  return m;
}

static void destroy(struct npu_model* m) {
  pthread_mutex_lock(&m->lock);
  m->stop = 1;
  pthread_cond_broadcast(&m->changed);
  pthread_mutex_unlock(&m->lock);
  pthread_join(m->thread, NULL);
  fprintf(stderr, "test model: destroyed\n");
  free(m);
}

static void reset(struct npu_model* m, enum npu_model_reset kind) {
  pthread_mutex_lock(&m->lock);
  m->op = 0;
  wait_idle(m);
  m->scratch = 0;
  *(kind == NPU_MODEL_RESET_FLR ? &m->flrs : &m->colds) += 1;
  pthread_mutex_unlock(&m->lock);
}

static uint64_t* reg(struct npu_model* m, uint64_t offset) {
  switch (offset) {
    case REG_SCRATCH:
      return &m->scratch;
    case REG_OP:
      return &m->done;
    case REG_BUS:
      return &m->bus;
    case REG_VALUE:
      return &m->value;
    case REG_EXPECTED:
      return &m->expected;
    case REG_BYTES:
      return &m->bytes;
    case REG_RESULT:
      return (uint64_t*)&m->result;
    case REG_FLRS:
      return &m->flrs;
    case REG_COLDS:
      return &m->colds;
    case REG_PAUSES:
      return &m->pauses;
    case REG_RESUMES:
      return &m->resumes;
    case REG_ACCESSES:
      return &m->accesses;
    case REG_DRAINS:
      return &m->drains;
    case REG_MEMORY0:
      return m->config.memory;
  }
  return NULL;
}

static uint64_t mmio_read(struct npu_model* m, uint64_t offset, unsigned size) {
  uint64_t value = 0, *r;
  pthread_mutex_lock(&m->lock);
  m->accesses++;
  r = reg(m, offset & ~7ull);
  if ((offset & ~7ull) == REG_ID) value = ID;
  if ((offset & ~7ull) == REG_UUID) value = 0x1122334455667700ull + m->config.seed;
  if (r) value = *r;
  pthread_mutex_unlock(&m->lock);
  value >>= 8 * (offset & 7);
  return size == 8 ? value : value & ((1ull << (8 * size)) - 1);
}

static void mmio_write(struct npu_model* m, uint64_t offset, uint64_t value, unsigned size) {
  uint64_t* r;
  (void)size;
  pthread_mutex_lock(&m->lock);
  m->accesses++;
  r = offset == REG_OP ? &m->op : reg(m, offset);
  if (r) *r = value;
  pthread_cond_broadcast(&m->changed);
  pthread_mutex_unlock(&m->lock);
}

static void set_paused(struct npu_model* m, int paused) {
  pthread_mutex_lock(&m->lock);
  wait_idle(m);
  m->paused = paused;
  *(paused ? &m->pauses : &m->resumes) += 1;
  pthread_cond_broadcast(&m->changed);
  pthread_mutex_unlock(&m->lock);
}

static void pause_model(struct npu_model* m) {
  set_paused(m, 1);
}
static void resume_model(struct npu_model* m) {
  set_paused(m, 0);
}

static int drain(struct npu_model* m, unsigned limit_ms) {
  (void)limit_ms;
  pthread_mutex_lock(&m->lock);
  m->drains++;
  pthread_mutex_unlock(&m->lock);
  return 1;
}

/* What travels: the operation that is under way, and the registers. */
struct saved {
  uint64_t id, op, done, bus, value, expected, bytes, scratch;
};

static void* save(struct npu_model* m, size_t* bytes, char* err, size_t err_bytes) {
  struct saved* s = malloc(sizeof(*s));
  if (m->config.seed == 14 || !m->paused) {
    snprintf(err, err_bytes, m->paused ? "seed 14 is busy" : "not paused");
    free(s);
    return NULL;
  }
  *s = (struct saved){ID, m->op, m->done, m->bus, m->value, m->expected, m->bytes, m->scratch};
  *bytes = sizeof(*s);
  return s;
}

static int load(struct npu_model* m, const void* data, size_t bytes, char* err, size_t err_bytes) {
  struct saved s;
  memset(&s, 0, sizeof(s));
  if (bytes == sizeof(s)) memcpy(&s, data, bytes);
  if (s.id != ID || !m->paused || m->config.threads == 13) {
    snprintf(err, err_bytes, "these %zu bytes are not mine", bytes);
    return -1;
  }
  m->op = s.op;
  m->done = s.done;
  m->bus = s.bus;
  m->value = s.value;
  m->expected = s.expected;
  m->bytes = s.bytes;
  m->scratch = s.scratch;
  return 0;
}

static size_t describe(struct npu_model* m, char* text, size_t bytes) {
  /* Long, so that the glue has to ask twice. */
  char line[6000];
  memset(line, '.', sizeof(line));
  snprintf(line + 5900, 100, "cores %u", m->config.cores);
  return snprintf(text, bytes, "%.5900s%s", line, line + 5900);
}

static const struct npu_model_api api = {NPU_MODEL_ABI, create,       destroy,  reset, mmio_read, mmio_write,
                                         pause_model,   resume_model, describe, drain, save,      load};

const struct npu_model_api* npu_model_get_api(uint32_t abi) {
#ifdef WRONG_ABI
  abi += 1; /* as a model of another version would see it */
#endif
  return abi == NPU_MODEL_ABI ? &api : NULL;
}
