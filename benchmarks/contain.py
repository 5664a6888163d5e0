"""`python -m benchmarks.contain`: how soon is a scanning VM cut off, and what do the innocent notice of it?

One lab, one baseline; then VM after VM scans the databases with nmap, is isolated, and is released through REST before
the next one starts. Prints a table and writes `out/bench/contain.json` (`benchmarks.rows`); no peer is named for these
measures. Exit status 0 when every target is met.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rows import Row, table, write
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
    found = rows(evidence)
    write(found, args.out / "contain.json")
    seconds = sorted(s.contained_seconds for s in evidence.strikes if s.contained_seconds is not None)
    print(f"\nscans contained after (s): {' '.join(f'{value:.2f}' for value in seconds)}")
    print(f"\n{table(found)}")
    return 0 if all(row.met for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
