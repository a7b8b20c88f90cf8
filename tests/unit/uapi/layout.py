#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kernel/uapi/npu_accel.h: no struct has a hole, 32-bit and 64-bit programs see the same bytes, and no call is left out
of the driver's table or of the table that the tests of arguments are driven by.

The offsets that members have without any padding are written down from the header's text, and the compiler is asked,
as 64-bit and as 32-bit code, whether they are its own.  layout.py ROOT CC prints TAP.
"""

import os
import re
import subprocess
import sys
import tempfile

SIZES = {"char": 1, "__u8": 1, "__s8": 1, "__u16": 2, "__s16": 2, "__u32": 4, "__s32": 4, "__u64": 8, "__s64": 8}
STRUCT = re.compile(r"^struct (\w+) \{\n(.*?)^\};", re.M | re.S)
MEMBER = re.compile(r"^(\w+) (\w+)(?:\[(\w+)\])?;$")
CONSTANT = re.compile(r"^#define (\w+) (0x[0-9a-f]+|\d+)u?$", re.M)
REQUEST = re.compile(r"^#define DRM_IOCTL_NPU_(\w+) DRM_IO(?:W|R|WR)\(DRM_COMMAND_BASE \+ DRM_NPU_(\w+), struct (\w+)\)$",
                     re.M)
NUMBER = re.compile(r"^#define DRM_NPU_(\w+) (0x[0-9a-f]{2})$", re.M)

count = failed = 0


def ok(good, text, *notes):
    global count, failed
    count += 1
    failed += not good
    print(f"{'' if good else 'not '}ok {count} - {text}")
    for note in notes if not good else ():
        print("# " + "\n# ".join(str(note).splitlines()))


def structs(header):
    """Name -> [(member, bytes)]; a member of a type whose size may differ is an error."""
    constants = {name: int(value, 0) for name, value in CONSTANT.findall(header)}
    found = {}
    for name, body in STRUCT.findall(header):
        members = found[name] = []
        for line in body.splitlines():
            match = MEMBER.match(line.strip())
            if not match or match[1] not in SIZES:
                raise ValueError(f"struct {name}: {line.strip()}: not a member of fixed size")
            length = match[3] or "1"
            members.append((match[2], SIZES[match[1]] * (constants[length] if length in constants else int(length, 0))))
    return found


def assertions(header):
    """A C file that compiles only if all members lie one directly after the other."""
    lines = ["#include <stddef.h>", '#include "npu_accel.h"']
    totals = {}
    for name, members in structs(header).items():
        at = 0
        for member, size in members:
            lines.append(f'_Static_assert(offsetof(struct {name}, {member}) == {at}, "{name}.{member}");')
            at += size
        lines.append(f'_Static_assert(sizeof(struct {name}) == {at}, "{name}");')
        totals[name] = at
    for request, _, name in REQUEST.findall(header):
        lines.append(f'_Static_assert(_IOC_SIZE(DRM_IOCTL_NPU_{request}) == {totals[name]}, "{request}");')
    return "\n".join(lines) + "\n"


def compiler_says(cc, header, bits):
    """The compiler's complaint about the header's layout, or an empty text."""
    multiarch = subprocess.run([cc, "-print-multiarch"], capture_output=True, text=True, check=False).stdout.strip()
    with tempfile.TemporaryDirectory() as directory:
        for name, text in (("npu_accel.h", header), ("layout.c", assertions(header))):
            with open(os.path.join(directory, name), "w", encoding="utf-8") as out:
                out.write(text)
        # The kernel's headers are those of both; a 32-bit compiler does not look in the 64-bit one's directory.
        done = subprocess.run([cc, f"-m{bits}", "-ffreestanding", "-fsyntax-only", "-idirafter", f"/usr/include/{multiarch}",
                               "-idirafter", "/usr/include/libdrm", os.path.join(directory, "layout.c")],
                              capture_output=True, text=True, check=False)
    return done.stderr.strip() or f"exit status {done.returncode}" if done.returncode else ""


def knows(cc, bits):
    return subprocess.run([cc, f"-m{bits}", "-fsyntax-only", "-x", "c", "/dev/null"], capture_output=True,
                          check=False).returncode == 0


def planted(header):
    """The header with padding that only one of the compilers adds, or both."""
    bind = "struct drm_npu_vm_bind {\n"
    create = "struct drm_npu_bo_create {\n"
    yield "a hole before a member", header.replace(bind, bind + "\t__u32 planted;\n"), 64
    yield "padding at the end", header.replace("\t__u32 handle;\n};", "\t__u32 handle;\n\t__u32 planted;\n};", 1), 64
    yield "a hole that 32-bit code has, too", header.replace(create, create + "\t__u16 planted;\n"), 32


def test_layout(cc, header):
    members = sum(len(each) for each in structs(header).values())
    for bits in (64, 32):
        if not knows(cc, bits):
            global count
            count += 1
            print(f"ok {count} # skip {cc} has no -m{bits}")
            continue
        complaint = compiler_says(cc, header, bits)
        ok(not complaint, f"as {bits}-bit code {members} members lie one after the other", complaint)
        for what, text, where in planted(header):
            if where == bits:
                ok(text != header and "static assertion" in compiler_says(cc, text, bits), f"... {what} is found")


def names(path, pattern):
    with open(path, encoding="utf-8") as source:
        return re.findall(pattern, source.read(), re.M)


def test_tables(root, header):
    numbers = dict(NUMBER.findall(header))
    requests = {request: number for request, number, _ in REQUEST.findall(header)}
    ok(numbers and len(set(numbers.values())) == len(numbers), f"{len(numbers)} calls have numbers of their own", numbers)
    ok(all(request == number for request, number in requests.items()) and set(requests) == set(numbers),
       "every number has its DRM_IOCTL_NPU_*", set(requests) ^ set(numbers))
    for path, pattern, what in (
            ("kernel/npu_drv.c", r"^\tDRM_IOCTL_DEF_DRV\(NPU_(\w+),", "the driver's table"),
            ("tests/vm/driver/calls.c", r"^    CALL\((\w+),", "the table of the tests")):
        listed = names(os.path.join(root, path), pattern)
        ok(sorted(listed) == sorted(numbers), f"{what} has each of them once",
           f"{path}: differs by {sorted(set(listed) ^ set(numbers))}")


def main():
    root, cc = sys.argv[1:]
    with open(os.path.join(root, "kernel/uapi/npu_accel.h"), encoding="utf-8") as source:
        header = source.read()
    test_layout(cc, header)
    test_tables(root, header)
    print(f"1..{count}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
