/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host operations of a function behind an IOMMU.
 *
 * A look-up in a virtual IOMMU may end in an interrupt (a fault event), which QEMU raises from
 * within the look-up; and whoever raises an interrupt must hold the big lock.  A thread of the
 * model cannot take it: somebody who holds it may be waiting for that very thread.  So it hands the
 * operation over and waits: the main loop carries it out, and so does whoever waits for the model
 * with the big lock held.
 */
#include "npu.h"
#if __has_include("system/address-spaces.h")
#include "system/address-spaces.h"
#else
#include "exec/address-spaces.h"
#endif

struct NpuRequest {
    NpuCall *call;
    void *args;
    int result;
    bool done;
    QSIMPLEQ_ENTRY(NpuRequest) next;
};

typedef struct NpuAside {
    NpuState *s;
    void (*what)(NpuState *s);
    bool done; /* under calls_lock */
} NpuAside;

/* Carries out what was handed over.  With calls_lock held, which is released meanwhile. */
static void npu_calls_serve(NpuState *s)
{
    NpuRequest *r;

    while ((r = QSIMPLEQ_FIRST(&s->calls))) {
        QSIMPLEQ_REMOVE_HEAD(&s->calls, next);
        qemu_mutex_unlock(&s->calls_lock);
        r->result = r->call(s, r->args);
        qemu_mutex_lock(&s->calls_lock);
        r->done = true;
        qemu_cond_broadcast(&s->calls_changed);
    }
}

static void npu_calls_bh(void *opaque)
{
    NpuState *s = opaque;

    npu_thread_is_qemus();
    qemu_mutex_lock(&s->calls_lock);
    npu_calls_serve(s);
    qemu_mutex_unlock(&s->calls_lock);
}

int npu_call(NpuState *s, NpuCall *call, void *args)
{
    NpuRequest r = {.call = call, .args = args};

    if (!qatomic_read(&s->translated) || npu_bql_locked()) {
        return call(s, args);
    }
    qemu_mutex_lock(&s->calls_lock);
    QSIMPLEQ_INSERT_TAIL(&s->calls, &r, next);
    qemu_cond_broadcast(&s->calls_changed);
    qemu_bh_schedule(s->calls_bh);
    while (!r.done) {
        qemu_cond_wait(&s->calls_changed, &s->calls_lock);
    }
    qemu_mutex_unlock(&s->calls_lock);
    return r.result;
}

static void *npu_aside_main(void *opaque)
{
    NpuAside *aside = opaque;
    NpuState *s = aside->s;

    aside->what(s);
    qemu_mutex_lock(&s->calls_lock);
    aside->done = true;
    qemu_cond_broadcast(&s->calls_changed);
    qemu_mutex_unlock(&s->calls_lock);
    return NULL;
}

void npu_wait_for_model(NpuState *s, void (*what)(NpuState *s))
{
    NpuAside aside = {.s = s, .what = what};
    QemuThread thread;

    if (!s->translated) {
        what(s);
        return;
    }
    qemu_thread_create(&thread, "npu-aside", npu_aside_main, &aside, QEMU_THREAD_JOINABLE);
    qemu_mutex_lock(&s->calls_lock);
    while (!aside.done) {
        npu_calls_serve(s);
        if (!aside.done && QSIMPLEQ_EMPTY(&s->calls)) {
            qemu_cond_wait(&s->calls_changed, &s->calls_lock);
        }
    }
    qemu_mutex_unlock(&s->calls_lock);
    qemu_thread_join(&thread);
}

void npu_calls_look(NpuState *s)
{
    bool translated = pci_device_iommu_address_space(PCI_DEVICE(s)) != &address_space_memory;

    qatomic_set(&s->translated, translated);
}

void npu_calls_init(NpuState *s)
{
    qemu_mutex_init(&s->calls_lock);
    qemu_cond_init(&s->calls_changed);
    QSIMPLEQ_INIT(&s->calls);
    s->calls_bh = qemu_bh_new(npu_calls_bh, s);
}

void npu_calls_exit(NpuState *s)
{
    if (!s->calls_bh) {
        return;
    }
    qemu_bh_delete(s->calls_bh);
    s->calls_bh = NULL;
    qemu_cond_destroy(&s->calls_changed);
    qemu_mutex_destroy(&s->calls_lock);
}
