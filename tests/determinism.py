#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The same work on the device model with every SIMD level and number of host threads, and in the VM: are results and
device cycles the same to the bit?

  determinism.py [--vm]      needs what `make` has built

Prints a Markdown table: one line per configuration, one column per work, in it the first digits of the SHA-256 of
everything the work tells.  Ends with "N passed, N failed": a configuration passes when its digests are those of the first
one.  A SIMD level that this CPU does not have is said, not counted."""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / "build/bin"
WORK = ("demo: logits and counters", "matmul: counters by shape and type")


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def demo_digest(text):
    lines = re.findall(r"^digest: .*?$", text.replace("\r", ""), re.M)
    if not lines:
        sys.exit(f"determinism.py: the demonstration prints no digest:\n{text[-2000:]}")
    return digest("\n".join(lines))


def rows_digest(text):
    """Of rows of npu-bench that hold device cycles and bytes only."""
    rows = [(row["name"].rpartition(".")[0], row["value"], row.get("note", "")) for row in json.loads(text)]
    return digest(json.dumps(rows))


def on_the_host(simd, threads):
    env = {**os.environ, "NPU_SIM_SIMD": simd, "NPU_SIM_THREADS": str(threads), "NPU_BACKEND": "sim"}

    def run(*command):
        done = subprocess.run(command, env=env, text=True, capture_output=True, timeout=900, check=False)
        if done.returncode:
            sys.exit(f"determinism.py: {command[0]} with {simd}, {threads} threads: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout
    demo = demo_digest(run(BIN / "demo", "--backend", "sim", "--no-color"))
    with tempfile.TemporaryDirectory() as directory:
        rows = Path(directory) / "rows.json"
        run(BIN / "npu-bench", "--backend", "sim", "--threads", str(threads), "--json", rows, "roofline")
        return demo, rows_digest(rows.read_text())


def in_the_vm():
    script = "demo --backend drm --no-color; npu-bench --backend drm --json /tmp/rows.json roofline >/tmp/out 2>&1 || " \
             "cat /tmp/out; echo rows:; cat /tmp/rows.json; echo :rows"
    done = subprocess.run([ROOT / "tools/vm/run", "--timeout", "1200", "--exec", script], text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, check=False)
    rows = re.search(r"rows:\s(.*)\s:rows", done.stdout, re.S)
    if done.returncode or not rows:
        sys.exit(f"determinism.py: in the VM: {(done.stdout + done.stderr)[-2000:]}")
    return demo_digest(done.stdout), rows_digest(rows[1])


def has(simd):
    """Whether the model takes that level on this CPU."""
    env = {**os.environ, "NPU_SIM_SIMD": simd}
    done = subprocess.run([BIN / "npu-smi", "--backend", "sim"], env=env, capture_output=True, text=True, check=False)
    if done.returncode and "this CPU does not have the level" not in done.stdout + done.stderr:
        sys.exit(f"determinism.py: npu-smi with {simd}: {done.stdout}{done.stderr}")
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vm", action="store_true", help="also in the VM, through the driver")
    args = parser.parse_args()
    print("| configuration | " + " | ".join(WORK) + " |\n|---|---|---|")
    first, passed, failed = None, 0, 0

    def show(name, digests):
        nonlocal first, passed, failed
        first = first or digests
        same = digests == first
        passed, failed = passed + same, failed + (not same)
        print(f"| {name} | " + " | ".join(digests) + (" |" if same else " | DIFFERENT"), flush=True)
    for simd in ("baseline", "avx2", "avx512bw", "avx512"):
        for threads in (1, 2):
            if has(simd):
                show(f"in-process, {simd}, {threads} host thread{'s' * (threads > 1)}", on_the_host(simd, threads))
            else:
                print(f"| in-process, {simd}: not on this CPU | | |")
    if args.vm:
        show("in the VM, through the kernel driver", in_the_vm())
    print(f"{passed} passed, {failed} failed")
    return failed != 0 or passed < 2


if __name__ == "__main__":
    sys.exit(main())
