"""What a demo report is made of. All times are epoch seconds; order within a tuple is the order of display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class ReportSegment:
    """A segment of the inventory."""

    name: str
    default: str = "allow"
    """What its VMs accept when no rule decides: `allow` or `deny`."""


@dataclass(frozen=True)
class ReportLink:
    """A cable between two VFNs, by their names."""

    a: str
    b: str


@dataclass(frozen=True)
class ReportVm:
    """A VM, and what became of it."""

    name: str
    segment: str
    vfn: str
    address: str = ""
    protected: bool = False
    isolated_by: str | None = None
    """Id of the rule that cut this VM off at some time of the run."""
    released: bool = False
    """That rule was released before the end: the VM talks again."""


@dataclass(frozen=True)
class ReportOutside:
    """A host outside the inventory, behind a port of a VFN."""

    name: str
    vfn: str
    address: str = ""


@dataclass(frozen=True)
class RiskPoint:
    """The analyzer's verdict at one time; `vm` may be an outside address."""

    time: float
    vm: str
    risk: float
    """0..100."""
    behaviour: str = ""


@dataclass(frozen=True)
class ReportRule:
    """A rule as the engine's life cycle saw it; None: that step did not happen."""

    id: str
    action: str
    vm: str
    created: float
    enforced: float | None = None
    released: float | None = None
    risk: float = 0.0
    reasons: tuple[str, ...] = ()
    attack: str | None = None
    """Name of the attack that it answers; None: no attack was running there (a false rule)."""
    replaced_by: str | None = None
    """Id of the stronger rule that stood for it from `released` on: nobody was free then."""


@dataclass(frozen=True)
class ProbeSeries:
    """Packets sent at a fixed rate from one VM to another, and which of them were lost."""

    name: str
    source: str
    target: str
    kind: Literal["innocent", "attacker"]
    times: Sequence[float]
    """When each probe was sent."""
    lost: Sequence[bool]
    """Of the same length as `times`."""


@dataclass(frozen=True)
class AttackSpan:
    """When an attack ran."""

    name: str
    vm: str
    start: float
    end: float


@dataclass(frozen=True)
class Moment:
    """Something else that happened and belongs on the time line, e.g. the analyzer was killed."""

    time: float
    text: str


@dataclass(frozen=True)
class Check:
    """One condition of the demo's success."""

    name: str
    passed: bool
    text: str = ""
    """What was measured, in words, with what was asked."""


@dataclass(frozen=True)
class AuditRow:
    """One entry of the audit log."""

    seq: int
    time: float
    actor: str
    kind: str
    text: str
    hash: str = ""


@dataclass(frozen=True)
class RuleHits:
    """Packets that a rule of the policy has met."""

    rule: str
    action: str
    mode: str
    """`enforce` or `observe`."""
    allowed: int
    answers: int
    """Let through since they answer a connection that the rule allows."""
    denied: int
    observed: int
    """Let through, and would have been denied were the rule enforced."""


@dataclass(frozen=True)
class DemoReport:
    """Everything the page shows."""

    title: str
    started: float
    ended: float
    summary: Mapping[str, Any]
    """`summary.json` as written; printed whole at the end of the page."""
    checks: tuple[Check, ...]
    segments: tuple[ReportSegment, ...]
    vfns: tuple[str, ...]
    links: tuple[ReportLink, ...]
    vms: tuple[ReportVm, ...]
    outside: tuple[ReportOutside, ...] = ()
    risk: tuple[RiskPoint, ...] = ()
    rules: tuple[ReportRule, ...] = ()
    probes: tuple[ProbeSeries, ...] = ()
    attacks: tuple[AttackSpan, ...] = ()
    moments: tuple[Moment, ...] = ()
    audit: tuple[AuditRow, ...] = ()
    """An excerpt; `audit_total` says of how many."""
    audit_total: int = 0
    hits: tuple[RuleHits, ...] = ()

    @property
    def passed(self) -> bool:
        """Did every check hold?"""
        return all(check.passed for check in self.checks)
