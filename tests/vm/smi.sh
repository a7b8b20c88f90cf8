#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# npu-smi in the guest: the table, and a process with memory and busy time while it works.  Prints TAP.
number=0
result() { # status, text
	number=$((number + 1))
	[ "$1" = 0 ] && echo "ok $number - $2" || echo "not ok $number - $2"
}
out=$(npu-smi)
result $? "npu-smi succeeds"
for word in 'driver 1\.' 'NPU-1' 'Health: OK' 'firmware 1\.[0-9]*\.[0-9]* (ready)' 'cores 4' 'retired pages 0' 'temperature' 'no process'; do
	echo "$out" | grep -q "$word"
	result $? "the table has \"$word\""
done
! echo "$out" | grep -q 'note:'
result $? "every reading could be had"
demo --backend drm --no-color >/dev/null 2>&1 &
demo=$!
seen=1
while kill -0 $demo 2>/dev/null; do
	if npu-smi | grep -q " $demo  demo .* [1-9][0-9]* MiB .*[0-9] s "; then
		seen=0
		break
	fi
done
result $seen "a working process is listed with its memory and busy time"
wait $demo
result $? "... and it succeeds"
npu-smi --json | grep -q '"faults_total": [1-9]'
result $? "its planted fault is counted"
echo "1..$number"
