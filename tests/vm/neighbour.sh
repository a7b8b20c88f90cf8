#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Errors of the bus while another function of the NPU's slot asks for a reset (tests/vm/neighbour): the slot counts as reset,
# though nothing was.  Prints TAP.  NPU_KERNEL: the guest's kernel, laid out as by tools/setup/kernel.sh.
set -eu
. "$(dirname "$0")/../../tools/setup/lib.sh"
cd "$NPU_ROOT"
kernel=$(realpath "${NPU_KERNEL:-$NPU_CACHE/kernel}")
# Objects of one kernel are no use with another one's headers.
out=build/neighbour/${kernel##*/}
mkdir -p "$out"
ln -sf "$NPU_ROOT"/tests/vm/neighbour/{neighbour.c,Kbuild} "$out/"
make -C "$kernel/headers" M="$NPU_ROOT/$out" modules >"$out/log" 2>&1 || {
  tail -n 20 "$out/log"
  die "the neighbour's driver could not be built"
}
export NPU_VM_ARGS="${NPU_VM_ARGS:-} --device multifunction=on --device addr=0.0 --qemu=-device --qemu=edu,bus=port0,addr=0.1"
exec /usr/bin/python3 -B tests/vm/bus.py "insmod /npu/$out/neighbour.ko && driver-bus-test neighbour"
