#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Random traffic at the PCI function with the real model and firmware behind it: registers, doorbells, configuration space,
interrupt table, device and guest memory, resets, stops, snapshots, by a seed.  Nothing of it may end QEMU, hang it, or make
a sanitizer or an assertion speak.

usage: fuzz.py QEMU MODEL FIRMWARE LOG_DIR [--seed N] [--operations N | --seconds N] [--preload LIBRARY]
"""

import argparse
import os
import random
import re
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from qtest import ECAM, Vm  # noqa: E402

REGS, MSIX_BAR, MEM, MEM_BYTES, RAM_BYTES = 0xC0000000, 0xC0800000, 0x800000000, 64 << 20, 64 << 20
CONFIG = ECAM + (4 << 15)
CTX_TABLE, QUEUE_TABLE, PACKAGE, MAILBOX, RINGS = 0x10000, 0x20000, 0x300000, 0x2F0000, 0x100000
DOORBELLS = 0x400000
SIZES = {1: "b", 2: "w", 4: "l", 8: "q"}
BAD = re.compile(r"AddressSanitizer|runtime error:|Assertion|SUMMARY: |abort|Bad ram|terminate called|stack smashing")
BATCH = 64


class Fuzz:
    def __init__(self, vm, seed, firmware):
        self.vm, self.random, self.firmware = vm, random.Random(seed), firmware
        self.operations = 0
        self.registers = list(range(0, 0x400, 4)) + [0x1000 + 8 * i for i in range(64)] + [0x6000 + 8 * i for i in range(128)]

    def value(self):
        r = self.random
        return r.choice((0, 1, 2, 7, 0xFF, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1, r.getrandbits(8), r.getrandbits(16), r.getrandbits(32),
                         r.getrandbits(64), r.randrange(MEM_BYTES) & ~0xFFF, r.randrange(RAM_BYTES) & ~0xFFF))

    def access(self, address, size):
        if self.random.random() < 0.4:
            return f"read{SIZES[size]} {address:#x}"
        return f"write{SIZES[size]} {address:#x} {self.value() & ((1 << 8 * size) - 1):#x}"

    def enable(self):
        for offset, size, value in ((0x10, 4, REGS), (0x18, 4, MEM & 0xFFFFFFFF), (0x1C, 4, MEM >> 32), (0x20, 4, MSIX_BAR), (0x44, 2, 0),
                                    (4, 2, 6)):
            self.vm.write(CONFIG + offset, size, value)

    def boot(self):
        """The firmware runs, and tables lie where the device looks for them: so random doorbells and commands meet something."""
        vm = self.vm
        self.enable()
        vm.call(f"write {MEM + PACKAGE:#x} {len(self.firmware):#x} 0x{self.firmware.hex()}")
        for register, value in REGISTERS["tables"]:
            vm.write(REGS + register, 8, value)
        vm.write(REGS + REGISTERS["fw_size"], 4, len(self.firmware))
        vm.write(REGS + REGISTERS["fw_ctrl"], 4, 1)

    def pick(self):
        r = self.random
        size = r.choice((1, 2, 4, 4, 4, 8, 8))
        kind = r.random()
        if kind < 0.35:
            at = r.choice(self.registers) if r.random() < 0.9 else r.randrange(0x800000)
            return self.access(REGS + (at if r.random() < 0.95 else at + r.randrange(8)), size)
        if kind < 0.5:
            return self.access(REGS + DOORBELLS + r.randrange(1024) * 0x1000 + r.choice((0, 0, 0, 4, 8, 16, r.randrange(0x1000))), size)
        if kind < 0.6:
            return self.access(CONFIG + (r.randrange(256) if r.random() < 0.7 else r.randrange(0x1000 - 8)), min(size, 4))
        if kind < 0.65:
            return self.access(MSIX_BAR + r.randrange(0x1000 - 8), min(size, 8))
        if kind < 0.9:
            base = r.choice((CTX_TABLE, QUEUE_TABLE, MAILBOX, RINGS, 0, PACKAGE))
            return self.access(MEM + (base + 8 * r.randrange(1024)) % (MEM_BYTES - 8), size)
        return self.access(0x100000 + 8 * r.randrange(1 << 16), size)

    def batch(self):
        commands = [self.pick() for _ in range(BATCH)]
        self.vm.qtest.send("\n".join(commands))
        left = len(commands)
        while left:
            left -= not self.vm.qtest.receive().startswith("IRQ")
        self.operations += len(commands)

    def upheaval(self):
        """What comes from outside, or needs an order."""
        vm, r = self.vm, self.random
        what = r.randrange(8)
        if what == 0:
            vm.qmp("stop")
            self.batch()
            vm.qmp("cont")
        elif what == 1:
            vm.qmp("system_reset")
            vm.wait_event("RESET")
            vm.call(f"outl 0xcf8 {0x80000060:#x}")
            vm.call(f"outl 0xcfc {ECAM | 1:#x}")
        elif what == 2:
            vm.qmp("stop")
            try:
                vm.qmp("migrate", uri="exec:cat >/dev/null")
                vm.until("end of the migration", lambda: vm.qmp("query-migrate").get("status") in ("completed", "failed"))
            except LookupError:
                pass  # refused with a sentence
            vm.qmp("cont")
        elif what == 3:
            vm.write(CONFIG + 0x88, 2, 0x8000)  # FLR
        elif what == 4:
            for name in ("info", "slot-states", "core-states", "health"):
                vm.qmp("qom-get", path="/machine/peripheral/npu0", property=name)
        else:
            self.enable()
            return
        self.boot()


def registers(root):
    """Offsets from the contract's header, so that this file cannot disagree with it."""
    with open(os.path.join(root, "hal/hw/npu_regs.h"), encoding="utf-8") as header:
        found = dict(re.findall(r"^#define (NPU_REG_\w+) (0x[0-9a-fA-F]+)u?\b", header.read(), re.M))
    number = lambda name: int(found["NPU_REG_" + name], 16)  # noqa: E731
    return {"tables": [(number("CTX_TABLE"), CTX_TABLE), (number("QUEUE_TABLE"), QUEUE_TABLE), (number("MBOX_ADDR"), MAILBOX),
                       (number("FW_ADDR"), PACKAGE)], "fw_size": number("FW_SIZE"), "fw_ctrl": number("FW_CTRL"),
            "all": sorted(int(value, 16) for value in found.values())}


REGISTERS = registers(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", ".."))


def run(options, seed, deadline):
    """One QEMU's life; (operations, complaint or empty)."""
    log = os.path.join(options.logs, f"glue-fuzz-{seed}.log")
    environment = {"LD_PRELOAD": options.preload, "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=99",
                   "UBSAN_OPTIONS": "print_stacktrace=1"} if options.preload else {}
    with open(options.firmware, "rb") as source:
        firmware = source.read()
    with tempfile.TemporaryDirectory() as run_dir:
        vm = Vm(options.qemu, run_dir, ["-machine", "q35", "-device", f"npu,id=npu0,addr=4,memory=64M,model={options.model}"], log,
                environment=environment)
        fuzz = Fuzz(vm, seed, firmware)
        fuzz.registers += REGISTERS["all"] * 4
        try:
            fuzz.boot()
            while fuzz.operations < options.operations and time.monotonic() < deadline:
                fuzz.batch()
                if fuzz.random.random() < 0.1:
                    fuzz.upheaval()
        except (RuntimeError, OSError, AssertionError) as error:
            vm.end()
            return fuzz.operations, f"seed {seed}, after {fuzz.operations} operations: {error}\n{vm.text()[-3000:]}"
        status, text = vm.end(), vm.text()
    if status or BAD.search(text):
        return fuzz.operations, f"seed {seed}: exit status {status}\n{text[-3000:]}"
    os.unlink(log)
    return fuzz.operations, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("qemu", "model", "firmware", "logs"):
        parser.add_argument(name)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operations", type=int, default=20000, help="for each seed")
    parser.add_argument("--seconds", type=float, default=0, help="one seed after the other for so long; 0: one seed")
    parser.add_argument("--preload", default="", help="the sanitizer's library, for a model that is built with it")
    options = parser.parse_args()
    os.makedirs(options.logs, exist_ok=True)
    end, seed, operations = time.monotonic() + options.seconds, options.seed, 0
    while True:
        done, complaint = run(options, seed, end if options.seconds else float("inf"))
        operations += done
        seed += 1
        if complaint:
            print(complaint)
            return 1
        if time.monotonic() >= end:
            print(f"{operations} operations, {seed - options.seed} seeds")
            return 0


sys.exit(main())
