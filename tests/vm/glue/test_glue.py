#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the QEMU glue, without a guest: the PCI function is driven through qtest, the model is test_model.c.

usage: test_glue.py QEMU MODEL WRONG_MODEL LOG_DIR.  Prints TAP.
"""

import os
import subprocess
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import pcie_cases  # noqa: E402
import state_cases  # noqa: E402
from model import *  # noqa: E402,F403
from qtest import BIOS, LIMIT, Function, Vm  # noqa: E402

def identity(vm):
    npu = Npu(vm)
    config = npu.config
    expect(config.get(0, 4), 0x4E501234, "vendor and device")
    expect(config.get(8, 4) >> 16, 0x1200, "class")
    pcie, pm, msix = config.capability(0x10), config.capability(0x01), config.capability(0x11)
    assert pcie and pm and msix, "PCIe, PM and MSI-X capabilities"
    assert config.get(pcie + 4, 4) & 1 << 28, "FLR capability bit"
    expect((config.get(msix + 2, 2) & 0x7FF) + 1, 32, "MSI-X vectors")
    assert config.extended(1), "AER capability"
    serial = config.extended(3)
    expect(config.get(serial + 4, 4) | config.get(serial + 8, 4) << 32, npu.get(UUID), "device serial number")


def bars(vm):
    config = Function(vm, 0, 4)
    expect(config.bar_size(0, False), 8 << 20, "BAR 0")
    expect(config.bar_size(2, True), 64 << 20, "BAR 2")
    expect(config.get(0x18, 4) & 0xF, 0xC, "BAR 2 is 64 bits wide and prefetchable")
    assert config.bar_size(4, False) >= 4096, "BAR 4"


def register_access(vm):
    npu = Npu(vm)
    expect(npu.get(0), ID, "8 bytes")
    expect(vm.read(npu.regs + 4, 4), ID >> 32, "4 bytes")
    expect(vm.read(npu.regs + 2, 2), ID >> 16 & 0xFFFF, "2 bytes")
    expect(vm.read(npu.regs + 7, 1), ID >> 56, "1 byte")
    before = npu.get(ACCESSES)
    vm.write(npu.regs + SCRATCH + 4, 8, 0x0000000300000004)  # QEMU's memory core makes two aligned ones of it
    expect(npu.get(ACCESSES), before + 3, "accesses that reached the model")


def device_memory(vm):
    npu = Npu(vm)
    vm.write(npu.memory, 8, 0x0123456789ABCDEF)
    expect(npu.get(MEMORY0), 0x0123456789ABCDEF, "the model sees what the guest wrote")
    npu.set(MEMORY0, 0xFEDCBA9876543210)
    expect(vm.read(npu.memory, 8), 0xFEDCBA9876543210, "the guest sees what the model wrote")


def dma(vm):
    npu = Npu(vm)
    vm.write(RAM, 8, 0x1111222233334444)
    expect(npu.do(READ, RAM), 0, "read")
    expect(npu.get(MEMORY0), 0x1111222233334444, "data read")
    npu.set(MEMORY0, 0x5555666677778888)
    expect(npu.do(WRITE, RAM + 8), 0, "write")
    expect(vm.read(RAM + 8, 8), 0x5555666677778888, "data written")
    expect(npu.do(STORE64, RAM, value=0xA5A5A5A5DEADBEEF), 0, "store64")
    expect(vm.read(RAM, 8), 0xA5A5A5A5DEADBEEF, "stored value")
    expect((npu.do(LOAD64, RAM), npu.get(VALUE)), (0, 0xA5A5A5A5DEADBEEF), "load64")
    expect(npu.do(STORE64, RAM + 4), FAILED, "store64 to a misaligned address")


def compare_exchange(vm):
    npu = Npu(vm)
    vm.write(RAM, 8, 7)
    expect(npu.do(CMPXCHG8, RAM, value=9, expected=8), 0, "8 bytes, differing")
    expect((npu.get(EXPECTED), vm.read(RAM, 8)), (7, 7), "old value and memory")
    expect(npu.do(CMPXCHG8, RAM, value=9, expected=7), 0, "8 bytes, equal")
    expect((npu.get(EXPECTED), vm.read(RAM, 8)), (7, 9), "old value and memory")
    vm.write(RAM, 8, 0x0000000500000006)
    expect(npu.do(CMPXCHG4, RAM + 4, value=8, expected=5), 0, "4 bytes, equal")
    expect((npu.get(EXPECTED), vm.read(RAM, 8)), (5, 0x0000000800000006), "old value and memory")
    expect(npu.do(CMPXCHG4, RAM + 2, value=8, expected=5), FAILED, "4 bytes, misaligned")


def all_dma_fails(npu, bus, why):
    for op in (READ, WRITE, STORE64, LOAD64, CMPXCHG8, CMPXCHG4):
        expect(npu.do(op, bus, value=1, count=16), FAILED, f"{why}: operation {op}")


def bus_mastering(vm):
    npu = Npu(vm)
    vm.write(RAM, 8, 0)
    npu.config.set(4, 2, 2)
    all_dma_fails(npu, RAM, "bus mastering off")
    expect(vm.read(RAM, 8), 0, "memory")
    npu.config.set(4, 2, 6)
    expect(npu.do(STORE64, RAM, value=1), 0, "bus mastering on again")


def dma_targets(vm):
    npu, other = Npu(vm), Npu(vm, slot=5, index=1)
    all_dma_fails(npu, NOTHING, "nothing there")
    all_dma_fails(npu, 0xFFFFFFFFFFFFFFF8, "the end of the address space")
    accesses = other.get(ACCESSES)
    all_dma_fails(npu, other.regs + SCRATCH, "registers of another device")
    expect(other.get(ACCESSES), accesses + 1, "register accesses of the other device")
    all_dma_fails(npu, npu.regs + SCRATCH, "our own registers")
    npu.set(MEMORY0, 0x7077077077077077)
    expect(npu.do(WRITE, other.memory), 0, "write to another NPU's memory")
    expect(other.get(MEMORY0), 0x7077077077077077, "the other NPU's memory")


def interrupts(vm):
    npu = Npu(vm)
    cap = npu.config.capability(0x11)
    table = npu.msix + (npu.config.get(cap + 4, 4) & ~7)
    pending = npu.msix + (npu.config.get(cap + 8, 4) & ~7)
    for vector in range(32):
        vm.write(table + 16 * vector, 8, RAM + 4 * vector)
        vm.write(table + 16 * vector + 8, 4, 0xC0DE0000 + vector)
        vm.write(table + 16 * vector + 12, 4, 0)
        vm.write(RAM + 4 * vector, 4, 0)
    npu.config.set(cap + 2, 2, 0x8000)
    for vector in (0, 3, 31):
        npu.do(MSIX, value=vector)
        vm.until(f"message of vector {vector}", lambda v=vector: vm.read(RAM + 4 * v, 4) == 0xC0DE0000 + v)
    expect([v for v in range(32) if vm.read(RAM + 4 * v, 4)], [0, 3, 31], "vectors that were raised")
    vm.write(table + 16 * 5 + 12, 4, 1)
    npu.do(MSIX, value=5)
    vm.until("pending bit of the masked vector", lambda: vm.read(pending, 4) == 1 << 5)
    expect(vm.read(RAM + 20, 4), 0, "message of a masked vector")
    vm.write(table + 16 * 5 + 12, 4, 0)
    expect(vm.read(RAM + 20, 4), 0xC0DE0005, "message after unmasking")
    npu.do(MSIX, value=32)  # outside the table: logged, not raised


def function_reset(vm):
    npu = Npu(vm)
    npu.set(SCRATCH, 99)
    vm.write(npu.memory + 64, 8, 4711)
    colds = npu.get(COLDS)
    pcie = npu.config.capability(0x10)
    npu.config.set(pcie + 8, 2, 0x8000)
    expect(npu.config.get(4, 2) & 6, 0, "command register after the reset")
    npu.enable()
    expect((npu.get(FLRS), npu.get(COLDS)), (1, colds), "function and cold resets that the model saw")
    expect(npu.get(SCRATCH), 0, "scratch register")
    expect(vm.read(npu.memory + 64, 8), 4711, "device memory")
    expect(npu.do(STORE64, RAM, value=5), 0, "DMA after the reset")


def machine_reset(vm):
    expect(Npu(vm).get(COLDS), 0, "cold resets before the guest touched the device")
    vm.qmp("system_reset")
    vm.wait_event("RESET")
    vm.call("outl 0xcf8 0x80000060")
    vm.call("outl 0xcfc 0xb0000001")
    npu = Npu(vm)
    expect((npu.get(FLRS), npu.get(COLDS)), (0, 1), "function and cold resets that the model saw")


def power_states(vm):
    npu = Npu(vm)
    pm = npu.config.capability(1)
    pauses, resumes = npu.get(PAUSES), npu.get(RESUMES)
    npu.config.set(pm + 4, 2, 3)
    expect(npu.config.get(pm + 4, 2) & 3, 3, "power state")
    npu.config.set(pm + 4, 2, 0)
    npu.enable()
    expect((npu.get(PAUSES), npu.get(RESUMES)), (pauses + 1, resumes + 1), "pauses and resumes")


def stop_and_continue(vm):
    npu = Npu(vm)
    pauses, resumes = npu.get(PAUSES), npu.get(RESUMES)
    vm.write(RAM, 8, 0)
    vm.qmp("stop")
    done = npu.get(OP)
    npu.start(STORE64, RAM, value=1)
    expect((npu.get(PAUSES), npu.get(RESUMES)), (pauses + 1, resumes), "pauses and resumes while stopped")
    expect((npu.get(OP), vm.read(RAM, 8)), (done, 0), "work done while stopped")
    vm.qmp("cont")
    vm.until("the work after cont", lambda: npu.get(OP) == done + 1)
    expect((npu.get(RESUMES), vm.read(RAM, 8)), (resumes + 1, 1), "resumes and memory")


def guest_errors(vm):
    npu = Npu(vm)
    npu.do(LOG)
    assert "npu0: the test says hello" in vm.text(), "the model's line in the log of guest errors"
    npu.do(MSIX, value=32)
    assert "npu0: interrupt vector 32" in vm.text(), "a vector outside the table is logged"


VTD = 0xFED90000  # registers of the IOMMU


def iommu_on(vm):
    """Device address 0x5000 is mapped to guest memory, nothing else is."""
    root, context, tables, devfn = 0x100000, 0x101000, (0x102000, 0x103000, 0x104000), 4 << 3
    vm.write(root, 8, context | 1)
    vm.write(context + 16 * devfn, 8, tables[0] | 1)
    vm.write(context + 16 * devfn + 8, 8, 1 | 7 << 8)  # 39-bit addresses, domain 7
    vm.write(tables[0], 8, tables[1] | 3)
    vm.write(tables[1], 8, tables[2] | 3)
    vm.write(tables[2] + 8 * 5, 8, RAM | 3)
    vm.write(VTD + 0x20, 8, root)
    vm.write(VTD + 0x18, 4, 1 << 30)  # take the root table
    vm.write(VTD + 0x18, 4, 1 << 31)  # translate


def iommu(vm):
    iommu_on(vm)
    npu = Npu(vm)
    vm.write(RAM, 8, 0)
    expect(npu.do(STORE64, 0x5000, value=77), 0, "store through the mapping")
    expect(vm.read(RAM, 8), 77, "guest memory behind the mapping")
    expect((npu.do(READ, 0x5000), npu.get(MEMORY0)), (0, 77), "read through the mapping")
    vm.write(0x6000, 8, 42)
    all_dma_fails(npu, 0x6000, "not mapped")
    all_dma_fails(npu, RAM, "guest memory by its own address")
    expect(vm.read(0x6000, 8), 42, "memory at the unmapped address")


def iommu_interrupt(vm):
    """
    The IOMMU tells of a refused access by an interrupt, from within the access.  With a CPU that runs (TCG), QEMU
    insists on the big lock for that, and ends if a thread of the model comes without.
    """
    iommu_on(vm)
    vm.write(VTD + 0x3C, 4, 0x400)  # fault events: an NMI to CPU 0
    vm.write(VTD + 0x40, 4, 0xFEE00000)
    vm.write(VTD + 0x38, 4, 0)  # unmasked
    npu = Npu(vm)
    for op in (READ, WRITE, STORE64, LOAD64, CMPXCHG8):
        expect(npu.do(op, 0x6000), FAILED, f"operation {op} on what is not mapped")
        expect(vm.read(VTD + 0x34, 4) & 2, 2, "a fault is recorded")
        vm.write(VTD + 0x22C, 4, 1 << 31)  # taken note of, so that the next one interrupts again
        expect(vm.read(VTD + 0x34, 4) & 2, 0, "a fault is recorded no more")
    # A pause, which holds the big lock, waits for accesses under way: all of them end.
    done = npu.get(OP)
    for value in range(1, 21):
        npu.start(STORE64, 0x5000, value)
        vm.qmp("stop")
        vm.qmp("cont")
        vm.until("the access under way at a stop", lambda: npu.get(OP) == done + value)  # noqa: B023
        expect((npu.get(RESULT), vm.read(RAM, 8)), (0, value), "its result")
    npu.start(STORE64, 0x5000, 99)
    npu.config.set(npu.config.capability(0x10) + 8, 2, 1 << 15)
    npu.enable()
    expect(npu.get(FLRS), 1, "function-level resets")
    expect(npu.do(STORE64, 0x5000, 100), 0, "an access after the reset")


def halting_rom():
    """Firmware that does nothing: the CPU halts at once, and after each interrupt."""
    path = os.path.join(LOGS, "halt.rom")
    with open(path, "wb") as rom:
        rom.write(b"\xf4" * 0xFFF0 + b"\xf4\xeb\xfd" + b"\xf4" * 13)
    return path


ONE, TWO = npu_args(), npu_args() + npu_args(1, 5)
CASES = [
    ("identity and capabilities", identity, ONE),
    ("BAR sizes and kinds", bars, ONE),
    ("register access: sizes and alignment", register_access, ONE),
    ("device memory is shared with the model", device_memory, ONE),
    ("DMA", dma, ONE),
    ("compare and exchange", compare_exchange, ONE),
    ("bus-master disable is honoured", bus_mastering, ONE),
    ("DMA reaches RAM and peers' memory, and nothing else", dma_targets, TWO),
    ("MSI-X: raise, mask, pending", interrupts, ONE),
    ("function-level reset", function_reset, ONE),
    ("machine reset", machine_reset, ONE),
    ("D3 and D0", power_states, ONE),
    ("stop and continue", stop_and_continue, ONE),
    ("guest errors are logged", guest_errors, ONE),
    ("a virtual IOMMU is honoured", iommu, ["-device", "intel-iommu"] + ONE),
    ("a virtual IOMMU may interrupt", iommu_interrupt,
     ["-accel", "tcg", "-bios", halting_rom(), "-device", "intel-iommu"] + ONE),
]
CASES += pcie_cases.CASES + state_cases.CASES

# Properties that are refused, and a piece of the sentence that says why.
REFUSED = [
    ("memory=100M", "power of two"),
    ("memory=32M", "64M to 64G"),
    ("cores=0", "from 1 to 64"),
    ("cores=65", "from 1 to 64"),
    ("queues=8", "from 16 to 1024"),
    ("threads=1000", "\"threads\" is 1000"),
    ("simd=sse9", "baseline, avx2 or avx512"),
    ("seed=13", "bad luck"),
    ("model=/nowhere/libnpu-model.so", "cannot be loaded"),
    ("model=/lib/x86_64-linux-gnu/libm.so.6", "does not export"),
    (f"model={WRONG_MODEL}", "does not speak version"),
]


def refused(properties, why):
    model = "" if "model=" in properties else f",model={MODEL}"
    done = subprocess.run([QEMU, "-nodefaults", "-machine", "q35", "-display", "none", "-accel", "qtest", "-bios", BIOS,
                           "-device", f"npu,{properties}{model}"], capture_output=True, text=True, timeout=LIMIT, check=False)
    expect(done.returncode, 1, "QEMU's exit status")
    assert why in done.stderr, f"the reason is: {done.stderr.strip()}"


def run_vm_case(number, test, arguments):
    with tempfile.TemporaryDirectory() as run_dir:
        vm = Vm(QEMU, run_dir, ["-machine", "q35"] + arguments, os.path.join(LOGS, f"glue-{number}.log"))
        try:
            test(vm)
        finally:
            status = vm.end()
        expect(status, 0, "QEMU's exit status")


def main():
    cases = [(name, run_vm_case, (number, test, arguments)) for number, (name, test, arguments) in enumerate(CASES, 1)]
    cases += [(f"refused: {properties.replace(WRONG_MODEL, 'wrong ABI')}", refused, (properties, why))
              for properties, why in REFUSED]
    failures = 0
    print(f"1..{len(cases)}")
    for number, (name, test, arguments) in enumerate(cases, 1):
        try:
            test(*arguments)
            print(f"ok {number} - {name}", flush=True)
        except Exception as error:  # whatever it is, it is this test's failure
            failures += 1
            print(f"not ok {number} - {name}", flush=True)
            lines = [str(error)] if isinstance(error, AssertionError) else traceback.format_exc().splitlines()[-6:]
            print("\n".join("# " + line for line in lines), flush=True)
    return 1 if failures else 0


sys.exit(main())
