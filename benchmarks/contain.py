"""`python -m benchmarks.contain`: how soon is a scanning VM cut off, and what do the innocent notice of it?

One lab, one baseline; then VM after VM scans the databases with nmap, is isolated, and is released through REST before
the next one starts. Prints a table and writes `out/bench/contain.json`: a list of {measure, value, unit, op, target,
peer, peer_value, n}; no peer is named for these measures. Exit status 0 when every target is met.
"""

from __future__ import annotations

import argparse
import json
import operator
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mininet_labs.attacks import catalogue
from mininet_labs.children import wait_for
from mininet_labs.evidence import Evidence, innocent_loss
from mininet_labs.judge import MAX_ECHO_MS, MAX_INNOCENT_LOSS_PERCENT
from mininet_labs.run import LabRun, Progress
from runtime.errors import DynsegError

LEARN_SECONDS = 60.0
SCANNERS = ("web1", "web2", "web3")
"""The VMs that take part in no innocent probe, taking turns."""
LINGER_SECONDS = 1.0
PAUSE_SECONDS = 8.0
"""Between a release and the next scan: ordinary traffic."""
MAX_CONTAIN_SECONDS = 2.0
_OPERATORS = {"<=": operator.le}


@dataclass(frozen=True)
class Row:
    """One measure beside its target."""

    measure: str
    value: float | None
    unit: str
    op: str
    target: float
    n: int
    peer: str | None = None
    peer_value: float | None = None

    @property
    def met(self) -> bool:
        """Is the target met? A measure without a value misses it."""
        return self.value is not None and bool(_OPERATORS[self.op](self.value, self.target))


def rows(evidence: Evidence) -> tuple[Row, ...]:
    """The table of a run. A scan that was not answered counts as contained never."""
    times = [float("inf") if s.contained_seconds is None else s.contained_seconds for s in evidence.strikes]
    median = statistics.median(times)
    probes = sum(len(evidence.probes.get(name, ())) for name in evidence.innocent)
    return (
        Row(
            "median time to contain a scan",
            None if median == float("inf") else round(median, 3),
            "s",
            "<=",
            MAX_CONTAIN_SECONDS,
            len(times),
        ),
        Row("innocent probe loss", round(innocent_loss(evidence), 4), "%", "<=", MAX_INNOCENT_LOSS_PERCENT, probes),
        Row("ryu-manager echo max", evidence.echo.max_ms, "ms", "<=", MAX_ECHO_MS, evidence.echo.answered),
    )


def measure(run: LabRun, count: int) -> Evidence:
    """Carry out `count` scans one after the other."""
    run.learn()
    for number in range(count):
        vm = SCANNERS[number % len(SCANNERS)]
        attack = catalogue.scan(run.inventory, vm, "db", run.logs / "nmap.txt")
        strike = run.strike(attack, LINGER_SECONDS)
        if strike.rule is not None:
            now = time.time()
            run.release(strike.rule)
            wait_for(f"{vm} talks again", lambda vm=vm, now=now: run.probe_returns(vm, now), 10.0)  # type: ignore[misc]
        run.calm(PAUSE_SECONDS)
    return run.finish()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description="time from a scan's first packet to the scanner's last one forwarded")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--scans", type=int, default=12)
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        with LabRun(args.out / "contain", LEARN_SECONDS, Progress()) as run:
            evidence = measure(run, args.scans)
    except DynsegError as error:
        print(f"contain: {error}", file=sys.stderr)
        return 1
    table = rows(evidence)
    (args.out / "contain.json").write_text(json.dumps([asdict(row) for row in table], indent=2) + "\n")
    seconds = sorted(s.contained_seconds for s in evidence.strikes if s.contained_seconds is not None)
    print(f"\nscans contained after (s): {' '.join(f'{value:.2f}' for value in seconds)}")
    print(f"\n{'measure':<32}{'value':>10} {'unit':<5}{'target':>10}{'n':>8}")
    for row in table:
        value = "-" if row.value is None else f"{row.value:g}"
        verdict = "met" if row.met else "MISSED"
        print(f"{row.measure:<32}{value:>10} {row.unit:<5}{row.op + f' {row.target:g}':>10}{row.n:>8}  {verdict}")
    return 0 if all(row.met for row in table) else 1


if __name__ == "__main__":
    sys.exit(main())
