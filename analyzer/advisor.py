"""From verdicts to advice, in order of risk: what to propose, and when not to say it again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analyzer.behaviours.base import ALERT, DENY, ISOLATE, LADDER, RATE_LIMIT
from analyzer.risk import Verdict

AGAIN_SECONDS = 10.0
"""A proposal that was refused is not repeated sooner."""
Subject = int | tuple[int, int]
"""A VM's number, or the halves of an outside address."""


@dataclass(frozen=True)
class Proposal:
    """A segmentation rule to ask for."""

    number: int
    action: str
    """A step of the ladder for a VM, `deny` of an outside address."""
    verdict: Verdict

    @property
    def subject(self) -> Subject:
        """Whom it is about."""
        return subject_of(self.verdict)


def subject_of(verdict: Verdict) -> Subject:
    """Whom a verdict is about."""
    return verdict.vm if verdict.address is None else verdict.address


class Advisor:
    """Remembers what is proposed, in force or refused."""

    def __init__(self, first: int = 1, steps: bool = False) -> None:
        """Nothing proposed yet.

        Args:
            first: number of the first proposal.
            steps: may anything but `isolate` and `deny` be asked for? Else only what a behaviour that isolates has
                confirmed is asked for; where a lesser step would do, nobody is cut off, but told.
        """
        self._next = first
        self._steps = steps
        self._open: dict[int, Proposal] = {}
        self._in_force: dict[Subject, str] = {}
        self._refused: dict[Subject, float] = {}

    def advise(self, verdicts: Iterable[Verdict]) -> list[Proposal]:
        """New proposals, riskiest first. What permits nothing, or no more than is asked for already, makes none."""
        taken = self._in_force | {proposal.subject: proposal.action for proposal in self._open.values()}
        proposals = []
        for verdict in sorted(verdicts, key=lambda v: -v.risk):
            subject = subject_of(verdict)
            refused = self._refused.get(subject, float("-inf"))
            action = self._action(verdict)
            higher = LADDER.index(action) > LADDER.index(taken.get(subject, ALERT))
            if not higher or verdict.time < refused + AGAIN_SECONDS:
                continue
            proposals.append(Proposal(self._next, action, verdict))
            taken[subject] = action
            self._open[self._next] = proposals[-1]
            self._next += 1
        return proposals

    def _action(self, verdict: Verdict) -> str:
        if verdict.address is not None:
            return DENY if verdict.action not in (ALERT, RATE_LIMIT) else ALERT
        if self._steps:
            return verdict.action
        return ISOLATE if verdict.confirmed and verdict.action == ISOLATE else ALERT

    def outstanding(self) -> list[Proposal]:
        """Proposals without an answer, to be sent again after the engine was away."""
        return sorted(self._open.values(), key=lambda proposal: -proposal.verdict.risk)

    def decided(self, number: int, accepted: bool) -> Proposal | None:
        """The engine's answer to a proposal; None when it was not ours."""
        proposal = self._open.pop(number, None)
        if proposal is None:
            return None
        if accepted:
            self._in_force[proposal.subject] = proposal.action
        else:
            self._refused[proposal.subject] = proposal.verdict.time
        return proposal

    def set_in_force(self, subjects: set[Subject]) -> set[Subject]:
        """Whom live rules are about now; returns those who have just been released."""
        released = self._in_force.keys() - subjects
        self._in_force = {subject: self._in_force.get(subject, ISOLATE) for subject in subjects}
        for subject in released:
            self._refused.pop(subject, None)
        return released
