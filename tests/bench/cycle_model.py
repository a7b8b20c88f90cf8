#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the cycle model costs: CPU time of the device model as it is, and of the same compiled without the cycle model's
arithmetic (npu-model-untimed), on matrices, scalar loops, and many small pipe operations.

  cycle_model.py [FILE.json]

The two run in turn; a ratio is the median over the pairs."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rows import merge

BUILD = Path(__file__).resolve().parents[2] / "build/host"
UNTIMED = BUILD / "bench/untimed"
PAIRS = 9
LIMIT = 10


def measure(timed):
    """CPU milliseconds by workload, in a new process."""
    env = dict(os.environ, NPU_BACKEND="sim", NPU_FIRMWARE_DIR=str(BUILD / "firmware"))
    if not timed:
        env["LD_LIBRARY_PATH"] = str(UNTIMED)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rows.json"
        subprocess.run([BUILD / "bin/npu-bench", "--threads", "1", "--json", path, "cpu-time"], env=env, check=True,
                       stdout=subprocess.DEVNULL, timeout=120)
        return {row["name"].removeprefix("cpu_time_").removesuffix(".sim"): row["value"]
                for row in json.loads(path.read_text())}


def main():
    if not (UNTIMED / "libnpu-model.so").exists():
        sys.exit(f"cycle_model.py: {UNTIMED} is empty: ninja -C build/host npu-model-untimed")
    pairs = []
    for i in range(PAIRS):
        order = (True, False) if i % 2 else (False, True)
        result = {timed: measure(timed) for timed in order}
        pairs.append((result[True], result[False]))
    rows = []
    for name in pairs[0][0]:
        percent = (statistics.median(timed[name] / untimed[name] for timed, untimed in pairs) - 1) * 100
        milliseconds = statistics.median(timed[name] for timed, _ in pairs)
        rows.append({"name": f"cycle_model_cost_{name}.sim", "value": round(percent, 1), "unit": "%",
                     "note": f"of the CPU time without it, {PAIRS} pairs; to stay below {LIMIT} %"})
        print(f"{'cycle_model_cost_' + name:<36} {percent:>5.1f} %   of {milliseconds:.1f} ms CPU time")
    if len(sys.argv) > 1:
        merge(sys.argv[1], rows)


if __name__ == "__main__":
    main()
