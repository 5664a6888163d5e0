"""What a behaviour detector sees and says. Detectors hold no state: the windows do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from analyzer.flows import F8
from analyzer.windows import feature


@dataclass(frozen=True)
class Scene:
    """Windows of the subjects to judge, each array of shape (lengths, subjects, features)."""

    values: F8
    own: F8
    """Highest usual values of each subject itself (of its segment, when it has too little history)."""
    segment: F8
    """Highest usual values in its segment."""

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


class Behaviour(Protocol):
    """One detector."""

    @property
    def name(self) -> str:
        """Short name, as it stands in rules and audit."""

    @property
    def technique(self) -> str:
        """MITRE ATT&CK technique, e.g. `T1046`."""

    @property
    def acts(self) -> bool:
        """May it, together with the learned baseline, lead to a rule? Else it only alerts."""

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


def seconds_text(seconds: float) -> str:
    """A window's length for people."""
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:g} min"
