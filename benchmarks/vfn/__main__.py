"""`python -m benchmarks.vfn`: what the rule engine costs, part after part, beside its targets.

Prints a table and writes `out/bench/vfn.json` (`benchmarks.rows`); the part `growth` draws `out/bench/vfn-growth.png`.
Exit status 0 when every target is met. Needs root; everything that it makes is gone afterwards, also when it is
interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.rows import Row, table, write
from benchmarks.vfn import compile as compiling
from benchmarks.vfn import fleet, flood, growth, isolate, masks, pipeline, push
from benchmarks.vfn.bench import Bench
from mininet_labs import machine, marks
from mininet_labs.run import Progress
from runtime.errors import DynsegError

PARTS: Mapping[str, Callable[[Bench], list[Row]]] = {
    "push": push.rows,
    "isolate": isolate.rows,
    "pipeline": pipeline.rows,
    "flood": flood.rows,
    "compile": compiling.rows,
    "fleet": fleet.rows,
    "masks": masks.rows,
    "growth": growth.rows,
}
"""In the order in which they run."""


def measure(names: Sequence[str], bench: Bench) -> list[Row]:
    """Rows of these parts. A part that breaks off is a row without a value that says why, and the others still run."""
    found: list[Row] = []
    for name in names:
        bench.say(f"--- {name}")
        try:
            rows = PARTS[name](bench)
        except DynsegError as error:
            rows = [Row(f"{name} (broke off)", None, "", "<=", 0, 0, reason=str(error))]
        for row in rows:
            bench.say(f"{row.measure}: {row.value} {row.unit} ({'met' if row.met else 'MISSED'})")
        found += rows
    return found


def _selection(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description="what the rule engine costs, beside its targets")
    parser.add_argument("--only", type=_selection, default=tuple(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    args = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        machine.check()
        with machine.open_vswitch():
            marks.sweep()
            found = measure(args.only, Bench(Progress(), args.out))
    except KeyboardInterrupt:
        print("interrupted; everything is taken down", file=sys.stderr)
        return 130
    except DynsegError as error:
        print(f"vfn: {error}", file=sys.stderr)
        return 1
    write(found, args.out / "vfn.json")
    print(f"\n{table(found)}")
    return 0 if all(row.met for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
