#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build-module.sh [KERNEL-DIR [OUT]]: the driver for a guest kernel, built outside the source tree.
#
# KERNEL-DIR: laid out as by kernel.sh ($NPU_CACHE/kernel).  OUT: build/kernel, which gets npu.ko.
set -eu
. "$(dirname "$0")/lib.sh"
kernel=${1:-$NPU_CACHE/kernel}
build=${2:-$NPU_ROOT/build/kernel}
headers=$kernel/headers

[ -d "$headers/" ] || die "the guest kernel's headers are missing in $headers" "Run tools/setup/kernel.sh (or: make setup)."
# Objects of one kernel are no use with another one's headers.
kernel=$(realpath "$kernel")
[ "$(cat "$build/.kernel" 2>/dev/null)" = "$kernel" ] || rm -rf "$build"
mkdir -p "$build"
echo "$kernel" >"$build/.kernel"
"$NPU_ROOT/tools/setup/step.sh" "driver" "$NPU_ROOT/build/logs/${build##*/}.log" \
  make -C "$NPU_ROOT/kernel" -j"$(nproc)" KDIR="$headers" OUT="$build" || die "the driver could not be built, see its log"
