#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# qemu-major.sh MAJOR: make check-qemu10.  All that `make check` does with QEMU, on another version of it, which is built
# first.  Ends with "N passed, N failed", or "skipped: ..." where the archive has no such version.
set -u
. "$(dirname "$0")/../../tools/setup/lib.sh"
cd "$NPU_ROOT"
major=${1:?which major version of QEMU?}
logs=build/check/qemu-$major
tally=$logs/tally.json

tools/setup/build-qemu.sh "$major"
status=$?
if [ $status = 77 ]; then
  echo "skipped: the archive does not have QEMU $major"
  exit 0
fi
[ $status = 0 ] || exit 1
export NPU_QEMU=$NPU_CACHE/qemu-$major/qemu-system-x86_64
# Nobody may have run another one all the time.
said=$("$NPU_QEMU" --version | head -n 1)
[[ $said =~ version\ $major\. ]] || die "$NPU_QEMU is not version $major: $said"
rm -rf "$logs"
mkdir -p "$logs"
/usr/bin/python3 -B tests/check.py vm --title "In the VM, on ${said%% (*}" --logs "$logs" --tally "$tally"
tests/vm/checks.sh "$tally" "$logs"
exec /usr/bin/python3 -B tests/check.py sum --tally "$tally"
