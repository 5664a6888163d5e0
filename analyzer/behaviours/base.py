"""What a behaviour detector sees and says. Detectors hold no state: the windows do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from analyzer.flows import F8, I8, Bool, address_text
from analyzer.services import Dealings
from analyzer.windows import feature


@dataclass(frozen=True)
class Scene:
    """Windows of the subjects to judge, each array of shape (lengths, subjects, features)."""

    values: F8
    own: F8
    """Highest usual values of each subject itself (of its segment, when it has too little history)."""
    segment: F8
    """Highest usual values in its segment."""
    outside: Bool
    """Which of them are outside addresses."""
    dealings: Dealings
    """Services that they have just used."""
    dealer: I8
    """Position of the subject of each of these dealings."""

    def __len__(self) -> int:
        return int(self.values.shape[1])

    def now(self, name: str, seconds: float) -> F8:
        """A feature's value of each subject."""
        return feature(self.values, name, seconds)

    def usual(self, name: str, seconds: float) -> F8:
        """Its usual upper end: the segment's or the subject's, whichever is higher."""
        return np.maximum(feature(self.own, name, seconds), feature(self.segment, name, seconds))

    def own_usual(self, name: str, seconds: float) -> F8:
        """Its usual upper end for the subject alone."""
        return feature(self.own, name, seconds)


ALERT, RATE_LIMIT, RESTRICT, DENY, ISOLATE = "alert", "rate_limit", "restrict", "deny", "isolate"
LADDER = (ALERT, RATE_LIMIT, RESTRICT, DENY, ISOLATE)
"""Actions in order of how much they take away. `DENY` is of outside addresses that never got an answer here."""


class Behaviour(Protocol):
    """One detector."""

    @property
    def name(self) -> str:
        """Short name, as it stands in rules and audit."""

    @property
    def technique(self) -> str:
        """MITRE ATT&CK technique, e.g. `T1046`."""

    @property
    def action(self) -> str:
        """What it may lead to, together with the learned baseline: `ALERT`, or a step of the ladder."""

    @property
    def passive(self) -> bool:
        """Is it something that is done to the subject? Then its action relieves it, and needs no baseline."""

    @property
    def names(self) -> bool:
        """Is it about questions to name servers, rather than about all that the subject opens?"""

    def strength(self, scene: Scene) -> F8:
        """(subjects,) how many times the effect exceeds what is needed; the behaviour is there from 1 on."""

    def reason(self, scene: Scene, subject: int) -> str:
        """In plain words with numbers, why `subject` has it."""


Floors = Mapping[float, float]
"""Window length in seconds -> smallest effect that counts."""


def excess(value: F8, floor: float, usual: F8, margin: float) -> F8:
    """How many times `value` exceeds the floor and `margin` times what is usual, whichever is higher."""
    return np.asarray(value / np.maximum(floor, margin * usual))


def strongest(scene: Scene, name: str, floors: Floors, margin: float) -> tuple[F8, F8]:
    """Largest `excess` of a feature over the given lengths, and the length (s) where it is."""
    lengths = np.array(list(floors))
    rows = np.stack([excess(scene.now(name, s), floor, scene.usual(name, s), margin) for s, floor in floors.items()])
    return rows.max(axis=0), lengths[rows.argmax(axis=0)]


def failing(scene: Scene, share: float, seconds: float) -> Bool:
    """Do at least so many of the connections that each subject opened within `seconds` fail?"""
    return np.asarray(scene.now("failed", seconds) >= share * scene.now("flows", seconds))


def strongest_failing(scene: Scene, name: str, floors: Floors, margin: float, share: float) -> F8:
    """`strongest`, where at least `share` of the connections within that length fail; elsewhere 0."""
    strength, seconds = strongest(scene, name, floors, margin)
    vain = np.zeros(len(scene), bool)
    for length in floors:
        vain |= (seconds == length) & failing(scene, share, length)
    return np.where(vain, strength, 0.0)


def seconds_text(seconds: float) -> str:
    """A window's length for people."""
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:g} min"


class Dealing(ABC):
    """Base of detectors that look at what a subject does with one service."""

    name: str
    technique: str
    action: str
    passive = False
    names = False

    @abstractmethod
    def each(self, dealings: Dealings) -> F8:
        """(dealings,) strength of each."""

    @abstractmethod
    def words(self, dealing: Dealings) -> str:
        """Why this one (of length 1) has it."""

    def strength(self, scene: Scene) -> F8:
        """The strongest dealing of each subject."""
        result = np.zeros(len(scene))
        np.maximum.at(result, scene.dealer, self.each(scene.dealings))
        return result

    def reason(self, scene: Scene, subject: int) -> str:
        """Of the strongest dealing."""
        own = scene.dealings.take(np.flatnonzero(scene.dealer == subject))
        return self.words(own.take(np.array([self.each(own).argmax()])))


def dense(dealings: Dealings, slowest: float) -> Bool:
    """Were at most `slowest` seconds between the connections on average?"""
    return np.asarray(dealings.span <= slowest * dealings.rows["opened"])


def service_text(dealing: Dealings) -> str:
    """The service of one dealing for people."""
    row = dealing.rows[0]
    return f"{address_text(int(row['dst_hi']), int(row['dst_lo']))} port {row['port']}"
