#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""scaling.py FILE: adds to the benchmark results how much faster two threads are than one, for the device model and for
the library that it is compared with."""
import json
import re
import sys

path = sys.argv[1]
with open(path) as f:
    rows = {row["name"]: row for row in json.load(f)}
found = 0
for name, two in list(rows.items()):
    match = re.fullmatch(r"(matmul_\w+)_threads2(\.\w+)", name)
    one = rows.get(match[1] + match[2]) if match else None
    if not one:
        continue
    found += 1
    ours = two["value"] / one["value"]
    theirs = two["peer"]["value"] / one["peer"]["value"]
    print(f"{match[1]:28} {ours:.2f} x with two threads ({two['peer']['name']}: {theirs:.2f} x)")
    key = match[1] + "_scaling" + match[2]
    rows[key] = {"name": key, "value": ours, "unit": "1", "peer": {"name": two["peer"]["name"], "value": theirs},
                 "ratio": ours / theirs, "note": "two host threads against one"}
if not found:
    sys.exit("no matmul rows with one and with two threads in " + path)
with open(path, "w") as f:
    json.dump(list(rows.values()), f, indent=2)
    f.write("\n")
