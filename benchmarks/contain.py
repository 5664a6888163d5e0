"""`python -m benchmarks.contain`: how soon is an attacker's last packet forwarded, and what do the innocent notice?

One lab, one baseline; then VM after VM scans with nmap, spreads like a worm, or floods a server with SYNs, is
contained, and is released through REST before the next one starts. The first step of the ladder counts, isolation
follows. Prints a table and writes `out/bench/contain.json` (`benchmarks.rows`); no peer is named for these measures.
Exit status 0 when every target is met.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, conclude
from mininet_labs.attacks import catalogue
from mininet_labs.attacks.catalogue import Attack
from mininet_labs.children import exit_when_told, wait_for
from mininet_labs.errors import LabError
from mininet_labs.evidence import Evidence, Strike, innocent_loss
from mininet_labs.judge import MAX_ECHO_MS, MAX_INNOCENT_LOSS_PERCENT
from mininet_labs.run import LabRun, Progress
from runtime.errors import DynsegError

LEARN_SECONDS = 60.0
ATTACKERS = ("web1", "web2", "web3")
"""The VMs that take part in no innocent probe, taking turns."""
ENGINE = {"probation_seconds": 0, "forget_seconds": 0.001}
"""Every attack is to meet a VM that is under no suspicion."""
LINGER_SECONDS = 1.0
KEPT_SECONDS = 4.0
"""Between the end of an attack and the release: what the attacker's machine kept back, for want of ARP answers, is
dropped by then; else it is sent on release, and is an attack like any other."""
TALK_SECONDS = 20.0
PAUSE_SECONDS = 6.0
"""Between a release and the next attack: ordinary traffic."""
MAX_STEP_SECONDS = 0.1
MAX_CONTAIN_SECONDS = 2.0
BIN_SECONDS = 0.02
FREE = 0.5
"""An attack goes on freely where at least this share of what it sends in a `BIN_SECONDS` is forwarded."""


@dataclass(frozen=True)
class Kind:
    """One kind of attack."""

    name: str
    make: Callable[[LabRun, str], Attack]
    limit: float
    """Seconds; of the median."""


def _scan(segment: str) -> Callable[[LabRun, str], Attack]:
    return lambda run, vm: replace(catalogue.scan(run.inventory, vm, segment, run.logs / "nmap.txt"), openings=True)


KINDS = (
    Kind("fast scan", _scan("ops"), MAX_STEP_SECONDS),
    Kind("worm's fan-out", lambda run, vm: catalogue.worm(run.inventory, vm, ("app", "ops")), MAX_STEP_SECONDS),
    Kind("SYN flood", lambda run, vm: catalogue.flood(run.inventory, vm, "app1", 8080), MAX_STEP_SECONDS),
    Kind("scan of default-deny", _scan("db"), MAX_CONTAIN_SECONDS),
)


def stopped(strike: Strike) -> float | None:
    """Seconds from an attack's first packet to the last one of the last `BIN_SECONDS` in which it was forwarded freely.

    What a limit lets through of a flood is not free. What is forwarded while nothing is sent was sent before, so it
    counts there. None: nothing was ever decided about it.
    """
    sent, passed = strike.watch.attack, strike.watch.passed
    if strike.rule is None or not sent:
        return None
    start = sent[0]
    tried = Counter(_bin(moment - start) for moment in sent)
    busy = sorted(tried)
    whose = [busy[bisect_right(busy, _bin(moment - start)) - 1] for moment in passed]
    done = Counter(whose)
    free = [moment for moment, number in zip(passed, whose, strict=True) if done[number] >= FREE * tried[number]]
    return max(free, default=start) - start


def _bin(after: float) -> int:
    return max(0, int(after / BIN_SECONDS))


def first_step(strike: Strike, audit: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    """Seconds from an attack's first packet to the first rule about its VM: judged, confirmed by the switch.

    None: there was none.
    """
    known = [entry for entry in audit if entry["kind"] == "enforced" and entry["body"].get("vm") == strike.attack.vm]
    known = [entry for entry in known if strike.start <= entry["ts"] <= strike.end]
    if not known or not strike.watch.attack:
        return None
    confirmed = min(known, key=lambda entry: float(entry["ts"]))
    after = float(confirmed["ts"]) - strike.watch.attack[0]
    return after - float(confirmed["body"]["seconds"]), after


def rows(
    kinds: Sequence[Kind], strikes: Sequence[Sequence[Strike]], silent: int, evidence: Evidence
) -> tuple[Row, ...]:
    """The table of a run. An attack that was not answered counts as contained never."""
    made = []
    for kind, own in zip(kinds, strikes, strict=True):
        seconds = [float("inf") if (found := stopped(strike)) is None else found for strike in own]
        median = statistics.median(seconds)
        name = f"{kind.name}: first packet to the last one forwarded, median"
        made.append(Row(name, None if median == float("inf") else round(median, 3), "s", "<=", kind.limit, len(own)))
    probes = sum(len(evidence.probes.get(name, ())) for name in evidence.innocent)
    released = sum(map(len, strikes))
    return (
        *made,
        Row(f"released VMs that did not talk within {TALK_SECONDS:g} s", silent, "VMs", "<=", 0, released),
        Row("innocent probe loss", round(innocent_loss(evidence), 4), "%", "<=", MAX_INNOCENT_LOSS_PERCENT, probes),
        Row("ryu-manager echo max", evidence.echo.max_ms, "ms", "<=", MAX_ECHO_MS, evidence.echo.answered),
    )


def measure(run: LabRun, kinds: Sequence[Kind], count: int) -> tuple[list[list[Strike]], int, Evidence]:
    """Carry out `count` attacks of each kind, one after the other; also how many VMs were silent when released."""
    run.learn()
    silent = 0
    strikes: list[list[Strike]] = [[] for _ in kinds]
    for number in range(count * len(kinds)):
        vm, which = ATTACKERS[number % len(ATTACKERS)], number % len(kinds)
        strike = run.strike(kinds[which].make(run, vm), LINGER_SECONDS)
        strikes[which].append(strike)
        run.calm(KEPT_SECONDS)
        silent += not _let_go(run, vm)
        run.calm(PAUSE_SECONDS)
    return strikes, silent, run.finish()


def _let_go(run: LabRun, vm: str) -> bool:
    """Release what stands about a VM, the highest step first: a lesser one may end by itself with it.

    Returns: does the VM talk again?
    """
    begun = time.time()
    wait_for(f"the steps against {vm} are one", lambda: len(run.standing(vm)) <= 1, 20.0)
    for rule in run.standing(vm):
        run.release(rule)
        wait_for(f"{vm} is released", lambda: not run.standing(vm), 20.0)
    try:
        wait_for(f"{vm} talks again", lambda: run.probe_returns(vm, begun), TALK_SECONDS)
    except LabError as error:
        run.moment(str(error))
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description="time from an attack's first packet to its last one forwarded")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--count", type=int, default=20, help="attacks of each kind")
    parser.add_argument("--only", nargs="+", choices=[kind.name for kind in KINDS], help="kinds of attack")
    args = parser.parse_args(arguments)
    kinds = [kind for kind in KINDS if args.only is None or kind.name in args.only]
    exit_when_told()
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        with LabRun(args.out / "contain", LEARN_SECONDS, Progress(), engine=ENGINE) as run:
            strikes, silent, evidence = measure(run, kinds, args.count)
    except DynsegError as error:
        print(f"contain: {error}", file=sys.stderr)
        return 1
    for kind, own in zip(kinds, strikes, strict=True):
        seconds = sorted(value for strike in own if (value := stopped(strike)) is not None)
        print(f"\n{kind.name}, contained after (s): {' '.join(f'{value:.2f}' for value in seconds)}")
        known = [found for strike in own if (found := first_step(strike, evidence.audit)) is not None]
        if known:
            middle = [statistics.median(column) for column in zip(*known, strict=True)]
            print("  first step, medians: judged after {:.3f} s, confirmed after {:.3f} s".format(*middle))
    return conclude(rows(kinds, strikes, silent, evidence), args.out / "contain.json")


if __name__ == "__main__":
    sys.exit(main())
