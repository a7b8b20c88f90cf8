#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# checks.sh TALLY [LOGS]: checks that need a boot of their own, or compare the VM with the host.  Adds to the tally of
# tests/run.sh.  LOGS is given for another QEMU than the usual one.
set -u
tally=$1
logs=${2:-build/check}
run() { # name, command...: the command prints TAP
	name=$1
	shift
	"$@" >"$logs/$name.log" 2>&1
	/usr/bin/python3 -B tests/check.py add --name "$name" --status $? --tally "$tally" <"$logs/$name.log" ||
		tail -n 25 "$logs/$name.log" | sed 's/^/       | /'
}

# Once is enough for what runs no QEMU.
if [ $# = 1 ]; then
	run kernel.style tests/vm/kernel-style.sh
	run kernel.layout tests/vm/uapi-layout.sh
fi
run vm.firmware tests/vm/firmware-host.sh
run vm.demo tests/vm/same-results.sh
run vm.glue tests/vm/qemu-glue.sh
run vm.glue_fuzz tests/vm/glue-fuzz.sh
run vm.sleep tests/vm/sleep.sh
run vm.bus /usr/bin/python3 -B tests/vm/bus.py
run vm.bus-unbind /usr/bin/python3 -B tests/vm/bus.py driver-bus-test unbind
run vm.neighbour tests/vm/neighbour.sh
run vm.pull /usr/bin/python3 -B tests/vm/bus.py driver-pull-test
run vm.idle /usr/bin/python3 -B tests/vm/idle.py
run vm.figures /usr/bin/python3 -B tests/vm/figures.py
# The share suite once more, with the part that needs a second device.
run vm.two-devices tools/vm/run --devices 2 --timeout 300 --exec driver-share-test
run vm.migrate /usr/bin/python3 -B tests/vm/migrate.py
