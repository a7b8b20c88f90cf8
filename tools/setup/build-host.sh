#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build-host.sh: everything that CMake builds (model, firmware, operators, libraries, tools, tests), in build/host.
# build/bin, build/lib, build/ops and build/firmware lead there.
set -eu
. "$(dirname "$0")/lib.sh"
build=$NPU_ROOT/build
step=$NPU_ROOT/tools/setup/step.sh

mkdir -p "$build"
for part in bin lib ops firmware; do ln -sfn "host/$part" "$build/$part"; done
if [ ! -f "$build/host/build.ninja" ]; then
  "$step" "configure" "$build/logs/configure.log" cmake -G Ninja -S "$NPU_ROOT" -B "$build/host" ||
    die "the build could not be configured" "A missing package is installed by \"make setup\"."
fi
"$step" "programs and libraries" "$build/logs/host.log" ninja -C "$build/host" || die "the build failed, see its log"
