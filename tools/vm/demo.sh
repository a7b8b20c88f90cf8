#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The demonstration, inside the guest: the device as npu-smi sees it, then the demo program.
set -eu
colour=
[ "${NPU_TTY:-0}" = 1 ] || colour=--no-color
npu-smi
exec demo --backend drm $colour "$@"
