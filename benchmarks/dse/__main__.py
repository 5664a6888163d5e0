"""`python -m benchmarks.dse`: what the segmentation engine costs people, part after part, beside its targets.

Prints a table and writes `out/bench/dse.json` (`benchmarks.rows`). Exit status 0 when every target is met.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.dse import simulate
from benchmarks.rows import Row, table, write

PARTS: Mapping[str, Callable[[Path], list[Row]]] = {"simulate": simulate.rows}
"""In the order in which they run; each has a folder for what it makes and throws away."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description="what the segmentation engine costs people, beside its targets")
    parser.add_argument("--only", choices=list(PARTS), nargs="+", default=list(PARTS))
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    found = [row for name in args.only for row in PARTS[name](args.out)]
    write(found, args.out / "dse.json")
    print(f"\n{table(found)}")
    return 0 if all(row.met for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
