# SPDX-License-Identifier: Apache-2.0
"""The file of results that all benchmarks share."""

import json
from pathlib import Path


def merge(file, rows):
    """Puts rows into the file, in place of those of the same names; other rows stay."""
    path = Path(file)
    old = json.loads(path.read_text()) if path.exists() else []
    names = {row["name"] for row in rows}
    path.write_text(json.dumps([row for row in old if row["name"] not in names] + rows, indent=2) + "\n")
