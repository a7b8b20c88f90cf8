#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps the reference tables of docs/hardware.md equal to the headers in hal/hw.

The manual has lines `<!-- table FILE NAME... -->` ... `<!-- end -->`.  NAME is a struct, an enum, or the beginning of
macro names.  With --update the text between is written again from the header; without, TAP says whether it is current,
and whether every macro, enumerator and structure of the headers appears somewhere in the manual.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MANUAL = ROOT / "docs/hardware.md"
HEADERS = ROOT / "hal/hw"
SIZES = {"uint8_t": 1, "uint16_t": 2, "uint32_t": 4, "int32_t": 4, "uint64_t": 8, "int64_t": 8}


def clean(comment):
    return re.sub(r"\s+", " ", comment).strip().replace("|", "\\|")


def macros(text):
    """(name, value, comment) of every object-like macro."""
    text = text.replace("\\\n", " ")
    for match in re.finditer(r"^#define[ \t]+(NPU_\w+)[ \t]+([^\n]+)", text, re.M):
        name, rest = match.groups()
        comment = re.search(r"/\*(.*?)\*/", rest)
        value = re.sub(r"/\*.*", "", rest).strip()
        if "/*" in rest and not comment:  # goes on in the next lines
            tail = text[match.start():]
            comment = re.search(r"/\*(.*?)\*/", tail, re.S)
        yield name, value, clean(comment.group(1)) if comment else ""


def body(text, kind, name):
    match = re.search(rf"^{kind} {name} \{{(.*?)^\}}", text, re.S | re.M)
    return match.group(1) if match else None


def split_comments(inner, separator):
    """Declarations with the comment that stands before or behind them on their own lines."""
    pending = ""
    pattern = re.compile(rf"\s*(?:/\*(.*?)\*/|([^{separator}/]+){separator}?[ \t]*(?:/\*(.*?)\*/)?)", re.S)
    position = 0
    while position < len(inner) and inner[position:].strip():
        match = pattern.match(inner, position)
        if not match or match.end() == position:
            raise SystemExit(f"contract.py: cannot parse: {inner[position:position + 60]!r}")
        position = match.end()
        if match.group(2) is None:
            pending = clean(match.group(1))
            continue
        declaration = match.group(2).strip()
        if declaration:
            yield declaration, clean(match.group(3) or "") or pending
        pending = ""


def enumerators(inner):
    value = -1
    for declaration, comment in split_comments(inner, ","):
        name, _, given = declaration.partition("=")
        value = int(given, 0) if given.strip() else value + 1
        yield name.strip(), value, comment


def members(text, inner, offset=0):
    """(offset, type, name, comment); nested unions are shown as one member."""
    inner = re.sub(r"union \{.*?\} (\w+);", r"uint64_t \1[5];", inner, flags=re.S)
    for declaration, comment in split_comments(inner, ";"):
        kind, _, names = declaration.rpartition("\n")[2].partition(" ")
        if kind == "struct":
            tag, _, names = names.partition(" ")
            size, align, kind = struct_size(text, tag), 8, f"struct {tag}"
        else:
            size = align = SIZES[kind]
        for name in names.split(","):
            offset += -offset % align
            yield offset, kind, name.strip(), comment
            offset += size * elements(text, name)


def elements(text, name):
    """How many a declarator such as `data[64]` or `data[NPU_MBOX_DATA]` has."""
    count = re.search(r"\[(\w+)\]", name)
    if not count:
        return 1
    number = count.group(1)
    return int(number if number.isdigit() else dict((n, v) for n, v, _ in macros(text))[number].rstrip("u"))


def struct_size(text, tag):
    end = 0
    for offset, kind, name, _ in members(text, body(text, "struct", tag)):
        size = struct_size(text, kind[7:]) if kind.startswith("struct") else SIZES[kind]
        end = offset + size * elements(text, name)
    asserted = re.search(rf"sizeof\(struct {tag}\) == (\w+)", text)
    if asserted and asserted.group(1).isdigit() and int(asserted.group(1)) != end:
        raise SystemExit(f"contract.py: struct {tag} is {asserted.group(1)} bytes, not {end}: its members are misread")
    return end


def table(text, name):
    rows = []
    inner = body(text, "struct", name)
    if inner is not None:
        rows = [f"`struct {name}`, {struct_size(text, name)} bytes", "", "| offset | type | member | meaning |", "|---|---|---|---|"]
        rows += [f"| 0x{o:02x} | {k} | `{n}` | {c} |" for o, k, n, c in members(text, inner)]
        return rows
    inner = body(text, "enum", name)
    if inner is not None:
        rows = [f"`enum {name}`", "", "| name | value | meaning |", "|---|---|---|"]
        return rows + [f"| `{n}` | {v} | {c} |" for n, v, c in enumerators(inner)]
    found = [(n, v, c) for n, v, c in macros(text) if n.startswith(name)]
    if not found:
        raise SystemExit(f"contract.py: no struct, enum or macro {name}")
    return ["| name | value | meaning |", "|---|---|---|"] + [f"| `{n}` | {v.replace('|', chr(92) + '|')} | {c} |" for n, v, c in found]


def render(manual):
    def fill(match):
        file, *names = match.group(1).split()
        text = (HEADERS / file).read_text()
        blocks = ["\n".join(table(text, name)) for name in names]
        return f"<!-- table {match.group(1)} -->\n" + "\n\n".join(blocks) + "\n<!-- end -->"

    return re.sub(r"<!-- table ([^>]+?) -->\n.*?<!-- end -->", fill, manual, flags=re.S)


def missing(manual):
    for header in sorted(HEADERS.glob("*.h")):
        text = header.read_text()
        names = [n for n, _, _ in macros(text) if not n.startswith("NPU_HW_") and not n.endswith("_H")]
        names += re.findall(r"^struct (\w+) \{", text, re.M)
        for tag in re.findall(r"^enum (\w+) \{", text, re.M):
            names += [n for n, _, _ in enumerators(body(text, "enum", tag))]
        for name in names:
            if not re.search(rf"\b{name}\b", manual):
                yield header.name, name


def main():
    manual = MANUAL.read_text()
    if sys.argv[1:] == ["--update"]:
        MANUAL.write_text(render(manual))
        return 0
    print("TAP version 13\n1..2")
    current = render(manual) == manual
    print(("ok" if current else "not ok") + " 1 - tables of docs/hardware.md equal the headers")
    absent = list(missing(manual))
    for header, name in absent:
        print(f"# not in the manual: {name} ({header})")
    print(("ok" if not absent else "not ok") + " 2 - every name of the contract is in docs/hardware.md")
    return 0 if current and not absent else 1


if __name__ == "__main__":
    sys.exit(main())
