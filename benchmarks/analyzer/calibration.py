"""Are nominal 1 % and 0.1 % tails what they say, on later traffic of the same hosts, and on hosts that were never seen?

Benign captures beside the project (`../shared/traffic`) are learned from in their first 40 % and judged in the rest;
they are no part of the project, and without them there are no rows. Host-disjoint: learned from one half of the hosts
(by hash of the address), judged on the other, later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from analyzer import csvflows
from analyzer.core import Core
from analyzer.flows import F8, I8, Array, Bool, FlowBatch
from analyzer.following import Following
from analyzer.keytable import mix
from analyzer.site import SEGMENT, Site
from benchmarks.rows import Row

TRAFFIC = Path(__file__).parents[3] / "shared" / "traffic"
CAPTURES = (
    "ctu_sme11_2023-02-20_benign",
    "rita_proxy_rolling",
    "ctu_normal7_2013_binetflow",
    "ctu_normal_dns_2015-03-24",
    "iot_sentinel_benign",
)
"""Benign, with times that hold together."""
LEARNED = 0.4
LEVELS = {0.01: 2.0, 0.001: 3.0}
"""Nominal tail -> factor within which it is to be realised."""


class _Seen(Following):
    """Keeps the p of everything that was judged, instead of learning from it."""

    def __init__(self) -> None:
        self.flow_p: list[F8] = []
        self.window_p: list[F8] = []

    def peers(self, now: float, rows: Array) -> None:
        """Nothing is learned."""

    def flows(self, rows: Array, features: F8) -> None:
        """Nothing is learned."""

    def windows(self, now: float, vm: I8, segment: Array, values: F8, p: F8, suspect: Bool) -> None:
        """The p of VMs."""
        self.window_p.append(p[vm > 0])


def rows(say: Callable[[str], None]) -> list[Row]:
    """Measure; without captures rows that say so."""
    if not TRAFFIC.is_dir():
        return [Row("calibration", None, "x", "<=", 2.0, 0, reason="no recorded traffic beside the project")]
    same = [_judged(name, None) for name in CAPTURES]
    say("same hosts measured")
    strangers = [_judged(name, half) for name in CAPTURES for half in (0, 1)]
    return [*_rows("later, same hosts", same), *_rows("hosts never seen", strangers)]


def _rows(what: str, parts: Sequence[tuple[F8, F8]]) -> list[Row]:
    found = []
    for number, kind in enumerate(("flows", "windows")):
        values = [part[number] for part in parts if len(part[number])]
        for level, factor in LEVELS.items():
            shares = [float((p <= level).mean()) for p in values]
            pooled = float(np.mean(shares))
            off = max(pooled / level, level / max(pooled, 1e-9))
            each = ", ".join(f"{share:.2%}" for share in shares)
            reason = f"realised {pooled:.3%}, the mean over captures; each: {each}"
            count = sum(map(len, values))
            found.append(
                Row(f"{kind}: nominal {level:.1%}, {what}", round(off, 2), "x off", "<=", factor, count, reason=reason)
            )
    return found


def _judged(name: str, half: int | None) -> tuple[F8, F8]:
    """Tails of later flows and windows of a capture; with `half` learned from half of its hosts, of the other half."""
    site = Site.of([])
    batch = csvflows.read(TRAFFIC / name / "flows.csv.gz", site)
    order = np.argsort(batch.rows["end"], kind="stable")
    everything = batch.rows[order]
    cut = np.quantile(everything["start"], LEARNED)
    early, late = everything[everything["start"] < cut], everything[everything["start"] >= cut]
    if half is not None:
        early, late = (part[_half(part) == (half ^ other)] for other, part in ((0, early), (1, late)))
    core = Core(np.full(len(site.names), SEGMENT, np.int16), 1)
    _run(core, early, lambda _: None)
    core.judge_by(core.stop_learning()(7, ""))
    assert core.baseline is not None
    seen = core.following = _Seen()
    _run(core, late, seen.flow_p.append)
    inside = late["src_vm"] > 0
    flows = np.concatenate(seen.flow_p)[inside] if seen.flow_p else np.zeros(0)
    return flows, np.concatenate(seen.window_p) if seen.window_p else np.zeros(0)


def _run(core: Core, rows: Array, take: Callable[[F8], None]) -> None:
    for part in FlowBatch(rows).slices(1.0, 64):
        if core.baseline is not None:
            take(core.baseline.flow_p(part.rows["src_segment"], core.features_of(part.rows)))
        core.finish(part.rows)
        core.feed(part)


def _half(rows: Array) -> I8:
    return (mix(3, rows["src_hi"], rows["src_lo"]) >> np.uint64(40)).astype(np.int64) & 1
