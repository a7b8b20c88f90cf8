#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions a second of npu-hart and of qemu-riscv64's user mode on the same programs, added to the JSON file.

  hart.py [FILE.json]

Both run a program in turn, five times; the time that an empty program takes is taken off; medians.  The number of
instructions is what npu-hart counts: both run the same ones."""

import re
import resource
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from rows import merge

BUILD = Path(__file__).resolve().parents[2] / "build/host"
PROGRAMS = ("integer", "fp32", "memory", "branchy")
ROUNDS = 5


def run(command):
    """Seconds of CPU time, which other load on the machine does not add to, and what it wrote to stderr."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        sys.exit(f"hart.py: {' '.join(map(str, command))}: status {done.returncode}: {done.stderr.strip()}")
    return seconds, done.stderr


def main():
    hart, qemu = BUILD / "bin/npu-hart", shutil.which("qemu-riscv64")
    programs = {name: BUILD / f"bench/hart-{name}.elf" for name in (*PROGRAMS, "empty")}
    times = {(machine, name): [] for machine in ("hart", "qemu") for name in programs}
    counts = {}
    for _ in range(ROUNDS):
        for name, path in programs.items():
            seconds, text = run([hart, path])
            times["hart", name].append(seconds)
            counts[name] = int(re.search(r"(\d+) instructions", text).group(1))
            if qemu:
                times["qemu", name].append(run([qemu, path])[0])
    rows = []
    for name in PROGRAMS:
        def mips(machine):
            net = statistics.median(times[machine, name]) - statistics.median(times[machine, "empty"])
            return counts[name] / net / 1e6
        row = {"name": f"hart_{name}.host", "value": round(mips("hart"), 1), "unit": "MIPS", "note": "npu-hart"}
        peer = "qemu-riscv64 is not there (Debian package qemu-user)"
        if qemu:
            row["peer"] = {"name": "qemu-riscv64", "value": round(mips("qemu"), 1)}
            row["ratio"] = round(row["value"] / row["peer"]["value"], 3)
            peer = f"{row['ratio']:.2f} x qemu-riscv64 ({row['peer']['value']:.4g})"
        rows.append(row)
        print(f"{row['name']:<28} {row['value']:>12.4g} {row['unit']:<8} {peer:<40} {counts[name]} instructions")
    if len(sys.argv) > 1:
        merge(sys.argv[1], rows)


if __name__ == "__main__":
    main()
