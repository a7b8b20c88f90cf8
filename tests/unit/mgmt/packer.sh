#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# packer.sh NPU-FWPACK GOOD-PACKAGE
set -eu
pack=$1 good=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() { echo "FAIL: $*" >&2; exit 1; }
refused() { # expected text, then the command
	text=$1; shift
	if "$@" >"$dir/out" 2>&1; then fail "accepted: $*"; fi
	grep -q "$text" "$dir/out" || { cat "$dir/out"; fail "no \"$text\" from: $*"; }
}

"$pack" --show "$good" | grep -q '^verdict   good$' || fail "the good package is not good"
head -c 5000 "$good" >"$dir/short"
refused "not a whole flattened device tree" "$pack" --show "$dir/short"
{ head -c 3000 "$good"; printf 'XXXXXXXX'; tail -c +3009 "$good"; } >"$dir/damaged"
refused "SHA-256 differs" "$pack" --show "$dir/damaged"
refused "cannot be read" "$pack" --show "$dir/none"
refused "not an ELF file" "$pack" --elf "$good" --version 1.0.0 --output "$dir/made"
refused "not a linked RISC-V" "$pack" --elf /proc/self/exe --version 1.0.0 --output "$dir/made"
refused "MAJOR.MINOR.PATCH" "$pack" --elf "$good" --version 1.0 --output "$dir/made"
refused "usage" "$pack"
[ ! -e "$dir/made" ] || fail "a refused package was written"
echo "ok"
