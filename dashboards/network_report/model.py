"""What a report of the network is made of. All times are epoch seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Course = Sequence[tuple[float, float]]
"""(begin of an interval, value), by time; intervals without a value are left out."""


@dataclass(frozen=True)
class Figure:
    """A number that matters, large on top of the page."""

    name: str
    value: str
    words: str
    """What it is about."""
    level: str = "calm"
    """`calm`, `good`, `warn` or `bad`."""


@dataclass(frozen=True)
class Happening:
    """Something that was done, or went wrong."""

    time: float
    kind: str
    """As `dynseg_events` has it: `isolation`, `release`, `policy` ..."""
    title: str
    text: str = ""
    actor: str = ""
    vm: str = ""


@dataclass(frozen=True)
class Pair:
    """What went from one segment to another, as whoever opened flows saw it."""

    source: str
    destination: str
    flows: int = 0
    """That were not denied."""
    bytes: int = 0
    """Sent in these by whoever opened them."""
    denied: int = 0
    """Flows that were."""


@dataclass(frozen=True)
class Refused:
    """Flows that were denied."""

    source: str
    destination: str
    service: str
    flows: int


@dataclass(frozen=True)
class WouldDrop:
    """What enforcing a rule that is only observed would have dropped."""

    what: str
    """The rule; or segments and service, where that is known."""
    flows: int | None
    packets: int
    bytes: int


@dataclass(frozen=True)
class NetworkReport:
    """Everything the page shows."""

    since: float
    until: float
    step: float
    """Seconds of an interval."""
    source: str
    """Where all of it comes from, in words."""
    figures: Sequence[Figure]
    risks: Mapping[str, Course]
    """Of VMs that were at risk at some time, by name."""
    happenings: Sequence[Happening]
    """The oldest first."""
    decisions: Mapping[str, Course]
    """Flows that began, per second, by what became of them."""
    pairs: Sequence[Pair]
    refused: Sequence[Refused]
    """The most first."""
    would_drop: Sequence[WouldDrop]
    would_drop_note: str = ""
    """How that was found, or why it is not known."""

    @property
    def talkers(self) -> Sequence[Pair]:
        """Pairs of different segments that exchanged most, the most first."""
        across = (pair for pair in self.pairs if pair.source != pair.destination and pair.bytes)
        return sorted(across, key=lambda pair: -pair.bytes)[:12]
