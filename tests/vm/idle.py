#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An idle guest with the driver loaded takes no measurable CPU time in the device's threads.  Prints TAP."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
import vm  # noqa: E402

share, names = vm.idle_share()
good = share < 0.005
print(f"{'ok' if good else 'not ok'} 1 - device threads ({', '.join(names)}) take {share * 100:.2f} % of a CPU in an idle guest")
print("1..1")
sys.exit(0 if good else 1)
