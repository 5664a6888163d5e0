"""What the engine needs of OpenFlow, as a protocol: bytes out of entries, entries' identity out of bytes.

`ryu_apps.wire` implements it without importing Ryu; `cli` hands it to the engine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from policies.entries import TableEntry


@dataclass(frozen=True)
class InstalledEntry:
    """A flow entry as read back from a switch."""

    table: int
    priority: int
    cookie: int
    match: bytes
    """OXM fields, without padding."""
    instructions: bytes
    packets: int
    bytes: int


class SwitchCodec(Protocol):
    """Encoder and decoder of OpenFlow 1.3 messages."""

    def cookie(self, entry: TableEntry) -> int:
        """Owner tag and content digest of an entry."""

    def cookies(self, entries: Iterable[TableEntry]) -> list[int]:
        """Cookies of many entries, in their order."""

    def identity(self, entry: TableEntry) -> tuple[int, int, int, bytes]:
        """(table, priority, cookie, match bytes as the switch gives them back)."""

    def add(self, entry: TableEntry) -> bytes:
        """A flow-mod ADD."""

    def delete(self, installed: InstalledEntry) -> bytes:
        """A flow-mod DELETE_STRICT."""

    def bundle(self, messages: Sequence[bytes], bundle_id: int) -> bytes:
        """The messages inside one atomic ONF bundle: open, add each, commit."""

    def limit_copies(self, packets_per_second: int) -> bytes:
        """Messages that let so many copies of packets to the controller, whether or not there was a limit before."""

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

    def read(self, cookies: Sequence[int] | None = None) -> bytes:
        """Requests for the flow statistics of all entries, or of those with exactly these cookies."""

    def decode(self, raw: bytes) -> Sequence[InstalledEntry]:
        """Entries of a raw flow statistics body.

        Raises:
            runtime.errors.TransientError: the bytes are not flow statistics.
        """

    def differences(
        self, desired: Mapping[int, TableEntry], installed: Sequence[InstalledEntry]
    ) -> tuple[Sequence[TableEntry], Sequence[InstalledEntry]]:
        """(entries to add, entries to delete); `desired` by cookie."""
