#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The figures that `make bench` takes in the VM: all are there, and those that are no matter of speed are right: what a
launch costs in system calls, doorbell writes and interrupts."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMES = ["open_context_queue", "close_context_queue", "buffer_create_device", "buffer_free_device", "bind_device",
         "unbind_device", "buffer_create_host", "buffer_free_host", "bind_host", "unbind_host", "null_launch_polled",
         "null_launch_wait_call", "null_launch_interrupt", "wait_wake_up", "launches_32_deep_polled",
         "launches_32_deep_wait_call", "launches_batched"]
WITH_PEER = ["null_launch_polled", "null_launch_interrupt", "launches_32_deep_polled", "launches_32_deep_wait_call"]


def main():
    out = ROOT / "build/check/figures.json"
    out.unlink(missing_ok=True)
    subprocess.run([str(ROOT / "tools/vm/run"), "--timeout", "300", "--nvme-null", "--exec",
                    "modprobe nvme && npu-bench --backend drm --quick --disk /dev/nvme0n1 "
                    "--json /npu/build/check/figures.json setup latency"], check=True, stdin=subprocess.DEVNULL)
    rows = {row["name"].removesuffix(".drm"): row for row in json.loads(out.read_text())}
    failed = False

    def check(name, holds, seen):
        nonlocal failed
        failed |= not holds
        print(f"{'ok' if holds else 'not ok'} - {name}: {seen}")

    def value(name):
        return rows.get(name, {}).get("value")

    missing = [name for name in TIMES if not (value(name) or 0) > 0]
    check("every figure is there", not missing, missing or "all")
    lonely = [name for name in WITH_PEER if not rows.get(name, {}).get("peer", {}).get("value", 0) > 0]
    check("launches have the NVMe device beside them", not lonely, lonely or "all")
    check("a batch rings the doorbell once", value("doorbells_per_launch") == 1 / 256, value("doorbells_per_launch"))
    check("a polled launch makes no system call", value("ioctls_per_launch") == 0, value("ioctls_per_launch"))
    check("a polled launch makes no interrupt", value("interrupts_per_launch") == 0, value("interrupts_per_launch"))
    check("a sleeper makes one system call", value("ioctls_per_sleep") == 1, value("ioctls_per_sleep"))
    # A device thread that the host stops between the fence and the queue's read index finds the next sleeper armed.
    check("a sleeper costs an interrupt, or two at worst", 0 < (value("interrupts_per_sleep") or 0) <= 2,
          value("interrupts_per_sleep"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
