"""Are nominal 1 % and 0.1 % tails what they say, on later traffic of the same hosts, and on hosts that were never seen?

Benign captures beside the project (`../shared/traffic`) are learned from until 40 % of their flows have ended, and
judged from then on, as a live analyzer would; they are no part of the project, and without them there are no rows. Of
captures with attacks only the benign flows are taken. Host-disjoint: learned from one half of the hosts (by hash of the
address), judged on the other, later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analyzer.baseline import over_lengths
from analyzer.calibration import Calibration
from analyzer.core import Core
from analyzer.flows import F8, I8, Array, Bool, FlowBatch
from analyzer.keytable import mix
from analyzer.models import labelled
from analyzer.models.classes import BENIGN
from analyzer.site import SEGMENT
from benchmarks.rows import Row

TRAFFIC = Path(__file__).parents[3] / "shared" / "traffic"
CAPTURES = (
    "ctu_sme11_2023-02-20_benign",
    "rita_proxy_rolling",
    "ctu_normal7_2013_binetflow",
    "ctu_normal_dns_2015-03-24",
    "iot_sentinel_benign",
    "ctu50_ctu-normal-40_day1",
    "ctu50_ctu-normal-43_day1",
    "westermo_bottom_h1",
)
"""With times that hold together."""
UNLABELLED = "rita_proxy_rolling"
"""Labelled `background` throughout; nothing in it is malicious, its source says."""
INTERNAL = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "147.32.80.0/22", "198.18.0.0/15"]
LEARNED = 0.4
LEVELS = {0.01: 2.0, 0.001: 3.0}
"""Nominal tail -> factor within which it is to be realised."""


@dataclass(frozen=True)
class Tails:
    """What was thought of what came later."""

    flow_p: F8
    window_p: F8


class _Watched(Calibration):
    """Keeps p as it was when it was judged, before anything follows from it."""

    def __init__(self, core: Core, vms: int) -> None:
        assert core.baseline is not None
        super().__init__(core.baseline, vms, SEGMENT)
        self.flow_p: list[F8] = []
        self.window_p: list[F8] = []
        self._all = Calibration(core.baseline, vms, SEGMENT)

    def note_flows(self, rows: Array, p: F8) -> None:
        """As it is, and keep it."""
        self.flow_p.append(self.flows(rows["src_segment"], p)[rows["src_vm"] > 0])
        super().note_flows(rows, p)

    def note_windows(self, now: Array | float, vm: I8, segment: Array, tails: F8, suspect: Bool) -> None:
        """As it is, and keep it, of suspects too: there is nothing to be suspected of."""
        due = self._all.due(np.broadcast_to(np.asarray(now, np.float64), len(vm)), vm)
        self.window_p.append(over_lengths(self.windows(segment, tails))[due])
        super().note_windows(now, vm, segment, tails, suspect)

    def tails(self) -> Tails:
        """All of it."""
        return Tails(*(np.concatenate([np.zeros(0), *parts]) for parts in (self.flow_p, self.window_p)))


def rows(say: Callable[[str], None]) -> list[Row]:
    """Measure; without captures rows that say so."""
    if not TRAFFIC.is_dir():
        return [Row("calibration", None, "x", "<=", 2.0, 0, reason="no recorded traffic beside the project")]
    same = [_judged(name, None) for name in CAPTURES]
    say("same hosts measured")
    strangers = [_judged(name, half) for name in CAPTURES for half in (0, 1)]
    return [*_rows("later, same hosts", same), *_rows("hosts never seen", strangers)]


def _rows(what: str, parts: Sequence[Tails]) -> list[Row]:
    found = []
    for kind in ("flow", "window"):
        values = [p for part in parts if len(p := getattr(part, f"{kind}_p"))]
        for level, factor in LEVELS.items():
            shares = [float((p <= level).mean()) for p in values]
            realised = float(np.mean(shares))
            off = max(realised / level, level / max(realised, 1e-9))
            each = ", ".join(f"{share:.2%}" for share in shares)
            reason = (
                f"realised {realised:.3%}, the mean over captures, {np.median(shares):.3%} the median; each: {each}"
            )
            count = sum(map(len, values))
            measure = f"{kind}s: nominal {level:.1%}, {what}"
            found.append(Row(measure, round(off, 2), "x off", "<=", factor, count, reason=reason))
    return found


def _judged(name: str, half: int | None) -> Tails:
    """Tails of later flows and windows of a capture; with `half` learned from half of its hosts, of the other half."""
    capture = labelled.read(str(TRAFFIC / name), INTERNAL)
    benign = np.ones(len(capture.kind), bool) if name == UNLABELLED else np.asarray(capture.kind == BENIGN)
    everything = capture.batch.rows[benign]
    cut = np.quantile(everything["end"], LEARNED)
    early, late = everything[everything["end"] < cut], everything[everything["end"] >= cut]
    if half is not None:
        early, late = (part[_half(part) == (half ^ other)] for other, part in ((0, early), (1, late)))
    vms = len(capture.site.names)
    core = Core(np.full(vms, SEGMENT, np.int16), 1)
    _run(core, early)
    core.judge_by(core.stop_learning()(7, ""))
    core.calibration = watched = _Watched(core, vms)
    _run(core, late)
    return watched.tails()


def _run(core: Core, rows: Array) -> None:
    for part in FlowBatch(rows).slices(1.0, 64):
        core.finish(part.rows)
        core.feed(part)


def _half(rows: Array) -> I8:
    return (mix(3, rows["src_hi"], rows["src_lo"]) >> np.uint64(40)).astype(np.int64) & 1
