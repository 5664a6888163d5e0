"""`python -m benchmarks.vfn`: what the rule engine costs, part after part, beside its targets.

Prints a table and writes `out/bench/vfn.json` (`benchmarks.rows`); the part `growth` draws `out/bench/vfn-growth.png`.
Exit status 0 when every target is met. Needs root; everything that it makes is gone afterwards, also when it is
interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks import frame
from benchmarks.vfn import compile as compiling
from benchmarks.vfn import fleet, flood, growth, isolate, masks, pipeline, push

PARTS: frame.Parts = {
    "push": push.rows,
    "isolate": isolate.rows,
    "pipeline": pipeline.rows,
    "flood": flood.rows,
    "compile": compiling.rows,
    "fleet": fleet.rows,
    "masks": masks.rows,
    "growth": growth.rows,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    return frame.run("vfn", "what the rule engine costs, beside its targets", PARTS, arguments)


if __name__ == "__main__":
    sys.exit(main())
