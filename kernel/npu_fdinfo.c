// SPDX-License-Identifier: GPL-2.0
/* What a process uses, in /proc/PID/fdinfo, in the format of drm-usage-stats. */
#include <linux/math64.h>

#include <drm/drm_file.h>

#include "npu_ctx.h"

/* The highest clock that the firmware may choose. */
#define NPU_MAX_CLOCK_KHZ 1000000ull

static u64 npu_file_cycles(struct npu_file *file)
{
	struct npu_ctx *ctx = npu_file_ctx(file);
	struct npu_queue *queue;
	unsigned long id;
	s64 cycles, shown;

	if (!ctx)
		return 0;
	/* Without the file's lock: this must answer while a call waits for a device that hangs. */
	cycles = atomic64_read(&ctx->past_cycles);
	xa_for_each(&ctx->queues, id, queue) {
		queue = npu_queue_get(ctx, id);
		if (queue)
			cycles += READ_ONCE(npu_queue_status(queue)->counters.cycles);
		npu_queue_put(queue);
	}
	/* A queue that ends just now is missing for a moment, but time must not run backwards. */
	shown = atomic64_read(&ctx->shown_cycles);
	while (cycles > shown && !atomic64_try_cmpxchg(&ctx->shown_cycles, &shown, cycles))
		;
	return max(cycles, shown);
}

static void npu_show_memory(struct drm_printer *p, u64 bytes, const char *region)
{
	struct drm_memory_stats stats = { .private = bytes, .resident = bytes };

	drm_print_memory_stats(p, &stats, DRM_GEM_OBJECT_RESIDENT, region);
}

/* Called by the DRM core inside drm_dev_enter(). */
void npu_show_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	struct npu_file *nfile = file->driver_priv;
	u32 khz = npu_read(nfile->ndev, NPU_REG_CLOCK_KHZ);
	struct npu_ctx *ctx = npu_file_ctx(nfile);
	u64 cycles = npu_file_cycles(nfile);

	/* A device in reset answers with ones. */
	if (khz == U32_MAX)
		khz = 0;
	/* Modelled device time: the same on every machine, whatever the machine's own speed. */
	drm_printf(p, "drm-engine-compute:\t%llu ns\n",
		   khz ? mul_u64_u64_div_u64(cycles, USEC_PER_SEC, khz) : 0);
	drm_printf(p, "drm-cycles-compute:\t%llu\n", cycles);
	drm_printf(p, "drm-curfreq-compute:\t%llu Hz\n", (u64)khz * 1000);
	drm_printf(p, "drm-maxfreq-compute:\t%llu Hz\n", NPU_MAX_CLOCK_KHZ * 1000);
	drm_printf(p, "npu-resets-guilty:\t%d\n", ctx ? atomic_read(&ctx->resets_guilty) : 0);
	drm_printf(p, "npu-resets-innocent:\t%d\n", ctx ? atomic_read(&ctx->resets_innocent) : 0);
	npu_show_memory(p, atomic64_read(&nfile->account->device_bytes), "device");
	npu_show_memory(p, atomic64_read(&nfile->account->host_bytes), "host");
}
