/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -device npu: the NPU as a PCIe endpoint.  BARs, MSI-X, reset, power states and properties are
 * here; what the device does is in the model (see npu_model.h), what the model may ask of QEMU is
 * in npu_host.c.
 */
#include "npu.h"
#include "qom/object.h"
#include "trace.h"

/* Places of the capabilities in configuration space. */
#define NPU_CAP_PM 0x40
#define NPU_CAP_PCIE 0x80
#define NPU_EXT_AER 0x100
#define NPU_EXT_SERIAL 0x148

#define NPU_MEMORY_MIN (64 * MiB)
#define NPU_MEMORY_MAX (64 * GiB)
#define NPU_THREADS_MAX 256

/* Every device with a model: they are destroyed before the program ends.  Under the big lock. */
static QLIST_HEAD(, NpuState) npu_devices = QLIST_HEAD_INITIALIZER(npu_devices);

/*
 * Registers.  With users raised the model cannot go away: on QEMU versions where accesses come
 * without the big lock, one may be under way while the device is unplugged.
 */
static struct npu_model *npu_model_enter(NpuState *s)
{
    npu_thread_is_qemus();
    qatomic_inc(&s->users);
    smp_mb(); /* pairs with the one in npu_destroy_model */
    return qatomic_read(&s->model);
}

static void npu_model_leave(NpuState *s)
{
    qatomic_dec(&s->users);
}

static uint64_t npu_mmio_read(void *opaque, hwaddr offset, unsigned size)
{
    NpuState *s = opaque;
    struct npu_model *model = npu_model_enter(s);
    /* A sleeping function answers nothing but configuration accesses. */
    bool there = model && !qatomic_read(&s->asleep);
    uint64_t value = there ? s->api->mmio_read(model, offset, size) : ~0ull;

    npu_model_leave(s);
    trace_npu_mmio_read(s->name, offset, size, value);
    return value;
}

static void npu_mmio_write(void *opaque, hwaddr offset, uint64_t value, unsigned size)
{
    NpuState *s = opaque;
    struct npu_model *model = npu_model_enter(s);

    if (offset >= NPU_DOORBELL_OFFSET) {
        trace_npu_doorbell(s->name, (offset - NPU_DOORBELL_OFFSET) / NPU_DOORBELL_STRIDE,
                           offset % NPU_DOORBELL_STRIDE, value);
    } else {
        trace_npu_mmio_write(s->name, offset, size, value);
    }
    if (model && !qatomic_read(&s->asleep)) {
        s->api->mmio_write(model, offset, value, size);
    }
    npu_model_leave(s);
}

static const MemoryRegionOps npu_regs_ops = {
    .read = npu_mmio_read,
    .write = npu_mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {.min_access_size = 1, .max_access_size = 8, .unaligned = false},
    .impl = {.min_access_size = 1, .max_access_size = 8, .unaligned = false},
};

static void npu_pause_model(NpuState *s)
{
    s->api->pause(s->model);
}

/* The model runs while the machine runs and the function is in D0. */
static void npu_update_run_state(NpuState *s, bool machine_runs)
{
    const uint8_t *pm = PCI_DEVICE(s)->config + NPU_CAP_PM;
    bool asleep = pci_get_word(pm + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK;
    bool pause = !machine_runs || asleep;

    qatomic_set(&s->asleep, asleep);
    if (!s->model || pause == s->paused) {
        return;
    }
    trace_npu_pause(s->name, pause);
    if (pause) {
        npu_wait_for_model(s, npu_pause_model);
        /* What the model raised before belongs before the pause, and into a snapshot's guest. */
        npu_irq_flush(s);
    } else {
        s->api->resume(s->model);
    }
    s->paused = pause;
}

void npu_power_changed(NpuState *s)
{
    npu_calls_look(s);
    npu_update_run_state(s, runstate_is_running());
}

static void npu_vm_state_changed(void *opaque, bool running, RunState state)
{
    NpuState *s = opaque;

    npu_thread_is_qemus();
    if (!running && s->model) {
        npu_state_stopping(s);
    }
    npu_update_run_state(s, running);
}

static void npu_write_config(PCIDevice *dev, uint32_t addr, uint32_t val, int len)
{
    NpuState *s = NPU(dev);

    npu_thread_is_qemus();
    pci_default_write_config(dev, addr, val, len);
    if (pci_get_word(dev->config + PCI_COMMAND) & PCI_COMMAND_MEMORY) {
        s->touched = true;
    }
    pcie_cap_flr_write_config(dev, addr, val, len);
    pcie_aer_write_config(dev, addr, val, len);
    npu_power_changed(s);
}

static void npu_reset_function(NpuState *s)
{
    s->api->reset(s->model, NPU_MODEL_RESET_FLR);
}

static void npu_reset_all(NpuState *s)
{
    s->api->reset(s->model, NPU_MODEL_RESET_COLD);
}

/*
 * A function-level reset keeps device memory, every other reset (of the bus, of the machine) is a
 * power-on.  A device that the guest never saw is as after power-on already; the reset at the
 * machine's start would only take time.
 */
static void npu_reset_hold(NPU_RESET_HOLD_ARGS)
{
    NpuState *s = NPU(obj);
    PCIDevice *dev = PCI_DEVICE(obj);
    bool flr =
        pci_get_word(dev->config + dev->exp.exp_cap + PCI_EXP_DEVCTL) & PCI_EXP_DEVCTL_BCR_FLR;

    npu_thread_is_qemus();
    if (!s->model) {
        return;
    }
    if (s->touched) {
        trace_npu_reset(s->name, flr ? "function" : "cold");
        npu_wait_for_model(s, flr ? npu_reset_function : npu_reset_all);
    }
    s->touched = s->touched && flr;
    /* The model is quiet: what it raised before belongs to the life that has ended. */
    npu_irq_forget(s);
    pci_set_word(dev->config + NPU_CAP_PM + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
    npu_power_changed(s);
}

static bool npu_check_properties(NpuState *s, Error **errp)
{
    if (s->memory_bytes < NPU_MEMORY_MIN || s->memory_bytes > NPU_MEMORY_MAX ||
        !is_power_of_2(s->memory_bytes)) {
        error_setg(errp,
                   "npu: property \"memory\" is %" PRIu64
                   " bytes; it must be a power of two from 64M to 64G",
                   s->memory_bytes);
    } else if (s->cores < 1 || s->cores > NPU_MAX_CORES) {
        error_setg(errp, "npu: property \"cores\" is %u; it must be from 1 to %u", s->cores,
                   NPU_MAX_CORES);
    } else if (s->queues < NPU_MAX_SLOTS || s->queues > NPU_MAX_QUEUES) {
        error_setg(errp, "npu: property \"queues\" is %u; it must be from %u to %u", s->queues,
                   NPU_MAX_SLOTS, NPU_MAX_QUEUES);
    } else if (s->threads > NPU_THREADS_MAX) {
        error_setg(
            errp,
            "npu: property \"threads\" is %u; it must be from 0 (chosen by the host's CPUs) to %u",
            s->threads, NPU_THREADS_MAX);
    } else if (s->simd && strcmp(s->simd, "baseline") && strcmp(s->simd, "avx2") &&
               strcmp(s->simd, "avx512")) {
        error_setg(errp,
                   "npu: property \"simd\" is \"%s\"; it must be baseline, avx2 or avx512, or not "
                   "be given",
                   s->simd);
    } else {
        return true;
    }
    return false;
}

static bool npu_create_model(NpuState *s, Error **errp)
{
    struct npu_model_config config = {
        .abi = NPU_MODEL_ABI,
        .cores = s->cores,
        .queues = s->queues,
        .threads = s->threads,
        .memory_bytes = s->memory_bytes,
        .memory = memory_region_get_ram_ptr(&s->memory),
        .seed = s->seed,
        .nvram = s->nvram,
        .simd = s->simd,
        .opaque = s,
        .ops = npu_host_ops,
    };
    char err[512] = "";

    s->model = s->api->create(&config, err, sizeof(err));
    if (!s->model) {
        error_setg(errp, "npu: the device model refused to start: %s",
                   err[0] ? err : "it gave no reason");
        return false;
    }
    return true;
}

static void npu_destroy_dying(NpuState *s)
{
    s->api->destroy(s->dying);
}

/* No register access and no thread is inside the model when this returns. */
static void npu_destroy_model(NpuState *s)
{
    s->dying = s->model;
    if (!s->dying) {
        return;
    }
    qatomic_set(&s->model, NULL);
    smp_mb();
    while (qatomic_read(&s->users)) {
        cpu_relax(); /* the rest of one register access, which never waits */
    }
    npu_wait_for_model(s, npu_destroy_dying);
    s->dying = NULL;
    QLIST_REMOVE(s, next);
}

/*
 * The program ends: the models' threads must, too, before the model library's static objects are
 * gone, and its NVRAM must be on disk.  Registered after the library was opened, hence run before
 * the library's own destructors.
 */
static void npu_destroy_all(void)
{
    NpuState *s, *next;

    QLIST_FOREACH_SAFE(s, &npu_devices, next, next)
    {
        npu_destroy_model(s);
    }
}

static bool npu_init_capabilities(NpuState *s, Error **errp)
{
    PCIDevice *dev = PCI_DEVICE(s);
    unsigned vector;

    if (npu_pm_init(dev, NPU_CAP_PM, errp) < 0) {
        return false;
    }
    if (pcie_endpoint_cap_init(dev, NPU_CAP_PCIE) < 0) {
        error_setg(errp, "npu: no room for the PCI Express capability");
        return false;
    }
    pcie_cap_deverr_init(dev);
    pcie_cap_flr_init(dev);
    if (pcie_aer_init(dev, PCI_ERR_VER, NPU_EXT_AER, PCI_ERR_SIZEOF, errp) < 0) {
        return false;
    }
    if (msix_init_exclusive_bar(dev, NPU_NUM_VECTORS, NPU_BAR_MSIX, errp)) {
        error_prepend(errp, "npu: MSI-X is needed and this machine has none: ");
        return false;
    }
    for (vector = 0; vector < NPU_NUM_VECTORS; vector++) {
        msix_vector_use(dev, vector);
    }
    return true;
}

static bool npu_init_bars(NpuState *s, Error **errp)
{
    PCIDevice *dev = PCI_DEVICE(s);
    Error *err = NULL;

    memory_region_init_ram(&s->memory, OBJECT(s), "npu-memory", s->memory_bytes, &err);
    if (err) {
        error_propagate_prepend(errp, err,
                                "npu: no %" PRIu64 " bytes for device memory: ", s->memory_bytes);
        return false;
    }
    memory_region_init_io(&s->regs, OBJECT(s), &npu_regs_ops, s, "npu-registers", NPU_BAR0_SIZE);
    npu_allow_lockless_io(&s->regs);
    pci_register_bar(dev, NPU_BAR_REGS, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->regs);
    pci_register_bar(dev, NPU_BAR_MEM,
                     PCI_BASE_ADDRESS_SPACE_MEMORY | PCI_BASE_ADDRESS_MEM_TYPE_64 |
                         PCI_BASE_ADDRESS_MEM_PREFETCH,
                     &s->memory);
    return true;
}

static void npu_exit(PCIDevice *dev)
{
    NpuState *s = NPU(dev);

    npu_thread_is_qemus();
    if (s->vm_state) {
        qemu_del_vm_change_state_handler(s->vm_state);
        s->vm_state = NULL;
    }
    npu_destroy_model(s);
    npu_state_drop(s);
    npu_calls_exit(s);
    npu_irq_exit(s);
    if (msix_present(dev)) {
        msix_uninit_exclusive_bar(dev);
    }
    if (dev->exp.aer_cap) {
        pcie_aer_exit(dev);
    }
    if (dev->exp.exp_cap) {
        pcie_cap_exit(dev);
    }
    g_free(s->name);
    s->name = NULL;
}

static void npu_realize(PCIDevice *dev, Error **errp)
{
    NpuState *s = NPU(dev);
    static bool exit_hooked;

    npu_thread_is_qemus();
    if (!npu_check_properties(s, errp)) {
        return;
    }
    s->api = npu_load_model(s->model_path, errp);
    if (!s->api) {
        return;
    }
    s->name = g_strdup(DEVICE(dev)->id ?: TYPE_NPU);
    npu_irq_init(s);
    npu_calls_init(s);
    if (!npu_init_bars(s, errp) || !npu_init_capabilities(s, errp) || !npu_create_model(s, errp)) {
        npu_exit(dev);
        return;
    }
    QLIST_INSERT_HEAD(&npu_devices, s, next);
    if (!exit_hooked) {
        atexit(npu_destroy_all);
        exit_hooked = true;
    }
    pcie_dev_ser_num_init(dev, NPU_EXT_SERIAL, s->api->mmio_read(s->model, NPU_REG_UUID, 8));
    s->vm_state = qemu_add_vm_change_state_handler(npu_vm_state_changed, s);
    npu_power_changed(s);
}

static NPU_PROPERTIES npu_properties[] = {
    DEFINE_PROP_SIZE("memory", NpuState, memory_bytes, 512 * MiB),
    DEFINE_PROP_UINT32("cores", NpuState, cores, 4),
    DEFINE_PROP_UINT32("queues", NpuState, queues, NPU_MAX_QUEUES),
    DEFINE_PROP_UINT32("threads", NpuState, threads, 0),
    DEFINE_PROP_UINT64("seed", NpuState, seed, 1),
    DEFINE_PROP_STRING("nvram", NpuState, nvram),
    DEFINE_PROP_STRING("simd", NpuState, simd),
    DEFINE_PROP_STRING("model", NpuState, model_path),
    NPU_PROPERTIES_END};

static void npu_class_init(ObjectClass *class, NPU_CLASS_DATA data)
{
    DeviceClass *dc = DEVICE_CLASS(class);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(class);

    pc->realize = npu_realize;
    pc->exit = npu_exit;
    pc->config_write = npu_write_config;
    pc->vendor_id = NPU_PCI_VENDOR_ID;
    pc->device_id = NPU_PCI_DEVICE_ID;
    pc->class_id = NPU_PCI_CLASS;
    pc->revision = NPU_PCI_REVISION;
    RESETTABLE_CLASS(class)->phases.hold = npu_reset_hold;
    dc->desc = "NPU: programmable neural accelerator";
    dc->vmsd = &npu_vmstate;
    device_class_set_props(dc, npu_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    npu_qom_init(class);
}

static const TypeInfo npu_type = {
    .name = TYPE_NPU,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(NpuState),
    .class_init = npu_class_init,
    .interfaces = (NPU_INTERFACES[]){{INTERFACE_PCIE_DEVICE}, {}},
};

static void npu_register_types(void)
{
    type_register_static(&npu_type);
}

type_init(npu_register_types)
