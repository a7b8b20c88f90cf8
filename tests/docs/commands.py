#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs, from the checkout's root, every shell block of the manuals that is marked `<!-- run -->`.  Prints TAP."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main():
    blocks = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for match in re.finditer(r"<!-- run -->\n```sh\n(.*?)```", page.read_text(), re.S):
            blocks.append((page.relative_to(ROOT), match.group(1)))
    print(f"TAP version 13\n1..{len(blocks)}")
    failed = 0
    for number, (page, script) in enumerate(blocks, 1):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240, check=False)
        print("".join(f"# {line}\n" for line in done.stdout.splitlines()[-20:]), end="")
        print(f"{'ok' if done.returncode == 0 else 'not ok'} {number} - {page}: {script.strip().splitlines()[0][:60]}")
        failed += done.returncode != 0
    return 1 if failed or not blocks else 0


if __name__ == "__main__":
    sys.exit(main())
