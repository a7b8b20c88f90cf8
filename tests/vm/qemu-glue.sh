#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tests of the QEMU glue with a model that does what the test says (tests/vm/glue).  Needs QEMU, no guest.  Prints TAP.
set -eu
. "$(dirname "$0")/../../tools/setup/lib.sh"
out=$NPU_ROOT/build/check/glue
qemu=${NPU_QEMU:-$NPU_CACHE/qemu/qemu-system-x86_64}
[ -x "$qemu" ] || die "there is no QEMU with the device: $qemu" "Run \"make setup\"."
mkdir -p "$out"
compile() {
  cc -shared -fPIC -O1 -Wall -Wextra -I"$NPU_ROOT/qemu-device/model/include" "$NPU_ROOT/tests/vm/glue/test_model.c" \
    -lpthread "$@"
}
compile -o "$out/libtest-model.so"
compile -DWRONG_ABI -o "$out/libwrong-model.so"
exec /usr/bin/python3 "$NPU_ROOT/tests/vm/glue/test_glue.py" "$qemu" "$out/libtest-model.so" "$out/libwrong-model.so" "$out"
