"""From verdicts to advice, in order of risk: what to propose, and when not to say it again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
    """`isolate` of a VM, `deny` of an outside address."""
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

    def __init__(self, first: int = 1) -> None:
        """`first` is the number of the first proposal."""
        self._next = first
        self._open: dict[int, Proposal] = {}
        self._in_force: set[Subject] = set()
        self._refused: dict[Subject, float] = {}

    def advise(self, verdicts: Iterable[Verdict]) -> list[Proposal]:
        """New proposals, riskiest first. Unconfirmed verdicts, and what is already asked for, make none."""
        busy = self._in_force | {proposal.subject for proposal in self._open.values()}
        proposals = []
        for verdict in sorted(verdicts, key=lambda v: -v.risk):
            subject = subject_of(verdict)
            refused = self._refused.get(subject, float("-inf"))
            if not verdict.confirmed or subject in busy or verdict.time < refused + AGAIN_SECONDS:
                continue
            action = "isolate" if verdict.address is None else "deny"
            proposals.append(Proposal(self._next, action, verdict))
            busy.add(subject)
            self._open[self._next] = proposals[-1]
            self._next += 1
        return proposals

    def outstanding(self) -> list[Proposal]:
        """Proposals without an answer, to be sent again after the engine was away."""
        return sorted(self._open.values(), key=lambda proposal: -proposal.verdict.risk)

    def decided(self, number: int, accepted: bool) -> Proposal | None:
        """The engine's answer to a proposal; None when it was not ours."""
        proposal = self._open.pop(number, None)
        if proposal is None:
            return None
        if accepted:
            self._in_force.add(proposal.subject)
        else:
            self._refused[proposal.subject] = proposal.verdict.time
        return proposal

    def set_in_force(self, subjects: set[Subject]) -> set[Subject]:
        """Whom live rules are about now; returns those who have just been released."""
        released = self._in_force - subjects
        self._in_force = set(subjects)
        for subject in released:
            self._refused.pop(subject, None)
        return released
