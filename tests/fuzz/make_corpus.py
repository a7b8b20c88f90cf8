#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the seeds of the fuzz targets: valid inputs, as small as they can be.

  make_corpus.py            writes tests/fuzz/corpus/<target>/seed-*

The other files of the corpus were found by the targets themselves (the smallest that reach new code), or are inputs
that once broke something (regress-*).
"""

import hashlib
import os
import struct
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


class Tree:
    """A flattened device tree, version 17."""

    def __init__(self):
        self.structure = b""
        self.strings = b""

    def begin(self, name):
        self.structure += struct.pack(">I", 1) + self.padded(name.encode() + b"\0")

    def end(self):
        self.structure += struct.pack(">I", 2)

    def property(self, name, value):
        text = name.encode() + b"\0"
        at = self.strings.find(text)
        if at < 0:
            at = len(self.strings)
            self.strings += text
        self.structure += struct.pack(">III", 3, len(value), at) + self.padded(value)

    def finish(self):
        structure = self.structure + struct.pack(">I", 9)
        reserved = 40
        at = reserved + 16
        total = at + len(structure) + len(self.strings)
        header = struct.pack(">10I", 0xD00DFEED, total, at, at + len(structure), reserved, 17, 16, 0,
                             len(self.strings), len(structure))
        return header + bytes(16) + structure + self.strings

    @staticmethod
    def padded(value):
        return value + bytes(-len(value) % 4)


def firmware_package():
    """One section: a hart that sleeps for ever."""
    load, memsize, build = 0x80000000, 64, b"seed"
    data = struct.pack("<II", 0x10500073, 0xFFDFF06F)  # wfi; j -4
    digest = hashlib.sha256(data).digest()
    contract, version = struct.pack(">I", 1 << 16), struct.pack(">III", 1, 0, 0)
    entry = struct.pack(">Q", load)
    where = struct.pack(">QI", load, memsize)
    tree = Tree()
    tree.begin("")
    tree.property("compatible", b"npu,firmware\0")
    tree.property("npu,package-version", struct.pack(">I", 1))
    tree.property("npu,contract", contract)
    tree.property("npu,version", version)
    tree.property("npu,build", build + b"\0")
    tree.property("npu,entry", entry)
    tree.property("npu,sha256", hashlib.sha256(digest + where + contract + version + entry + build).digest())
    tree.begin("sections")
    tree.begin("text")
    tree.property("npu,load", where[:8])
    tree.property("npu,memsize", where[8:])
    tree.property("data", data)
    tree.property("npu,sha256", digest)
    tree.end()
    tree.end()
    tree.end()
    return tree.finish()


def hardware_tree():
    word, double = lambda n: struct.pack(">I", n), lambda n: struct.pack(">Q", n)
    tree = Tree()
    tree.begin("")
    tree.property("compatible", b"npu,npu1\0")
    tree.property("model", b"NPU-1 virtual\0")
    tree.begin("memory")
    tree.property("npu,bytes", double(1 << 28))
    tree.end()
    tree.begin("queues")
    tree.property("npu,queues", word(1024))
    tree.property("npu,slots", word(16))
    tree.end()
    tree.begin("cores")
    tree.property("npu,count", word(4))
    tree.property("npu,sram-bytes", word(1 << 20))
    tree.property("npu,clock-hz", double(10**9))
    tree.begin("matrix")
    for kind, macs in ("f32", 256), ("f16", 1024), ("i8", 2048):
        tree.property(f"npu,{kind}-macs-per-cycle", word(macs))
    tree.end()
    tree.begin("dma")
    tree.property("npu,bytes-per-cycle", word(64))
    tree.end()
    tree.end()
    tree.begin("timing")
    tree.property("npu,memory-bytes-per-cycle", word(128))
    tree.end()
    tree.end()
    return tree.finish()


KERNEL = r"""
extern "C" { int table[2] = {1, 2}; int* where = &table[1]; }
extern "C" void kernel(int* args) { args[0] = *where; }
"""


def kernel_file(*options):
    with tempfile.TemporaryDirectory() as folder:
        source, out = os.path.join(folder, "kernel.cc"), os.path.join(folder, "kernel.elf")
        with open(source, "w", encoding="ascii") as text:
            text.write(KERNEL)
        subprocess.run(["riscv64-unknown-elf-g++", "-march=rv64imafc_zicsr_zifencei", "-mabi=lp64f", "-mcmodel=medany",
                        "-O2", "-mno-relax", "-ffreestanding", "-fno-exceptions", "-fno-rtti", "-nostdlib", *options,
                        f"-fdebug-prefix-map={folder}=.", "-fno-asynchronous-unwind-tables",
                        "-Wl,--emit-relocs,--no-relax,-Ttext-segment=0,-e,kernel,--build-id=none",
                        "-Wl,-z,max-page-size=4096", "kernel.cc", "-o", out], check=True, cwd=folder)
        with open(out, "rb") as image:
            return image.read()


def weights():
    """All tensors lie at the same place; the target fills up with zeros."""
    shapes = [("input", 2), ("conv1.w", 144), ("conv1.b", 16), ("conv2.w", 4608), ("conv2.b", 32), ("fc1.w", 200704),
              ("fc1.b", 128), ("fc2.w", 1280), ("fc2.b", 10)]
    start = 16 + 64 * len(shapes)
    out = struct.pack("<4sIII", b"NPUW", 1, len(shapes), 0)
    for index, (name, count) in enumerate(shapes):
        half = index % 2
        out += struct.pack("<24s5IQQI", name.encode(), half, count, 1, 1, 1, start, count * (2 if half else 4), 0)
    return out + bytes(range(64))


SRAM, DATA, HOST = 5, 0, 1  # kinds of pointers in fuzz_pipes.cc


def pointer(kind, offset):
    return struct.pack("<BH", kind, offset)


def stride(n):
    return struct.pack("<Bh", 200, n)


def dma(pipe_in, to, source, counts, strides=(0, 0, 0, 0, 0, 0), padding=b""):
    kind = 2 if padding else 0
    return (bytes([8 if pipe_in else 0, kind]) + pointer(*to) + pointer(*source) + bytes(counts) +
            b"".join(stride(n) for n in strides) + padding + bytes(4))


def matrix(integers, m, n, k, flags):
    size = 1 if integers else 4
    return (bytes([2, integers]) + pointer(SRAM, 0x4000) + pointer(SRAM, 0) + pointer(SRAM, 0x1000) +
            pointer(SRAM, 0x2000) + bytes([m, n, k]) +
            stride(n * 4) + stride((m if flags & 2 else k) * size) + stride((k if flags & 4 else n) * size) +
            bytes([flags]))


def vector(operation, types, flags, rows, cols, pitches):
    return (bytes([3, types, operation, flags]) + pointer(SRAM, 0x4000) + pointer(SRAM, 0) + pointer(SRAM, 0x400) +
            pointer(SRAM, 0x800) + bytes([rows, cols]) + b"".join(stride(n) for n in pitches) +
            struct.pack("<II", 0x3F800000, 3))


def convert(to, source, way, rows, cols):
    """way: rounding, 8: saturate, 16: one element a row."""
    return vector(64, 0, 0, rows, cols, (160, 160, 0, 0)) + bytes([to, source, way])


def order(operation, types, rows, cols, count, way=0):
    """SORT (56) and TOPK (57), way 1: descending, 2: with indices; GATHER (68) and what follows it."""
    body = vector(operation, 0, 0, rows, cols, (200, 160, 160, 0))
    if operation < 60:
        body += bytes([types, way]) + (pointer(SRAM, 0x6000) + stride(160) if way & 2 else b"")
    return body + (bytes([count]) if operation != 56 else b"")


def flag(kind, source, to, number=0):
    return bytes([5 | (8 if kind == "set" else 0), source + 5 * to + 25 * number])


def pipes():
    """Name -> program for fuzz_pipes.cc, behind 512 bytes of SRAM."""
    start = bytes([32]) + b"".join(struct.pack("<f", (i * 37 % 64 - 20) / 8) for i in range(128))
    load = dma(1, (SRAM, 0), (DATA, 0), (32, 8, 0, 0), (64, 0, 0, 32, 0, 0))
    store = dma(0, (DATA, 0x1000), (SRAM, 0x4000), (32, 4, 2, 0), (256, 1024, 0, 64, 256, 0))
    yield "dma", start + load + store + dma(1, (SRAM, 0x1000), (SRAM, 0), (32, 4, 0, 0), (32, 0, 0, 0, 0, 0))
    yield "dma-host", start + dma(1, (SRAM, 0), (HOST, 8), (64, 4, 0, 0), (64, 0, 0, 100, 0, 0)) + \
        dma(0, (HOST, 64), (SRAM, 0), (17, 3, 0, 0), (32, 0, 0, 32, 0, 0))
    yield "dma-pad", start + dma(1, (SRAM, 0x4000), (DATA, 0), (32, 8, 1, 1), (32, 0, 0, 16, 0, 0),
                                 bytes([8, 1, 0, 0, 16, 6, 1, 1]))
    for end in range(4):  # up to an end, and over it
        for count in (8, 9, 16):
            at = (6, end << 8 | 8)
            yield f"end-{end}-{count}-in", start + dma(1, (SRAM, 0) if end % 2 else at, at, (count, 0, 0, 0))
            yield f"end-{end}-{count}-out", start + dma(0, at, (SRAM, 0) if end % 2 else at, (count, 0, 0, 0))
        yield f"end-{end}-to", start + dma(1, (6, end << 8 | 8), (DATA, 0), (12, 0, 0, 0))
        yield f"end-{end}-from", start + dma(0, (DATA, 0), (6, end << 8 | 8), (12, 0, 0, 0))
    for flags in (0, 1, 2, 4, 8, 16, 31):
        yield f"matrix-f32-{flags}", start + matrix(0, 17, 33, 9, flags)
        yield f"matrix-i8-{flags}", start + matrix(1, 17, 33, 9, flags)
    for operation in [*range(1, 13), *range(16, 26), *range(32, 36), *range(48, 52), *range(64, 68)]:
        types = 0x40 | 4 if operation == 64 else 0x41 if operation == 51 else 0
        pitch = 4 if 48 <= operation < 52 else 32 if operation == 65 else 160
        yield f"vector-{operation}", start + vector(operation, types, 0, 5, 37, (pitch, 160, 160, 160))
    yield "vector-i32-all", start + b"".join(
        vector(n, 1, 0, 3, 20, (4 if n >= 48 else 80, 80, 80, 80)) for n in [*range(1, 13), *range(32, 36), 48, 49, 50])
    yield "vector-i32", start + b"".join(vector(n, 1, 0x11, 3, 20, (80, 80, 80, 80)) for n in (2, 4, 6, 12, 34))
    for to in range(12):
        yield f"convert-to-{to}", start + b"".join(
            convert(to, source, (source + to) % 6 | (8 if to < 6 else 0), 3, 20) for source in range(12))
    yield "sort", start + b"".join(order(56, types, 2, 30, 0, types % 4) for types in range(12))
    yield "topk", start + b"".join(order(57, types, 2, 30, 7, types % 4) for types in range(12))
    # 0x400 holds floats: an index of 0 comes from the zeros behind them.
    zeros = dma(1, (SRAM, 0x400), (SRAM, 0x3000), (128, 5, 0, 0), (160, 0, 0, 128, 0, 0))
    for operation in (68, 69, 70, 71):
        yield f"order-{operation}", start + zeros + order(operation, 0, 3, 20, 30) + order(operation, 0, 3, 20, 19)
    for operation in (36, 37, 38, 52, 53, 54):
        yield f"vector-{operation}", start + vector(operation, 0, 0, 5, 37, (160, 160, 160, 160)) + \
            vector(operation, 2, 0, 5, 37, (160, 160, 160, 160)) + vector(operation, 1, 0, 5, 37, (160, 160, 160, 160))
    def away(block, offset):
        """A pointer to the SRAM of another block; see pointer()."""
        return struct.pack("<BHB", 0x43, offset, block)
    for block in range(3):
        yield f"peer-{block}", start + \
            bytes([8, 0]) + pointer(SRAM, 0x1000) + away(block, 64) + bytes((32, 4, 0, 0)) + \
            b"".join(stride(n) for n in (32, 0, 0, 40, 0, 0)) + bytes(4) + \
            bytes([0, 0]) + away(block, 0) + pointer(SRAM, 0) + bytes((64, 2, 0, 0)) + \
            b"".join(stride(n) for n in (64, 0, 0, 64, 0, 0)) + bytes(4)
    for to in range(12):  # kind 64: any operation, here 3
        yield f"dma-convert-{to}", start + b"".join(
            bytes([8, 64, 3]) + pointer(SRAM, 0x4001) + pointer(DATA, 3) + bytes((24, 3, 0, 0)) +
            b"".join(stride(n) for n in (100, 0, 0, 101, 0, 0)) + bytes((to, source, (to + source) % 6, to < 6))
            for source in range(12))
    yield "flags", start + load + flag("set", 3, 1) + flag("wait", 3, 1) + matrix(0, 8, 8, 8, 0) + \
        flag("set", 1, 4) + flag("wait", 1, 4) + store + flag("set", 4, 0) + flag("wait", 4, 0) + bytes([6, 31])
    yield "deadlock", start + flag("wait", 3, 1) + matrix(0, 8, 8, 8, 0) + bytes([6, 31])
    yield "local", start + bytes([7]) + pointer(SRAM, 256) + bytes([39, 3]) + bytes([7]) + pointer(SRAM, 512) + \
        bytes([39, 1]) + dma(1, (2, 0), (DATA, 0), (39, 1, 0, 0)) + bytes([15]) + pointer(2, 0) + bytes([0, 0])


def core():
    """Name -> input of fuzz_core.cc: blocks, data, code."""
    def program(*words):
        return bytes([1, 2]) + struct.pack("<8I", *range(8)) + struct.pack(f"<{len(words)}I", *words)

    amo = lambda funct5, funct3, rd, rs2: funct5 << 27 | rs2 << 20 | 10 << 15 | funct3 << 12 | rd << 7 | 0x2F
    csr = lambda number, rd: number << 20 | 2 << 12 | rd << 7 | 0x73
    ret = 0x00008067
    for width in (2, 3):
        yield f"amo-{width}", program(*(amo(n, width, 11, 12) for n in (0, 1, 4, 8, 12, 16, 20, 24, 28)),
                                      amo(2, width, 13, 0), amo(3, width, 14, 12), ret)
    yield "csr", program(*(csr(n, 11) for n in [*range(0xCC0, 0xCCD), 0xC00, 0xC01, 0xC02, 1, 2, 3]), ret)
    yield "memory", program(0x00053583, 0x00B53423, 0x00052587, 0x00B52827, 0x00A505B3, 0xFEB13C23, 0xFF813603, ret)
    # loads, stores and an exchange around the pointers in s2 .. s9
    yield "ends", program(*((0 << 20 | (18 + n) << 15 | 3 << 12 | 11 << 7 | 0x03) for n in range(8)),
                          *((11 << 20 | (18 + n) << 15 | 3 << 12 | 0x23) for n in range(4)), amo(0, 3, 11, 12), ret)
    yield "stack-end", program(8 << 20 | 21 << 15 | 3 << 12 | 11 << 7 | 0x03)
    yield "sram-end", program(11 << 20 | 20 << 15 | 3 << 12 | 8 << 7 | 0x23)
    yield "traps", program(0x00100073)
    yield "ecall", program(0x00000073)
    yield "wild", program(0x00003583)


def device():
    """Name -> actions for fuzz_device.cc."""
    def submit(queue, *packets):
        return bytes([0, queue, len(packets) - 1]) + b"".join(packets)

    def vram(offset):
        return struct.pack("<BH", 0, offset)

    def host(offset):
        return struct.pack("<BH", 3, offset)

    def code(*words):
        words = list(words) + [0] * (len(words) % 2)
        return bytes([215, 0, len(words) // 2 - 1]) + struct.pack(f"<{len(words)}I", *words)

    signal = bytes([6 + 130]) + host(64) + bytes([1, 5])
    launch = bytes([2]) + vram(0) + vram(0x100) + bytes([1, 2] + [1, 0, 1, 0] + [1])
    copy = bytes([3]) + vram(0x400) + host(0x400) + bytes([64, 3, 128, 96])
    fill = bytes([4]) + host(0x800) + bytes([1, 3]) + bytes([16, 7])
    wait = bytes([5]) + host(64) + bytes([5, 0])
    stamp, counters = bytes([7]) + vram(0x900), bytes([8]) + vram(0xa00)
    indirect = bytes([9]) + vram(0x1000) + bytes([1, 2])
    moment = bytes([239, 2, 0])
    yield "packets", submit(0, signal, copy, fill, stamp) + submit(1, wait, counters, bytes([1])) + moment
    yield "launch", code(0x00053603, 0x00008067) + submit(2, launch, signal) + moment
    yield "barrier", code(0x0200300b, 0x00008067) + submit(2, launch) + submit(3, launch) + moment
    yield "spin", code(0x0000006f) + submit(2, launch) + moment + bytes([100, 66, 3]) + moment + bytes([100, 2])
    yield "indirect", submit(0, indirect) + submit(1, bytes([0])) + moment + bytes([100, 4, 101, 1, 5])
    yield "reset", submit(0, copy, copy) + bytes([242]) + submit(0, signal) + bytes([240]) + bytes([241]) + moment
    yield "life", submit(0, wait) + moment + bytes([100, 2]) + bytes([200, 1]) + bytes([201, 1, 1]) + moment
    yield "tables", submit(0, copy) + bytes([150, 0xe1, 0, 2, 0, 0x2f, 1]) + submit(0, copy) + moment


def firmware():
    """Name -> actions for fuzz_firmware.cc."""
    make = lambda queue: bytes([0, queue])
    command = lambda op, queue, *args: bytes([90 + op, queue, 1, *args, *bytes(3 - len(args))])
    packet = lambda kind, queue: bytes([150 + kind, queue, 8, 16, 64, 0, 0, 0, 0, 1])
    yield "queues", b"".join(make(n) + packet(6, n) for n in range(8)) + command(13, 0)
    yield "fault", make(0) + packet(0, 0) + packet(6, 0) + command(6, 0, 0) + command(12, 0) + command(5, 0) + \
        command(3, 1)
    yield "others", b"".join(command(op, 0, 1) for op in range(15))
    yield "descriptors", make(1) + bytes([201, 1, 16, 3]) + make(1) + bytes([200, 1, 34, 179]) + make(2)


def management():
    """Name -> input of fuzz_management.cc: 12 acts of a host, then code."""
    def program(host, *words):
        return bytes(host) + bytes(12 - len(host)) + struct.pack(f"<{len(words)}I", *words)

    def load(rd, base, offset, width):
        return offset << 20 | base << 15 | width << 12 | rd << 7 | 0x03

    def store(base, source, offset, width):
        return (offset >> 5) << 25 | source << 20 | base << 15 | width << 12 | (offset & 31) << 7 | 0x23

    def put(rd, value):
        return value << 20 | rd << 7 | 0x13

    csr = lambda number, rs1, way=1, rd=0: number << 20 | rs1 << 15 | way << 12 | rd << 7 | 0x73
    registers, sram, memory, slots, nvram = 8, 9, 18, 19, 20
    wfi, mret, fence_i = 0x10500073, 0x30200073, 0x0000100F
    yield "context", program([2, 0x44], put(10, 1), store(registers, 10, 0x80, 2), load(11, registers, 0x88, 2),
                             store(registers, 10, 0x84, 2))
    yield "slot", program([0x44, 2], put(10, 1), store(registers, 10, 0x80, 2), store(registers, 0, 0x94, 2),
                          store(registers, 0, 0xA4, 2), store(slots, 0, 0, 2), store(slots, 0, 0x10, 3),
                          store(slots, 10, 4, 2), load(11, slots, 0xC, 2), load(11, registers, 0x90, 2),
                          load(11, registers, 0xB0, 2), put(10, 2), store(slots, 10, 4, 2), load(12, slots, 8, 2))
    yield "slot-registers", program([], *(load(10, slots, n, 2 + (0x10 <= n < 0x30)) for n in range(0, 0x44, 4)))
    yield "registers", program([1, 9], *(load(10, registers, n, 2) for n in range(0, 0x100, 4)),
                               *(load(10, registers, n, 3) for n in range(0, 0x100, 8)))
    yield "sensors", program([], *(load(10, registers, n, 2) for n in range(0x200, 0x280, 4)),
                             *(load(10, registers, n, 3) for n in range(0x200, 0x248, 8)),
                             *(store(registers, 10, n, 2) for n in range(0x260, 0x27C, 4)))
    yield "nvram", program([], put(10, 77), store(nvram, 10, 0, 3), load(11, nvram, 0, 3), store(nvram, 10, 0x7F8, 2))
    yield "console", program([], *(word for c in b"Hi\n\0" for word in (put(10, c), store(registers, 10, 0x24, 2))))
    yield "timer", program([], load(10, registers, 8, 3), store(registers, 10, 0x10, 3), put(11, 0x80),
                           csr(0x304, 11), csr(0x300, 8, 6), wfi)
    yield "interrupt", program([1, 1], put(10, 31), store(registers, 10, 4, 2), put(11, 0x7FF), 11 << 20 | 11 << 15 | 11 << 7 | 0x33,
                               csr(0x304, 11), csr(0x300, 8, 6), wfi,
                               load(12, registers, 0, 2), store(registers, 12, 0, 2))
    yield "memory", program([], load(10, memory, 0, 3), store(memory, 10, 0x100, 3), load(10, 22, 0, 3),
                            load(11, 21, 0, 3), store(memory, 10, 1, 0))
    for width in (2, 3):
        yield f"amo-{width}", program([], *(n << 27 | 12 << 20 | base << 15 | width << 12 | 11 << 7 | 0x2F
                                            for n in (0, 1, 2, 3, 4, 8, 12, 16, 20, 24, 28) if n != 2
                                            for base in (sram, memory)))
    yield "rewrites", program([], put(10, 0x13), store(sram, 10, 0x60, 2), fence_i, store(sram, 0, 0x64, 2), fence_i)
    yield "handler", program([], csr(0x305, 0), load(10, 0, 0, 3))
    yield "traps", program([], 0x00000073, 0x00100073, 0, 0xFFFFFFFF, mret)
    yield "csrs", program([], *(csr(n, 0, 2, 10) for n in (0x300, 0x301, 0x304, 0x305, 0x340, 0x341, 0x342, 0x343, 0x344,
                                                         0xB00, 0xB02, 0xC00, 0xC01, 0xC02, 0xF14)))
    yield "cores", program([], put(10, 15), store(registers, 10, 0xC0, 3), load(11, registers, 0xC8, 3),
                           store(registers, 10, 0x238, 3), store(registers, 10, 0x240, 2))
    yield "host", program([0x3B, 7, 5, 0x0E, 6, 0x43, 0x83, 0xC3], load(10, registers, 0, 2))


def tables():
    """Name -> input of fuzz_tables.cc: page-table entries, bounds entries, descriptor, accesses."""
    def session(entries=b"", bounds=b"", desc=bytes([0]), accesses=b""):
        return bytes([entries.count(b"|")]) + entries.replace(b"|", b"") + bytes([len(bounds) // 7]) + bounds + desc + accesses

    pointer = lambda number, page, offset=0: bytes([number, 16 + page, offset])
    size = lambda n: bytes([n]) if n < 160 else bytes([200]) + struct.pack("<H", n)
    word = lambda n: struct.pack("<Q", n)
    small, across = pointer(2, 0, 8), pointer(2, 1, 250)
    yield "check", session(accesses=b"".join(bytes([way * 8]) + where + size(n) for way in range(4)
                                             for where in (small, across) for n in (8, 4096, 5000)))
    yield "move", session(accesses=bytes([3]) + across + size(5000) + bytes([7] * 17) + bytes([2]) + across + size(5000))
    yield "fill", session(accesses=b"".join(bytes([4]) + across + word(0x0102030405060708) + bytes([n]) + size(5000)
                                            for n in range(4)))
    yield "copy", session(accesses=bytes([5]) + across + small + size(700) + bytes([3]) + struct.pack("<HH", 1000, 900))
    yield "words", session(accesses=bytes([15]) + small + bytes([1]) + word(5) + bytes([7]) + small + bytes([1]) + word(0) +
                           bytes([14]) + small + bytes([1]) + word(9) + bytes([0]) + word(5) +
                           bytes([6]) + small + bytes([1]) + word(9) + bytes([1]))
    host = pointer(1, 8, 16)
    yield "host", session(accesses=bytes([3]) + host + size(100) + bytes(17) + bytes([2]) + host + size(5000) +
                          bytes([15]) + host + bytes([1]) + word(5))
    yield "generation", session(accesses=bytes([0, 210, 16, 0, 2, 3, 8]) + bytes([0, 0, 16, 0, 8]) + bytes([0, 255, 16, 0, 8]))
    yield "big", session(accesses=bytes([3, 3, 201, 0x10, 0x27]) + size(3000) + bytes(17))
    yield "own-table", session(accesses=bytes([15, 3, 200, 0, 0x50, 1]) + word(0x10003) + bytes([0]) + small + size(8))
    yield "end-of-space", session(accesses=bytes([0, 3, 231]) + struct.pack("<H", 8) + size(100))
    yield "bad-root", session(desc=bytes([225]) + struct.pack("<H", 8192), accesses=bytes([0]) + small + size(8))
    yield "bad-bounds", session(desc=bytes([226]) + struct.pack("<H", 64), accesses=bytes([0]) + small + size(8))


def dump():
    """Name -> a device core dump (npu_dump.h)."""
    def section(kind, body):
        return struct.pack("<IIQ", kind, 0, len(body)) + body + bytes(-len(body) % 8)

    packet = struct.pack("<BBHI", 2, 1, 0, 0xABC) + bytes(56)
    parts = [("state", section(1, b"reason: hang\nfw_state: ready\nno colon\n")),
             ("registers", section(2, b"".join(struct.pack("<II", offset, 7) for offset in (0, 0x100, 0x2000, 0x4000)))),
             ("queues", section(3, struct.pack("<8I3Q", 3, 2, 77, 1, 19, 2, 4, 0, 9, 11, 0))),
             ("ring", section(4, struct.pack("<IIQ", 3, 2, 9) + packet * 2)),
             ("fault", section(5, bytes(range(256)))),
             ("log", section(6, b"queue 3 \x1b[31mkilled\n")),
             ("walk", section(7, struct.pack("<QII3Q", 0x20000000, 2, 3, 0x1001, 0x2001, 0x303F))),
             ("buffers", section(8, struct.pack("<QQII", 4096, 0x1000, 1, 0) + b"n\xff" * 16)),
             ("unknown", section(99, b"later"))]

    def whole(body, flags=0):
        return struct.pack("<QQIIQ", 0x31504D554455504E, 32 + len(body), 3, flags, 1) + body

    for name, body in parts:
        yield name, whole(body)
    everything = b"".join(body for _, body in parts)
    yield "whole", whole(everything)
    yield "cut", whole(everything, 1)[:-30]
    yield "not-ours", b"\x7fELF" + bytes(40)


def write(target, name, data):
    folder = os.path.join(HERE, "corpus", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as out:
        out.write(data)


def main():
    package = firmware_package()
    write("package", "seed-sealed", b"\1" + package)
    write("package", "seed-plain", b"\0" + package)
    write("hardware-tree", "seed-tree", hardware_tree())
    write("kernel-file", "seed-kernel", kernel_file())
    write("source-lines", "seed-kernel", kernel_file("-g1"))
    many = {"pipes": pipes, "core": core, "device": device, "firmware": firmware, "management": management,
            "tables": tables, "dump": dump}
    for target, inputs in many.items():
        for name, data in inputs():
            write(target, "seed-" + name, data)
    write("weights", "seed-weights", b"\1" + weights())


if __name__ == "__main__":
    main()
