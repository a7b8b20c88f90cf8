#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bus.py [ARGUMENT]: plays the bus for driver-bus-test in the guest: injects errors when it asks for them.  Prints TAP."""

import os
import subprocess
import sys
import tempfile

import migrate  # the monitor

LIMIT = 300


def obey(monitor, command):
    words = command.split()
    if words[0] == "aer":
        answer = monitor.call("human-monitor-command", **{"command-line": f"pcie_aer_inject_error npu0 {words[1]}"})
        return not answer or answer.startswith("OK"), answer
    return False, "what is that?"


def main():
    good = True
    with tempfile.TemporaryDirectory() as directory:
        qmp = os.path.join(directory, "qmp")
        vm = subprocess.Popen([migrate.RUN, "--timeout", str(LIMIT), "--boot-timeout", str(LIMIT), "--qmp", qmp, "--exec",
                               " ".join(["driver-bus-test", *sys.argv[1:]])], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
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
