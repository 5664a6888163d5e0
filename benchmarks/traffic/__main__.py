"""`python -m benchmarks.traffic`: the traffic on its way in, part after part, beside its targets.

Prints a table and writes `out/bench/traffic.json` (`benchmarks.rows`). Exit status 0 when every target is met. Needs
root; everything that it makes is gone afterwards, also when it is interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module

from benchmarks import frame
from benchmarks.rows import Row
from benchmarks.vfn.bench import Bench

NAMES = ("collect", "statistics", "exactness", "forged", "firstpacket", "taps", "ipv6", "flood", "archive")
"""Parts, each a module of this package, in the order in which they run."""


def _rows(name: str, _: Bench) -> list[Row]:
    """Of a part, imported only now: what it brings along would be in the memory that others measure."""
    rows: list[Row] = import_module(f"benchmarks.traffic.{name}").rows()
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parts = {name: partial(_rows, name) for name in NAMES}
    return frame.run("traffic", "traffic on its way in, beside its targets", parts, arguments)


if __name__ == "__main__":
    sys.exit(main())
