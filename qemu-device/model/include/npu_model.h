/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later */
/*
 * C ABI of the device model.  The QEMU glue loads libnpu-model.so and calls it; hal/sim links it.
 *
 * Threads: mmio_read, mmio_write and mem accesses may come from any thread, at the same time.  The model never calls
 * back with one of its locks held, except where said.  reset, destroy, pause and resume must not run beside each other.
 */
#ifndef NPU_MODEL_H
#define NPU_MODEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NPU_MODEL_ABI 2u

struct npu_model;

enum npu_model_log {
	NPU_MODEL_LOG_GUEST_ERROR = 0, /* the guest did something undefined */
	NPU_MODEL_LOG_FIRMWARE = 1,    /* a line of the firmware's console */
	NPU_MODEL_LOG_INFO = 2,
};

/* What the model needs of its surroundings.  Called from model threads. */
struct npu_model_host_ops {
	/* Host memory by bus address.  0, or -1 for a bus error; a failed access may have moved a part of the bytes. */
	int (*dma_read)(void *opaque, uint64_t bus, void *dst, uint64_t bytes);
	int (*dma_write)(void *opaque, uint64_t bus, const void *src, uint64_t bytes);
	/* Single-copy atomic 64-bit store and load, 8-byte aligned. */
	int (*dma_store64)(void *opaque, uint64_t bus, uint64_t value);
	int (*dma_load64)(void *opaque, uint64_t bus, uint64_t *value);
	/* Atomic read-modify-write for operators' AMOs on host memory: replaces *expected by what was there; 0, or -1. size 4 or 8. */
	int (*dma_cmpxchg)(void *opaque, uint64_t bus, uint64_t *expected, uint64_t desired, unsigned size);
	void (*msix)(void *opaque, unsigned vector);
	/* May be called with model locks held; must not call back. */
	void (*log)(void *opaque, enum npu_model_log level, const char *line);
	/* Trace hook, may be NULL: event names are listed in docs/hardware.md. */
	void (*trace)(void *opaque, const char *event, uint64_t a, uint64_t b, uint64_t c);
	/* The link had an error (NPU_INJ_LINK), which the bus reports in its own way: on PCI Express by an AER message,
	 * corrected (a replay) or not (a completion that never came).  May be NULL; once for each error. */
	void (*link_error)(void *opaque, int uncorrected);
};

struct npu_model_config {
	uint32_t abi;          /* NPU_MODEL_ABI */
	uint32_t cores;        /* 1..NPU_MAX_CORES; 0: 4 */
	uint32_t queues;       /* 16..NPU_MAX_QUEUES; 0: 1024 */
	uint32_t threads;      /* host worker threads; 0: all CPUs but one, at least one, at most cores */
	uint64_t memory_bytes; /* device memory: power of two, 64 MiB .. 64 GiB */
	void *memory;          /* memory_bytes bytes, zero-filled at power-on, owned by the caller, readable and writable until destroy */
	uint64_t seed;
	const char *nvram;     /* file that keeps the NVRAM, or NULL: lost with the model */
	const char *simd;      /* NULL: best of this CPU; "baseline", "avx2" or "avx512" */
	void *opaque;
	struct npu_model_host_ops ops;
};

enum npu_model_reset { NPU_MODEL_RESET_COLD = 0, NPU_MODEL_RESET_FLR = 1 };

struct npu_model_api {
	uint32_t abi;
	/* NULL on failure, with a sentence in err. */
	struct npu_model *(*create)(const struct npu_model_config *config, char *err, size_t err_bytes);
	/* Stops all threads; no callback runs after it returns. */
	void (*destroy)(struct npu_model *m);
	/* Stops all work and threads' activity, then the state after power-on (FLR: device memory and NVRAM are kept).
	 * Does not return before the last DMA access has ended; it must be called without locks that host ops need. */
	void (*reset)(struct npu_model *m, enum npu_model_reset kind);
	/* BAR0.  size 1, 2, 4 or 8; wrong sizes and unaligned offsets read 0 and are logged.  Never waits for the device's work. */
	uint64_t (*mmio_read)(struct npu_model *m, uint64_t offset, unsigned size);
	void (*mmio_write)(struct npu_model *m, uint64_t offset, uint64_t value, unsigned size);
	/* After pause returns no model thread touches memory or calls back; doorbells are latched. */
	void (*pause)(struct npu_model *m);
	void (*resume)(struct npu_model *m);
	/* Text for people: one line a queue slot and a core.  Returns the length that the whole text has. */
	size_t (*describe)(struct npu_model *m, char *text, size_t bytes);
	/* To be called before a pause that save follows: starts no more blocks, and waits at most limit_ms milliseconds for
	 * those that cores have begun to end.  1 when none is in the middle of a block; 0 when time was up.  Everything but
	 * the cores goes on meanwhile, registers included.  pause or resume ends it. */
	int (*drain)(struct npu_model *m, unsigned limit_ms);
	/* The whole state but device memory, as bytes that load of a model with the same cores, queues, memory size and seed
	 * takes, in another process and on another host.  Only while paused.  *bytes: their number; the caller frees them with
	 * free().  NULL, and a sentence in err, when a core is in the middle of a block (see drain) or memory is lacking. */
	void *(*save)(struct npu_model *m, size_t *bytes, char *err, size_t err_bytes);
	/* Only while paused, with device memory as it was at the save.  0; or -1 and a sentence in err for bytes that save
	 * did not write, whatever they are: then the state is that after a reset. */
	int (*load)(struct npu_model *m, const void *data, size_t bytes, char *err, size_t err_bytes);
};

/* NULL when the model does not speak this ABI. */
const struct npu_model_api *npu_model_get_api(uint32_t abi);

#ifdef __cplusplus
}
#endif
#endif /* NPU_MODEL_H */
