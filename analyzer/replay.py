"""The analyzer over recorded flows: `dynseg replay TEST --train TRAIN --internal CIDR,CIDR --out DIR`.

Same code as live, driven by the recording's clock. Causal: on a prefix of TEST the output is the prefix of the
output. So a step of rows is judged only when the next one begins, and a row's score is made of itself and of the
steps before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.advisor import Advisor, Proposal, subject_of
from analyzer.baseline import Baseline
from analyzer.core import Core
from analyzer.csvflows import read
from analyzer.flows import F8, FlowBatch, address_text
from analyzer.risk import Verdict
from analyzer.site import SEGMENT, Site

STEP_SECONDS = 1.0
STEP_ROWS = 64
"""A step ends with its second or with so many rows, then twice as many: a scan has news within a second."""
AGAIN_SECONDS = 3600.0
"""The same advice on the same subject is not repeated sooner."""
_SALT = 0x5EED
_SEED = 7


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
    result = replay(learned, judged, site)
    out.mkdir(parents=True, exist_ok=True)
    np.savetxt(out / "scores.csv", result.scores, fmt="%.4f", header="score", comments="")
    (out / "rules.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in result.rules))


def replay(train: Sequence[FlowBatch], test: FlowBatch, site: Site) -> Replayed:
    """Learn from `train`, judge `test`."""
    return judge(learn(train, site), test, site)


def learn(train: Sequence[FlowBatch], site: Site) -> Baseline:
    """What is normal in these recordings; without any, prior knowledge."""
    core = _core(site)
    for batch in train:
        for part in batch.slices(STEP_SECONDS, STEP_ROWS):
            core.finish(part.rows)
            core.feed(part)
    return core.stop_learning()(_SEED, "")


def judge(baseline: Baseline, test: FlowBatch, site: Site) -> Replayed:
    """Scores and rules of a recording. Windows start empty: what was learned from need not have ended before it."""
    core = _core(site)
    core.judge_by(baseline)
    result = Replayed(np.zeros(len(test)))
    adviser = _Adviser(site)
    done = 0
    for part in test.slices(STEP_SECONDS, STEP_ROWS):
        result.scores[done : done + len(part)] = core.score(part.rows, core.finish(part.rows))
        done += len(part)
        if done < len(test):  # whether the last step is over cannot be known
            result.rules += adviser.rules(core.feed(part))
    return result


def _core(site: Site) -> Core:
    return Core(np.full(len(site.names), SEGMENT, np.int16), _SALT)


class _Adviser:
    """Rules of a replay: every proposal counts as accepted, alerts are rules too."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._advisor = Advisor(steps=True)
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
