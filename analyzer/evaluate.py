"""What the analyzer is worth on a labelled capture: learned from its calm beginning, judged on the rest.

The benign flows of the first part are learned from; everything after it is replayed. Endpoints that open malicious
flows are offenders; a rule about anybody else is a false alarm, or hits a victim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analyzer import replay
from analyzer.baseline import Baseline
from analyzer.core import Core
from analyzer.flows import F8, Array, Bool, FlowBatch, address_text
from analyzer.models.classes import BENIGN
from analyzer.models.labelled import Labelled
from analyzer.site import SEGMENT, Site
from runtime.errors import DynsegError

LEVELS = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
"""Nominal tails that are checked."""
POINTS = 200


@dataclass(frozen=True)
class Evaluated:
    """One capture."""

    name: str
    learned: int
    """Benign flows that were learned from; 0: judged as a network of which nothing is known."""
    flows: int
    """That were judged."""
    malicious: int
    auc: float | None
    tpr_1pct: float | None
    tpr_01pct: float | None
    """True positive rates where at most 1 % and 0.1 % of benign flows score higher; None below 1,000 of these."""
    roc: tuple[tuple[float, float], ...]
    """(false, true positive rate), ascending."""
    delay: float | None
    """Seconds from the first malicious flow to the first rule that acts on an offender."""
    alert_delay: float | None
    """The same to the first rule of any kind."""
    acted: int
    """Offenders that a rule acts on, of `offenders`."""
    offenders: int
    false_rules: Mapping[str, int]
    """Acting rules about others, by what the rule's first reason names."""
    false_alerts: Mapping[str, int]
    realised: tuple[tuple[float, float], ...]
    """(nominal tail, share of later benign flows in it)."""


def evaluate(capture: Labelled, learned: float) -> Evaluated:
    """Learn from the first share `learned` of a capture's benign flows, judge what comes after.

    Without benign flows nothing is learned, and all is judged.

    Raises:
        DynsegError: it has no flows.
    """
    rows = capture.batch.rows
    if not len(rows):
        raise DynsegError("has no flows", file=capture.name)
    benign = np.asarray(capture.kind == BENIGN)
    cut = np.quantile(rows["start"][benign], learned) if benign.any() else -np.inf
    early, late = benign & (rows["start"] < cut), rows["start"] >= cut
    bad = np.array([kind is not None and kind != BENIGN for kind in capture.kind], bool)
    known = replay.learn([FlowBatch(rows[early])], capture.site)
    judged = replay.judge(known, FlowBatch(rows[late]), capture.site)
    ends = np.unique(rows[late & bad][["src_hi", "src_lo"]])
    offenders = {address_text(int(end["src_hi"]), int(end["src_lo"])) for end in ends}
    first = float(rows["start"][late & bad].min()) if (late & bad).any() else None
    good, evil = judged.scores[benign[late]], judged.scores[bad[late]]
    acting = [rule for rule in judged.rules if rule["action"] != "alert"]
    alerts = [rule for rule in judged.rules if rule["action"] == "alert"]

    def delay(rules: list[dict[str, object]]) -> float | None:
        times = [float(str(rule["time"])) for rule in rules if rule["subject"] in offenders]
        return None if first is None or not times else max(0.0, min(times) - first)

    later = rows[late & benign]
    return Evaluated(
        capture.name, int(early.sum()), int(late.sum()), int((late & bad).sum()),
        auc(good, evil), tpr(good, evil, 0.01), tpr(good, evil, 0.001), roc(good, evil),
        delay(acting), delay(judged.rules),
        len({str(rule["subject"]) for rule in acting} & offenders), len(offenders),
        causes([rule for rule in acting if rule["subject"] not in offenders]),
        causes([rule for rule in alerts if rule["subject"] not in offenders]),
        realised(known.baseline, later, capture.site),
    )  # fmt: skip


def realised(baseline: Baseline, later: Array, site: Site) -> tuple[tuple[float, float], ...]:
    """For each nominal tail the share of these benign flows (dtype FLOW) whose p, by themselves, is in it."""
    if not len(later):
        return ()
    core = Core(np.full(len(site.names), SEGMENT, np.int16), 0)
    core.judge_by(baseline)
    p = baseline.flow_p(later["src_segment"], core.features_of(later))
    return tuple((level, float((p <= level).mean())) for level in LEVELS)


def auc(good: F8, evil: F8) -> float | None:
    """Area under the curve; ties count half. None without either."""
    if not len(good) or not len(evil):
        return None
    values, place = np.unique(np.concatenate([evil, good]), return_inverse=True)
    ours, theirs = (np.bincount(part, minlength=len(values)) for part in (place[: len(evil)], place[len(evil) :]))
    below = np.cumsum(theirs) - theirs
    return float((ours * (below + theirs / 2)).sum() / (len(good) * len(evil)))


def tpr(good: F8, evil: F8, share: float) -> float | None:
    """Share of `evil` above what at most `share` of `good` exceeds."""
    if len(good) < 1000 or not len(evil):
        return None
    return float((evil > np.sort(good)[::-1][int(share * len(good))]).mean())


def roc(good: F8, evil: F8) -> tuple[tuple[float, float], ...]:
    """Points of the curve, thinned."""
    if not len(good) or not len(evil):
        return ()
    levels = np.unique(np.concatenate([good, evil]))[::-1]
    false = 1 - np.searchsorted(np.sort(good), levels, side="left") / len(good)
    true = 1 - np.searchsorted(np.sort(evil), levels, side="left") / len(evil)
    kept: Bool = np.zeros(len(levels), bool)
    kept[np.unique(np.linspace(0, len(levels) - 1, min(POINTS, len(levels))).astype(int))] = True
    kept[np.unique(false, return_index=True)[1][:POINTS]] = True  # the left end is what matters
    return ((0.0, 0.0), *zip(false[kept].tolist(), true[kept].tolist(), strict=True), (1.0, 1.0))


def causes(rules: list[dict[str, object]]) -> dict[str, int]:
    """How many rules for each cause: what stands before the colon of the first reason."""
    found: Counter[str] = Counter()
    for rule in rules:
        reasons = rule["reasons"]
        assert isinstance(reasons, list)
        found[str(reasons[0]).split(":")[0] if reasons else "none"] += 1
    return dict(found.most_common())
