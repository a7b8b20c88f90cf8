# SPDX-License-Identifier: Apache-2.0
# In the guest, driver not loaded: every damaged package in $1 is refused by name, the node stays, and a good package makes
# the device usable without reloading the driver.
dir=$1
target=/lib/firmware/npu/control.npufw
number=0
result() { # status, text
	number=$((number + 1))
	[ "$1" = 0 ] && echo "ok $number - $2" || echo "not ok $number - $2"
}
usable() { NPU_BACKEND=drm timeout 60 npu-bench latency >/dev/null 2>&1; }
attribute() { cat /sys/class/accel/accel0/device/$1; }

cp "$dir/truncated" $target
insmod /lib/modules/npu.ko
result $? "the driver loads although the package is truncated"
[ -e /dev/accel/accel0 ]
result $? "the accel node is there"
for kind in truncated flipped contract format garbage empty missing; do
	[ $kind = missing ] && rm -f $target || cp "$dir/$kind" $target
	dmesg -c >/dev/null
	echo 1 >/sys/class/accel/accel0/device/fw_reload 2>/dev/null
	[ $? != 0 ]
	result $? "$kind: refused"
	case $kind in
	truncated | garbage) reason='truncated, or is no device tree' ;;
	flipped) reason='do not match its hash\|does not match its hash' ;;
	contract) reason='another version of the hardware contract' ;;
	format) reason='format version' ;;
	empty) reason='empty' ;;
	missing) reason='no such file' ;;
	esac
	dmesg | grep -q "npu/control.npufw.*$reason"
	result $? "$kind: the kernel log names the file and the reason"
	attribute fw_error | grep -q "$reason"
	result $? "$kind: fw_error says: $(attribute fw_error)"
	! usable
	result $? "$kind: no context can be made"
done
cp "$dir/good" $target
echo 1 >/sys/class/accel/accel0/device/fw_reload
result $? "a good package is taken"
usable
result $? "the device runs kernels"
echo "1..$number"
