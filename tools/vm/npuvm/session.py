# SPDX-License-Identifier: Apache-2.0
"""One run of the virtual machine: starts QEMU, passes the command's output on, watches the clock, finds the result."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

from .machine import VmError

EXIT_TIMEOUT = 124  # as timeout(1)
EXIT_VM = 125       # the VM itself failed: no result of the command


class Session:
    def __init__(self, machine, run_dir):
        self.machine = machine
        self.run_dir = run_dir
        self.console = os.path.join(machine.options.image, f"console-{os.path.basename(run_dir)}.log")
        self.pumps = []
        self.status = None  # the read end of the pipe that brings the command's exit status
        self.qemu = None
        self.started = 0.0

    def write(self, name, text):
        with open(os.path.join(self.run_dir, name), "w", encoding="utf-8") as out:
            out.write(text)

    def read(self, name):
        try:
            with open(os.path.join(self.run_dir, name), encoding="utf-8", errors="replace") as source:
                return source.read().strip()
        except FileNotFoundError:
            return ""

    def read_status(self):
        """The command's exit status; empty if the guest gave none.  QEMU has ended."""
        if self.status is None:
            return self.read("status")
        with os.fdopen(self.status, encoding="utf-8", errors="replace") as source:
            self.status = None
            return source.read().strip()

    def prepare(self):
        options = self.machine.options
        os.makedirs(os.path.dirname(self.console), exist_ok=True)
        self.write("mode", "exec" if options.exec is not None else "shell")
        if options.exec is not None:
            self.write("command", options.exec + "\n")
        if options.load:
            self.write("load", " ".join(options.param))
        if options.data:
            self.write("data", "")
        size = shutil.get_terminal_size()
        self.write("terminal", f"export LINES={size.lines} COLUMNS={size.columns} NPU_TTY={int(os.isatty(1))}\n")

    def pump(self, name, sink):
        """A pipe whose read end is copied to sink until QEMU has closed the other; returns the write end."""
        reader, writer = os.pipe()

        def copy():
            try:
                while data := os.read(reader, 65536):
                    os.write(sink, data)
            except BrokenPipeError:
                # Who read our output has gone (head, a closed terminal): so must the VM, or it would run unseen.
                self.stop()
            os.close(reader)

        thread = threading.Thread(target=copy, name=name)
        self.pumps.append(thread)
        return writer, thread

    def start(self):
        channels, writers = {}, []
        if self.machine.options.exec is not None:
            for name, sink in (("out", 1), ("err", 2)):
                channels[name], _ = self.pump(name, sink)
                writers.append(channels[name])
            # Not through a share: those do not survive the guest's sleep (S3).
            self.status, channels["status"] = os.pipe()
            writers.append(channels["status"])
        self.started = time.monotonic()
        self.qemu = subprocess.Popen(self.machine.arguments(self.console, channels), pass_fds=writers,
                                     stdin=subprocess.DEVNULL if channels else None)
        for thread in self.pumps:
            thread.start()
        for fd in writers:
            os.close(fd)
        if self.machine.options.s3:
            threading.Thread(target=self.wake, daemon=True).start()

    def wake(self):
        """Wakes the guest whenever it has gone to sleep, until QEMU ends."""
        path = os.path.join(self.run_dir, "qmp")
        with socket.socket(socket.AF_UNIX) as line:
            while line.connect_ex(path):
                if self.qemu.poll() is not None:
                    return
                time.sleep(0.05)
            stream = line.makefile("rw", encoding="utf-8")

            def say(command):
                stream.write(json.dumps({"execute": command}) + "\n")
                stream.flush()

            try:
                say("qmp_capabilities")
                for answer in stream:
                    if json.loads(answer).get("event") == "SUSPEND":
                        say("system_wakeup")
            except OSError:
                pass  # QEMU has ended

    def stop(self):
        """Ends our QEMU, politely first: it must close its files and its model."""
        if self.qemu and self.qemu.poll() is None:
            self.qemu.terminate()
            try:
                self.qemu.wait(5)
            except subprocess.TimeoutExpired:
                self.qemu.kill()
                self.qemu.wait()

    def wait(self):
        """True when QEMU ended by itself in time; the boot has a limit of its own, so that a dead guest is told early."""
        options = self.machine.options
        ready = False
        while True:
            spent = time.monotonic() - self.started
            ready = ready or bool(self.read("ready"))
            limit = options.timeout if ready else min(options.timeout or options.boot_timeout, options.boot_timeout)
            if limit and spent >= limit:
                self.stop()
                what = f"the command did not end within {limit:g} s" if ready else \
                    f"the guest did not get ready within {limit:g} s"
                return f"{what} of the VM's start"
            try:
                # Short looks until the guest is up; then nothing but QEMU's end or the limit is of interest.
                self.qemu.wait((limit - spent if limit else None) if ready else 0.2)
                return ""
            except subprocess.TimeoutExpired:
                continue

    def result(self, timed_out):
        for thread in self.pumps:
            thread.join()
        status, reason = self.read_status(), self.read("error")
        if self.machine.options.verbose and self.read("ready"):
            print(f"vm: driver loaded {self.read('ready')} s after the kernel's start, VM ran "
                  f"{time.monotonic() - self.started:.1f} s", file=sys.stderr)
        if status and not timed_out:
            # One log is kept of the runs that went well, all of the others.
            os.replace(self.console, os.path.join(os.path.dirname(self.console), "console.log"))
            return int(status)
        if timed_out:
            self.explain(timed_out)
            return EXIT_TIMEOUT
        if self.qemu.returncode and not reason:
            reason = f"QEMU ended with status {self.qemu.returncode}" + (
                "" if os.path.exists(self.console) and os.path.getsize(self.console) else ", before the guest started")
        self.explain(reason or "the guest powered off without a result (a kernel panic?)")
        return EXIT_VM

    def explain(self, reason):
        print(f"vm: {reason}; kernel log: {self.console}", file=sys.stderr)
        if not os.path.exists(self.console):
            return
        with open(self.console, encoding="utf-8", errors="replace") as log:
            for line in log.read().splitlines()[-20:]:
                print("    | " + line, file=sys.stderr)

    def run(self):
        self.prepare()
        try:
            self.start()
            return self.result(self.wait())
        except OSError as error:
            raise VmError(f"QEMU could not be started: {error}") from error
        finally:
            self.stop()
