"""What attacks among the training cost: does the analyzer still see attacks of which some were learned as normal?

An office is learned twice, once as it is and once with three attack flows in a thousand, of all kinds; or it is learned
as it is, and for days an attacker does a little more each day while the analyzer learns on. Then attacks of other VMs
come. Told is how many points fewer of their flows score above what one benign flow in a hundred exceeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyzer.baseline import Baseline
from analyzer.core import Core
from analyzer.evaluate import tpr
from analyzer.flows import F8, Array, FlowBatch, FlowState, address_halves
from analyzer.following import Following
from analyzer.site import SEGMENT
from benchmarks.analyzer.load import START, Load
from benchmarks.rows import Row

VMS = 40
MOST_LOST = 0.05
SHARE = 0.003
STRANGER = np.uint64(address_halves("203.0.113.9")[1])
ENDED = FlowState.NEW | FlowState.FINAL
FAILED = ENDED | FlowState.FAILED
DELAY = 20.0
"""Seconds that learning on waits: a day of the benchmark is a minute."""


@dataclass(frozen=True)
class Size:
    """How much is learned and judged."""

    learned: int = 12_000
    """Flows, 100 a second."""
    judged: int = 6000
    bad: int = 150
    """Attack flows of each kind among them."""
    days: int = 4


class Office:
    """Forty VMs, and what an attacker in one of them does."""

    def __init__(self, seed: int) -> None:
        self._load = Load(seed, VMS)
        self._rng = np.random.default_rng(seed + 1)

    def core(self) -> Core:
        """An analyzer that knows nothing."""
        return Core(self._load.segment, 1)

    def flows(self, count: int, begin: float) -> FlowBatch:
        """Ordinary flows, 100 a second."""
        return self._load.flows(count, begin, count / 100)

    def attacks(self, count: int, begin: float, seconds: float, vm: int) -> Mapping[str, FlowBatch]:
        """`count` flows of each kind from one VM, evenly over `seconds`."""
        return {kind.__name__[1:]: self._made(kind, count, begin, seconds, vm) for kind in KINDS}

    def _made(
        self, kind: Callable[[Array, np.random.Generator], None], count: int, begin: float, seconds: float, vm: int
    ) -> FlowBatch:
        batch = self._load.flows(count, begin, seconds)
        rows = batch.rows
        rows["src_vm"], rows["src_lo"] = vm, self._load.low[vm]
        rows["dst_vm"], rows["dst_segment"] = self._rng.integers(8, VMS + 1, count), SEGMENT
        rows["dst_lo"] = self._load.low[rows["dst_vm"]]
        rows["proto"], rows["dst_port"] = 6, 443
        rows["state"] = ENDED
        kind(rows, self._rng)
        return batch


def _scan(rows: Array, rng: np.random.Generator) -> None:
    """Services of everybody, in vain."""
    rows["dst_port"] = rng.integers(1, 10_000, len(rows))
    rows["state"] = FAILED
    rows["src_pkts"], rows["dst_pkts"], rows["src_bytes"], rows["dst_bytes"] = 1, 1, 60, 40


def _guessing(rows: Array, rng: np.random.Generator) -> None:
    """One login, again and again."""
    for name in ("dst_vm", "dst_lo"):
        rows[name] = rows[name][0]
    rows["dst_port"] = 22
    rows["src_pkts"], rows["dst_pkts"] = rng.integers(11, 14, len(rows)), rng.integers(10, 13, len(rows))
    rows["src_bytes"], rows["dst_bytes"] = 1800, 2500


def _upload(rows: Array, rng: np.random.Generator) -> None:
    """Data to a stranger."""
    rows["dst_vm"], rows["dst_segment"], rows["dst_lo"] = 0, 0, STRANGER
    rows["src_pkts"], rows["dst_pkts"] = rng.integers(800, 1500, len(rows)), 300
    rows["src_bytes"], rows["dst_bytes"] = rows["src_pkts"] * np.uint64(1400), 15_000


def _flood(rows: Array, rng: np.random.Generator) -> None:
    """Packets that nobody answers."""
    rows["src_pkts"], rows["src_bytes"] = rng.integers(2000, 9000, len(rows)), 400_000
    rows["dst_pkts"], rows["dst_bytes"] = 0, 0
    rows["state"] = FAILED


KINDS: Sequence[Callable[[Array, np.random.Generator], None]] = (_scan, _guessing, _upload, _flood)


def mixed(batches: Sequence[FlowBatch]) -> tuple[FlowBatch, Array]:
    """In order of their ends, and which batch each is from."""
    rows = np.concatenate([batch.rows for batch in batches])
    source = np.repeat(np.arange(len(batches)), [len(batch) for batch in batches])
    order = np.argsort(rows["end"], kind="stable")
    return FlowBatch(rows[order]), source[order]


def run(core: Core, flows: FlowBatch) -> F8:
    """Live it; scores, where it judges."""
    scores = []
    for part in flows.slices(1.0, 64):
        scores.append(core.score(part.rows, core.finish(part.rows)))
        core.feed(part)
    return np.concatenate(scores)


def learned(office: Office, size: Size, share: float) -> Baseline:
    """Of an office where attackers had this share of the flows."""
    core, seconds = office.core(), size.learned / 100
    bad = round(size.learned * share / len(KINDS))
    attacks = office.attacks(bad, START, seconds, 3).values() if bad else ()
    run(core, mixed([office.flows(size.learned, START), *attacks])[0])
    return core.stop_learning()(7, "")


def detection(office: Office, size: Size, baseline: Baseline) -> Mapping[str, float]:
    """Share of the flows of each kind of attack above what 1 % of benign flows exceed."""
    core, begin = office.core(), START + 1e5
    core.judge_by(baseline)
    attacks = office.attacks(size.bad, begin, size.judged / 100, 7)
    flows, source = mixed([office.flows(size.judged, begin), *attacks.values()])
    scores = run(core, flows)
    return {name: tpr(scores[source == 0], scores[source == i], 0.01) or 0.0 for i, name in enumerate(attacks, 1)}


def followed(office: Office, size: Size, first: Baseline, poison: bool) -> Baseline:
    """What became of the first baseline after days of learning on, with an attacker who does more each day."""
    current = first
    for day in range(size.days):
        core, begin = office.core(), START + 1e4 * (day + 1)
        core.judge_by(replace(current, anchor=None if current is first else first))
        core.following = Following(first, current, VMS, DELAY)
        attacks = office.attacks(2 ** (day + 1), begin, 60.0, 3).values() if poison else ()
        run(core, mixed([office.flows(6000, begin), *attacks])[0])
        run(core, office.flows(round(200 * DELAY), begin + 60))  # until all of the day is old enough
        made = core.following.successor()(7, "")
        current = replace(made.baseline, anchor=first)
    return current


def lost(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Points of detection, the mean over the kinds."""
    return float(np.mean([before[kind] - after[kind] for kind in before]))


def rows(say: Callable[[str], None], size: Size | None = None) -> list[Row]:
    """Measure."""
    size = size or Size()
    office = Office(5)
    clean = learned(office, size, 0.0)
    seen = detection(office, size, clean)
    say(f"learned from clean flows: {_told(seen)}")
    poisoned = detection(office, size, learned(office, size, SHARE))
    say(f"with {SHARE:.1%} attacks among them: {_told(poisoned)}")
    calm = detection(office, size, followed(office, size, clean, poison=False))
    slow = detection(office, size, followed(office, size, clean, poison=True))
    say(f"after {size.days} days of learning on: {_told(calm)}; beside an attacker: {_told(slow)}")
    return [
        _row(f"detection lost by {SHARE:.1%} attack flows in the training", seen, poisoned, size),
        _row(f"detection lost by slow poisoning over {size.days} days", calm, slow, size),
    ]


def _row(measure: str, before: Mapping[str, float], after: Mapping[str, float], size: Size) -> Row:
    reason = f"flows above what 1 % of benign ones exceed; before: {_told(before)}; after: {_told(after)}"
    return Row(measure, round(lost(before, after), 4), "", "<=", MOST_LOST, size.bad * len(KINDS), reason=reason)


def _told(seen: Mapping[str, float]) -> str:
    return ", ".join(f"{kind} {share:.3f}" for kind, share in seen.items())
