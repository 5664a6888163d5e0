"""`python -m benchmarks.analyzer`: throughput, delay, calibration, poisoning, and the captures' score.

Prints a table and writes `out/bench/analyzer.json` (`benchmarks.rows`). Exit status 0 when every target is met.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.analyzer import calibration, delay, poison, score, throughput
from benchmarks.rows import Row, conclude

PARTS: Mapping[str, Callable[[Callable[[str], None]], list[Row]]] = {
    "throughput": throughput.rows,
    "delay": delay.rows,
    "calibration": calibration.rows,
    "poison": poison.rows,
    "score": score.rows,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description="what the analyzer costs, and whether its probabilities hold")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    args = parser.parse_args(arguments)
    names = args.only.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    found: list[Row] = []
    for name in names:
        print(f"--- {name}", flush=True)
        found += PARTS[name](lambda line: print(f"    {line}", flush=True))
    return conclude(found, args.out / "analyzer.json")


if __name__ == "__main__":
    sys.exit(main())
