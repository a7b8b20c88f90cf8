#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The manuals' tables of what was measured, from the file that `make bench` leaves.

  tables.py [--update] [FILE.json]

A manual has lines `<!-- figures NAME -->` ... `<!-- end -->`; with --update the text between becomes the table of that
NAME, without it all tables are printed.  FILE: build/bench.json.  A table whose rows are not all there is an error."""

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SIZES = (256, 512, 1024, 2048, 4096)
TYPES = ("f32", "bf16", "i8")


def markdown(head, lines):
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in
                     (head, ["---"] * len(head), *lines)) + "\n"


def number(value):
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def matmul(rows):
    """Ours, the fastest library, and ours as a share of it: by the clock, and in CPU time."""
    lines = []
    for size in SIZES:
        line = [size]
        for kind in TYPES:
            row = rows[f"matmul_{kind}_{size}.sim"]
            line += [number(row["value"]), f"{number(row['peer']['value'])} ({row['peer']['name']})",
                     f"{row['ratio']:.2f} / {row['cpu_ratio']:.2f}"]
        lines.append(line)
    units = {kind: rows[f"matmul_{kind}_256.sim"]["unit"] for kind in TYPES}
    head = ["n"]
    for kind in TYPES:
        head += [f"{kind}, {units[kind]}", "library", "share"]
    return markdown(head, lines)


def scaling(rows):
    lines = []
    for kind in TYPES:
        row = rows[f"matmul_{kind}_2048_scaling.sim"]
        lines.append([kind, f"{row['value']:.2f}", f"{row['peer']['value']:.2f} ({row['peer']['name']})"])
    return markdown(["n = 2048", "two host threads against one", "the library"], lines)


def cycle_model(rows):
    lines = [[name.removeprefix("cycle_model_cost_").partition(".")[0].replace("_", " "), f"{row['value']:.1f} %"]
             for name, row in rows.items() if name.startswith("cycle_model_cost_")]
    return markdown(["work", "of the CPU time without the model's arithmetic"], lines)


def hart(rows):
    what = {"integer": "integer: arithmetic in a dependency chain", "fp32": "fp32: multiply-adds, some divisions, exact flags",
            "memory": "memory: a walk through 8 MiB, then sweeps", "branchy": "branchy: heap sort, a small interpreter"}
    lines = [[text, f"{rows[f'hart_{name}.host']['value']:.0f}", f"{rows[f'hart_{name}.host']['peer']['value']:.0f}"]
             for name, text in what.items()]
    return markdown(["program", "npu-hart, MIPS", "qemu-riscv64, MIPS"], lines)


def driver(rows):
    """All that was measured through the kernel driver."""
    lines = []
    for name, row in rows.items():
        if not name.endswith((".drm", ".vm")):
            continue
        peer = f"{row['ratio']:.2f} x {row['peer']['name']} ({number(row['peer']['value'])})" if "peer" in row else ""
        lines.append([f"`{name.rpartition('.')[0]}`", f"{number(row['value'])} {row['unit']}".removesuffix(" 1"), peer,
                      row.get("note", "")])
    if not lines:
        raise KeyError("rows of the VM")
    return markdown(["figure", "median", "peer in the same run", ""], lines)


TABLES = {"matmul": matmul, "scaling": scaling, "cycle-model": cycle_model, "hart": hart, "driver": driver}


def update(path, tables):
    def fresh(match):
        if match[1] not in tables:
            sys.exit(f"tables.py: {path}: there is no table \"{match[1]}\"; there are {', '.join(tables)}")
        return f"<!-- figures {match[1]} -->\n{tables[match[1]]}<!-- end -->"
    text = path.read_text()
    new = re.sub(r"<!-- figures (\S+) -->\n.*?<!-- end -->", fresh, text, flags=re.S)
    if new != text:
        path.write_text(new)
        print(f"tables.py: {path.relative_to(ROOT)} is written anew")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--update", action="store_true")
    parser.add_argument("file", nargs="?", default=ROOT / "build/bench.json", type=Path)
    args = parser.parse_args()
    if not args.file.exists():
        sys.exit(f"tables.py: {args.file} is not there; `make bench` leaves build/bench.json")
    rows = {row["name"]: row for row in json.loads(args.file.read_text())}
    try:
        tables = {name: table(rows) for name, table in TABLES.items()}
    except KeyError as error:
        sys.exit(f"tables.py: {args.file} has no {error.args[0]}; was `make bench` ended early?")
    if args.update:
        for page in sorted((ROOT / "docs").glob("*.md")):
            update(page, tables)
    else:
        for name, table in tables.items():
            print(f"{name}\n\n{table}")


if __name__ == "__main__":
    main()
