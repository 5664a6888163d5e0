"""The analyzer over recorded flows: `dynseg replay TEST --train TRAIN --internal CIDR,CIDR --out DIR`.

Same code as live, driven by the recording's clock. Causal: on a prefix of TEST the output is the prefix of the
output. So a step of rows is judged only when the next one begins, and a row's score is made of itself and of the
steps before.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.advisor import Advisor, Proposal, subject_of
from analyzer.baseline import Baseline, Learner
from analyzer.core import Core
from analyzer.csvflows import read
from analyzer.familiar import company
from analyzer.flows import F8, I8, Array, FlowBatch, address_text
from analyzer.risk import Verdict
from analyzer.site import SEGMENT, Site

STEP_SECONDS = 1.0
STEP_ROWS = 4
"""A step ends with its second or with so many rows, then twice as many: a scan has news within milliseconds. The lowest
floors of what a stranger, or a VM at doors, may do are two and three, so to look sooner would show nothing."""
AGAIN_SECONDS = 3600.0
"""The same advice on the same subject is not repeated sooner."""
_SALT = 0x5EED
_SEED = 7

log = logging.getLogger("dynseg.analyzer.replay")


@dataclass(frozen=True)
class Learned:
    """What recordings say of what is normal."""

    baseline: Baseline
    vms: Array
    """Numbers of those that had part in them."""


@dataclass
class Replayed:
    """What a replay yields."""

    scores: F8
    """0..100 of each row."""
    rules: list[dict[str, Any]] = field(default_factory=list)


def run(test: Path, train: Sequence[Path], internal: Sequence[str], out: Path) -> None:
    """Replay TEST and write `scores.csv` and `rules.jsonl` into `out`.

    Args:
        test: flows to judge, ordered by `end`.
        train: flows to learn what is normal from; none: everything is judged by prior knowledge.
        internal: networks of the site; none: the private ranges.
        out: folder, made if absent.

    Raises:
        FlowFileError: a file, or `internal`, is not as it has to be.
    """
    site = Site.of(internal)
    learned = [read(path, site) for path in train]
    judged = read(test, site)
    if len(judged) and not ((judged.rows["src_vm"] > 0) | (judged.rows["dst_vm"] > 0)).any():
        log.warning("%s: none of its hosts is inside, so no VM is judged; name the site's networks by --internal", test)
    result = replay(learned, judged, site)
    out.mkdir(parents=True, exist_ok=True)
    (out / "scores.csv").write_text("score\n" + "".join(f"{score:.4f}\n" for score in result.scores.tolist()))
    (out / "rules.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in result.rules))


def replay(train: Sequence[FlowBatch], test: FlowBatch, site: Site) -> Replayed:
    """Learn from `train`, judge `test`."""
    return judge(learn(train, site), test, site)


def learn(train: Sequence[FlowBatch], site: Site) -> Learned:
    """What is normal in these recordings; without any, prior knowledge."""
    core = _core(site)
    for batch in train:
        for _ in core.steps(batch, batch.steps(STEP_SECONDS, STEP_ROWS), whole=True):
            pass
    ends = [batch.rows[end] for batch in train for end in ("src_vm", "dst_vm")]
    vms = np.unique(np.concatenate([np.zeros(0, np.int32), *ends]))
    return Learned(core.stop_learning()(_SEED, ""), vms[vms > 0])


def judge(learned: Learned, test: FlowBatch, site: Site) -> Replayed:
    """Scores and rules of a recording. Windows start empty: what was learned from need not have ended before it.

    As long as it looks like one of another network than what was learned (`analyzer.familiar`), it is judged as if
    nothing had been.
    """
    core = _core(site)
    result = Replayed(np.zeros(len(test)))
    adviser = _Adviser(site)
    edges = test.steps(STEP_SECONDS, STEP_ROWS)
    for begin, end, by in _spells(learned, test, edges):
        core.judge_by(by)
        part = FlowBatch(test.rows[edges[begin] : edges[end]])
        steps = core.steps(part, edges[begin : end + 1] - edges[begin], whole=True)
        for done, step in zip(edges[begin + 1 : end + 1].tolist(), steps, strict=True):
            result.scores[done - len(step.risk) : done] = step.risk
            if step.verdicts and done < len(test):  # whether the last step is over cannot be known
                result.rules += adviser.rules(step.verdicts)
    return result


def _spells(learned: Learned, test: FlowBatch, edges: I8) -> Iterator[tuple[int, int, Baseline]]:
    """First step, the one behind the last, and what to judge by, for each spell of steps that are judged by the same.

    It is known with the first row of a step. What was learned of nobody is prior knowledge anyhow.
    """
    baseline, steps = learned.baseline, len(edges) - 1
    if not len(learned.vms) or not steps:
        yield 0, steps, baseline
        return
    who = company(learned.vms, baseline.known.dealt, test.rows, edges[:-1])
    familiar, unlearned = who.familiar, None
    for begin, end in pairwise([0, *(np.flatnonzero(np.diff(familiar)) + 1).tolist(), steps]):
        if familiar[begin]:
            yield begin, end, baseline
            continue
        if unlearned is None:
            unlearned = Learner.prior(_SALT)
            log.warning(
                "of %d VMs %d were met in what was learned, and of %d that began talks %d: that was another network;"
                " nothing is judged by it as long as that is so. Name --train files of this network",
                who.present[begin], who.met[begin], who.talking[begin], who.talking_met[begin],
            )  # fmt: skip
        yield begin, end, unlearned


def _core(site: Site) -> Core:
    return Core(np.full(len(site.names), SEGMENT, np.int16), _SALT)


class _Adviser:
    """Rules of a replay: every proposal counts as accepted, alerts are rules too."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._advisor = Advisor()
        self._said: dict[tuple[str, str], float] = {}

    def rules(self, verdicts: list[Verdict]) -> list[dict[str, Any]]:
        found = [self._rule(p.verdict, p.action) for p in self._acting(verdicts)]
        found += [self._rule(v, "alert", v.behaviour) for v in verdicts if v.telling]
        return [rule for rule in found if rule is not None]

    def _acting(self, verdicts: list[Verdict]) -> list[Proposal]:
        proposals = self._advisor.advise(verdicts)
        for proposal in proposals:
            self._advisor.decided(proposal.number, accepted=True)
        return proposals

    def _rule(self, verdict: Verdict, action: str, about: str = "") -> dict[str, Any] | None:
        subject = subject_of(verdict)
        name = self._site.names[subject] if isinstance(subject, int) else address_text(*subject)
        said = self._said.get((name, action + about), float("-inf"))
        if verdict.time - said < AGAIN_SECONDS:
            return None
        self._said[name, action + about] = verdict.time
        risk, reasons = round(verdict.risk, 1), list(verdict.reasons)
        return {"time": verdict.time, "subject": name, "action": action, "risk": risk, "reasons": reasons}
