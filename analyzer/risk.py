"""Risk 0..100 from calibrated tail probabilities: the maximum of what was found, never the sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
HALF_LIFE = 30.0
"""Seconds in which risk halves when nothing new is found."""


@dataclass(frozen=True)
class Finding:
    """One behaviour found in one subject."""

    behaviour: str
    technique: str
    strength: float
    """Times its floor."""
    reason: str
    acts: bool


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
    """Acting behaviour and baseline (of a VM) agreed in 2 of the last 3 evaluations."""

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


def risk_of_strength(strength: float) -> float:
    """Of a behaviour so many times its floor; 50 at the floor, 100 at eight times."""
    p = FLOOR_P * max(strength, 1e-9) ** -STRENGTH_DECADES
    return float(risk_of_p(np.array([min(p, 1.0)]))[0])


def risk_of(findings: tuple[Finding, ...], learned_p: float) -> float:
    """The maximum over findings and baseline; capped where nothing that may act was found."""
    alone = min(MOST_ALONE, float(risk_of_p(np.array([learned_p]))[0]))
    return max([alone, *(min(risk_of_strength(f.strength), 100.0 if f.acts else MOST_ALONE) for f in findings)])


def decayed(risk: F8, seconds: F8) -> F8:
    """Risk after `seconds` without news."""
    return np.asarray(risk * 0.5 ** (np.maximum(seconds, 0) / HALF_LIFE))
