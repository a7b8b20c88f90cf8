/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NPU's PCIe function: state that the glue's files share.
 *
 * The glue knows the model's C interface and QEMU, and nothing of packets, firmware or cores.
 *
 * Locks.  Everything that changes the model's life (realize, reset, pause, resume, exit) happens
 * under QEMU's big lock, and waits for the model's threads with that lock held.  That cannot
 * deadlock, because no host operation ever takes the big lock: DMA is refused when it would hit
 * anything but RAM, and interrupts are handed to a thread that has the lock anyway (npu_irq.c).
 * Behind an IOMMU host operations need the big lock, so whoever holds it carries them out
 * (npu_calls.c).
 */
#ifndef HW_NPU_H
#define HW_NPU_H

#include "npu_compat.h"
#include "npu_model.h"
#include "npu_regs.h"

#define TYPE_NPU "npu"
OBJECT_DECLARE_SIMPLE_TYPE(NpuState, NPU)

QEMU_BUILD_BUG_ON(NPU_NUM_VECTORS > 64); /* NpuState.pending */

typedef struct NpuRequest NpuRequest;
/* A host operation: 0, or -1 for a bus error. */
typedef int NpuCall(NpuState *s, void *args);

struct NpuState {
    PCIDevice parent_obj;

    MemoryRegion regs;   /* BAR 0 */
    MemoryRegion memory; /* BAR 2 */
    char *name;          /* for messages: the id, or the type */

    const struct npu_model_api *api;
    /*
     * NULL before realize and after exit.  Written under the big lock; register accesses read it
     * with users raised, and who takes it away waits until users is 0.
     */
    struct npu_model *model;
    struct npu_model *dying; /* while it is destroyed */
    int users;

    /* Under the big lock. */
    bool paused;  /* the model is paused */
    bool asleep;  /* in D3: also read without the lock */
    bool touched; /* the guest has decoded our BARs since the last cold reset, so there is state to
                     reset */
    VMChangeStateEntry *vm_state;
    QLIST_ENTRY(NpuState) next;

    /* Vectors to be raised: any thread sets a bit, and has somebody take all; see npu_irq.c. */
    uint64_t pending;
    bool irq_watched; /* irq_watch is armed, or runs; any thread */
    QEMUTimer *irq_watch;
    /* Link errors that are to be reported likewise.  Registers count them; a message tells that
     * there are some. */
    uint32_t link_corrected;
    uint32_t link_uncorrected;
    QEMUBH *irq_bh;

    /*
     * Behind an IOMMU: see npu_calls.c.  Written under the big lock, before the guest can have
     * turned bus mastering on.
     */
    bool translated;
    QemuMutex calls_lock; /* guards calls; taken with or without the big lock, held for moments */
    QemuCond calls_changed;
    QSIMPLEQ_HEAD(, NpuRequest) calls;
    QEMUBH *calls_bh;

    /* The model's state on its way in or out, under the big lock; else NULL and 0. */
    uint8_t *snapshot;
    uint32_t snapshot_bytes;

    /* Properties. */
    uint64_t memory_bytes;
    uint32_t cores;
    uint32_t queues;
    uint32_t threads;
    uint64_t seed;
    char *nvram;
    char *simd;
    char *model_path;
};

/* npu_host.c: what the model may ask of its surroundings. */
extern const struct npu_model_host_ops npu_host_ops;
/* A thread of QEMU enters the glue: it is known to RCU already. */
void npu_thread_is_qemus(void);

/* npu_calls.c: the big lock for host operations, where they need it. */
/* On any thread: carries out call, on this thread or on one that has the big lock. */
int npu_call(NpuState *s, NpuCall *call, void *args);
/* Under the big lock: calls what, which may wait for threads of the model that are in npu_call. */
void npu_wait_for_model(NpuState *s, void (*what)(NpuState *s));
/* Under the big lock: there may be an IOMMU now. */
void npu_calls_look(NpuState *s);
void npu_calls_init(NpuState *s);
void npu_calls_exit(NpuState *s);

/*
 * npu_irq.c: interrupts and link errors on their way to the guest.  Raising is for any thread, the
 * rest under the big lock.
 */
void npu_irq_init(NpuState *s);
void npu_irq_exit(NpuState *s);
void npu_irq_forget(NpuState *s);
void npu_irq_flush(NpuState *s);
void npu_irq_raise(NpuState *s, unsigned vector);
void npu_irq_link_error(NpuState *s, bool uncorrected);

/* npu.c: the function may have gone to another power state. */
void npu_power_changed(NpuState *s);

/* npu_state.c: snapshots and migration.  Before the pause that comes with the machine's stop. */
void npu_state_stopping(NpuState *s);
/* Forgets bytes on their way in or out.  opaque: the NpuState. */
int npu_state_drop(void *opaque);
extern const VMStateDescription npu_vmstate;

/* npu_qom.c: the properties that show the device's state. */
void npu_qom_init(ObjectClass *class);

/* npu_load.c: finds and opens the model; NULL and a sentence on failure. */
const struct npu_model_api *npu_load_model(const char *path, Error **errp);

#endif
