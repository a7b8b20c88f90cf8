/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots and migration.
 *
 * The machine's stop comes before anything is saved: cores finish the blocks that they have begun
 * and begin no more, so that what is left is data (see npu_model.h).  A block that does not end in
 * time makes the save fail with its name; the machine goes on, and a later try may succeed.
 *
 * The model's writes to device memory go past QEMU's dirty log.  Therefore all of device memory
 * counts as dirty at the stop: the last pass of a migration carries what pages hold now.
 */
#include "npu.h"
#include "qemu/error-report.h"
#include "trace.h"

/* How long a stop of the machine waits for blocks in work. */
#define NPU_DRAIN_MS 5000

/* No state has more: 64 cores with all of their SRAM. */
#define NPU_SNAPSHOT_MAX (256 * MiB)

static void npu_drain(NpuState *s)
{
    trace_npu_drain(s->name, s->api->drain(s->model, NPU_DRAIN_MS));
}

void npu_state_stopping(NpuState *s)
{
    npu_wait_for_model(s, npu_drain);
    if (memory_region_get_dirty_log_mask(&s->memory)) {
        memory_region_set_dirty(&s->memory, 0, s->memory_bytes);
    }
}

int npu_state_drop(void *opaque)
{
    NpuState *s = opaque;

    /* Either from the model's malloc() or from g_malloc(), which is the same. */
    free(s->snapshot);
    s->snapshot = NULL;
    s->snapshot_bytes = 0;
    return 0;
}

static int npu_state_pre_save(void *opaque)
{
    NpuState *s = opaque;
    char why[512] = "";
    size_t bytes;

    npu_thread_is_qemus();
    npu_state_drop(s);
    s->snapshot = s->api->save(s->model, &bytes, why, sizeof(why));
    if (!s->snapshot) {
        error_report("npu: %s cannot be saved: %s", s->name, why);
        return -EBUSY;
    }
    if (bytes > NPU_SNAPSHOT_MAX) {
        error_report("npu: %s cannot be saved: its state has %zu bytes", s->name, bytes);
        npu_state_drop(s);
        return -EFBIG;
    }
    s->snapshot_bytes = bytes;
    trace_npu_save(s->name, bytes);
    return 0;
}

/* Before the bytes are read: whoever made them up must not choose how much is allocated. */
static bool npu_state_fits(void *opaque, int version_id)
{
    NpuState *s = opaque;

    return s->snapshot_bytes && s->snapshot_bytes <= NPU_SNAPSHOT_MAX;
}

/* Raising one that there is not would end QEMU. */
static bool npu_state_vectors(void *opaque, int version_id)
{
    NpuState *s = opaque;

    return !(s->pending & ~MAKE_64BIT_MASK(0, NPU_NUM_VECTORS));
}

static int npu_state_post_load(void *opaque, int version_id)
{
    NpuState *s = opaque;
    char why[512] = "";
    int failed;

    npu_thread_is_qemus();
    failed = s->api->load(s->model, s->snapshot, s->snapshot_bytes, why, sizeof(why));
    trace_npu_load(s->name, s->snapshot_bytes, !failed);
    npu_state_drop(s);
    if (failed) {
        error_report("npu: %s cannot be loaded: %s", s->name, why);
        return -EINVAL;
    }
    s->touched = true;
    npu_power_changed(s);
    if (s->pending) {
        qemu_bh_schedule(s->irq_bh);
    }
    return 0;
}

const VMStateDescription npu_vmstate = {
    .name = TYPE_NPU,
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_load = npu_state_drop,
    .post_load = npu_state_post_load,
    .pre_save = npu_state_pre_save,
    .post_save = npu_state_drop,
    .fields =
        (NPU_VMSTATE_FIELDS[]){
            VMSTATE_PCI_DEVICE(parent_obj, NpuState),
            VMSTATE_MSIX(parent_obj, NpuState),
            VMSTATE_STRUCT(parent_obj.exp.aer_log, NpuState, 0, vmstate_pcie_aer_log, PCIEAERLog),
            VMSTATE_UINT64(pending, NpuState),
            VMSTATE_VALIDATE("the vectors that are to be raised exist", npu_state_vectors),
            VMSTATE_UINT32(snapshot_bytes, NpuState),
            VMSTATE_VALIDATE("the size of the model's state is possible", npu_state_fits),
            VMSTATE_VBUFFER_ALLOC_UINT32(snapshot, NpuState, 0, NULL, snapshot_bytes),
            VMSTATE_END_OF_LIST(),
        },
};
