#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How much faster two host threads are than one, for the device model and for the libraries that it is compared with.

  scaling.py [FILE.json]

One thread and two run in turn, a process each; a factor is the median over the pairs.  On a machine whose second core has
other work to do all factors are low: then the libraries' say how much there was to win, and the CPU time, which does not
grow when the work is only spread, says what spreading it costs."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rows import merge

BUILD = Path(__file__).resolve().parents[2] / "build/host"
PAIRS = 3
PREFIX = "matmul_"


def measure(threads):
    """Rows by name without what tells the number of threads."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rows.json"
        subprocess.run([BUILD / "bin/npu-bench", "--backend", "sim", "--threads", str(threads), "--json", path, "scaling"],
                       check=True, stdout=subprocess.DEVNULL, timeout=300)
        rows = json.loads(path.read_text())
    suffix = "" if threads == 1 else f"_threads{threads}"
    return {row["name"].removeprefix(PREFIX).removesuffix(suffix + ".sim"): row for row in rows}


def main():
    pairs = []
    for i in range(PAIRS):
        order = (1, 2) if i % 2 else (2, 1)
        result = {threads: measure(threads) for threads in order}
        pairs.append((result[1], result[2]))
    added = []
    for name in pairs[0][0]:
        def median(of):
            return statistics.median(of(one[name], two[name]) for one, two in pairs)
        peer = pairs[0][1][name]["peer"]["name"].split()[0]
        ours = median(lambda one, two: two["value"] / one["value"])
        theirs = median(lambda one, two: two["peer"]["value"] / one["peer"]["value"])
        cpu = median(lambda one, two: two["cpu_seconds"] / one["cpu_seconds"])
        rate = median(lambda one, two: two["value"])
        peer_rate = median(lambda one, two: two["peer"]["value"])
        added.append({"name": f"{PREFIX}{name}_threads2.sim", "value": rate, "unit": pairs[0][1][name]["unit"],
                      "peer": {"name": peer, "value": peer_rate}, "ratio": rate / peer_rate})
        added.append({"name": f"{PREFIX}{name}_scaling.sim", "value": ours, "unit": "1",
                      "peer": {"name": peer, "value": theirs}, "ratio": ours / theirs,
                      "note": f"two host threads against one, {PAIRS} pairs; CPU time {cpu:.2f} x"})
        print(f"{PREFIX + name:<28} {ours:>12.2f} x with two threads ({peer}: {theirs:.2f} x), "
              f"{rate:.4g} {pairs[0][1][name]['unit']}; CPU time {cpu:.2f} x")
    print(f"load of the machine meanwhile: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    if len(sys.argv) > 1:
        merge(sys.argv[1], added)


if __name__ == "__main__":
    main()
