"""Risk 0..100 from calibrated tail probabilities: the maximum of what was found, never the sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.behaviours.base import ALERT, DENY, LADDER, RESTRICT
from analyzer.flows import F8

CERTAIN = 6.0
"""Orders of magnitude of improbability that make risk 100."""
FLOOR_P = 1e-3
"""Tail probability that a behaviour stands for right at its floor ..."""
STRENGTH_DECADES = 1 / np.log10(2)
"""... and it loses a decade with each doubling of the effect."""
AGREE_P = 5e-3
"""The learned baseline agrees that a window is abnormal from here on: less can hardly be told from a short learning."""
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
"""The same where there is no baseline to agree: too little was learned for one."""
CALM = 50.0
"""Risk of a flow up to which it follows the tail probability; above, it only approaches MOST_ALONE."""


@dataclass(frozen=True)
class Finding:
    """One behaviour found in one subject."""

    behaviour: str
    technique: str
    strength: float
    """Times its floor."""
    reason: str
    acts: bool
    """May it lead to more than an alert?"""
    action: str = ALERT
    """The highest step of the ladder that it may lead to."""
    passive: bool = False
    """It was done to the subject."""


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
    """Strongest first; empty: the baseline alone finds it unusual."""
    confirmed: bool
    """Acting behaviour and baseline (of a VM) agreed in 2 of the last 3 evaluations, or it was overwhelming in them."""
    action: str = ALERT
    """What the findings permit now (`advised`): `ALERT`, or a step of the ladder."""

    @property
    def telling(self) -> bool:
        """Is it worth an alert? What may not act has to be borne out by the baseline."""
        borne_out = self.learned_p <= AGREE_P or any(finding.acts for finding in self.findings)
        return self.risk >= ALERT_RISK and borne_out

    @property
    def reasons(self) -> tuple[str, ...]:
        """In plain words, strongest first."""
        learned = f"unlike its segment's baseline (p {self.learned_p:.0e})"
        return (*(finding.reason for finding in self.findings), *([learned] if self.learned_p <= AGREE_P else []))

    @property
    def behaviour(self) -> str:
        """Name of the strongest, or `unusual`."""
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


def risk_of(findings: tuple[Finding, ...], learned_p: float) -> float:
    """The maximum over findings and baseline; capped where nothing that may act was found."""
    alone = min(MOST_ALONE, float(risk_of_p(np.array([learned_p]))[0]))
    strengths = risk_of_strength(np.array([f.strength for f in findings]))
    caps = [100.0 if f.acts else MOST_ALONE for f in findings]
    return float(max([alone, *np.minimum(strengths, caps).tolist()]))


def fisher(first: F8, second: F8) -> F8:
    """One tail probability of two independent ones (R. A. Fisher, 1925)."""
    product = np.maximum(first * second, 1e-300)
    return np.asarray(np.minimum(product * (1 - np.log(product)), 1.0))


def flow_risk(p: F8) -> F8:
    """0..100 of flows by themselves; never reaches `MOST_ALONE`, and keeps its order there."""
    risk = -np.log10(np.maximum(p, 1e-300)) / CERTAIN * 100
    room = MOST_ALONE - CALM
    return np.asarray(np.where(risk <= CALM, risk, MOST_ALONE - room * np.exp(-(risk - CALM) / 2 / room)))


def advised(
    findings: tuple[Finding, ...], agreeing: bool, agreed: bool, repeated: bool, enough: float = OVERWHELMING
) -> str:
    """The step of the ladder that findings permit.

    Args:
        findings: of one subject, now.
        agreeing: does the baseline find it unusual now (of an outside address: nobody asks).
        agreed: did behaviour and baseline agree in two of the last three evaluations.
        repeated: in two of the last three, was something of `enough` strength found, or something that was done to it.
        enough: strength that does without the baseline: `OVERWHELMING`, or `CLEAR` where there is none.
    """
    permitted = [ALERT]
    for finding in findings:
        if finding.passive:
            permitted += [finding.action] * repeated
        elif agreed or finding.action == DENY:
            permitted.append(finding.action)
        elif finding.acts and ((agreeing and finding.strength >= BLATANT) or (repeated and finding.strength >= enough)):
            permitted.append(min(finding.action, RESTRICT, key=LADDER.index))
    return max(permitted, key=LADDER.index)


def decayed(risk: F8, seconds: F8, half_life: float = HALF_LIFE) -> F8:
    """Risk after `seconds` without news."""
    return np.asarray(risk * 0.5 ** (np.maximum(seconds, 0) / half_life))
