"""From verdicts to advice, in order of risk: what to propose, and when not to say it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from analyzer.behaviours.base import ALERT, DENY, LADDER, RATE_LIMIT
from analyzer.risk import Verdict

AGAIN_SECONDS = 10.0
"""A proposal that was refused is not repeated sooner, nor followed by a lesser one."""
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


def _higher(action: str, than: str) -> bool:
    return LADDER.index(action) > LADDER.index(than)


class Advisor:
    """Remembers what is proposed, in force or refused."""

    def __init__(self, first: int = 1, relieve: bool = True) -> None:
        """Nothing proposed yet.

        Args:
            first: number of the first proposal.
            relieve: may what goes to those whom a crowd aims at be limited? That meets what is ordinary, too.
        """
        self._next = first
        self._relieve = relieve
        self._open: dict[int, Proposal] = {}
        self._in_force: dict[Subject, str] = {}
        self._refused: dict[Subject, tuple[str, float]] = {}

    def advise(self, verdicts: Iterable[Verdict]) -> list[Proposal]:
        """New proposals, riskiest first. What permits nothing, or no more than is asked for already, makes none.

        What is asked for takes the place of a lesser step that was, and is not yet answered.
        """
        taken = self._in_force | {proposal.subject: proposal.action for proposal in self._open.values()}
        proposals = []
        for verdict in sorted(verdicts, key=lambda v: -v.risk):
            subject = subject_of(verdict)
            action = self._action(verdict)
            if not _higher(action, taken.get(subject, ALERT)):
                continue
            refused, when = self._refused.get(subject, (ALERT, float("-inf")))
            if not _higher(action, refused) and verdict.time < when + AGAIN_SECONDS:
                continue
            proposals.append(Proposal(self._next, action, verdict.told()))
            taken[subject] = action
            self._open = {number: other for number, other in self._open.items() if other.subject != subject}
            self._open[self._next] = proposals[-1]
            self._next += 1
        return proposals

    def _action(self, verdict: Verdict) -> str:
        if verdict.address is not None:
            return DENY if verdict.action not in (ALERT, RATE_LIMIT) else ALERT
        relief = verdict.action == RATE_LIMIT and all(f.passive for f in verdict.findings if f.action == RATE_LIMIT)
        return ALERT if relief and not self._relieve else verdict.action

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
            self._refused[proposal.subject] = proposal.action, proposal.verdict.time
        return proposal

    def set_in_force(self, actions: Mapping[Subject, str]) -> set[Subject]:
        """What live rules do to whom now; returns those whom none is about any more."""
        released = self._in_force.keys() - actions.keys()
        self._in_force = dict(actions)
        for subject in released:
            self._refused.pop(subject, None)
        return released
