#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make bench: all benchmarks, on the in-process model and in the VM, into build/bench.json.  Needs what `make` has built.
# Ratios compare with a peer of the same process and run; absolute numbers are this machine's.
set -eu
cd "$(dirname "$0")/../.."
out=$PWD/build/bench.json
rm -f "$out"

# One worker thread against one BLAS thread.  OpenBLAS takes CPUs that are newer than itself for very old ones.
export NPU_SIM_MEMORY=512M
flags=$(grep -m1 '^flags' /proc/cpuinfo)
case $flags in
*avx512vl*) export OPENBLAS_CORETYPE=SkylakeX ;;
*avx2*) export OPENBLAS_CORETYPE=Haswell ;;
esac

echo "In this process, on the device model"
build/bin/npu-bench --backend sim --threads 1 --json "$out"
if [ "$(nproc)" -ge 2 ]; then
	echo "Two threads against one"
	tests/bench/scaling.py "$out"
fi

echo "What the cycle model costs"
tools/setup/step.sh "device model without cycles" build/logs/untimed.log ninja -C build/host npu-model-untimed
tests/bench/cycle_model.py "$out"

echo "The scalar hart alone, and QEMU's user mode on the same programs"
tests/bench/hart.py "$out"

echo "In the VM, through the kernel driver"
tools/vm/run --timeout 600 --nvme-null --exec 'modprobe nvme &&
	npu-bench --backend drm --disk /dev/nvme0n1 --json /npu/build/bench.json setup latency memory scalar'
tests/bench/vm.py "$out"
echo "written: build/bench.json"
