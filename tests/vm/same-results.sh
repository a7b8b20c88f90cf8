#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The demonstration on the in-process model, twice, in the VM, and there behind an IOMMU: the same results and device
# cycles to the bit.
# Its lines "digest: ..." hold all logits' hash and the counters.  Prints TAP.
set -u
dir=build/check/demo
mkdir -p "$dir"
build/bin/demo --backend sim --no-color >"$dir/sim1" 2>&1
one=$?
NPU_SIM_THREADS=2 NPU_SIM_SIMD=avx2 build/bin/demo --backend sim --no-color >"$dir/sim2" 2>&1
two=$?
tools/vm/run --timeout 400 --exec 'demo --backend drm --no-color' >"$dir/vm" 2>&1
three=$?
# "DMA" or "DMA-FQ": the NPU's accesses are translated.
tools/vm/run --iommu --timeout 400 --exec 'read -r type </sys/class/accel/accel0/device/iommu_group/type; echo "domain: $type"
	demo --backend drm --no-color' >"$dir/iommu" 2>&1
four=$?
number=0
result() {
	number=$((number + 1))
	[ "$1" = 0 ] && echo "ok $number - $2" || echo "not ok $number - $2"
}
result $one "the demonstration succeeds on the in-process model"
result $two "... with two host threads and another SIMD level"
result $three "... and in the VM"
result $four "... and there behind an IOMMU"
tr -d '\r' <"$dir/iommu" | grep -q '^domain: DMA'
result $? "... which translates what the NPU does"
grep '^digest' "$dir/sim1" >"$dir/sim1.digest"
[ -s "$dir/sim1.digest" ]
result $? "it prints a digest: $(cat "$dir/sim1.digest")"
for other in sim2 vm iommu; do
	grep '^digest' "$dir/$other" | tr -d '\r' | cmp -s - "$dir/sim1.digest"
	result $? "$other: the same results and device cycles"
done
echo "1..$number"
