#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# symbols.sh LIBRARY: the library exports functions named npu..., and nothing else.
set -e
all=$(nm -D --defined-only "$1" | awk '{print $3}')
[ -n "$all" ] || { echo "$1 exports nothing"; exit 1; }
other=$(echo "$all" | grep -v '^npu[A-Z]' || true)
[ -z "$other" ] || { echo "$1 also exports:"; echo "$other"; exit 1; }
