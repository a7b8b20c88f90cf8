#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Random traffic at the PCI function with the real model behind it (tests/vm/glue/fuzz.py).  Needs QEMU, no guest.
# Prints TAP.  FUZZ_SECONDS: how long (default: three seeds of 20,000 operations); FUZZ_SEED: the first seed (1).
set -u
. "$(dirname "$0")/../../tools/setup/lib.sh"
seed=${FUZZ_SEED:-1}
fuzz() {
  timeout $((${FUZZ_SECONDS:-0} + 300)) /usr/bin/python3 -B "$NPU_ROOT/tests/vm/glue/fuzz.py" \
    "${NPU_QEMU:-$NPU_CACHE/qemu/qemu-system-x86_64}" "$NPU_ROOT/build/host/lib/libnpu-model.so" \
    "$NPU_ROOT/build/host/firmware/npu/control.npufw" "$NPU_ROOT/build/check/glue" "$@"
}
number=0
try() {
  number=$((number + 1))
  if out=$(fuzz "$@" 2>&1); then echo "ok $number - $* : $out"; else
    echo "not ok $number - $*"
    sed 's/^/# /' <<<"$out" | tail -n 40
  fi
}
if [ "${FUZZ_SECONDS:-0}" != 0 ]; then
  try --seed "$seed" --seconds "$FUZZ_SECONDS"
else
  for i in 0 1 2; do try --seed $((seed + i)); done
fi
echo "1..$number"
