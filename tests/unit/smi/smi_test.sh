#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# npu-smi on the in-process model, and its exit codes.  Arguments: npu-smi.  Prints TAP.
smi=$1
number=0
result() { # status, text
	number=$((number + 1))
	[ "$1" = 0 ] && echo "ok $number - $2" || echo "not ok $number - $2"
}
out=$(env -u NPU_BACKEND "$smi" --backend sim)
result $? "the in-process model is shown"
for word in 'Health: OK' 'firmware 1\.' 'cores 4' 'MiB' 'temperature' 'power' 'clock 1000 MHz' 'process'; do
	echo "$out" | grep -q "$word"
	result $? "the table has \"$word\""
done
wide=$(echo "$out" | sed 's/[^ -~]/#/g' | awk '{ if (length($0) > 92 * 3) n++ } END { print n + 0 }')
[ "$wide" = 0 ]
result $? "no line is wider than the frame"
env -u NPU_BACKEND "$smi" --backend sim --json | /usr/bin/python3 -c '
import json, sys
device, = json.load(sys.stdin)["devices"]
assert device["health"] == "OK" and device["cores"] == 4 and device["memory_total_bytes"] > 0, device
assert 0 <= device["utilisation_ratio"] <= 1 and device["temperature_celsius"] > 0, device'
result $? "the JSON parses and has units"
env -u NPU_BACKEND "$smi" --backend sim -i 7 >/dev/null 2>&1
[ $? = 6 ]
result $? "a device that is not there: exit status 6"
env -u NPU_BACKEND "$smi" --no-such-option >/dev/null 2>&1
[ $? = 2 ]
result $? "a bad option: exit status 2"
if [ ! -e /sys/class/accel ]; then
	env -u NPU_BACKEND "$smi" --backend drm >/dev/null 2>&1
	[ $? = 9 ]
	result $? "no driver: exit status 9"
fi
echo "1..$number"
