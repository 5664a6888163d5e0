"""`python -m benchmarks.dashboards`: the time-series database and what reads it, part after part, beside its targets.

Prints a table and writes `out/bench/dashboards.json` (`benchmarks.rows`). Exit status 0 when every target is met.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.rows import Row, conclude

NAMES = ("writing", "outage", "cardinality", "load")
"""Parts, each a module of this package, in the order in which they run; each has a folder for what it throws away."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description="what the time-series database and its dashboards cost")
    parser.add_argument("--only", choices=NAMES, nargs="+", default=NAMES)
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    found: list[Row] = []
    for name in args.only:
        print(f"--- {name}", flush=True)
        found += import_module(f"benchmarks.dashboards.{name}").rows(args.out)
    return conclude(found, args.out / "dashboards.json")


if __name__ == "__main__":
    sys.exit(main())
