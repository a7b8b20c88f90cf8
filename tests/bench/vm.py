#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the VM from outside and adds rows to the JSON file: time from power-on to a loaded driver, and the CPU time of
the device's threads while the guest idles."""

import os
import subprocess
import sys
import time
from pathlib import Path

from rows import merge

RUN = str(Path(__file__).resolve().parents[2] / "tools/vm/run")
IDLE_SECONDS = 10


def boot_seconds():
    """Start of the runner to the end of a command in the guest; the runner's own work is included."""
    samples = []
    for _ in range(3):
        start = time.monotonic()
        subprocess.run([RUN, "--timeout", "120", "--exec", "true"], check=True, stdin=subprocess.DEVNULL)
        samples.append(time.monotonic() - start)
    return sorted(samples)[1]


def stat_fields(path):
    """The fields of a stat file behind the name, which may hold anything."""
    return path.read_text().rpartition(")")[2].split()


def descendants(root):
    """Process root and all processes below it.  By the parents in /proc: not every kernel lists children there."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(stat_fields(entry / "stat")[1])
            except OSError:
                pass  # gone meanwhile
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def device_threads(root):
    """(thread id, name, CPU seconds) of the device model's threads below process root."""
    tick = os.sysconf("SC_CLK_TCK")
    found = []
    for pid in descendants(root):
        for task in Path(f"/proc/{pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            if name.startswith("npu-"):
                fields = stat_fields(task / "stat")
                found.append((int(task.name), name, (int(fields[11]) + int(fields[12])) / tick))
    return found


def idle_share():
    """CPU seconds a second that the device's threads take in an idle guest with the driver loaded, and their names."""
    command = [RUN, "--timeout", "120", "--exec", f"echo idle; sleep {IDLE_SECONDS + 3}"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as vm:
        for line in vm.stdout:
            if line.strip() == "idle":
                break
        time.sleep(1)  # the measured interval begins after the guest's own start-up work
        before = device_threads(vm.pid)
        time.sleep(IDLE_SECONDS)
        after = device_threads(vm.pid)
        vm.wait()
    if not before:
        sys.exit("vm.py: no thread of the device model found below the VM runner")
    return (sum(t[2] for t in after) - sum(t[2] for t in before)) / IDLE_SECONDS, sorted({t[1] for t in after})


def main():
    share, names = idle_share()
    rows = [{"name": "boot_to_driver.vm", "value": round(boot_seconds(), 2), "unit": "s",
                 "note": "runner start to the first command's end, emulated"},
            {"name": "idle_device_cpu.vm", "value": round(share, 4), "unit": "CPU", "note": ", ".join(names)}]
    for row in rows:
        print(f"{row['name']:<28} {row['value']:>12} {row['unit']:<8} {row['note']}")
    merge(sys.argv[1], rows)


if __name__ == "__main__":
    main()
