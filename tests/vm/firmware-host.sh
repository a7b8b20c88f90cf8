#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes damaged firmware packages and has the driver in the VM refuse each of them.  Prints TAP.
set -eu
bad=build/check/firmware
good=build/host/firmware/npu/control.npufw
rm -rf "$bad"
mkdir -p "$bad"
cp "$good" "$bad/good"
bytes=$(stat -c %s "$good")
head -c $((bytes / 2)) "$good" >"$bad/truncated"
# One bit of the largest section, in the middle of the file.
/usr/bin/python3 - "$good" "$bad/flipped" <<'PY'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[len(data) // 2] ^= 0x10
open(sys.argv[2], "wb").write(data)
PY
cp "$good" "$bad/contract"
fdtput -t x "$bad/contract" / npu,contract 0x7f0000
cp "$good" "$bad/format"
fdtput -t x "$bad/format" / npu,package-version 0x63
printf 'no firmware at all' >"$bad/garbage"
: >"$bad/empty"
exec tools/vm/run --no-load --timeout 240 --exec 'sh tests/vm/firmware-guest.sh /npu/build/check/firmware'
