// SPDX-License-Identifier: GPL-2.0
/*
 * Device core dumps: what the device and the driver knew when something failed.
 *
 * The format is in uapi/npu_dump.h.  The framework keeps one dump until it has
 * been read, or five minutes, and drops those that come meanwhile: so it is the
 * first failure that is seen.
 */
#include <linux/devcoredump.h>
#include <linux/timekeeping.h>
#include <linux/utsname.h>
#include <linux/vmalloc.h>

#include "npu_ctx.h"
#include "npu_dump.h"

#define NPU_DUMP_BYTES SZ_512K
#define NPU_DUMP_PACKETS_BEFORE 4
#define NPU_DUMP_PACKETS 16
#define NPU_DUMP_LOG_MAX SZ_64K
#define NPU_DUMP_BUFFERS_MAX 2048

struct npu_dump {
	struct npu_device *ndev;
	const char *reason;
	u32 guilty; /* queue, or U32_MAX */
	u8 *data;
	size_t used;
	size_t section; /* where the present section began */
	bool full;
};

static void *npu_dump_add(struct npu_dump *dump, size_t bytes)
{
	void *p = dump->data + dump->used;

	if (dump->full || bytes > NPU_DUMP_BYTES - dump->used) {
		dump->full = true;
		return NULL;
	}
	dump->used += bytes;
	return p;
}

static void npu_dump_copy(struct npu_dump *dump, const void *data, size_t bytes)
{
	void *p = npu_dump_add(dump, bytes);

	if (p)
		memcpy(p, data, bytes);
}

static void npu_dump_begin(struct npu_dump *dump, u32 type)
{
	struct npu_dump_section section = { .type = type };

	dump->section = dump->used;
	npu_dump_copy(dump, &section, sizeof(section));
}

/* Says how long the section is; one that did not fit is taken back. */
static void npu_dump_end(struct npu_dump *dump)
{
	struct npu_dump_section *section = (void *)(dump->data + dump->section);

	if (dump->full) {
		dump->used = dump->section;
		return;
	}
	section->bytes = dump->used - dump->section - sizeof(*section);
	npu_dump_add(dump, ALIGN(dump->used, 8) - dump->used);
}

__printf(2, 3) static void npu_dump_line(struct npu_dump *dump, const char *format, ...)
{
	char line[160];
	va_list args;
	int n;

	va_start(args, format);
	n = vscnprintf(line, sizeof(line), format, args);
	va_end(args);
	npu_dump_copy(dump, line, n);
}

static void npu_dump_state(struct npu_dump *dump)
{
	struct npu_device *ndev = dump->ndev;

	npu_dump_begin(dump, NPU_DUMP_STATE);
	npu_dump_line(dump, "reason: %s\n", dump->reason);
	npu_dump_line(dump, "device: %s\n", dev_name(ndev->drm.dev));
	npu_dump_line(dump, "uuid: %016llx\n", ndev->uuid);
	npu_dump_line(dump, "kernel: %s\n", init_utsname()->release);
	npu_dump_line(dump, "hw_version: %#x\n", ndev->hw_version);
	npu_dump_line(dump, "contract_version: %#x\n", ndev->contract_version);
	npu_dump_line(dump, "fw_version: %#x\n", npu_read(ndev, NPU_REG_FW_VERSION));
	npu_dump_line(dump, "fw_state: %s\n", npu_fw_state_name(ndev));
	npu_dump_line(dump, "fw_error: %u\n", npu_read(ndev, NPU_REG_FW_ERROR));
	npu_dump_line(dump, "fw_crash_pc: %#llx\n", npu_read64(ndev, NPU_REG_FW_CRASH_PC));
	npu_dump_line(dump, "failed: %d\n", npu_is_wedged(ndev));
	npu_dump_line(dump, "device_resets: %d\n", atomic_read(&ndev->recovery.resets));
	npu_dump_line(dump, "core_resets: %d\n", atomic_read(&ndev->recovery.core_resets));
	npu_dump_line(dump, "hangs: %d\n", atomic_read(&ndev->recovery.hangs));
	npu_dump_line(dump, "contexts: %d\n", atomic_read(&ndev->num_open));
	npu_dump_line(dump, "memory_total: %llu\n", ndev->mem_size);
	npu_dump_line(dump, "memory_free: %llu\n", npu_mm_avail(ndev));
	npu_dump_end(dump);
}

static void npu_dump_range(struct npu_dump *dump, u32 first, u32 end)
{
	for (u32 at = first; at < end; at += 4) {
		struct npu_dump_register reg = { at, npu_read(dump->ndev, at) };

		if (reg.value)
			npu_dump_copy(dump, &reg, sizeof(reg));
	}
}

/* Those that are not 0. */
static void npu_dump_registers(struct npu_dump *dump)
{
	struct npu_device *ndev = dump->ndev;
	u32 cores = min(ndev->num_cores, NPU_MAX_CORES);
	u32 slots = min(ndev->num_slots, NPU_MAX_SLOTS);

	npu_dump_begin(dump, NPU_DUMP_REGISTERS);
	npu_dump_range(dump, NPU_REG_MAGIC, NPU_REG_INJ_DONE + 8);
	for (u32 i = 0; i < cores; i++)
		npu_dump_range(dump, NPU_CORE_OFFSET + i * NPU_CORE_STRIDE,
			       NPU_CORE_OFFSET + i * NPU_CORE_STRIDE + NPU_CORE_BLOCKS + 8);
	npu_dump_range(dump, NPU_SLOT_OFFSET, NPU_SLOT_OFFSET + slots * NPU_SLOT_STRIDE);
	npu_dump_end(dump);
}

static void npu_dump_queue(struct npu_dump *dump, struct npu_queue *queue)
{
	struct npu_queue_status *status = npu_queue_status(queue);
	struct npu_dump_queue out = {
		.queue = queue->id,
		.context = queue->ctx->id,
		.pid = queue->ctx->desc.pid,
		.state = READ_ONCE(status->state),
		.error = READ_ONCE(status->error),
		.priority = queue->desc.priority,
		.ring_log2 = queue->desc.ring_log2,
		.rptr = READ_ONCE(status->rptr),
		.wptr = npu_queue_doorbell(queue),
		.timeout_ns = queue->desc.timeout_ns,
	};

	npu_dump_copy(dump, &out, sizeof(out));
}

static void npu_dump_ring(struct npu_dump *dump, struct npu_queue *queue)
{
	u64 rptr = READ_ONCE(npu_queue_status(queue)->rptr), wptr = npu_queue_doorbell(queue);
	u64 packets = 1ull << queue->desc.ring_log2;
	struct npu_dump_ring ring = { .queue = queue->id, .count = NPU_DUMP_PACKETS };
	u8 *out;

	if (rptr == wptr && queue->id != dump->guilty)
		return;
	ring.first = rptr - min(rptr, NPU_DUMP_PACKETS_BEFORE);
	npu_dump_begin(dump, NPU_DUMP_RING);
	npu_dump_copy(dump, &ring, sizeof(ring));
	for (u32 i = 0; i < ring.count; i++) {
		out = npu_dump_add(dump, NPU_PACKET_BYTES);
		if (out)
			memcpy_fromio(out, dump->ndev->mem + queue->desc.ring_addr +
				      (ring.first + i) % packets * NPU_PACKET_BYTES,
				      NPU_PACKET_BYTES);
	}
	npu_dump_end(dump);
}

/* Calls @fn for all queues.  Readers of npu_recovery.lock may come and go, hence the reference. */
static void npu_dump_each_queue(struct npu_dump *dump,
				void (*fn)(struct npu_dump *dump, struct npu_queue *queue))
{
	struct npu_queue *queue;
	struct npu_ctx *ctx;
	unsigned long id;

	mutex_lock(&dump->ndev->open_lock);
	list_for_each_entry(ctx, &dump->ndev->ctx_list, node) {
		xa_for_each(&ctx->queues, id, queue) {
			queue = npu_queue_get(ctx, id);
			if (queue)
				fn(dump, queue);
			npu_queue_put(queue);
		}
	}
	mutex_unlock(&dump->ndev->open_lock);
}

/* The translation of an address, read from device memory as the device reads it. */
static void npu_dump_walk(struct npu_dump *dump, struct npu_ctx *ctx, u64 addr)
{
	static const u32 shifts[] = { NPU_PT_ROOT_SHIFT, NPU_PT_MID_SHIFT, NPU_PAGE_SHIFT };
	struct npu_dump_walk walk = { .va = NPU_PTR_VA(addr), .context = ctx->id };
	u64 table = ctx->desc.pt_root, entry;
	u32 index;

	while (walk.levels < ARRAY_SIZE(shifts)) {
		index = walk.va >> shifts[walk.levels];
		if (walk.levels)
			index %= NPU_PT_ENTRIES;
		if (table + index * 8 > dump->ndev->mem_size - 8)
			break;
		entry = readq(dump->ndev->mem + table + index * 8);
		walk.entries[walk.levels++] = entry;
		if (!(entry & NPU_PTE_VALID) || (entry & NPU_PTE_LEAF))
			break;
		table = entry & NPU_PTE_ADDR_MASK;
	}
	npu_dump_begin(dump, NPU_DUMP_WALK);
	npu_dump_copy(dump, &walk, sizeof(walk));
	npu_dump_end(dump);
}

/*
 * Of the context at fault: its last record, and where its address leads, or else its kernel's;
 * without record the kernel's of the packet.  The record is asked first because the process may
 * have resumed its queue already, and then the read index is further.
 */
static void npu_dump_guilty(struct npu_dump *dump, struct npu_queue *queue)
{
	struct npu_fault_record record = {};
	struct npu_ctx *ctx = queue->ctx;
	struct npu_fault_ring *ring = npu_bo_host_ptr(ctx->faults, 0);
	u64 written = READ_ONCE(ring->written);
	struct npu_packet packet;
	u64 rptr;

	if (queue->id != dump->guilty)
		return;
	if (written) {
		record = ((struct npu_fault_record *)(ring + 1))[(written - 1) &
								 (ctx->desc.fault_entries - 1)];
		npu_dump_begin(dump, NPU_DUMP_FAULT);
		npu_dump_copy(dump, &record, sizeof(record));
		npu_dump_end(dump);
	}
	if (record.queue == queue->id && (record.bad_addr || record.kernel)) {
		npu_dump_walk(dump, ctx, record.bad_addr ?: record.kernel);
		return;
	}
	rptr = READ_ONCE(npu_queue_status(queue)->rptr) & ((1ull << queue->desc.ring_log2) - 1);
	memcpy_fromio(&packet, dump->ndev->mem + queue->desc.ring_addr + rptr * NPU_PACKET_BYTES,
		      sizeof(packet));
	if (packet.type == NPU_PKT_LAUNCH)
		npu_dump_walk(dump, ctx, packet.u.launch.entry);
}

static void npu_dump_log(struct npu_dump *dump)
{
	struct npu_device *ndev = dump->ndev;
	u64 position = 0, total = 0;
	u8 *out;

	if (npu_check_alive(ndev) || !READ_ONCE(ndev->fw_ready))
		return;
	npu_dump_begin(dump, NPU_DUMP_LOG);
	while (total < NPU_DUMP_LOG_MAX) {
		u64 args[NPU_MBOX_ARGS] = { position };

		out = npu_dump_add(dump, NPU_MBOX_DATA);
		if (!out || npu_mbox_call_data(ndev, NPU_ADMIN_GET_LOG, args, out))
			args[0] = 0;
		if (out)
			dump->used -= NPU_MBOX_DATA - min(args[0], NPU_MBOX_DATA);
		if (!args[0] || args[1] <= position)
			break;
		position = args[1];
		total += args[0];
	}
	npu_dump_end(dump);
}

static void npu_dump_buffers(struct npu_dump *dump)
{
	struct npu_device *ndev = dump->ndev;
	struct npu_bo *bo;
	u32 n = 0;
	u64 len;

	npu_dump_begin(dump, NPU_DUMP_BUFFERS);
	mutex_lock(&ndev->bo_lock);
	list_for_each_entry(bo, &ndev->bo_list, node) {
		struct npu_dump_buffer out = {
			.size = bo->base.size,
			.kind = bo->kind == NPU_BO_KIND_DEVICE ? NPU_DUMP_BUFFER_DEVICE :
				bo->kind == NPU_BO_KIND_DOORBELL ? NPU_DUMP_BUFFER_DOORBELL :
								   NPU_DUMP_BUFFER_HOST,
			.internal = !!(bo->flags & NPU_BO_INTERNAL),
		};

		strscpy(out.name, bo->name);

		/* One that is being made, or not backed now, has no runs. */
		if (bo->num_runs)
			out.addr = npu_bo_addr(bo, 0, &len);
		npu_dump_copy(dump, &out, sizeof(out));
		if (++n == NPU_DUMP_BUFFERS_MAX)
			break;
	}
	mutex_unlock(&ndev->bo_lock);
	npu_dump_end(dump);
}

/**
 * npu_coredump() - keep what is known of a failure for whoever reads /sys/class/devcoredump
 * @ndev: the device; the caller holds drm_dev_enter() and npu_recovery.lock, either way
 * @reason: why
 * @queue: number of the queue at fault, or U32_MAX
 */
void npu_coredump(struct npu_device *ndev, const char *reason, u32 queue)
{
	struct npu_dump dump = { .ndev = ndev, .reason = reason, .guilty = queue };
	struct npu_dump_header *header;

	dump.data = vzalloc(NPU_DUMP_BYTES);
	if (!dump.data)
		return;
	header = npu_dump_add(&dump, sizeof(*header));
	npu_dump_state(&dump);
	npu_dump_registers(&dump);
	npu_dump_begin(&dump, NPU_DUMP_QUEUES);
	npu_dump_each_queue(&dump, npu_dump_queue);
	npu_dump_end(&dump);
	npu_dump_each_queue(&dump, npu_dump_guilty);
	npu_dump_log(&dump);
	npu_dump_each_queue(&dump, npu_dump_ring);
	npu_dump_buffers(&dump);
	*header = (struct npu_dump_header){
		.magic = NPU_DUMP_MAGIC,
		.bytes = dump.used,
		.queue = queue,
		.flags = dump.full ? NPU_DUMP_TRUNCATED : 0,
		.time_ns = ktime_get_real_ns(),
	};
	atomic_inc(&ndev->recovery.dumps);
	/* It frees the data, at once when there is a dump already. */
	dev_coredumpv(ndev->drm.dev, dump.data, dump.used, GFP_KERNEL);
}
