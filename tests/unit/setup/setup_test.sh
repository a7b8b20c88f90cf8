#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What tools/setup/setup.sh says when a package does not exist, when the archive cannot be reached, and when there is
# nothing to do.  Runs a copy of the scripts with an apt configuration of its own, so the machine is left alone.
# Prints TAP.
set -u
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0
result() { # status, text
  number=$((number + 1))
  if [ "$1" = 0 ]; then echo "ok $number - $2"; else
    echo "not ok $number - $2"
    sed 's/^/# /' "$work/out"
  fi
}
mkdir -p "$work/tree/tools" "$work/lists/partial" "$work/cache/archives/partial" "$work/parts"
cp -r "$root/tools/setup" "$work/tree/tools/"
cat >"$work/apt.conf" <<APT
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "$work/parts";
Acquire::Retries "0";
APT
export APT_CONFIG=$work/apt.conf NPU_CACHE=$work/npu-cache
setup() { timeout 120 "$work/tree/tools/setup/setup.sh" "$@" >"$work/out" 2>&1 </dev/null; }

printf '[test] a test\nbash  # always there\n' >"$work/tree/tools/setup/packages.txt"
: >"$work/sources.list"
setup test
result $? "nothing is missing: success"
grep -q 'all there' "$work/out"
result $? "... and it says so"

if [ "$(id -u)" != 0 ]; then
  echo "ok $((number + 1)) - # SKIP a missing package: needs root, to run apt"
  echo "1..$((number + 1))"
  exit 0
fi
printf '[test] a test\nnpu-no-such-package  # nowhere\n' >"$work/tree/tools/setup/packages.txt"
setup test
[ $? != 0 ]
result $? "a package that no archive has: failure"
grep -q 'apt knows no package "npu-no-such-package"' "$work/out" && grep -q 'Enable' "$work/out"
result $? "... which names the package and what to do"

# Port 9 of this machine: nobody listens there.
echo "deb [trusted=yes] http://127.0.0.1:9/ ./" >"$work/sources.list"
setup test
[ $? != 0 ]
result $? "an archive that cannot be reached: failure"
grep -q 'npu-no-such-package' "$work/out" && grep -q 'is the network there' "$work/out"
result $? "... which names the package and asks for the network"
echo "1..$number"
