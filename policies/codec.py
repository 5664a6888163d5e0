"""What the engine needs of OpenFlow, as a protocol: bytes out of entries, entries' identity out of bytes.

`ryu_apps.wire` implements it without importing Ryu; `cli` hands it to the engine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

from policies.entries import TableEntry

COPIES_METER = 0xFFFFFFFE
"""OFPM_CONTROLLER: whatever is copied to the controller passes this meter, without any entry naming it. (Its neighbour
0xFFFFFFFD limits the slow path, and would drop traffic.)"""


FIRST_LIMIT = 6 << 15
"""Meters from this number on limit packets themselves, those below it copies and new connections."""


class InstalledEntry(NamedTuple):
    """A flow entry as read back from a switch."""

    table: int
    priority: int
    cookie: int
    match: bytes
    """OXM fields in the order in which the switch gave them, without padding."""
    instructions: bytes
    packets: int
    bytes: int
    vouched: bool = False
    """Was it looked at already, and is it what its cookie says?"""


class Happened(IntEnum):
    """What became of an entry; one that is replaced is added."""

    ADDED = 0
    DELETED = 1
    MODIFIED = 2


@dataclass(frozen=True)
class Change:
    """A change that another session made, or the switch by itself."""

    happened: Happened
    entry: InstalledEntry
    """As it is now, or was when it was deleted. Its counters are 0."""


class SwitchCodec(Protocol):
    """Encoder and decoder of OpenFlow 1.3 messages."""

    def cookie(self, entry: TableEntry) -> int:
        """Owner tag and content digest of an entry."""

    def cookies(self, entries: Iterable[TableEntry]) -> list[int]:
        """Cookies of many entries, in their order."""

    def add(self, entry: TableEntry) -> bytes:
        """A flow-mod ADD."""

    def set_meters(self, meters: Mapping[int, int], there: Collection[int] = ()) -> bytes:
        """Messages that let so many packets per second through each meter; `there`: those that exist already."""

    def drop_meters(self, meters: Collection[int]) -> bytes:
        """Messages that take meters out, and whatever entries still name them."""

    def read_meters(self) -> bytes:
        """Request for the configuration of all meters."""

    def decode_meters(self, raw: bytes) -> dict[int, int]:
        """Packets per second by meter out of a raw body; 0: not a meter of our kind.

        Raises:
            runtime.errors.TransientError: the bytes are not meter configurations.
        """

    def failed_cookie(self, data: bytes) -> int | None:
        """Cookie of the flow-mod whose refusal an error's `data` reports; None: the error is about something else."""

    def remove(self, entries: Mapping[int, TableEntry]) -> bytes:
        """Flow-mods that delete entries as they were once added, by cookie."""

    def change(
        self,
        add: Mapping[int, TableEntry],
        delete: Sequence[InstalledEntry],
        remove: Mapping[int, TableEntry],
        bundle_id: int,
    ) -> bytes:
        """One atomic bundle that takes out `delete` and `remove` and adds `add`.

        Args:
            add: by cookie.
            delete: entries as they were read.
            remove: entries that are there as they were once added, by cookie.
        """

    def read(self, cookies: Sequence[int] | None = None) -> bytes:
        """Requests for the flow statistics of all entries, or of those with exactly these cookies."""

    def watch(self) -> bytes:
        """Request to be told of every change of entries from now on."""

    def decode_changes(self, raw: bytes) -> Sequence[Change]:
        """What others than this session have changed, out of a flow monitor's raw report.

        Raises:
            runtime.errors.TransientError: the bytes are no such report.
        """

    def count(self) -> bytes:
        """Request for the number of entries in each table."""

    def decode_counts(self, raw: bytes) -> Mapping[int, int]:
        """Entries by table out of a raw body, for those that have any.

        Raises:
            runtime.errors.TransientError: the bytes are not table statistics.
        """

    def decode(self, raw: bytes) -> Sequence[InstalledEntry]:
        """Entries of a raw flow statistics body.

        Raises:
            runtime.errors.TransientError: the bytes are not flow statistics.
        """

    def differences(
        self, desired: Mapping[int, TableEntry], installed: Sequence[InstalledEntry]
    ) -> tuple[Mapping[int, TableEntry], Sequence[InstalledEntry]]:
        """(entries to add, by cookie; entries to delete); `desired` by cookie.

        Raises:
            runtime.errors.TransientError: a match that was read is none.
        """
