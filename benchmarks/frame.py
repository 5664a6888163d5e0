"""The frame around a benchmark of several parts: which to run, on Open vSwitch, its table and its JSON file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.rows import Row, conclude
from benchmarks.vfn.bench import Bench
from mininet_labs import machine, marks
from mininet_labs.children import exit_when_told
from mininet_labs.run import Progress
from runtime.errors import DynsegError

Part = Callable[[Bench], list[Row]]
Parts = Mapping[str, Part]
"""By name, in the order in which they run."""


def measure(parts: Parts, names: Sequence[str], bench: Bench) -> list[Row]:
    """Rows of these parts. A part that breaks off is a row without a value that says why, and the others still run."""
    found: list[Row] = []
    for name in names:
        bench.say(f"--- {name}")
        try:
            rows = parts[name](bench)
        except DynsegError as error:
            rows = [Row(f"{name} (broke off)", None, "", "<=", 0, 0, reason=str(error))]
        for row in rows:
            bench.say(f"{row.measure}: {row.value} {row.unit} ({'met' if row.met else 'MISSED'})")
        found += rows
    return found


def run(name: str, description: str, parts: Parts, arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for, print a table, write `NAME.json`.

    Returns:
        The exit status, 0 when every target is met. Everything that was made is gone, also after an interruption.
    """
    args = _parser(description, parts).parse_args(arguments)
    exit_when_told()
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        machine.check()
        with machine.open_vswitch():
            marks.sweep()
            found = measure(parts, args.only, Bench(Progress(), args.out))
    except KeyboardInterrupt:
        print("interrupted; everything is taken down", file=sys.stderr)
        return 130
    except DynsegError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return conclude(found, args.out / f"{name}.json")


def _parser(description: str, parts: Parts) -> argparse.ArgumentParser:
    def selection(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := [name for name in names if name not in parts]:
            raise argparse.ArgumentTypeError(f"no part {unknown[0]!r}; there are {', '.join(parts)}")
        return names

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", type=selection, default=tuple(parts), help=f"of {','.join(parts)}")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    return parser
