"""What a run of a lab leaves to judge, as values; and the figures that follow from them. Times are epoch seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mininet_labs.attacks.catalogue import Attack
from mininet_labs.crew import Work
from mininet_labs.instruments import PAIR, Echo, Probe, Watch

Rule = Mapping[str, Any]
"""A rule as REST shows it."""


@dataclass(frozen=True)
class Strike:
    """An attack that was carried out."""

    attack: Attack
    start: float
    end: float
    watch: Watch
    rule: Rule | None
    """The isolation that answered it, as REST showed it when it was enforced."""

    @property
    def confirmed(self) -> float | None:
        """When the product had confirmed the cut: barrier, data path that follows, entries read back."""
        return None if self.rule is None else float(self.rule["enforced_at"])

    @property
    def contained_seconds(self) -> float | None:
        """First frame of the attack to the last frame of the VM that was handed on to anybody."""
        if self.rule is None or not self.watch.attack or not self.watch.delivered:
            return None
        return self.watch.delivered[-1] - self.watch.attack[0]

    @property
    def forwarded_after(self) -> int:
        """Frames of the VM handed on to anybody after the confirmation; all of them when there was none."""
        return sum(time > (self.confirmed or self.start) for time in self.watch.delivered)

    @property
    def sent_after(self) -> int:
        """Frames of the attack that the VM went on to send after the confirmation."""
        return 0 if self.confirmed is None else sum(time > self.confirmed for time in self.watch.attack)


@dataclass(frozen=True)
class Release:
    """An operator's release of a rule, and the VM's probe afterwards."""

    rule: str
    vm: str
    time: float


@dataclass(frozen=True)
class Barred:
    """Ordinary errands that could not work for a while, as a policy that harms stood in their way."""

    errands: tuple[str, ...]
    start: float
    end: float


@dataclass(frozen=True)
class Moment:
    """Something else that happened."""

    time: float
    text: str


@dataclass(frozen=True)
class Explained:
    """What the product said about a packet when it was asked."""

    question: str
    expected: str
    """The rule that must decide, or `default of SEGMENT`."""
    answer: Mapping[str, Any]
    """Of `GET /v1/explain`."""

    @property
    def decided_by(self) -> str:
        """What decides, in the words of `expected`."""
        policy = self.answer["policy"]
        return str(policy["rule"] or f"default of {policy.get('default')}")


@dataclass(frozen=True)
class Evidence:
    """Everything that a run measured."""

    started: float
    enforcing: float
    """When all VFNs enforced their policy: from here on innocent traffic must flow."""
    ended: float
    strikes: tuple[Strike, ...]
    releases: tuple[Release, ...]
    barred: tuple[Barred, ...]
    probes: Mapping[str, Sequence[Probe]]
    innocent: tuple[str, ...]
    """Names of the probes between innocent VMs."""
    echo: Echo
    work: Work
    rules: tuple[Rule, ...]
    audit: tuple[Mapping[str, Any], ...]
    risk: tuple[Mapping[str, Any], ...]
    moments: tuple[Moment, ...]
    hits: tuple[Mapping[str, Any], ...]
    """What each rule of the policy had met at the end, as REST shows it."""
    explained: tuple[Explained, ...]
    audit_verified: bool
    audit_words: str


def loss_percent(probes: Sequence[Probe]) -> float:
    """Share of probes that did not come back, in percent; 100 when there was none at all."""
    if not probes:
        return 100.0
    return 100.0 * sum(probe.returned is None for probe in probes) / len(probes)


def innocent_loss(evidence: Evidence) -> float:
    """Loss over all innocent pairs together, in percent."""
    return loss_percent([probe for name in evidence.innocent for probe in evidence.probes.get(name, ())])


def hostile_spans(evidence: Evidence, vm: str) -> Iterator[tuple[float, float]]:
    """From the start of each of a VM's attacks until its release, or for good."""
    for strike in evidence.strikes:
        if strike.attack.vm == vm:
            yield strike.start, _ended(evidence, strike)


def _ended(evidence: Evidence, strike: Strike) -> float:
    """When who attacked was released; infinite if never."""
    rule = None if strike.rule is None else strike.rule["id"]
    return next((release.time for release in evidence.releases if release.rule == rule), float("inf"))


def answered(evidence: Evidence, rule: Rule) -> Strike | None:
    """The latest attack of a rule's VM that it can be about; None: the VM was not hostile then."""
    found = [
        strike
        for strike in evidence.strikes
        if strike.attack.vm == rule["source_vm"] and strike.start <= rule["created"] <= _ended(evidence, strike)
    ]
    return max(found, key=lambda strike: strike.start, default=None)


def superseded_by(evidence: Evidence, rule: Rule) -> str | None:
    """Id of the stronger rule that stood for this one when it ended; None: none did, or it has not ended."""
    ends = (row["body"] for row in evidence.audit if row["body"].get("rule") == rule["id"])
    return next((str(body["superseded_by"]) for body in ends if "superseded_by" in body), None)


def false_rules(evidence: Evidence) -> list[Rule]:
    """Rules in force at any time on somebody who was not attacking: innocent, not yet hostile, or released."""
    return [rule for rule in evidence.rules if rule["state"] != "refused" and answered(evidence, rule) is None]


def unexplained_failures(evidence: Evidence) -> list[str]:
    """Exchanges of the ordinary workload that failed though neither side was hostile and no policy barred them."""
    unexplained = []
    for failure in evidence.work.failures:
        spans = [span for vm in (failure.source, failure.target) for span in hostile_spans(evidence, vm)]
        spans += [(barred.start, barred.end) for barred in evidence.barred if failure.errand in barred.errands]
        if not any(start <= failure.end and failure.start <= end for start, end in spans):
            words = f"{failure.errand} {failure.source}{PAIR}{failure.target}: {failure.error}"
            unexplained.append(f"{words} ({failure.start - evidence.started:.1f} s into the run)")
    return unexplained


def leaks(evidence: Evidence, strike: Strike) -> tuple[int, int]:
    """(probes of the VM sent while it was cut off, those of them that were delivered while it was).

    What the VM's own machine has kept back, for want of an answer to its ARP, it sends when the cut is over.
    """
    if strike.rule is None or strike.confirmed is None:
        return 0, 0
    end = next((r.time for r in evidence.releases if r.rule == strike.rule["id"]), evidence.ended)
    sent = [
        probe
        for name, probes in evidence.probes.items()
        if name.startswith(strike.attack.vm + PAIR)
        for probe in probes
        if strike.confirmed < probe.sent < end
    ]
    return len(sent), sum(probe.delivered is not None and probe.delivered < end for probe in sent)


def flows_again(evidence: Evidence, release: Release) -> float | None:
    """Seconds from a release to the first probe of that VM that came back; None: none came, or later ones were lost."""
    for name, probes in evidence.probes.items():
        if not name.startswith(release.vm + PAIR):
            continue
        after = [probe for probe in probes if probe.sent >= release.time]
        back = next((index for index, probe in enumerate(after) if probe.returned is not None), None)
        if back is not None and loss_percent(after[back:]) <= 1.0:
            return after[back].sent - release.time
    return None
