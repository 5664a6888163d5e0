"""`python -m benchmarks.dse`: what the segmentation engine costs people, part after part, beside its targets.

Prints a table and writes `out/bench/dse.json` (`benchmarks.rows`). Exit status 0 when every target is met. The part
`verdicts` needs root and Open vSwitch; its bridges are gone afterwards.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.dse import lives, protected, simulate, verdicts
from benchmarks.rows import Row, conclude
from mininet_labs.children import exit_when_told

PARTS: Mapping[str, Callable[[Path], list[Row]]] = {
    "simulate": simulate.rows,
    "lives": lives.rows,
    "protected": protected.rows,
    "verdicts": verdicts.rows,
}
"""In the order in which they run; each has a folder for what it makes and throws away."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description="what the segmentation engine costs people, beside its targets")
    parser.add_argument("--only", choices=list(PARTS), nargs="+", default=list(PARTS))
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    args = parser.parse_args(arguments)
    exit_when_told()
    args.out.mkdir(parents=True, exist_ok=True)
    found: list[Row] = []
    for name in args.only:
        found += PARTS[name](args.out)
        gc.collect()
        gc.freeze()  # what a part leaves would be looked through in the midst of the next one's timings
    return conclude(found, args.out / "dse.json")


if __name__ == "__main__":
    sys.exit(main())
