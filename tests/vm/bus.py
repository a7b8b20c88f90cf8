#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bus.py [PROGRAM [ARGUMENT...]]: plays the bus for a test in the guest (driver-bus-test): injects errors, pulls the device
and puts it in again, when it asks for that.  Prints TAP."""

import os
import subprocess
import sys
import tempfile

import migrate  # the monitor

sys.path.insert(0, os.path.join(migrate.ROOT, "tools", "vm"))
from npuvm.machine import model_library  # noqa: E402

LIMIT = 300


def plug(monitor):
    """As the runner does it at the start, once QEMU has let go of the device that was pulled."""
    monitor.event("DEVICE_DELETED", device="npu0")
    model = model_library(os.environ.get("NPU_BUILD", os.path.join(migrate.ROOT, "build")))
    monitor.call("device_add", driver="npu", id="npu0", bus="port0", model=model, seed=1)


def obey(monitor, command):
    words = command.split()
    if words[0] == "aer":
        answer = monitor.call("human-monitor-command", **{"command-line": f"pcie_aer_inject_error npu0 {words[1]}"})
        return not answer or answer.startswith("OK"), answer
    if words[0] in ("pull", "plug"):
        try:
            if words[0] == "pull":
                monitor.call("device_del", id="npu0")
            else:
                plug(monitor)
            return True, ""
        except (RuntimeError, OSError) as error:
            return False, str(error)
    return False, "what is that?"


def main():
    good = True
    with tempfile.TemporaryDirectory() as directory:
        qmp = os.path.join(directory, "qmp")
        vm = subprocess.Popen([migrate.RUN, "--timeout", str(LIMIT), "--boot-timeout", str(LIMIT), "--qmp", qmp, "--exec",
                               " ".join(sys.argv[1:] or ["driver-bus-test"])], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        monitor = None
        for line in vm.stdout:
            if line.startswith("@ "):
                monitor = monitor or migrate.Monitor(qmp, vm)
                done, why = obey(monitor, line[2:])
                good &= done
                line = f"# {line[2:].strip()}: {'done' if done else 'refused'} {why.strip()}\n"
            print(line, end="", flush=True)
        return 0 if vm.wait() == 0 and good else 1


if __name__ == "__main__":
    sys.exit(main())
