#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make fuzz: builds the fuzz targets in build/fuzz, runs each over its corpus and then for FUZZ_SECONDS (60), and ends
# with "N passed, N failed" (targets).  FUZZ_TARGETS names some of them; FUZZ_SECONDS=0 runs the corpus alone.
# The last one, glue, is no program of libFuzzer's: random traffic at the PCI function in QEMU (tests/vm/glue-fuzz.sh).
# What a run has learned is kept in build/fuzz/corpus; an input that breaks something in build/fuzz/found.
set -u
cd "$(dirname "$0")/../.."
PATH=/usr/bin:$PATH
seconds=${FUZZ_SECONDS:-60}
everything="package hardware-tree kernel-file source-lines weights dump tables core pipes device firmware management glue"
targets=${FUZZ_TARGETS:-$everything}
build=build/fuzz
case $seconds in '' | *[!0-9]*) echo "FUZZ_SECONDS is \"$seconds\", not a number of seconds" >&2; exit 2 ;; esac

[ "$targets" = glue ] || tools/setup/step.sh "fuzz targets" build/logs/fuzz.log sh -c "
	cmake -G Ninja -S . -B $build -DNPU_FUZZ=ON -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
		'-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g1' '-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O1 -g1' &&
	ninja -C $build fuzz-targets" || exit 1

passed=0 failed=0
failure() { # target, log
	failed=$((failed + 1))
	echo "  FAIL $1, log $2, which ends so:"
	tail -n 25 "$2" | sed 's/^/       | /'
}
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
mkdir -p $build/found

run() { # target, options...
	program=$build/bin/fuzz-$1 log=$build/$1.log
	shift
	timeout $((seconds + 300)) "$program" -timeout=20 -rss_limit_mb=3072 -max_len=4096 -len_control=0 \
		-artifact_prefix=$build/found/"${program##*/}"- -print_final_stats=1 -verbosity=0 "$@" >>"$log" 2>&1
}

for target in $targets; do
	if [ "$target" = glue ]; then
		log=$build/glue.log
		if FUZZ_SECONDS=$seconds tests/vm/glue-fuzz.sh >"$log" 2>&1 && grep -q '^ok' "$log" && ! grep -q '^not ok' "$log"; then
			passed=$((passed + 1))
			sed -n 's/^ok [0-9]* - .*: \(.*\)/  ok   glue           \1/p' "$log"
		else
			failure glue "$log"
		fi
		continue
	fi
	if [ ! -x "$build/bin/fuzz-$target" ]; then
		echo "  FAIL $target: there is no such target"
		failed=$((failed + 1))
		continue
	fi
	learned=$build/corpus/$target
	mkdir -p "$learned"
	: >"$build/$target.log"
	# The committed inputs first, each on its own: among them are those that once broke something.
	if ! run "$target" tests/fuzz/corpus/"$target"/* ||
		{ [ "$seconds" != 0 ] &&
			! run "$target" -max_total_time="$seconds" "$learned" tests/fuzz/corpus/"$target"; }; then
		failure "$target" "$build/$target.log"
		continue
	fi
	passed=$((passed + 1))
	inputs=$(find "tests/fuzz/corpus/$target" -type f | wc -l)
	if [ "$seconds" != 0 ]; then
		count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$target.log" | tail -n 1)
		rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$build/$target.log" | tail -n 1)
		printf '  ok   %-14s %10s executions, %6s a second\n' "$target" "$count" "$rate"
	else
		printf '  ok   %-14s %3s inputs of its corpus\n' "$target" "$inputs"
	fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed != 0 ]
