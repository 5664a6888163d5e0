"""What a behaviour detector sees and says. Detectors hold no state: the windows do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from analyzer.dealings import Dealings
from analyzer.flows import F8, I8, Bool, address_text
from analyzer.windows import feature


@dataclass(frozen=True)
class Scene:
    """Windows of the subjects to judge. Of one subject there may be several, of different times."""

    values: F8
    """(lengths, subjects, features)"""
    own: F8
    """(lengths, known, features) highest usual values of each known one (of its segment, with too little history)."""
    segment: F8
    """(lengths, known, features) highest usual values in its segment."""
    who: I8
    """Which of the known ones each subject is."""
    outside: Bool
    """Which of them are outside addresses."""
    closed: Bool
    """Of whose segments whom they talk to, and how, is settled (`analyzer.known.closed`)."""
    settled: Bool
    """Of whose segments at least the services inside are (`analyzer.known.settled`)."""
    dealings: Dealings
    """Services that they have just used."""
    dealer: I8
    """Position of the subject of each of these dealings."""

    def __len__(self) -> int:
        return int(self.values.shape[1])

    def only(self, subject: int) -> Scene:
        """The same of one subject alone, who is number 0 there."""
        one, known = slice(subject, subject + 1), slice(self.who[subject], self.who[subject] + 1)
        dealt = np.flatnonzero(self.dealer == subject)
        return Scene(
            self.values[:, one],
            self.own[:, known],
            self.segment[:, known],
            np.zeros(1, np.int64),
            self.outside[one],
            self.closed[one],
            self.settled[one],
            self.dealings.take(dealt),
            np.zeros(len(dealt), np.int64),
        )

    def now(self, name: str, seconds: float) -> F8:
        """A feature's value of each subject."""
        return feature(self.values, name, seconds)

    def usual(self, name: str, seconds: float) -> F8:
        """Its usual upper end: the segment's or the subject's, whichever is higher."""
        highest = np.maximum(feature(self.own, name, seconds), feature(self.segment, name, seconds))
        return np.asarray(highest[self.who])

    def own_usual(self, name: str, seconds: float) -> F8:
        """Its usual upper end for the subject alone."""
        return np.asarray(feature(self.own, name, seconds)[self.who])


ALERT, RATE_LIMIT, STEER, RESTRICT, DENY, ISOLATE = "alert", "rate_limit", "steer", "restrict", "deny", "isolate"
STEPS = (RATE_LIMIT, STEER, RESTRICT)
"""Actions under which a VM still shows what it does."""
LADDER = (ALERT, *STEPS, DENY, ISOLATE)
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


def reached(
    scene: Scene, name: str, floors: Floors, margin: float, value_of: Callable[[str, float], F8]
) -> Iterator[tuple[float, F8]]:
    """Lengths (s) in which anybody's value of a feature reaches the floor, and its `excess`, 0 where it does not.

    Args:
        value_of: what counts of the feature, by name and length: all that there is, or less.
    """
    for seconds, floor in floors.items():
        if scene.now(name, seconds).max(initial=0.0) < floor:
            continue  # so it is with most: nothing else has to be looked up
        value = value_of(name, seconds)
        yield seconds, np.where(value >= floor, excess(value, floor, scene.usual(name, seconds), margin), 0.0)


def strongest(scene: Scene, name: str, floors: Floors, margin: float) -> tuple[F8, F8]:
    """Largest `excess` of a feature over the given lengths, 0 where it reaches no floor, and the length (s) of it."""
    strength, length = np.zeros(len(scene)), np.full(len(scene), next(iter(floors)))
    for seconds, there in reached(scene, name, floors, margin, scene.now):
        length = np.where(there > strength, seconds, length)
        strength = np.maximum(strength, there)
    return strength, length


def peak(scene: Scene, name: str, floors: Floors, margin: float, subject: int) -> tuple[float, float, float]:
    """Where a feature of a subject stands out most: the window's length (s), the value in it, and what is usual."""
    seconds = float(strongest(scene, name, floors, margin)[1][subject])
    return seconds, float(scene.now(name, seconds)[subject]), float(scene.usual(name, seconds)[subject])


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
    """A window's length, or how long something went on, for people."""
    if seconds < 120:
        return f"{round(seconds, 3):.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 2 * 3600 else f"{seconds / 3600:.3g} h"


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

    def found(self, scene: Scene) -> F8:
        """(dealings,) strength of each, by what else is known of its subject."""
        return self.each(scene.dealings)

    def strength(self, scene: Scene) -> F8:
        """The strongest dealing of each subject."""
        result = np.zeros(len(scene))
        np.maximum.at(result, scene.dealer, self.found(scene))
        return result

    def reason(self, scene: Scene, subject: int) -> str:
        """Of the strongest dealing."""
        own = np.flatnonzero(scene.dealer == subject)
        return self.words(scene.dealings.take(own[[self.found(scene)[own].argmax()]]))


def dense(dealings: Dealings, slowest: float) -> Bool:
    """Were at most `slowest` seconds between the connections on average?"""
    return np.asarray(dealings.span <= slowest * dealings.rows["opened"])


def service_text(dealing: Dealings) -> str:
    """The service of one dealing for people."""
    row = dealing.rows[0]
    port = f" port {row['port']}" if row["port"] else ""  # some exporters tell none
    return f"{address_text(int(row['dst_hi']), int(row['dst_lo']))}{port}"
