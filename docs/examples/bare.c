// SPDX-License-Identifier: Apache-2.0
// The device without driver or runtime: what docs/hardware.md describes, step by step, on the model in this process.
// usage: bare CONTROL.npufw
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "npu_admin.h"
#include "npu_fault.h"
#include "npu_mmu.h"
#include "npu_model.h"
#include "npu_packet.h"
#include "npu_regs.h"

// Where things lie in device memory.
enum {
	MEMORY = 64 << 20,
	CTX_TABLE = 0x10000,
	QUEUE_TABLE = 0x20000,
	MAILBOX = 0x40000,
	PT_ROOT = 0x50000, // 8 KiB
	PT_MID = 0x52000,
	PT_LEAF = 0x53000,
	BOUNDS = 0x54000,
	RING = 0x56000,
	DATA = 0x60000,
	FIRMWARE = 0x200000,
};

// Host memory that the device may reach.  Its bus address is its address here.
static struct {
	_Alignas(4096) struct npu_queue_status status;
	_Alignas(4096) struct npu_fault_ring faults;
	struct npu_fault_record records[8];
} host;

static const struct npu_model_api *api;
static struct npu_model *device;
static char *memory;

static void *bus(uint64_t address, uint64_t bytes)
{
	uint64_t base = (uint64_t)&host;

	return address >= base && bytes <= sizeof(host) && address - base <= sizeof(host) - bytes ? (void *)address : NULL;
}

static int dma_read(void *opaque, uint64_t from, void *to, uint64_t bytes)
{
	return bus(from, bytes) ? (memcpy(to, bus(from, bytes), bytes), 0) : -1;
}

static int dma_write(void *opaque, uint64_t to, const void *from, uint64_t bytes)
{
	return bus(to, bytes) ? (memcpy(bus(to, bytes), from, bytes), 0) : -1;
}

static int dma_store64(void *opaque, uint64_t to, uint64_t value)
{
	return bus(to, 8) ? (atomic_store((_Atomic uint64_t *)to, value), 0) : -1;
}

static int dma_load64(void *opaque, uint64_t from, uint64_t *value)
{
	return bus(from, 8) ? (*value = atomic_load((_Atomic uint64_t *)from), 0) : -1;
}

// No operator of this example makes atomic accesses to host memory.
static int dma_cmpxchg(void *opaque, uint64_t to, uint64_t *expected, uint64_t desired, unsigned size)
{
	return -1;
}

// This example polls.
static void msix(void *opaque, unsigned vector)
{
}

static void print_log(void *opaque, enum npu_model_log level, const char *line)
{
	fprintf(stderr, "device: %s\n", line);
}

static void die(const char *what)
{
	fprintf(stderr, "bare: %s\n", what);
	exit(1);
}

static uint64_t rd(uint64_t offset, unsigned size)
{
	return api->mmio_read(device, offset, size);
}

static void wr(uint64_t offset, uint64_t value, unsigned size)
{
	api->mmio_write(device, offset, value, size);
}

static void put64(uint64_t offset, uint64_t value)
{
	memcpy(memory + offset, &value, 8);
}

static uint64_t get64(uint64_t offset)
{
	return atomic_load((_Atomic uint64_t *)(memory + offset));
}

// One mailbox command with two arguments; section 4 of the manual.
static void admin(uint32_t op, uint64_t arg0, uint64_t arg1)
{
	static uint32_t seq;
	struct npu_mbox *mbox = (void *)(memory + MAILBOX);

	memset(mbox, 0, sizeof(*mbox));
	mbox->seq = ++seq;
	mbox->op = op;
	mbox->arg[0] = arg0;
	mbox->arg[1] = arg1;
	wr(NPU_REG_MBOX_DB, seq, 4);
	while (rd(NPU_REG_MBOX_ACK, 4) != seq)
		sched_yield();
	if (mbox->status != NPU_ADMIN_OK)
		die("the firmware refuses a command");
}

static void power_on(void)
{
	struct npu_model_config config = {
		.abi = NPU_MODEL_ABI, .memory_bytes = MEMORY, .memory = memory, .seed = 1,
		.ops = { dma_read, dma_write, dma_store64, dma_load64, dma_cmpxchg, msix, print_log, NULL },
	};
	char why[256] = "";

	api = npu_model_get_api(NPU_MODEL_ABI);
	if (!api)
		die("the model speaks another ABI");
	device = api->create(&config, why, sizeof(why));
	if (!device)
		die(why);
	if (rd(NPU_REG_MAGIC, 4) != NPU_MAGIC)
		die("no NPU");
}

static void boot(const char *package)
{
	FILE *file = fopen(package, "rb");
	size_t bytes = file ? fread(memory + FIRMWARE, 1, 1 << 20, file) : 0;

	if (!bytes)
		die("cannot read the firmware package");
	fclose(file);
	wr(NPU_REG_CTX_TABLE, CTX_TABLE, 8);
	wr(NPU_REG_QUEUE_TABLE, QUEUE_TABLE, 8);
	wr(NPU_REG_MBOX_ADDR, MAILBOX, 8);
	wr(NPU_REG_FW_ADDR, FIRMWARE, 8);
	wr(NPU_REG_FW_SIZE, bytes, 4);
	wr(NPU_REG_FW_CTRL, NPU_FW_CTRL_LOAD, 4);
	while (rd(NPU_REG_FW_STATE, 4) != NPU_FW_STATE_READY) {
		if (rd(NPU_REG_FW_STATE, 4) == NPU_FW_STATE_REJECTED)
			die("the boot ROM rejects the package");
		sched_yield();
	}
	admin(NPU_ADMIN_HELLO, NPU_ADMIN_PROTOCOL, NPU_CONTRACT_VERSION);
}

// Section 5: one page of device memory at address 2 MiB, of which buffer 1 owns the first 256 bytes.
static uint64_t make_context(void)
{
	const uint64_t va = 0x200000;
	struct npu_bounds_entry *bounds = (void *)(memory + BOUNDS);
	struct npu_ctx_desc *context = (void *)(memory + CTX_TABLE + 1 * sizeof(*context));

	put64(PT_ROOT + 8 * (va >> NPU_PT_ROOT_SHIFT), PT_MID | NPU_PTE_VALID);
	put64(PT_MID + 8 * (va >> NPU_PT_MID_SHIFT & (NPU_PT_ENTRIES - 1)), PT_LEAF | NPU_PTE_VALID);
	put64(PT_LEAF + 8 * (va >> NPU_PAGE_SHIFT & (NPU_PT_ENTRIES - 1)),
	      DATA | NPU_PTE_VALID | NPU_PTE_READ | NPU_PTE_WRITE);
	bounds[1] = (struct npu_bounds_entry){
		.base = va, .size = 256,
		.ctl = 7 | NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT,
	};
	*context = (struct npu_ctx_desc){
		.flags = NPU_CTX_VALID, .irq_vector = NPU_IRQ_FENCE0, .pt_root = PT_ROOT,
		.bounds_addr = BOUNDS, .bounds_entries = 2,
		.fault_ring = (uint64_t)&host.faults, .fault_entries = 8,
	};
	admin(NPU_ADMIN_CTX_CREATE, 1, 0);
	return NPU_PTR(1, 7, va);
}

// Section 6.
static void make_queue(void)
{
	struct npu_queue_desc *queue = (void *)(memory + QUEUE_TABLE);

	*queue = (struct npu_queue_desc){
		.flags = NPU_QUEUE_VALID, .context = 1, .ring_addr = RING, .ring_log2 = NPU_RING_LOG2_MIN,
		.priority = 1, .status_addr = (uint64_t)&host.status,
	};
	admin(NPU_ADMIN_QUEUE_CREATE, 0, 0);
}

static void submit(struct npu_packet packet)
{
	static uint64_t wptr;

	memcpy(memory + RING + wptr++ % (1 << NPU_RING_LOG2_MIN) * NPU_PACKET_BYTES, &packet, sizeof(packet));
	wr(NPU_DOORBELL_OFFSET + 0 * NPU_DOORBELL_STRIDE + NPU_DB_WPTR, wptr, 8);
}

int main(int argc, char **argv)
{
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (argc != 2 || memory == MAP_FAILED)
		die("usage: bare CONTROL.npufw");
	power_on();
	boot(argv[1]);
	uint64_t buffer = make_context();
	make_queue();

	// Fill 192 bytes with a pattern, then store 42 in the last 8 bytes of the buffer.
	submit((struct npu_packet){
		.type = NPU_PKT_FILL, .flags = NPU_PKT_F_SIGNAL, .signal_addr = buffer + 248, .signal_value = 42,
		.u.fill = { .dst = buffer, .bytes = 192, .pattern = 0x1122334455667788, .pattern_bytes = 8 },
	});
	while (get64(DATA + 248) != 42)
		sched_yield();
	printf("word 0: %llx, word 24: %llx\n", (unsigned long long)get64(DATA), (unsigned long long)get64(DATA + 192));

	// Eight bytes too many: nothing is written, and a record tells why.
	submit((struct npu_packet){
		.type = NPU_PKT_FILL, .tag = 5,
		.u.fill = { .dst = buffer + 128, .bytes = 136, .pattern = 0, .pattern_bytes = 8 },
	});
	while (atomic_load((_Atomic uint32_t *)&host.status.state) != NPU_QUEUE_FAULTED)
		sched_yield();
	struct npu_fault_record *record = &host.records[0];
	printf("packet %llu (tag %u) is refused: kind %u, %llu bytes at buffer %u + %llu; word 16 is still %llx\n",
	       (unsigned long long)record->packet, record->packet_tag, record->kind, (unsigned long long)record->bad_bytes,
	       record->buf_number, (unsigned long long)(record->bad_addr - record->buf_base),
	       (unsigned long long)get64(DATA + 128));
	bool right = record->kind == NPU_FAULT_OOB && record->bad_bytes == 8 && get64(DATA + 128) == get64(DATA);

	admin(NPU_ADMIN_QUEUE_DESTROY, 0, 0);
	admin(NPU_ADMIN_CTX_DESTROY, 1, 0);
	api->destroy(device);
	return right ? 0 : 1;
}
