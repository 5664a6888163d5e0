"""One VFN as the engine sees it: its goal, what it holds, what happens to it and what is to be done. Values only.

`policies.reconcile` says what follows from what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from policies.codec import InstalledEntry
from policies.desired import Desired
from policies.entries import TableEntry


class Phase(StrEnum):
    """What a VFN waits for."""

    AWAY = "away"
    """It is not connected."""
    IDLE = "idle"
    READING = "reading"
    """Everything, or (`VfnState.change`) what has just been changed."""
    COUNTING = "counting"
    """How many entries its tables have."""
    APPLYING = "applying"


@dataclass(frozen=True)
class Goal:
    """What a VFN shall hold."""

    entries: Desired = field(default_factory=Desired)
    size: int = 0
    """How many entries these are; to count them costs as much as to compare them."""
    rules: frozenset[str] = frozenset()
    """Ids of the segmentation rules that concern it."""
    policy: int = 0
    """Version of the policy that it follows."""
    meters: Mapping[int, int] = field(default_factory=dict)
    """Packets per second by OpenFlow meter."""


@dataclass(frozen=True)
class Change:
    """A change that is under way."""

    goal: Goal
    added: Mapping[int, TableEntry]
    removed: Mapping[int, TableEntry]


@dataclass(frozen=True)
class VfnState:
    """One VFN."""

    interval: float
    """Seconds between two looks at how many entries there are, when all is right."""
    audit_interval: float
    """Seconds between two readings of everything."""
    phase: Phase = Phase.AWAY
    goal: Goal = field(default_factory=Goal)
    held: Goal | None = None
    """The goal that was last read back without a difference; kept while the VFN is away, as it goes on enforcing it."""
    fresh: bool = False
    """Was `held` read back since the VFN connected?"""
    doubted: bool = False
    """May it hold something else than `held` by now?"""
    settled: bool = False
    """Has `goal` been read back since it last changed?"""
    change: Change | None = None
    ahead: Mapping[int, TableEntry] = field(default_factory=dict)
    """Entries that were sent past the cycle and that no bundle or reading has taken in yet."""
    unsure: bool = False
    """Did some of them go while a bundle was under way, which may have taken them out again?"""
    hurried: bool = False
    """Was something sent past the cycle that the goal knows nothing of yet?"""
    sent: frozenset[int] = frozenset()
    """Cookies of entries that may have been added or removed since the VFN was last settled."""
    request: int = 0
    """The request under way."""
    read: tuple[Sequence[InstalledEntry], ...] = ()
    """Parts of the reading under way."""
    meters: Mapping[int, int] = field(default_factory=dict)
    """Meters that are there, as far as known."""
    metered: bool = False
    """Were meters set since everything was last read on schedule? What a switch refuses is not tried for ever."""
    counts: Mapping[int, int] = field(default_factory=dict)
    """Entries of `held` by table."""
    judged: bool = False
    """Has the present difference been looked at for drift already?"""
    rounds: int = 0
    """Bundles taken since the goal changed or was last there whole."""
    failures: int = 0
    due: float | None = None
    """When to act next without an event: the next look, or the end of patience with a request."""
    audit_due: float = 0.0
    """When to read everything next, whatever the counts say."""
    enforced_ratio: float = 0.0
    """Part of the goal's entries that is there, as far as known."""
    measured: float | None = None
    """The same at the last reading, while the VFN is connected."""

    @property
    def in_sync(self) -> bool:
        """Is it connected, and was everything of its goal there and nothing else when last looked at?"""
        return self.phase is not Phase.AWAY and self.settled

    @property
    def desired(self) -> Desired:
        """The entries of the goal."""
        return self.goal.entries

    @property
    def rules(self) -> frozenset[str]:
        """Ids of the segmentation rules of the goal."""
        return self.goal.rules

    @property
    def confirmed_rules(self) -> frozenset[str] | None:
        """Ids of the rules that were there at the last reading; None: never read without a difference."""
        return None if self.held is None else self.held.rules


@dataclass(frozen=True)
class Up:
    """The VFN has connected; `Wanted` follows, as its ports may be others now."""


@dataclass(frozen=True)
class Down:
    """The VFN is gone."""


@dataclass(frozen=True)
class Wanted:
    """What it must hold has (perhaps) changed. `added` and `removed` are the difference to the goal before."""

    goal: Goal
    added: Mapping[int, TableEntry]
    removed: Mapping[int, TableEntry]


@dataclass(frozen=True)
class Ahead:
    """These entries have been sent past the cycle, and meters ahead of them."""

    entries: Mapping[int, TableEntry]
    meters: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Touched:
    """Somebody else has changed its entries."""


@dataclass(frozen=True)
class Unwatched:
    """It does not tell of changes by others; so everything has to be read each time."""


@dataclass(frozen=True)
class Installed:
    """A part of a reading."""

    request: int
    entries: Sequence[InstalledEntry] = ()
    meters: Mapping[int, int] = field(default_factory=dict)
    last: bool = True


@dataclass(frozen=True)
class Counted:
    """How many entries are in each table that has any."""

    request: int
    counts: Mapping[int, int]


@dataclass(frozen=True)
class Applied:
    """The barrier after a bundle has come back."""

    request: int
    seconds: float
    errors: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Timer:
    """Time has passed."""


Event = Up | Down | Wanted | Ahead | Touched | Unwatched | Installed | Counted | Applied | Timer


@dataclass(frozen=True)
class Read:
    """Ask for all entries and meters, or for the entries with these cookies."""

    request: int
    cookies: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Count:
    """Ask how many entries each table has."""

    request: int


@dataclass(frozen=True)
class Apply:
    """Set these meters, then send this difference as one atomic bundle."""

    request: int
    add: Mapping[int, TableEntry]
    """By cookie."""
    delete: Sequence[InstalledEntry] = ()
    """Entries that were read and must go."""
    remove: Mapping[int, TableEntry] = field(default_factory=dict)
    """Entries that are known to be there and must go, by cookie."""
    meters: Mapping[int, int] = field(default_factory=dict)
    there: frozenset[int] = frozenset()
    """Those of the meters that exist already, with another rate."""


@dataclass(frozen=True)
class Again:
    """Send these entries past the cycle once more, at once."""

    entries: Sequence[TableEntry]


@dataclass(frozen=True)
class DropMeters:
    """Take out meters that no entry uses any more."""

    meters: Sequence[int]


@dataclass(frozen=True)
class Done:
    """A bundle was taken."""

    seconds: float


@dataclass(frozen=True)
class Synced:
    """Everything is there, for the first time since it changed."""


@dataclass(frozen=True)
class Measured:
    """Another part of the desired entries was there at this reading than at the last."""

    ratio: float
    entries: int
    """How many are desired."""


@dataclass(frozen=True)
class Drift:
    """The VFN does not hold what it held: somebody else wrote to it, or it lost something."""

    lost: Sequence[TableEntry]
    """Missing or altered."""
    strange: Sequence[InstalledEntry]


@dataclass(frozen=True)
class Failed:
    """A bundle was refused or did not last, or an answer did not come."""

    reason: str
    errors: Sequence[Mapping[str, Any]]
    next_try: float


Command = Read | Count | Apply | Again | DropMeters | Done | Synced | Measured | Drift | Failed
