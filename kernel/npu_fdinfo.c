// SPDX-License-Identifier: GPL-2.0
/* What a process uses, in /proc/PID/fdinfo, in the format of drm-usage-stats. */
#include <linux/math64.h>

#include <drm/drm_file.h>
#include <drm/drm_gem.h>

#include "npu_ctx.h"

/* The highest clock that the firmware may choose. */
#define NPU_MAX_CLOCK_KHZ 1000000ull

static u64 npu_ctx_cycles(struct npu_ctx *ctx)
{
	struct npu_queue *queue;
	unsigned long id;
	u64 cycles;

	/* Without the file's lock: this must answer while a call waits for a device that hangs. */
	cycles = atomic64_read(&ctx->past_cycles);
	xa_for_each(&ctx->queues, id, queue) {
		queue = npu_queue_get(ctx, id);
		if (queue)
			cycles += READ_ONCE(npu_queue_status(queue)->counters.cycles);
		npu_queue_put(queue);
	}
	return cycles;
}

/*
 * Cycles and nanoseconds that the file has cost.  Neither may run backwards, although a queue
 * that ends just now is missing for a moment and the clock changes: what has come since the
 * last look counts at the clock of now.
 */
static void npu_file_usage(struct npu_file *file, u32 khz, u64 *cycles, u64 *ns)
{
	struct npu_ctx *ctx = npu_file_ctx(file);
	u64 now;

	*cycles = 0;
	*ns = 0;
	if (!ctx)
		return;
	now = npu_ctx_cycles(ctx);
	spin_lock(&ctx->shown_lock);
	if (khz && now > ctx->shown_cycles) {
		ctx->shown_ns += mul_u64_u64_div_u64(now - ctx->shown_cycles, USEC_PER_SEC, khz);
		ctx->shown_cycles = now;
	}
	*cycles = ctx->shown_cycles;
	*ns = ctx->shown_ns;
	spin_unlock(&ctx->shown_lock);
}

/* Buffers that others have handles of as well, or a dma-buf. */
struct npu_shared {
	u64 all;
	u64 own; /* of all, what is charged to the file */
	u64 resident; /* of the others, what is in this memory now */
};

static void npu_file_shared(struct drm_file *file, struct npu_shared *device,
			    struct npu_shared *host)
{
	struct npu_account *account = ((struct npu_file *)file->driver_priv)->account;
	struct drm_gem_object *obj;
	struct npu_shared *shared;
	struct npu_bo *bo;
	int id;

	spin_lock(&file->table_lock);
	idr_for_each_entry(&file->object_idr, obj, id) {
		if (!drm_gem_object_is_shared_for_memory_stats(obj))
			continue;
		bo = to_npu_bo(obj);
		shared = bo->kind == NPU_BO_KIND_DEVICE ? device : host;
		shared->all += obj->size;
		if (bo->account == account)
			shared->own += obj->size;
		else if (shared == host || READ_ONCE(bo->evicted))
			host->resident += obj->size;
		else
			device->resident += obj->size;
	}
	spin_unlock(&file->table_lock);
}

static void npu_show_region(struct drm_printer *p, const struct npu_shared *shared, u64 bytes,
			    u64 resident, const char *region)
{
	struct drm_memory_stats stats = {
		.shared = shared->all,
		/* The numbers are not of one moment. */
		.private = bytes - min(bytes, shared->own),
		.resident = resident + shared->resident,
	};

	drm_print_memory_stats(p, &stats, DRM_GEM_OBJECT_RESIDENT, region);
}

/* A buffer counts where it belongs, and as resident where it is. */
static void npu_show_memory(struct drm_printer *p, struct drm_file *file)
{
	struct npu_account *account = ((struct npu_file *)file->driver_priv)->account;
	u64 device = atomic64_read(&account->device_bytes);
	u64 host = atomic64_read(&account->host_bytes);
	u64 moved = min_t(u64, atomic64_read(&account->evicted_bytes), device);
	struct npu_shared on_device = {}, on_host = {};

	npu_file_shared(file, &on_device, &on_host);
	npu_show_region(p, &on_device, device, device - moved, "device");
	npu_show_region(p, &on_host, host, host + moved, "host");
}

/* Called by the DRM core inside drm_dev_enter(). */
void npu_show_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	struct npu_file *nfile = file->driver_priv;
	u32 khz = npu_read(nfile->ndev, NPU_REG_CLOCK_KHZ);
	struct npu_ctx *ctx = npu_file_ctx(nfile);
	u64 cycles, ns;

	/* A device in reset answers with ones. */
	if (khz == U32_MAX)
		khz = 0;
	npu_file_usage(nfile, khz, &cycles, &ns);
	/* Modelled device time, whatever the machine's own speed. */
	drm_printf(p, "drm-engine-compute:\t%llu ns\n", ns);
	drm_printf(p, "drm-cycles-compute:\t%llu\n", cycles);
	drm_printf(p, "drm-curfreq-compute:\t%llu Hz\n", (u64)khz * 1000);
	drm_printf(p, "drm-maxfreq-compute:\t%llu Hz\n", NPU_MAX_CLOCK_KHZ * 1000);
	drm_printf(p, "npu-resets-guilty:\t%d\n", ctx ? atomic_read(&ctx->resets_guilty) : 0);
	drm_printf(p, "npu-resets-innocent:\t%d\n", ctx ? atomic_read(&ctx->resets_innocent) : 0);
	npu_show_memory(p, file);
}
