/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts and link errors on their way from the model's threads to the guest.
 *
 * Raising an interrupt needs the big lock, which the model's threads never take.  A bottom half
 * would have it, but the way through the main loop costs one more thread that has to wake up.  An
 * emulated processor has it, too, when it does what others have asked it to do, and the one that
 * the interrupt is for must wake up anyway: so it is asked, and delivers to itself.
 *
 * It may miss the call when that comes between its last look and its sleep (QEMU calls without the
 * lock under which processors fall asleep).  So a timer looks a millisecond later; that is also
 * what delivers when the processor has been unplugged meanwhile.  A processor that hardware
 * virtualisation runs would have to be stopped for it: there, the bottom half does it.
 */
#include "npu.h"
#include "hw/pci/msi.h"
#include "qemu/host-utils.h"
#include "qemu/timer.h"
#include "trace.h"

#define NPU_IRQ_WATCH_NS 1000000

/* The fields of an MSI message's address that name a processor of a PC. */
#define NPU_MSI_DEST_SHIFT 12
#define NPU_MSI_DEST_MASK 0xff
#define NPU_MSI_LOGICAL (1u << 2)

/* All that is pending.  Taken before it is raised: what comes in between is never lost. */
static void npu_irq_deliver(NpuState *s)
{
    uint64_t vectors = qatomic_xchg(&s->pending, 0);

    while (vectors) {
        unsigned vector = ctz64(vectors);

        vectors &= vectors - 1;
        trace_npu_msix_notify(s->name, vector);
        msix_notify(PCI_DEVICE(s), vector);
    }
}

/* An AER message for the root port, as far as the guest has asked for any. */
static void npu_report_link_error(NpuState *s, bool uncorrected)
{
    PCIEAERErr error = {
        .status = uncorrected ? PCI_ERR_UNC_COMP_TIME : PCI_ERR_COR_REP_TIMER,
        .flags = uncorrected ? 0 : PCIE_AER_ERR_IS_CORRECTABLE,
        .source_id = pci_requester_id(PCI_DEVICE(s)),
    };

    trace_npu_link_error(s->name, uncorrected);
    pcie_aer_inject_error(PCI_DEVICE(s), &error);
}

/* All that has been raised so far. */
void npu_irq_flush(NpuState *s)
{
    if (qatomic_xchg(&s->link_corrected, 0)) {
        npu_report_link_error(s, false);
    }
    if (qatomic_xchg(&s->link_uncorrected, 0)) {
        npu_report_link_error(s, true);
    }
    npu_irq_deliver(s);
}

static void npu_irq_bh(void *opaque)
{
    npu_irq_flush(opaque);
}

static void npu_irq_watch(void *opaque)
{
    NpuState *s = opaque;

    /* First: who raises from here on arms the timer again. */
    qatomic_xchg(&s->irq_watched, false);
    npu_irq_deliver(s);
}

/* On the processor's own thread, with the big lock. */
static void npu_irq_on_cpu(CPUState *cpu, run_on_cpu_data data)
{
    NpuState *s = data.host_ptr;

    /* The device may have been unplugged meanwhile: then there is no model, and nothing to say. */
    if (s->model) {
        npu_irq_deliver(s);
    }
    object_unref(OBJECT(s));
}

/*
 * The processor to which the vector's message goes, or NULL.  A guess is good enough: whoever is
 * asked, the message is delivered by its address.
 */
static CPUState *npu_irq_cpu(NpuState *s, unsigned vector)
{
    uint64_t address = msix_get_message(PCI_DEVICE(s), vector).address;
    unsigned dest = address >> NPU_MSI_DEST_SHIFT & NPU_MSI_DEST_MASK;
    unsigned id = address & NPU_MSI_LOGICAL ? (dest ? ctz32(dest) : 0) : dest;
    CPUState *cpu;

    CPU_FOREACH(cpu)
    {
        if (CPU_GET_CLASS(cpu)->get_arch_id(cpu) == id && !cpu->unplug) {
            return cpu;
        }
    }
    return NULL;
}

void npu_irq_raise(NpuState *s, unsigned vector)
{
    uint64_t bit = 1ull << vector;
    CPUState *cpu;

    if (qatomic_fetch_or(&s->pending, bit) & bit) {
        return; /* somebody is on the way */
    }
    if (!tcg_enabled()) {
        qemu_bh_schedule(s->irq_bh);
        return;
    }
    RCU_READ_LOCK_GUARD();
    cpu = npu_irq_cpu(s, vector);
    if (!cpu) {
        qemu_bh_schedule(s->irq_bh);
        return;
    }
    if (!qatomic_xchg(&s->irq_watched, true)) {
        timer_mod_ns(s->irq_watch, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + NPU_IRQ_WATCH_NS);
    }
    object_ref(OBJECT(s));
    async_run_on_cpu(cpu, npu_irq_on_cpu, RUN_ON_CPU_HOST_PTR(s));
}

void npu_irq_link_error(NpuState *s, bool uncorrected)
{
    qatomic_inc(uncorrected ? &s->link_uncorrected : &s->link_corrected);
    qemu_bh_schedule(s->irq_bh);
}

void npu_irq_init(NpuState *s)
{
    s->irq_bh = qemu_bh_new(npu_irq_bh, s);
    s->irq_watch = timer_new_ns(QEMU_CLOCK_REALTIME, npu_irq_watch, s);
}

/* What was raised belongs to a life that has ended; the model is quiet. */
void npu_irq_forget(NpuState *s)
{
    qatomic_set(&s->pending, 0);
    qatomic_set(&s->link_corrected, 0);
    qatomic_set(&s->link_uncorrected, 0);
    qemu_bh_cancel(s->irq_bh);
}

/* There is no model any more. */
void npu_irq_exit(NpuState *s)
{
    if (!s->irq_bh) {
        return;
    }
    qemu_bh_delete(s->irq_bh);
    s->irq_bh = NULL;
    timer_free(s->irq_watch);
    s->irq_watch = NULL;
}
