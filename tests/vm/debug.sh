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
only=${NPU_DEBUG_ONLY:-}
kernel=$NPU_CACHE/debug-kernel
logs=build/check/debug
tally=$logs/tally.json

[ -s "$kernel/release" ] || die "there is no debug kernel in $kernel" "Run tools/setup/debug-kernel.sh (or: make check-debug)."
kernel=$(realpath "$kernel")
boots=build/vm/${kernel##*/}
rm -rf "$logs"
mkdir -p "$logs"
check() { /usr/bin/python3 -B tests/check.py "$@" --tally "$tally"; }

# What the checkers write.  DMA-API says twice that it is there; "Call Trace" catches what no other pattern names.
reports() { # log, [lines after each]
  tr -d '\r' <"$1" | grep -nE --no-group-separator -A "${2:-0}" \
    'KASAN:|UBSAN:|BUG[: ]|WARNING:|DMA-API: |ODEBUG:|kmemleak: [0-9]+ new|possible |inconsistent lock|suspicious RCU|INFO: task|turning off the locking|refcount_t:|general protection|Oops|Call Trace:' |
    grep -vE 'DMA-API: (preallocated [0-9]+ debug entries|debugging enabled by kernel config)'
}

# Linux 6.12 lets go of a slot's lock while it removes the slot's device, and takes it again inside another that it takes
# the other way round elsewhere (pciehp_unconfigure_device): true of any device that is pulled.  That one report goes to
# a file of its own; lockdep is off after it, so this boot says no more about locks.
set_aside() { # log, file for the report
  awk -v aside="$2" '
    function flush_block(own) {
      own = block ~ /acquire lock:\r?\n[^\n]*&ctrl->reset_lock[^\n]*pciehp_unconfigure_device/ &&
            block ~ /already holding lock:\r?\n[^\n]*pci_rescan_remove_lock/ && block !~ /-> #2 / && block !~ /npu_/
      if (own) printf "%s", block >aside
      else printf "%s", block
      block = ""
    }
    /WARNING: possible circular locking dependency/ { inside = 1 }
    !inside { print; next }
    { block = block $0 "\n" }
    /<\/TASK>/ { inside = 0; flush_block() }
    END { if (inside) printf "%s", block }' "$1" >"$1.rest" && mv "$1.rest" "$1"
}

# Takes the last boot's log, or those of boots that did not come to their end, and judges it.
judge() { # name
  local log=$logs/$1.console found
  rm -f "$log" "$logs/$1".{splat,aside}
  cat "$boots"/console*.log >"$log" 2>/dev/null
  rm -f "$boots"/console*.log
  # From there on debug-guest.sh has them written.
  sed -n '/reports on purpose from here on/,$w '"$logs/$1.splat" "$log"
  sed -i '/reports on purpose from here on/,$d' "$log"
  set_aside "$log" "$logs/$1.aside"
  if ! grep -q 'Initialized npu' "$log"; then
    echo "not ok 1 - the kernel's log of $1 is there ($log)"
  elif found=$(reports "$log"); then
    echo "not ok 1 - $(wc -l <<<"$found") lines of reports in $log"
    reports "$log" 40 | head -n 120 | sed 's/^/# /'
  else
    echo "ok 1 - no report in $log"
  fi | tee "$logs/$1.verdict" | check add --name "debug.$1.log"
  sed -n 's/^# /       | /p' "$logs/$1.verdict"
}

# A checker that does not report, or a report that is not found, would be a check of nothing.
judge_splat() {
  local number=0 want
  for want in 'kmemleak: [0-9]+ new suspected memory leaks' 'BUG: sleeping function called from invalid context' \
    'WARNING: CPU: .* at splat_init' 'UBSAN: shift-out-of-bounds' \
    'DMA-API: platform splat.*: device driver tries to free DMA memory it has not allocated' \
    'WARNING: possible circular locking dependency detected' 'BUG: KASAN: slab-use-after-free in splat_'; do
    number=$((number + 1))
    reports "$logs/suites.splat" | grep -qE "$want" && echo "ok $number - found: $want" || echo "not ok $number - found: $want"
  done | tee "$logs/splat.log" | check add --name debug.splat
}

boot() { # name, command...: a boot of its own; the command prints TAP
  local name=$1
  shift
  [[ $name =~ $only ]] || return 0
  "$@" >"$logs/$name.log" 2>&1
  check add --name "debug.$name" --status $? <"$logs/$name.log" || tail -n 25 "$logs/$name.log" | sed 's/^/       | /'
  judge "$name"
}

tools/setup/build-module.sh "$kernel" "$NPU_ROOT/build/kernel-debug" || exit 1
mkdir -p build/splat
ln -sf "$NPU_ROOT"/tests/vm/splat/{splat.c,Kbuild} build/splat/
tools/setup/step.sh "reports on purpose" build/logs/splat.log make -C "$kernel/headers" M="$NPU_ROOT/build/splat" modules ||
  die "the module that makes reports could not be built, see its log"

# For all that starts a VM from here on.  loglevel=8: warnings must reach the log.  kasan_multi_shot: the first report
# does not hide the next.  Such a kernel is slow, on a busy machine very slow.
export NPU_SLOWER=40
export NPU_VM_ARGS="--kernel-dir '$kernel' --module '$NPU_ROOT/build/kernel-debug/npu.ko' --memory 2G \
  --append loglevel=8 --append kasan_multi_shot"
rm -f "$boots"/console*.log
# SLUB's checks of its own, which find little that KASAN does not, would double the time of this long boot: the others
# have them.
NPU_VM_ARGS="$NPU_VM_ARGS --append slab_debug=-" \
  check vm --title "In the VM, on a kernel that watches the driver" --logs "$logs" --slower "$NPU_SLOWER" --vm-timeout 900 \
  --only "$only" --vm-last "sh /npu/tests/vm/debug-guest.sh"
judge suites
judge_splat
# This kernel knows (PCI_P2PDMA) which hosts let devices reach each other: those of a Zen processor, which "max" is not.
boot two-devices env NPU_ACCEL=tcg tools/vm/run --devices 2 --cpu max,la57=off,family=23 --timeout 300 --exec driver-share-test
boot firmware tests/vm/firmware-host.sh
boot bus /usr/bin/python3 -B tests/vm/bus.py
boot bus-unbind /usr/bin/python3 -B tests/vm/bus.py driver-bus-test unbind
boot neighbour env NPU_KERNEL="$kernel" tests/vm/neighbour.sh
boot pull /usr/bin/python3 -B tests/vm/bus.py driver-pull-test
# Without SLUB's checks, too: this board describes its interrupts in ACPI's language, which keeps this kernel busy for minutes.
boot sleep env NPU_VM_ARGS="$NPU_VM_ARGS --append slab_debug=-" tests/vm/sleep.sh
check sum
