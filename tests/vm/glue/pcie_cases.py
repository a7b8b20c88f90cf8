# SPDX-License-Identifier: Apache-2.0
"""PCI Express beyond plain accesses: error reporting, resets, sleep, removal, masks, accesses that are refused."""

from model import FAILED, ID, LINK, MODEL, MSIX, OP, RAM, SCRATCH, STORE64, VALUE, ACCESSES, COLDS, FLRS, BUS, Npu, expect, npu_args
from qtest import Function

COR_REPLAY_TIMER, UNC_COMPLETION = 1 << 12, 1 << 14


def root_port(vm):
    """The port with bus 1 behind it, its windows open."""
    port = Function(vm, 0, 6)
    port.set(0x18, 4, 0x00010100)
    port.set(0x20, 4, 0xC0F0C000)
    port.set(0x24, 4, 0xFFF10001)
    port.set(0x28, 4, 0x8)
    port.set(0x2C, 4, 0x8)
    port.set(0x04, 2, 6)
    return port


def behind_port(vm):
    port = root_port(vm)
    npu = Npu(vm, bus=1, slot=0)
    expect(npu.get(0), ID, "register behind the root port")
    return port, npu


class Errors:
    """The error registers of device and root port, both asked to report everything."""

    def __init__(self, vm):
        self.port, self.npu = behind_port(vm)
        self.device, self.port_aer = self.npu.config.extended(1), self.port.extended(1)
        for function in (self.port, self.npu.config):
            control = function.capability(0x10) + 8
            function.set(control, 2, function.get(control, 2) | 7)
        self.port.set(0x3E, 2, 2)  # SERR of the secondary side is passed on
        self.port.set(0x04, 2, 0x106)
        self.npu.config.set(0x04, 2, 0x106)
        self.npu.config.set(self.device + 0x14, 4, 0)  # no correctable error is masked
        self.port.set(self.port_aer + 0x2C, 4, 7)

    def root(self):
        """Root error status: 1 correctable received, 4 uncorrectable received; and the sender of each."""
        status, source = self.port.get(self.port_aer + 0x30, 4) & 0x7F, self.port.get(self.port_aer + 0x34, 4)
        self.port.set(self.port_aer + 0x30, 4, 0x7F)
        return status, source & 0xFFFF, source >> 16

    def correctable(self):
        return self.npu.config.get(self.device + 0x10, 4)

    def uncorrectable(self):
        return self.npu.config.get(self.device + 4, 4)


def link_errors(vm):
    e = Errors(vm)
    expect((e.root(), e.correctable(), e.uncorrectable()), ((0, 0, 0), 0, 0), "errors at first")
    expect(e.npu.do(LINK, value=0), 0, "a corrected link error")
    vm.until("correctable status", lambda: e.correctable() == COR_REPLAY_TIMER)
    status, correctable, _ = e.root()
    expect((status & 5, correctable), (1, 0x100), "root error status and sender")
    expect(e.npu.do(LINK, value=1), 0, "an uncorrected link error")
    vm.until("uncorrectable status", lambda: e.uncorrectable() == UNC_COMPLETION)
    status, _, uncorrectable = e.root()
    expect((status & 4, uncorrectable), (4, 0x100), "root error status and sender")
    devsta = e.npu.config.capability(0x10) + 0xA
    expect(e.npu.config.get(devsta, 2) & 3, 3, "device status: correctable and non-fatal errors detected")
    e.npu.config.set(e.device + 4, 4, UNC_COMPLETION)
    e.npu.config.set(e.device + 0x10, 4, COR_REPLAY_TIMER)
    expect((e.correctable(), e.uncorrectable()), (0, 0), "status after it was cleared")
    e.npu.config.set(e.device + 0x14, 4, COR_REPLAY_TIMER)  # masked: noted, not reported
    e.npu.do(LINK, value=0)
    vm.until("correctable status", lambda: e.correctable() == COR_REPLAY_TIMER)
    expect(e.root()[0], 0, "root error status of a masked error")


def injected_errors(vm):
    e = Errors(vm)

    def inject(name):
        return vm.qmp("human-monitor-command", **{"command-line": f"pcie_aer_inject_error hot {name}"})

    inject("RCVR")
    expect(e.correctable(), 1, "receiver error")
    expect(e.root()[0] & 1, 1, "root error status")
    inject("DLP")
    expect(e.uncorrectable(), 1 << 4, "data link protocol error")
    status, _, sender = e.root()
    expect((status & 0x44, sender), (0x44, 0x100), "root error status: a fatal error, and its sender")
    expect(e.npu.do(STORE64, RAM, value=3), 0, "DMA after errors that were only reported")


def hot_reset(vm):
    port, npu = behind_port(vm)
    npu.set(SCRATCH, 99)
    vm.write(npu.memory + 64, 8, 4711)
    npu.start(STORE64, RAM, value=1)
    port.set(0x3E, 2, 0x40)
    port.set(0x3E, 2, 0)
    expect(npu.config.get(4, 2) & 6, 0, "command register after the reset")
    expect(npu.config.get(0x10, 4) & ~0xF, 0, "BAR 0 after the reset")
    npu.enable()
    expect((npu.get(FLRS), npu.get(COLDS)), (0, 1), "function and cold resets that the model saw")
    expect(npu.get(SCRATCH), 0, "scratch register")
    expect(npu.do(STORE64, RAM, value=5), 0, "DMA after the reset")


def reset_forgets_interrupts(vm):
    npu = Npu(vm)
    npu.config.set(npu.config.capability(0x11) + 2, 2, 0)
    npu.do(MSIX, value=3)
    npu.config.set(npu.config.capability(0x10) + 8, 2, 0x8000)
    npu.enable()
    table, pending = msix_places(npu)
    expect(vm.read(pending, 8), 0, "pending bits after the reset")
    expect(vm.read(table + 16 * 3 + 12, 4) & 1, 1, "vectors are masked after the reset")


def msix_places(npu):
    cap = npu.config.capability(0x11)
    return npu.msix + (npu.config.get(cap + 4, 4) & ~7), npu.msix + (npu.config.get(cap + 8, 4) & ~7)


def function_mask(vm):
    npu = Npu(vm)
    table, pending = msix_places(npu)
    cap = npu.config.capability(0x11) + 2
    for vector in range(4):
        vm.write(table + 16 * vector, 8, RAM + 4 * vector)
        vm.write(table + 16 * vector + 8, 4, 0xAB00 + vector)
        vm.write(table + 16 * vector + 12, 4, 0)
        vm.write(RAM + 4 * vector, 4, 0)
    npu.config.set(cap, 2, 0xC000)
    for vector in (1, 3):
        for _ in range(3):
            npu.do(MSIX, value=vector)
    vm.until("both pending", lambda: vm.read(pending, 4) == 0b1010)
    expect([vm.read(RAM + 4 * v, 4) for v in range(4)], [0] * 4, "messages while the function is masked")
    npu.config.set(cap, 2, 0x8000)
    expect([vm.read(RAM + 4 * v, 4) for v in range(4)], [0, 0xAB01, 0, 0xAB03], "messages after unmasking")
    expect(vm.read(pending, 4), 0, "pending bits")


def refused_accesses(vm):
    npu = Npu(vm)
    before = npu.get(ACCESSES)
    for address, size in ((npu.regs + 2, 4), (npu.regs + 1, 2)):
        vm.read(address, size)
        vm.write(address, size, 0)
    # What is not aligned either is refused, or comes as aligned pieces; nothing else may reach the model.
    after = npu.get(ACCESSES)
    assert before + 1 <= after <= before + 1 + 12, f"{after - before} accesses"
    expect(npu.get(0), ID, "register")
    npu.config.set(4, 2, 4)  # memory decoding off
    expect(vm.read(npu.regs, 4) in (0, 0xFFFFFFFF), True, "a register that is not decoded reads as nothing")
    npu.config.set(4, 2, 6)
    expect(npu.get(ACCESSES), after + 2, "accesses that reached the model")
    end = npu.config.bar_size(0, False)
    npu.enable()
    vm.read(npu.regs + end - 8, 8)
    expect(npu.get(0), ID, "register after a read at the window's end")


def sleeping(vm):
    """D3: registers answer nothing, work stands still; D0: it goes on where it was."""
    npu = Npu(vm)
    npu.set(SCRATCH, 7)
    vm.write(RAM, 8, 0)
    pm = npu.config.capability(1) + 4
    done, accesses = npu.get(OP), npu.get(ACCESSES)
    npu.config.set(pm, 2, 3)
    expect(vm.read(npu.regs + SCRATCH, 8), FAILED, "register in D3")
    npu.set(BUS, RAM)
    npu.set(VALUE, 1)
    npu.set(OP, STORE64)
    expect(vm.read(RAM, 8), 0, "memory")
    npu.config.set(pm, 2, 0)
    npu.enable()
    expect((npu.get(SCRATCH), npu.get(OP)), (7, done), "registers in D0 again: kept")
    expect(npu.get(ACCESSES), accesses + 3, "accesses that reached the model")
    expect(npu.do(STORE64, RAM, value=1), 0, "DMA in D0 again")


def unplug(vm):
    port, npu = behind_port(vm)
    npu.start(STORE64, RAM, value=1)  # work in flight while it goes
    vm.qmp("device_del", id="hot")
    slot = port.capability(0x10) + 0x18
    port.set(slot, 2, 0x700)  # what the guest's hotplug driver does: power off, indicator off
    vm.wait_event("DEVICE_DELETED")
    assert "test model: destroyed" in vm.text(), "the model is gone"
    expect(npu.config.get(0, 4), 0xFFFFFFFF, "configuration space of the empty slot")


def surprise_removal(vm):
    """Nobody asks the guest: it reads all ones where the device was."""
    _, npu = behind_port(vm)
    npu.start(STORE64, RAM, value=1)
    vm.qmp("qom-set", path="/machine/peripheral/hot", property="realized", value=False)
    assert "test model: destroyed" in vm.text(), "the model is gone"
    expect(npu.config.get(0, 4), 0xFFFFFFFF, "configuration space")
    vm.read(npu.regs, 8)
    vm.write(npu.regs + SCRATCH, 8, 1)
    vm.read(npu.memory, 8)


def two_switches(vm):
    """Two devices exchange by DMA into each other's memory, both ways at once."""
    a, b = Npu(vm), Npu(vm, slot=5, index=1)
    for npu, value in ((a, 0xAAAA), (b, 0xBBBB)):
        vm.write(npu.memory, 8, value)
    counts = [n.get(OP) for n in (a, b)]
    a.start(2, b.memory + 0x100, count=8)  # WRITE
    b.start(2, a.memory + 0x100, count=8)
    vm.until("both", lambda: [n.get(OP) for n in (a, b)] == [c + 1 for c in counts])
    expect((vm.read(a.memory + 0x100, 8), vm.read(b.memory + 0x100, 8)), (0xBBBB, 0xAAAA), "each other's words")
    b.config.set(4, 2, 4)  # the peer's memory is not decoded any more
    expect(a.do(2, b.memory + 0x200), FAILED, "write to a peer that does not decode")


ONE, TWO = npu_args(), npu_args() + npu_args(1, 5)
HOT = ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off", "-device",
       "pcie-root-port,id=rp0,chassis=1,slot=1,addr=0x6", "-device", f"npu,id=hot,bus=rp0,memory=64M,model={MODEL}"]
CASES = [
    ("AER: link errors of the model", link_errors, HOT),
    ("AER: errors that the monitor injects", injected_errors, HOT),
    ("hot reset with work in flight", hot_reset, HOT),
    ("a reset forgets interrupts", reset_forgets_interrupts, ONE),
    ("MSI-X: the function's mask", function_mask, ONE),
    ("accesses that are refused", refused_accesses, ONE),
    ("D3: registers and work", sleeping, ONE),
    ("unplug with work in flight", unplug, HOT),
    ("surprise removal with work in flight", surprise_removal, HOT),
    ("peer to peer, both ways at once", two_switches, TWO),
]
