#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make check: every test there is.  Ends with "N passed, N failed".  Needs what `make` has built.
#   NPU_CHECK=host     leave the VM out
#   NPU_CHECK=fast     leave the sanitizer builds out as well
set -u
cd "$(dirname "$0")/.."
PATH=/usr/bin:$PATH
mode=${NPU_CHECK:-all}
logs=build/check
tally=$logs/tally.json
mkdir -p "$logs"
rm -f "$tally"

check() { /usr/bin/python3 tests/check.py "$@" --tally "$tally"; }

sanitized() { # name, sanitizers, suites, their programs
	built=
	tools/setup/step.sh "-fsanitize=$2" "$logs/build-$1.log" sh -c "
		cmake -G Ninja -S . -B build/$1 -DNPU_SANITIZE=$2 -DNPU_TOOLS=OFF \
			'-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g1' '-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O1 -g1' &&
		ninja -C build/$1 -t targets all | sed -n 's#^\\(bin/[^:]*\\):.*#\\1#p' | grep -E '^bin/($4)' | xargs ninja -C build/$1" && built=yes
	[ -n "$built" ] || { check add --name "$1.build" --status 1 </dev/null; return; }
	check host --build "build/$1" --logs "$logs/$1" --prefix "$1." --title "With -fsanitize=$2" --slower 10 --only "$3"
}

check host
if [ "$mode" != fast ]; then
	export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1 TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
	sanitized asan address,undefined '^(core|device|mgmt|hal|runtime)(\.[a-z0-9_]*|-sim|)$' 'test-(core|hal|runtime)|device-|mgmt-|npu-fwpack'
	sanitized tsan thread '^(device|hal|runtime)(\.[a-z0-9_]*|-sim|)$' 'test-(hal|runtime)|device-'
fi
if [ "$mode" = all ]; then
	check vm
	tests/vm/checks.sh "$tally" # checks that need boots of their own
fi
check sum
