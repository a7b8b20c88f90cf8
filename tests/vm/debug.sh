#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make check-debug: the VM's suites in the kernel of tools/setup/debug-kernel.sh.  A report of any of its checkers in
# the kernel's log is a failure, whatever the suites say.  Ends with "N passed, N failed".
#   NPU_DEBUG_ONLY     regular expression: only suites whose name matches
#   NPU_FUZZ_CALLS     calls that the driver's fuzzer makes (200000); NPU_FUZZ_SEED: 1
set -u
. "$(dirname "$0")/../../tools/setup/lib.sh"
cd "$NPU_ROOT"
export NPU_FUZZ_CALLS=${NPU_FUZZ_CALLS:-200000}
kernel=$NPU_CACHE/debug-kernel
logs=build/check/debug
tally=$logs/tally.json

[ -s "$kernel/release" ] || die "there is no debug kernel in $kernel" "Run tools/setup/debug-kernel.sh (or: make check-debug)."
kernel=$(realpath "$kernel")
console=build/vm/${kernel##*/}
rm -rf "$logs"
mkdir -p "$logs"
rm -f "$console"/console*.log
check() { /usr/bin/python3 -B tests/check.py "$@" --tally "$tally"; }

# What the checkers write.  DMA-API says twice that it is there; "Call Trace" catches what no other pattern names.
reports() {
  cat "$console"/console*.log | tr -d '\r' | grep -nE --no-group-separator -A "${1:-0}" \
    'KASAN:|UBSAN:|BUG[: ]|WARNING:|DMA-API: |ODEBUG:|kmemleak: [0-9]+ new|possible |inconsistent|suspicious RCU|INFO: task|turning off the locking|refcount_t:|general protection|Oops|Call Trace:' |
    grep -vE 'DMA-API: (preallocated [0-9]+ debug entries|debugging enabled by kernel config)'
}
# debug-guest.sh plants three reports, which must be found; all others are real.
planted='planted by debug-guest\.sh'

tools/setup/build-module.sh "$kernel" "$NPU_ROOT/build/kernel-debug" || exit 1
# loglevel=8: warnings must reach the log.  kasan_multi_shot: the first report does not hide the next.
check vm --title "In the VM, on a kernel that watches the driver" --logs "$logs" --slower 10 --vm-timeout 9000 \
  --only "${NPU_DEBUG_ONLY:-}" --vm-last "sh /npu/tests/vm/debug-guest.sh" --vm-run "tools/vm/run --kernel-dir $kernel \
  --module build/kernel-debug/npu.ko --memory 2G --boot-timeout 300 --append loglevel=8 --append kasan_multi_shot"

if [ ! -s "$console/console.log" ]; then
  result="not ok 1 - the kernel's log is there ($console/console.log)"
elif reports | grep -v "$planted" >"$logs/reports.log"; then
  result="not ok 1 - $(wc -l <"$logs/reports.log") lines of reports in $console/console.log"
  reports 40 | grep -v "$planted" | head -n 120
else
  result="ok 1 - no report in $console/console.log"
fi
found=$(reports | grep -c "$planted")
[ "$found" = 3 ] && seen="ok 2 - what is planted in the guest's log is found" ||
  seen="not ok 2 - of three reports planted in the guest's log $found are found"
check add --name debug.log <<<"$result"$'\n'"$seen"
check sum
