/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the model's threads may do outside the model: reach guest memory, raise interrupts, say
 * something.
 *
 * None of this takes the big lock (see npu.h and npu_calls.c).  Guest memory is reached through the
 * function's own address space, so that bus-master enable and a virtual IOMMU are honoured, and
 * only where it is RAM: memory of another device's BAR counts if RAM backs it.  Registers of
 * devices are out of reach, which also rules out that DMA comes back to us.
 */
#include "npu.h"
#include "qemu/bswap.h"
#include "trace.h"

static const MemTxAttrs npu_attrs = {.memory = 1};

/*
 * Threads.  Whoever walks QEMU's memory map must be registered with RCU.  Threads of QEMU are;
 * threads of the model register at their first access, and leave when they end.
 */
enum { THREAD_NEW, THREAD_OF_QEMU, THREAD_REGISTERED };
static __thread int npu_thread;
static pthread_key_t npu_thread_key;

static void npu_thread_leave(void *unused)
{
    rcu_unregister_thread();
    npu_thread = THREAD_NEW;
}

static void __attribute__((constructor)) npu_thread_init(void)
{
    if (pthread_key_create(&npu_thread_key, npu_thread_leave)) {
        abort(); /* at program start, out of keys: nothing could work */
    }
}

void npu_thread_is_qemus(void)
{
    npu_thread = THREAD_OF_QEMU;
}

static void npu_thread_enter(void)
{
    if (likely(npu_thread != THREAD_NEW)) {
        return;
    }
    rcu_register_thread();
    /* Any value but NULL makes the key's destructor run. */
    pthread_setspecific(npu_thread_key, &npu_thread);
    npu_thread = THREAD_REGISTERED;
}

/* One access, as npu_call takes it. */
typedef struct NpuAccess {
    uint64_t bus;
    void *buf;
    uint64_t bytes;
    DMADirection dir;
    uint64_t value;     /* to be stored; or what was loaded */
    uint64_t *expected; /* of a compare and exchange */
} NpuAccess;

static int npu_dma(NpuState *s, void *args)
{
    NpuAccess *a = args;

    npu_thread_enter();
    if (a->bus + a->bytes < a->bus ||
        pci_dma_rw(PCI_DEVICE(s), a->bus, a->buf, a->bytes, a->dir, npu_attrs) != MEMTX_OK) {
        trace_npu_dma_error(s->name, a->bus, a->bytes, a->dir == DMA_DIRECTION_FROM_DEVICE);
        return -1;
    }
    return 0;
}

static int npu_dma_read(void *opaque, uint64_t bus, void *dst, uint64_t bytes)
{
    NpuAccess a = {.bus = bus, .buf = dst, .bytes = bytes, .dir = DMA_DIRECTION_TO_DEVICE};

    return npu_call(opaque, npu_dma, &a);
}

static int npu_dma_write(void *opaque, uint64_t bus, const void *src, uint64_t bytes)
{
    NpuAccess a = {
        .bus = bus, .buf = (void *)src, .bytes = bytes, .dir = DMA_DIRECTION_FROM_DEVICE};

    return npu_call(opaque, npu_dma, &a);
}

/*
 * Host pointer of a naturally aligned word in RAM, or NULL.  Inside an RCU critical section, for as
 * long as that lasts.
 */
static void *npu_ram_word(NpuState *s, uint64_t bus, unsigned size, bool is_write)
{
    hwaddr len = size, offset;
    MemoryRegion *mr;

    if (bus & (size - 1)) {
        return NULL;
    }
    mr = address_space_translate(pci_get_address_space(PCI_DEVICE(s)), bus, &offset, &len, is_write,
                                 npu_attrs);
    if (len < size || !npu_access_is_ram(mr, is_write, npu_attrs)) {
        return NULL;
    }
    return (uint8_t *)memory_region_get_ram_ptr(mr) + offset;
}

/*
 * The same for writing.  The mapping makes the unmapping tell everybody who watches that page
 * (translated code, dirty logs).  Should the memory map change between the two look-ups, the
 * mapping may be a bounce buffer: then the word is no RAM any more, and the unmapping must not
 * write.
 */
static void *npu_map_word(NpuState *s, uint64_t bus, unsigned size)
{
    AddressSpace *as = pci_get_address_space(PCI_DEVICE(s));
    void *word = npu_ram_word(s, bus, size, true);
    hwaddr len = size;
    void *map;

    if (!word) {
        return NULL;
    }
    map = address_space_map(as, bus, &len, true, npu_attrs);
    if (map && (map != word || len < size)) {
        address_space_unmap(as, map, len, true, 0);
        return NULL;
    }
    return map;
}

static void npu_unmap_word(NpuState *s, void *map, unsigned size)
{
    address_space_unmap(pci_get_address_space(PCI_DEVICE(s)), map, size, true, size);
}

static int npu_word_failed(NpuState *s, uint64_t bus, unsigned size, bool is_write)
{
    trace_npu_dma_error(s->name, bus, size, is_write);
    return -1;
}

static int npu_store64(NpuState *s, void *args)
{
    NpuAccess *a = args;
    uint64_t *word;

    npu_thread_enter();
    RCU_READ_LOCK_GUARD();
    word = npu_map_word(s, a->bus, sizeof(*word));
    if (!word) {
        return npu_word_failed(s, a->bus, sizeof(*word), true);
    }
    /* What the device wrote before must be seen before this value is: it is a fence. */
    qatomic_store_release(word, cpu_to_le64(a->value));
    npu_unmap_word(s, word, sizeof(*word));
    return 0;
}

static int npu_dma_store64(void *opaque, uint64_t bus, uint64_t value)
{
    NpuAccess a = {.bus = bus, .value = value};

    return npu_call(opaque, npu_store64, &a);
}

static int npu_load64(NpuState *s, void *args)
{
    NpuAccess *a = args;
    uint64_t *word;

    npu_thread_enter();
    RCU_READ_LOCK_GUARD();
    word = npu_ram_word(s, a->bus, sizeof(*word), false);
    if (!word) {
        return npu_word_failed(s, a->bus, sizeof(*word), false);
    }
    a->value = le64_to_cpu(qatomic_load_acquire(word));
    return 0;
}

static int npu_dma_load64(void *opaque, uint64_t bus, uint64_t *value)
{
    NpuAccess a = {.bus = bus};

    if (npu_call(opaque, npu_load64, &a)) {
        return -1;
    }
    *value = a.value;
    return 0;
}

static int npu_cmpxchg(NpuState *s, void *args)
{
    NpuAccess *a = args;
    void *word;

    npu_thread_enter();
    RCU_READ_LOCK_GUARD();
    word = npu_map_word(s, a->bus, a->bytes);
    if (!word) {
        return npu_word_failed(s, a->bus, a->bytes, true);
    }
    if (a->bytes == 8) {
        uint64_t old = cpu_to_le64(*a->expected);

        *a->expected = le64_to_cpu(qatomic_cmpxchg((uint64_t *)word, old, cpu_to_le64(a->value)));
    } else {
        uint32_t old = cpu_to_le32(*a->expected);

        *a->expected = le32_to_cpu(qatomic_cmpxchg((uint32_t *)word, old, cpu_to_le32(a->value)));
    }
    npu_unmap_word(s, word, a->bytes);
    return 0;
}

static int npu_dma_cmpxchg(void *opaque, uint64_t bus, uint64_t *expected, uint64_t desired,
                           unsigned size)
{
    NpuAccess a = {.bus = bus, .bytes = size, .value = desired, .expected = expected};

    if (size != 4 && size != 8) {
        return npu_word_failed(opaque, bus, size, true);
    }
    return npu_call(opaque, npu_cmpxchg, &a);
}

static void npu_msix(void *opaque, unsigned vector)
{
    NpuState *s = opaque;

    if (vector >= NPU_NUM_VECTORS) {
        qemu_log_mask(LOG_GUEST_ERROR, "%s: interrupt vector %u is outside the table of %u\n",
                      s->name, vector, NPU_NUM_VECTORS);
        return;
    }
    npu_thread_enter();
    trace_npu_msix(s->name, vector);
    npu_irq_raise(s, vector);
}

static void npu_log(void *opaque, enum npu_model_log level, const char *line)
{
    NpuState *s = opaque;

    switch (level) {
    case NPU_MODEL_LOG_GUEST_ERROR:
        qemu_log_mask(LOG_GUEST_ERROR, "%s: %s\n", s->name, line);
        break;
    case NPU_MODEL_LOG_FIRMWARE:
        trace_npu_firmware(s->name, line);
        break;
    case NPU_MODEL_LOG_INFO:
        trace_npu_info(s->name, line);
        break;
    }
}

static void npu_trace(void *opaque, const char *event, uint64_t a, uint64_t b, uint64_t c)
{
    NpuState *s = opaque;

    trace_npu_event(s->name, event, a, b, c);
}

static void npu_link_error(void *opaque, int uncorrected)
{
    npu_irq_link_error(opaque, uncorrected);
}

const struct npu_model_host_ops npu_host_ops = {
    .dma_read = npu_dma_read,
    .dma_write = npu_dma_write,
    .dma_store64 = npu_dma_store64,
    .dma_load64 = npu_dma_load64,
    .dma_cmpxchg = npu_dma_cmpxchg,
    .msix = npu_msix,
    .log = npu_log,
    .trace = npu_trace,
    .link_error = npu_link_error,
};
