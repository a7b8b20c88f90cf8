# SPDX-License-Identifier: Apache-2.0
"""QEMU without a guest: memory, ports and PCI configuration through the qtest protocol, the monitor through QMP."""

import json
import os
import socket
import subprocess
import time

ECAM = 0xB0000000
BIOS = "/usr/share/qemu/qboot.rom"  # never run, but the board wants one
LIMIT = 20.0  # seconds until anything that is waited for counts as failed


class Line:
    """A line-based connection to a UNIX socket that QEMU serves."""

    def __init__(self, path, process):
        deadline = time.monotonic() + LIMIT
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT)
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("QEMU did not start") from None
                time.sleep(0.01)
        self.file = self.socket.makefile("rw", encoding="utf-8")

    def send(self, text):
        self.file.write(text + "\n")
        self.file.flush()

    def receive(self):
        line = self.file.readline()
        if not line:
            raise RuntimeError("QEMU closed the connection: it has ended")
        return line


class Vm:
    def __init__(self, qemu, run_dir, arguments, log, fresh=True, environment=()):
        qtest, qmp = os.path.join(run_dir, "qtest"), os.path.join(run_dir, "qmp")
        self.log, self.events = log, []
        accelerator = [] if "-accel" in arguments else ["-accel", "qtest"]
        with open(log, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(
                [qemu, "-nodefaults", "-no-user-config", "-display", "none", *accelerator, "-m", "64M", "-bios", BIOS, "-L", "/usr/share/qemu",
                 "-qtest", f"unix:{qtest},server=on,wait=off", "-qtest-log", "none", "-qmp",
                 f"unix:{qmp},server=on,wait=off", "-d", "guest_errors"] + arguments, stdout=out, stderr=out,
                env={**os.environ, **dict(environment)})
        try:
            self.qtest, self.qmp_line = Line(qtest, self.process), Line(qmp, self.process)
            self.qmp_line.receive()
        except (OSError, RuntimeError) as error:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"QEMU did not start: {self.text().strip()}") from error
        self.qmp("qmp_capabilities")
        if not fresh:
            return
        # The host bridge decodes memory-mapped configuration once it is told where.
        self.call(f"outl 0xcf8 {0x80000060:#x}")
        self.call(f"outl 0xcfc {ECAM | 1:#x}")

    def call(self, command):
        self.qtest.send(command)
        while True:
            answer = self.qtest.receive().split()
            if answer[0] == "OK":
                return answer[1] if len(answer) > 1 else ""
            if answer[0] != "IRQ":
                raise RuntimeError(f"qtest refused \"{command}\": {' '.join(answer)}")

    def read(self, address, size):
        return int(self.call(f"read{dict([(1, 'b'), (2, 'w'), (4, 'l'), (8, 'q')])[size]} {address:#x}"), 16)

    def write(self, address, size, value):
        self.call(f"write{dict([(1, 'b'), (2, 'w'), (4, 'l'), (8, 'q')])[size]} {address:#x} {value:#x}")

    def qmp(self, command, **arguments):
        self.qmp_line.send(json.dumps({"execute": command, "arguments": arguments}))
        while True:
            answer = json.loads(self.qmp_line.receive())
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise LookupError(answer["error"]["desc"])
            self.events.append(answer.get("event"))

    def wait_event(self, name):
        """Returns once the event has come, be it before this call."""
        while name not in self.events:
            self.events.append(json.loads(self.qmp_line.receive()).get("event"))
        self.events.remove(name)

    def until(self, what, condition):
        deadline = time.monotonic() + LIMIT
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {LIMIT:g} s: {what}")

    def end(self):
        """Asks QEMU to end; its exit status."""
        if self.process.poll() is None:
            self.qmp_line.send('{"execute": "quit"}')
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()


class Function:
    """A PCI function's configuration space."""

    def __init__(self, vm, bus, slot):
        self.vm, self.base = vm, ECAM + (bus << 20) + (slot << 15)

    def get(self, offset, size):
        return self.vm.read(self.base + offset, size)

    def set(self, offset, size, value):
        self.vm.write(self.base + offset, size, value)

    def capability(self, wanted):
        at = self.get(0x34, 1)
        while at and self.get(at, 1) != wanted:
            at = self.get(at + 1, 1)
        return at

    def extended(self, wanted):
        at = 0x100
        while at and self.get(at, 4) & 0xFFFF != wanted:
            at = self.get(at, 4) >> 20
        return at

    def bar_size(self, number, wide):
        at = 0x10 + 4 * number
        self.set(at, 4, 0xFFFFFFFF)
        mask = self.get(at, 4) & ~0xF
        if wide:
            self.set(at + 4, 4, 0xFFFFFFFF)
            mask |= self.get(at + 4, 4) << 32
            return (~mask & 0xFFFFFFFFFFFFFFFF) + 1
        return (~mask & 0xFFFFFFFF) + 1
