/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QOM shows of a device: "info" for people, numbers and lists for programs (qom-get,
 * qom-list).  Read-only; the values are those of the registers that npu_regs.h describes.
 */
#include "npu.h"
#include "qapi/visitor.h"

typedef struct NpuNumber {
    const char *name;
    uint32_t reg;
    unsigned size;
    const char *description;
} NpuNumber;

static const NpuNumber npu_numbers[] = {
    {"health", NPU_REG_HEALTH, 4, "NPU_HEALTH_*"},
    {"firmware-state", NPU_REG_FW_STATE, 4, "NPU_FW_STATE_*"},
    {"firmware-version", NPU_REG_FW_VERSION, 4, "major << 24 | minor << 16 | patch"},
    {"firmware-heartbeat", NPU_REG_FW_HEARTBEAT, 4, "moves while the firmware lives"},
    {"active-queues", NPU_REG_ACTIVE_QUEUES, 4, "queues that exist"},
    {"time-cycles", NPU_REG_TIME_CYCLES, 8, "modelled device cycles of all finished work"},
    {"faults", NPU_REG_FAULT_COUNT, 8, "fault records since reset"},
    {"ecc-corrected", NPU_REG_ECC_CE, 8, "corrected memory errors"},
    {"ecc-uncorrected", NPU_REG_ECC_UE, 8, "uncorrected memory errors"},
    {"link-errors", NPU_REG_LINK_ERRORS, 8, "bus accesses replayed or failed"},
    {"retired-pages", NPU_REG_RETIRED_PAGES, 4, "pages of device memory out of use"},
    {"temperature-mc", NPU_REG_TEMP_MC, 4, "millidegrees Celsius"},
    {"power-mw", NPU_REG_POWER_MW, 4, "milliwatts"},
    {"energy-uj", NPU_REG_ENERGY_UJ, 8, "microjoules since reset"},
    {"clock-khz", NPU_REG_CLOCK_KHZ, 4, "clock of the cores"},
    {"injections", NPU_REG_INJ_DONE, 8, "injected errors that have happened"},
};

/* Columns of the lists, offsets in the slot's or core's window. */
static const NpuNumber npu_slot_fields[] = {
    {"queue", NPU_SLOT_QUEUE, 4, NULL},       {"state", NPU_SLOT_STATE, 4, NULL},
    {"rptr", NPU_SLOT_RPTR, 8, NULL},         {"wptr", NPU_SLOT_WPTR, 8, NULL},
    {"progress", NPU_SLOT_PROGRESS, 8, NULL},
};
static const NpuNumber npu_core_fields[] = {
    {"queue", NPU_CORE_QUEUE, 4, NULL},
    {"pc", NPU_CORE_PC, 8, NULL},
    {"blocks", NPU_CORE_BLOCKS, 8, NULL},
    {"instructions", NPU_CORE_INSTRUCTIONS, 8, NULL},
    {"busy-cycles", NPU_CORE_BUSY_CYCLES, 8, NULL},
};

/* Under the big lock, as all of QOM: the model does not go away meanwhile. */
static uint64_t npu_peek(NpuState *s, uint32_t reg, unsigned size)
{
    npu_thread_is_qemus();
    return s->api->mmio_read(s->model, reg, size);
}

static bool npu_is_realized(NpuState *s, Error **errp)
{
    if (!s->model) {
        error_setg(errp, "the device is not realized");
    }
    return s->model;
}

static void npu_get_number(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    const NpuNumber *number = opaque;
    NpuState *s = NPU(obj);
    uint64_t value;

    if (npu_is_realized(s, errp)) {
        value = npu_peek(s, number->reg, number->size);
        visit_type_uint64(v, name, &value, errp);
    }
}

static void npu_get_list(NpuState *s, Visitor *v, const char *name, unsigned count, uint32_t base,
                         uint32_t stride, const NpuNumber *fields, size_t number, Error **errp)
{
    unsigned i;
    size_t f;

    if (!npu_is_realized(s, errp) || !visit_start_list(v, name, NULL, 0, errp)) {
        return;
    }
    for (i = 0; i < count; i++) {
        if (!visit_start_struct(v, NULL, NULL, 0, errp)) {
            break;
        }
        for (f = 0; f < number; f++) {
            uint64_t value = npu_peek(s, base + i * stride + fields[f].reg, fields[f].size);

            if (!visit_type_uint64(v, fields[f].name, &value, errp)) {
                break;
            }
        }
        visit_end_struct(v, NULL);
    }
    visit_end_list(v, NULL);
}

static void npu_get_slots(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    npu_get_list(NPU(obj), v, name, NPU_MAX_SLOTS, NPU_SLOT_OFFSET, NPU_SLOT_STRIDE,
                 npu_slot_fields, ARRAY_SIZE(npu_slot_fields), errp);
}

static void npu_get_cores(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
    npu_get_list(NPU(obj), v, name, NPU(obj)->cores, NPU_CORE_OFFSET, NPU_CORE_STRIDE,
                 npu_core_fields, ARRAY_SIZE(npu_core_fields), errp);
}

static char *npu_get_info(Object *obj, Error **errp)
{
    NpuState *s = NPU(obj);
    g_autofree char *text = NULL;
    size_t room = 4096, need;

    npu_thread_is_qemus();
    if (!s->model) {
        return g_strdup("not realized");
    }
    for (;;) {
        text = g_realloc(text, room);
        need = s->api->describe(s->model, text, room);
        if (need < room) {
            return g_steal_pointer(&text);
        }
        room = need + 1024; /* it may grow between two calls */
    }
}

void npu_qom_init(ObjectClass *class)
{
    size_t i;

    object_class_property_add_str(class, "info", npu_get_info, NULL);
    object_class_property_set_description(class, "info", "state of slots and cores, for people");
    for (i = 0; i < ARRAY_SIZE(npu_numbers); i++) {
        const NpuNumber *number = &npu_numbers[i];

        object_class_property_add(class, number->name, "uint64", npu_get_number, NULL, NULL,
                                  (void *)number);
        object_class_property_set_description(class, number->name, number->description);
    }
    object_class_property_add(class, "slot-states", "list", npu_get_slots, NULL, NULL, NULL);
    object_class_property_set_description(
        class, "slot-states", "hardware slots: queue + 1 or 0, NPU_SLOT_*, indices, progress");
    object_class_property_add(class, "core-states", "list", npu_get_cores, NULL, NULL, NULL);
    object_class_property_set_description(class, "core-states",
                                          "cores: queue + 1 or 0, program counter, totals");
}
