# SPDX-License-Identifier: Apache-2.0
"""The function under test as the cases see it: test_model.c's registers, BARs, operations.  Reads the program's arguments."""

import sys

from qtest import Function

QEMU, MODEL, WRONG_MODEL, LOGS = sys.argv[1:5]

# test_model.c
ID = 0x74736574756E7055
SCRATCH, UUID, OP, BUS, VALUE, EXPECTED, BYTES, RESULT = 0x08, 0x48, 0x100, 0x108, 0x110, 0x118, 0x120, 0x128
FLRS, COLDS, PAUSES, RESUMES, ACCESSES, MEMORY0, DRAINS = 0x200, 0x208, 0x210, 0x218, 0x220, 0x228, 0x230
READ, WRITE, STORE64, LOAD64, CMPXCHG8, CMPXCHG4, MSIX, LOG, LINK = range(1, 10)
FAILED = 0xFFFFFFFFFFFFFFFF

REGS, MSIX_BAR, MEM = 0xC0000000, 0xC0800000, 0x800000000  # where BARs are put; another device's are 16 MiB, 4 GiB on
RAM = 0x200000  # guest memory that tests may use
NOTHING = 0x500000000  # an address where nothing is


class Npu:
    """An NPU with its BARs mapped and bus mastering on."""

    def __init__(self, vm, bus=0, slot=4, index=0):
        self.vm = vm
        self.config = Function(vm, bus, slot)
        self.regs, self.msix = REGS + (index << 24), MSIX_BAR + (index << 24)
        self.memory = MEM + (index << 32)
        self.enable()

    def enable(self):
        self.config.set(0x10, 4, self.regs)
        self.config.set(0x18, 4, self.memory & 0xFFFFFFFF)
        self.config.set(0x1C, 4, self.memory >> 32)
        self.config.set(0x20, 4, self.msix)
        self.config.set(0x04, 2, 6)

    def get(self, reg):
        return self.vm.read(self.regs + reg, 8)

    def set(self, reg, value):
        self.vm.write(self.regs + reg, 8, value)

    def start(self, op, bus=0, value=0, expected=0, count=8):
        for reg, number in ((BUS, bus), (VALUE, value), (EXPECTED, expected), (BYTES, count)):
            self.set(reg, number)
        self.set(OP, op)

    def do(self, op, bus=0, value=0, expected=0, count=8):
        """Has the model call a host operation on its own thread; its result."""
        done = self.get(OP)
        self.start(op, bus, value, expected, count)
        self.vm.until("end of the operation", lambda: self.get(OP) == done + 1)
        return self.get(RESULT)


def npu_args(index=0, slot=4, extra=""):
    return ["-device", f"npu,id=npu{index},addr={slot:#x},model={MODEL},memory=64M,seed={index + 1}{extra}"]


def expect(actual, wanted, what):
    if actual != wanted:
        number = lambda v: hex(v) if isinstance(v, int) else repr(v)  # noqa: E731
        raise AssertionError(f"{what}: {number(actual)}, expected {number(wanted)}")
