"""Risk 0..100 from calibrated tail probabilities: the maximum of what was found, never the sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analyzer.behaviours.base import ALERT, DENY, LADDER, RATE_LIMIT, RESTRICT
from analyzer.flows import F8, Bool

CERTAIN = 6.0
"""Orders of magnitude of improbability that make risk 100."""
FLOOR_P = 1e-3
"""Tail probability that a behaviour stands for right at its floor ..."""
STRENGTH_DECADES = 1 / np.log10(2)
"""... and it loses a decade with each doubling of the effect."""
AGREE_P = 5e-2
"""The learned baseline agrees with a behaviour from here on: a window like one in twenty. Twice of three times, beside
an effect above its floor and above twice what is usual, that is rare; less a short learning can hardly show."""
SURE_P = AGREE_P**2
"""Once so rare says as much as twice one in twenty: with the effect at its floor it permits a first step at once."""
RARE_P = 5e-3
"""From here on it bears out by itself what may not act."""
UNUSUAL_P = 1e-5
"""The learned baseline alone makes a verdict (never a rule) from here on."""
MOST_ALONE = 65.0
"""Risk without an explicit behaviour that may act."""
ALERT_RISK = 50.0
"""Verdicts from here on are told."""
HALF_LIFE = 30.0
"""Seconds in which risk halves when nothing new is found."""
BLATANT = 1.5
"""Times its floor: such an effect, with the baseline, permits a first step at once."""
OVERWHELMING = 4.0
"""Times its floor and what is usual: so much, twice of three times, permits a first step without the baseline."""
CLEAR = 2.0
"""The same where there is no baseline to agree, as too little was learned for one; and where so much was learned
(`SETTLED`) that nobody's ever having come near it says as much as a model of many features at once."""
SETTLED = 5 * 3600.0
"""VM-seconds: three hundred minutes of VMs, in which what comes by chance once in 300 would have been met."""
CALM = 50.0
"""Risk of a flow up to which it follows the tail probability; above, it only approaches MOST_ALONE."""


@dataclass(frozen=True)
class Finding:
    """One behaviour found in one subject."""

    behaviour: str
    technique: str
    strength: float
    """Times its floor."""
    tell: Callable[[], str]
    """Makes the reason: most findings are not the first of their kind, and nobody asks why."""
    acts: bool
    """May it lead to more than an alert?"""
    action: str = ALERT
    """The highest step of the ladder that it may lead to."""
    passive: bool = False
    """It was done to the subject."""

    @cached_property
    def reason(self) -> str:
        """In plain words with numbers."""
        return self.tell()

    def told(self) -> Finding:
        """The same with its reason made: it holds on to nothing of what it was found in."""
        return replace(self, tell=self.reason.__str__)


@dataclass(frozen=True)
class Verdict:
    """What is thought of one subject at one time."""

    subject: int
    """Index in `Subjects`."""
    vm: int
    """VM number; 0: an outside address."""
    address: tuple[int, int] | None
    """Halves of the outside address."""
    time: float
    """Epoch seconds of the newest evidence."""
    risk: float
    learned_p: float
    """Tail probability under the baseline."""
    findings: tuple[Finding, ...]
    """What may lead to most first, and of that the strongest; empty: the baseline alone finds it unusual."""
    confirmed: bool
    """Acting behaviour and baseline (of a VM) agreed in 2 of the last 3 evaluations, or it was overwhelming in them."""
    action: str = ALERT
    """What the findings permit now (`advised`): `ALERT`, or a step of the ladder."""

    def told(self) -> Verdict:
        """The same with its reasons made, to be kept."""
        return replace(self, findings=tuple(finding.told() for finding in self.findings))

    @property
    def telling(self) -> bool:
        """Is it worth an alert? What may not act has to be borne out by the baseline."""
        borne_out = self.learned_p <= RARE_P or any(finding.acts for finding in self.findings)
        return self.risk >= ALERT_RISK and borne_out

    @property
    def reasons(self) -> tuple[str, ...]:
        """In plain words, in the order of the findings."""
        learned = f"unlike its segment's baseline (p {self.learned_p:.0e})"
        return (*(finding.reason for finding in self.findings), *([learned] if self.learned_p <= AGREE_P else []))

    @property
    def behaviour(self) -> str:
        """Name of the first, or `unusual`."""
        return self.findings[0].behaviour if self.findings else "unusual"


def risk_of_p(p: F8) -> F8:
    """0..100; p of 1e-3 is 50, 1e-6 is 100."""
    return np.asarray(np.clip(-np.log10(np.maximum(p, 1e-300)) / CERTAIN, 0, 1) * 100)


def p_of_risk(risk: float) -> float:
    """The tail probability that a risk stands for."""
    return float(10 ** (-risk / 100 * CERTAIN))


def risk_of_strength(strength: F8) -> F8:
    """Of behaviours so many times their floor; 50 at the floor, 100 at eight times."""
    p = FLOOR_P * np.maximum(strength, 1e-9) ** -STRENGTH_DECADES
    return risk_of_p(np.minimum(p, 1.0))


def risk_of_found(strength: F8, acts: Bool) -> F8:
    """The same of behaviours of which some may act; `MOST_ALONE` at most where they may not."""
    return np.asarray(np.minimum(risk_of_strength(strength), np.where(acts, 100.0, MOST_ALONE)))


def risk_of_unusual(p: F8) -> F8:
    """What the baseline finds unusual by itself: `MOST_ALONE` at most."""
    return np.asarray(np.minimum(risk_of_p(p), MOST_ALONE))


def risk_of(findings: tuple[Finding, ...], learned_p: float) -> float:
    """The maximum over findings and baseline; capped where nothing that may act was found."""
    strength, acts = np.array([f.strength for f in findings]), np.array([f.acts for f in findings], bool)
    return float(np.max(risk_of_found(strength, acts), initial=risk_of_unusual(np.array([learned_p]))[0]))


def fisher(first: F8, second: F8) -> F8:
    """One tail probability of two independent ones (R. A. Fisher, 1925)."""
    product = np.maximum(first * second, 1e-300)
    return np.asarray(np.minimum(product * (1 - np.log(product)), 1.0))


def flow_risk(p: F8) -> F8:
    """0..100 of flows by themselves; never reaches `MOST_ALONE`, and keeps its order there."""
    risk = -np.log10(np.maximum(p, 1e-300)) / CERTAIN * 100
    room = MOST_ALONE - CALM
    return np.asarray(np.where(risk <= CALM, risk, MOST_ALONE - room * np.exp(-(risk - CALM) / 2 / room)))


def needed_at_once(learned_p: F8, outside: Bool) -> F8:
    """Times its floor from which an effect permits a first step at once; infinity where the baseline disagrees.

    Args:
        learned_p: tail probability under the baseline.
        outside: of whom there is none, so that the behaviour decides alone.
    """
    agreeing = np.where(learned_p <= AGREE_P, BLATANT, np.inf)
    return np.where(outside, BLATANT, np.where(learned_p <= SURE_P, 1.0, agreeing))


def advised(
    findings: tuple[Finding, ...], at_once: float, agreed: bool, repeated: bool, enough: float = OVERWHELMING
) -> str:
    """The step of the ladder that findings permit.

    Args:
        findings: of one subject, now.
        at_once: strength that permits a first step now (`needed_at_once`).
        agreed: did behaviour and baseline agree in two of the last three evaluations.
        repeated: in two of the last three, was something of `enough` strength found, or something that only limits.
        enough: strength that does without the baseline: `OVERWHELMING`, or `CLEAR` where there is none.
    """
    permitted = [ALERT]
    for finding in findings:
        if finding.action == RATE_LIMIT:
            permitted += [finding.action] * repeated
        elif agreed or finding.action == DENY:
            permitted.append(finding.action)
        elif finding.acts and (finding.strength >= at_once or (repeated and finding.strength >= enough)):
            permitted.append(min(finding.action, RESTRICT, key=LADDER.index))
    return max(permitted, key=LADDER.index)


def decayed(risk: F8, seconds: F8, half_life: F8 | float = HALF_LIFE) -> F8:
    """Risk after `seconds` without news."""
    return np.asarray(risk * 0.5 ** (np.maximum(seconds, 0) / half_life))
