#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build-module.sh: the driver for the guest's kernel, built outside the source tree as build/kernel/npu.ko.
set -eu
. "$(dirname "$0")/lib.sh"
build=$NPU_ROOT/build/kernel
headers=$NPU_CACHE/kernel/headers

[ -d "$headers/" ] || die "the guest kernel's headers are missing in $headers" "Run tools/setup/kernel.sh (or: make setup)."
# Objects of one kernel are no use with another one's headers.
release=$(cat "$NPU_CACHE/kernel/release")
[ "$(cat "$build/.release" 2>/dev/null)" = "$release" ] || rm -rf "$build"
mkdir -p "$build"
echo "$release" >"$build/.release"
"$NPU_ROOT/tools/setup/step.sh" "driver" "$NPU_ROOT/build/logs/kernel.log" \
  make -C "$NPU_ROOT/kernel" -j"$(nproc)" KDIR="$headers" OUT="$build" || die "the driver could not be built, see its log"
