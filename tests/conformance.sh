#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# conformance.sh DIR [suite...]: runs the public riscv-tests on npu-hart; needs what `make host` has built.
#
# DIR is a checkout of github.com/riscv-software-src/riscv-tests with its submodule env; nothing of it is in this tree.
# The physical-address variants of the suites (default: rv64ui rv64um rv64ua rv64uf rv64uc) are built with
# riscv64-unknown-elf-gcc in build/conformance and run one by one.  Ends with "N passed, N failed"; status 0 if none failed.
set -u
cd "$(dirname "$0")/.." || exit 2
[ $# -ge 1 ] || { sed -n '3,8s/^# //p' "$0" >&2; exit 2; }
tests=$1
shift
[ $# -gt 0 ] || set -- rv64ui rv64um rv64ua rv64uf rv64uc
for needed in isa/macros/scalar/test_macros.h env/p/riscv_test.h env/p/link.ld; do
	[ -f "$tests/$needed" ] || { echo "conformance.sh: $tests has no $needed" >&2; exit 2; }
done
hart=build/host/bin/npu-hart
[ -x "$hart" ] || { echo "conformance.sh: $hart is not built" >&2; exit 2; }
out=build/conformance
mkdir -p "$out"

passed=0 failed=0
for suite; do
	before=$passed
	[ -d "$tests/isa/$suite" ] || { echo "conformance.sh: $tests/isa has no $suite" >&2; exit 2; }
	for source in "$tests/isa/$suite"/*.S; do
		name=$suite-p-$(basename "$source" .S)
		# The sources switch to what they need themselves; the F suite shares its files with D, whose parts it leaves out.
		if ! riscv64-unknown-elf-gcc -march=rv64g_zicsr_zifencei -mabi=lp64 -static -mcmodel=medany -fvisibility=hidden \
			-nostdlib -nostartfiles -I"$tests/env/p" -I"$tests/env" -I"$tests/isa/macros/scalar" -T"$tests/env/p/link.ld" \
			-Wl,--no-warn-rwx-segments "$source" -o "$out/$name" 2>"$out/$name.log"; then
			echo "  FAIL $name: does not build, see $out/$name.log"
		elif ! timeout 60 "$hart" --max-instructions 10000000 "$out/$name" 2>"$out/$name.log"; then
			echo "  FAIL $name: $(tail -n 1 "$out/$name.log")"
		else
			passed=$((passed + 1))
			continue
		fi
		failed=$((failed + 1))
	done
	echo "$suite: $((passed - before)) passed"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
