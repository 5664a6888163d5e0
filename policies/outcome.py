"""What follows from an event at the VFNs: messages for control, and news for the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies.vfnstate import Command
from runtime.channel import Message


@dataclass(frozen=True)
class UrgentDone:
    """The barrier after an urgent send has come back."""

    rule: str
    seconds: float
    errors: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Refusal:
    """A VFN refuses what is no entry, and goes on without."""

    reason: str
    errors: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class News:
    """Something that the engine has to put on record or act upon."""

    vfn: str
    what: Command | UrgentDone | Refusal


@dataclass
class Outcome:
    """What follows from an event."""

    control: list[Message] = field(default_factory=list)
    news: list[News] = field(default_factory=list)
    renamed: set[str] = field(default_factory=set)
    """VFNs whose cookies now mean something else to the analyzer."""

    def add(self, other: Outcome) -> None:
        """Take in what follows from another event."""
        self.control += other.control
        self.news += other.news
        self.renamed |= other.renamed
