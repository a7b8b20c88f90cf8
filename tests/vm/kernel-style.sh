#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The driver builds without a warning under W=1 and sparse, and, where the machine has checkpatch.pl (package
# linux-source-6.12, or CHECKPATCH=), passes checkpatch --strict.  Prints TAP.
set -u
cache=${NPU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/npu-stack}
out=build/check/kernel-style
number=0
result() { # status, text
	number=$((number + 1))
	[ "$1" = 0 ] && echo "ok $number - $2" || echo "not ok $number - $2"
}
rm -rf "$out"
mkdir -p "$out"
make -C kernel check KDIR="$cache/kernel/headers" OUT="$PWD/$out" >"$out/log" 2>&1
result $? "the driver builds with W=1 and sparse"
grep -i 'warning:\|error:' "$out/log" | sed 's/^/# /'
! grep -qi 'warning:\|error:' "$out/log"
result $? "... without a warning"
checkpatch=${CHECKPATCH:-}
[ -n "$checkpatch" ] || for file in "$cache"/debug-kernel*/source/scripts/checkpatch.pl; do
	[ ! -f "$file" ] || checkpatch=$file
done
if [ -n "$checkpatch" ]; then
	make -s -C kernel checkpatch CHECKPATCH="$checkpatch" >"$out/checkpatch" 2>&1
	result $? "checkpatch --strict"
	sed 's/^/# /' "$out/checkpatch"
else
	number=$((number + 1))
	echo "ok $number - checkpatch --strict # SKIP no checkpatch.pl here: make check-debug fetches it, or set CHECKPATCH"
fi
echo "1..$number"
