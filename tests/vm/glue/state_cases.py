# SPDX-License-Identifier: Apache-2.0
"""What QOM shows, and snapshots: a machine that goes into a file and comes out of it in another process."""

import os
import subprocess
import tempfile

from model import DRAINS, ID, LOGS, MEMORY0, OP, QEMU, RAM, SCRATCH, STORE64, UUID, Npu, expect, npu_args
from qtest import BIOS, LIMIT, Vm


def info(vm):
    text = vm.qmp("qom-get", path="/machine/peripheral/npu0", property="info")
    assert len(text) == 5907 and text.endswith("cores 4"), f"{len(text)} characters that end in {text[-8:]!r}"


def numbers(vm):
    """The glue reads the registers that it names; the test model has something at two of these places."""
    path = "/machine/peripheral/npu0"
    names = {entry["name"] for entry in vm.qmp("qom-list", path=path)}
    wanted = {"health", "firmware-state", "active-queues", "time-cycles", "faults", "ecc-corrected", "ecc-uncorrected",
              "link-errors", "retired-pages", "temperature-mc", "power-mw", "energy-uj", "slot-states", "core-states"}
    assert wanted <= names, f"not there: {sorted(wanted - names)}"
    for name in wanted - {"slot-states", "core-states"}:
        assert isinstance(vm.qmp("qom-get", path=path, property=name), int), name
    slots = vm.qmp("qom-get", path=path, property="slot-states")
    expect((len(slots), sorted(slots[0])), (16, ["progress", "queue", "rptr", "state", "wptr"]), "slots")
    cores = vm.qmp("qom-get", path=path, property="core-states")
    expect((len(cores), sorted(cores[0])), (4, ["blocks", "busy-cycles", "instructions", "pc", "queue"]), "cores")


def save(vm, path):
    vm.qmp("migrate", uri=f"exec:cat >{path}")

    def ended():
        status = vm.qmp("query-migrate").get("status")
        assert status != "failed", "the migration failed: " + vm.text()
        return status == "completed"

    vm.until("end of the migration", ended)


def migrate(vm):
    """Stopped with an operation waiting, which the machine that loads it carries out."""
    npu = Npu(vm)
    npu.set(SCRATCH, 4711)
    vm.write(RAM, 8, 0)
    vm.write(npu.memory + 0x1000, 8, 0x1234567890)
    vm.write(RAM + 8, 8, 1)
    npu.set(MEMORY0, 77)  # written by the model: QEMU's dirty log does not see it
    drains = npu.get(DRAINS)
    vm.qmp("stop")
    expect(npu.get(DRAINS), drains + 1, "drains")
    done = npu.get(OP)
    npu.start(STORE64, RAM, value=99)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "machine")
        save(vm, path)
        expect(vm.read(RAM, 8), 0, "memory of the machine that was saved")
        other = Vm(QEMU, directory, ["-machine", "q35", "-incoming", f"exec:cat {path}"] + npu_args(),
                   os.path.join(LOGS, "glue-migrated.log"), fresh=False)
        try:
            other.until("end of the load", lambda: other.qmp("query-status")["status"] != "inmigrate")
            there = Npu.__new__(Npu)
            there.__dict__.update(npu.__dict__)
            there.vm = other
            other.qmp("cont")
            other.until("the operation", lambda: there.get(OP) == done + 1)
            expect((other.read(RAM, 8), there.get(SCRATCH)), (99, 4711), "memory and register")
            expect((there.get(MEMORY0), other.read(there.memory + 0x1000, 8)), (77, 0x1234567890), "device memory")
            expect(there.get(UUID), npu.get(UUID), "identity")
            expect(there.do(STORE64, RAM + 8, value=5), 0, "one more operation")
        finally:
            expect(other.end(), 0, "exit status of the machine that loaded")


def busy(vm):
    try:
        save(vm, "/dev/null")
    except AssertionError as error:
        assert "npu0 cannot be saved: seed 14 is busy" in str(error), f"the reason: {error}"
    else:
        raise AssertionError("the model refused, and the migration went through")
    vm.qmp("cont")
    expect(Npu(vm).do(STORE64, RAM, value=5), 0, "work afterwards")


def refused(vm, why, extra="", change=None):
    """The machine's state, changed, ends the machine that loads it with a sentence."""
    Npu(vm)
    vm.qmp("stop")
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "machine")
        save(vm, path)
        if change:
            with open(path, "rb") as file:
                state = bytearray(file.read())
            change(state)
            with open(path, "wb") as file:
                file.write(state)
        done = subprocess.run([QEMU, "-nodefaults", "-machine", "q35", "-display", "none", "-accel", "qtest", "-m", "64M",
                               "-bios", BIOS, "-L", "/usr/share/qemu", "-incoming", f"exec:cat {path}"] + npu_args(extra=extra),
                              capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode > 0 and why in done.stderr, f"{done.returncode}: {done.stderr}"


def not_loaded(vm):
    refused(vm, "npu0 cannot be loaded: these 64 bytes are not mine", extra=",threads=13")


def no_such_vector(vm):
    def change(state):
        at = state.index(ID.to_bytes(8, "little")) - 12  # before the model's state and its size
        expect(bytes(state[at:at + 12]), bytes(11) + b"\x40", "no interrupts pending, 64 bytes of state")
        state[at + 2] = 1  # vector 40 of 32

    refused(vm, "the vectors that are to be raised exist", change=change)


CASES = [
    ("the info property", info, npu_args()),
    ("numbers and lists as properties", numbers, npu_args()),
    ("migration with work in flight", migrate, npu_args()),
    ("a model that cannot be saved now", busy, npu_args()[:-1] + [npu_args()[-1].replace("seed=1", "seed=14")]),
    ("a state that is not taken", not_loaded, npu_args()),
    ("an interrupt that there is not", no_such_vector, npu_args()),
]
