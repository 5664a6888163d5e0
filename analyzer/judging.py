"""What evaluations find: behaviours and baseline over the windows of many subjects and times at once, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from analyzer import behaviours
from analyzer.baseline import POOLED, Baseline
from analyzer.behaviours import ALERT, LADDER, Behaviour, Scene
from analyzer.behaviours.base import DENY, RATE_LIMIT
from analyzer.flows import F8, I8, Array, Bool
from analyzer.known import closed, settled
from analyzer.risk import (
    AGREE_P,
    CLEAR,
    OVERWHELMING,
    SETTLED,
    UNUSUAL_P,
    Finding,
    needed_at_once,
    risk_of_found,
    risk_of_strength,
    risk_of_unusual,
)
from analyzer.suspicion import About, Blamed

_ACTS = np.array([behaviour.action not in (ALERT, RATE_LIMIT) for behaviour in behaviours.ALL])
_LIMITS = np.array([behaviour.action == RATE_LIMIT for behaviour in behaviours.ALL])
_DENIES = np.array([behaviour.action == DENY for behaviour in behaviours.ALL])
_MORE_THAN_ALERTS = np.array([behaviour.action != ALERT for behaviour in behaviours.ALL])
_DEEDS = np.array([not behaviour.passive for behaviour in behaviours.ALL])
_ABOUT = np.array(
    [About.TARGET if b.passive else About.NAMES if b.names else About.DEEDS for b in behaviours.ALL], np.int64
)
_ABOUT[~_MORE_THAN_ALERTS] = -1


class Usual:
    """What a baseline thinks usual of each VM (row 0: of whoever is outside)."""

    def __init__(self, baseline: Baseline, segment: Array) -> None:
        """`segment`: number of each VM number; the first, of nobody, stands for outside."""
        own, group = baseline.usual(np.arange(len(segment)), segment)
        self.own, self.group = _by_feature(own), _by_feature(group)
        self.closed = closed(baseline.novelty, segment, POOLED)
        self.settled = settled(baseline.novelty, segment, POOLED)
        long = len(baseline.vm_usual) * baseline.span >= SETTLED
        self.blank = baseline.known.blank
        """Was nothing learned?"""
        self.knows = _knows(baseline, segment)
        """Was enough learned of their segments?"""
        self.enough = np.where(self.knows & (not long), OVERWHELMING, CLEAR)
        """Strength of a behaviour that does without the baseline."""


def _by_feature(values: F8) -> F8:
    """The same, laid out so that the column of a feature is in one place."""
    return np.ascontiguousarray(values.transpose(0, 2, 1)).transpose(0, 2, 1)


def _knows(baseline: Baseline, segment: Array) -> Bool:
    """Was enough learned for windows of these segments to be judged by a model of their own?"""
    models = [baseline.window_models(number) for number in segment.tolist()]
    return np.array([any(model.weights for model in of.values()) for of in models], bool)


@dataclass(frozen=True)
class Judgement:
    """Evaluations, in the order of their steps; columns of n."""

    scene: Scene
    strengths: F8
    """(behaviours, n) of `behaviours.ALL`."""
    learned: F8
    """Tail probability under the baseline."""
    agreed: Bool
    """Did behaviour and baseline agree?"""
    repeated: Bool
    """Was something found that is enough by itself, or that only limits?"""
    enough: F8
    raised: F8
    """(About, n) risk of what was found; 0: nothing."""
    acts: Bool
    """(3, n) does it permit more than an alert: now; if behaviour and baseline agreed; if enough was found again? As
    `analyzer.risk.advised` says of each."""

    @property
    def notable(self) -> Bool:
        """Is there anything to say?"""
        return np.asarray((self.strengths >= 1).any(axis=0) | (self.learned <= UNUSUAL_P))

    @property
    def acting(self) -> Bool:
        """Was something found that may lead to more than an alert, or that is worth one with the baseline's consent?"""
        found = self.strengths >= 1
        return np.asarray(found[_MORE_THAN_ALERTS].any(axis=0) | (self.notable & (self.learned <= AGREE_P)))

    def risk(self, which: I8) -> F8:
        """Of what some evaluations' subjects did, and of the baseline: as `analyzer.risk.risk_of` says of each."""
        found = self.strengths[_DEEDS][:, which]
        risk = np.where(found >= 1, risk_of_found(found, _MORE_THAN_ALERTS[_DEEDS][:, None]), 0.0).max(axis=0)
        return np.asarray(np.maximum(risk, risk_of_unusual(self.learned[which])))

    def acted(self, which: I8) -> Bool:
        """Did their subjects do what is worth more than an alert?"""
        return np.asarray((self.strengths[_DEEDS & _MORE_THAN_ALERTS][:, which] >= 1).any(axis=0))

    def findings(self, which: I8) -> list[tuple[Finding, ...]]:
        """Of some evaluations: each one's, what may lead to most first, and of that the strongest."""
        found: list[list[Finding]] = [[] for _ in which]
        for behaviour, strengths in zip(behaviours.ALL, self.strengths[:, which], strict=True):
            for at in np.flatnonzero(strengths >= 1).tolist():
                tell = partial(self._reason, behaviour, int(which[at]))
                acts = behaviour.action != ALERT
                strength = float(strengths[at])
                found[at].append(
                    Finding(
                        behaviour.name, behaviour.technique, strength, tell, acts, behaviour.action, behaviour.passive
                    )
                )
        return [tuple(sorted(one, key=lambda f: (-LADDER.index(f.action), -f.strength))) for one in found]

    def _reason(self, behaviour: Behaviour, i: int) -> str:
        return behaviour.reason(self.scene.only(i), 0)


def strengths_in(scene: Scene) -> F8:
    """(behaviours, n) what behaviours find in a scene."""
    return np.stack([behaviour.strength(scene) for behaviour in behaviours.ALL])


def misbehaving(strengths: F8) -> Bool:
    """In whom of a scene was a behaviour found that acts?"""
    return np.asarray((strengths[_ACTS] >= 1).any(axis=0))


def judged(scene: Scene, strengths: F8, usual: Usual, learned: F8) -> Judgement:
    """What follows from what behaviours find in a scene, and from the tail probability of each subject's windows."""
    acting, limiting, denying = (strengths[which].max(axis=0) for which in (_ACTS, _LIMITS, _DENIES))
    enough = usual.enough[scene.who]
    if usual.blank:  # the prior bears out what is clear, not what just reaches a floor
        learned = np.where(acting >= CLEAR, learned, 1.0)
    # There is no baseline of what strangers do: towards an outside address the behaviour decides alone.
    agreeing = (learned <= AGREE_P) | scene.outside
    present = acting >= 1
    repeated = (limiting >= 1) | (acting >= enough)
    raised = np.zeros((len(About), len(scene)))
    for about in About:
        strength = strengths[about == _ABOUT].max(axis=0)
        found = strength >= 1
        raised[about, found] = risk_of_strength(strength[found])
    now = (denying >= 1) | ((acting >= 1) & (acting >= needed_at_once(learned, scene.outside)))
    acts = np.stack([now, present, repeated])
    return Judgement(scene, strengths, learned, present & agreeing, repeated, enough, raised, acts)


def blamed(scene: Scene, time: F8, dealing_edges: I8) -> tuple[Blamed, I8]:
    """Dealings of a scene in which something was found, in the order of steps, and where each step's begin.

    Args:
        scene: of all steps.
        time: of each subject's evaluation.
        dealing_edges: (steps + 1,) where each step's dealings begin.
    """
    parts: list[tuple[I8, F8]] = []
    for behaviour in behaviours.DEALINGS:
        each = behaviour.found(scene)
        bad = np.flatnonzero(each >= 1)
        parts.append((bad, risk_of_strength(each[bad])))
    which = np.concatenate([bad for bad, _ in parts])
    risk = np.concatenate([found for _, found in parts])
    step = np.searchsorted(dealing_edges, which, side="right") - 1
    order = np.argsort(step, kind="stable")
    which, risk = which[order], risk[order]
    blame = Blamed(scene.dealings.keys[which], risk, time[scene.dealer[which]])
    return blame, np.searchsorted(step[order], np.arange(len(dealing_edges)))
