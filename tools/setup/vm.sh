#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# vm.sh: what the VM needs beside this tree's own programs: QEMU with the device, and the guest's kernel.
set -eu
here=$(dirname "$0")
"$here/kernel.sh"
"$here/build-qemu.sh"
