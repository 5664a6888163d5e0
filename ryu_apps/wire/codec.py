"""`policies.codec.SwitchCodec` for OpenFlow 1.3 and Open vSwitch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from threading import Lock

from policies.codec import Change, InstalledEntry
from policies.entries import TableEntry
from ryu_apps.wire import bundle, content, flowmod, meter, monitor, stats, tablestats
from ryu_apps.wire.oxm import canonical

_XIDS = 1 << 32


class WireCodec:
    """Encoder and decoder of OpenFlow 1.3 messages. Its only state is the next transaction id."""

    def __init__(self) -> None:
        self._next_xid = 1
        self._lock = Lock()

    def cookie(self, entry: TableEntry) -> int:
        """Owner tag and content digest of an entry.

        Raises:
            PolicyError: the entry has no OpenFlow form.
        """
        return content.cookie(entry)

    def cookies(self, entries: Iterable[TableEntry]) -> list[int]:
        """Cookies of many entries, in their order.

        Raises:
            PolicyError: an entry has no OpenFlow form.
        """
        return list(map(content.cookie, entries))

    def add(self, entry: TableEntry) -> bytes:
        """A flow-mod ADD."""
        return flowmod.add(entry, content.cookie(entry), self._take_xids(1))

    def remove(self, entries: Mapping[int, TableEntry]) -> bytes:
        """Flow-mods DELETE_STRICT of entries as they were once added, by cookie."""
        xids = range(self._take_xids(len(entries)), _XIDS)
        return b"".join(map(flowmod.remove, entries.values(), entries, xids))

    def set_meters(self, meters: Mapping[int, int], there: Collection[int] = ()) -> bytes:
        """METER_MODs that let so many packets per second through each meter; `there`: those that exist already."""
        messages = []
        for xid, (number, rate) in enumerate(meters.items(), self._take_xids(len(meters))):
            messages.append((meter.modify if number in there else meter.add)(number, rate, xid))
        return b"".join(messages)

    def drop_meters(self, meters: Collection[int]) -> bytes:
        """METER_MODs that take meters out, and whatever entries still name them."""
        first = self._take_xids(len(meters))
        return b"".join(meter.delete(number, xid) for xid, number in enumerate(meters, first))

    def read_meters(self) -> bytes:
        """Request for the configuration of all meters."""
        return meter.config_request(self._take_xids(1))

    def decode_meters(self, raw: bytes) -> dict[int, int]:
        """Packets per second by meter, 0 for one that is not of our kind, out of a raw body.

        Raises:
            TransientError: the bytes are not meter configurations.
        """
        return meter.decode_configs(raw)

    def failed_cookie(self, data: bytes) -> int | None:
        """Cookie of the flow-mod whose refusal an error's `data` reports; None: the error is about something else."""
        return bundle.failed_cookie(data)

    def change(
        self,
        add: Mapping[int, TableEntry],
        delete: Sequence[InstalledEntry],
        remove: Mapping[int, TableEntry],
        bundle_id: int,
    ) -> bytes:
        """One atomic bundle that takes out `delete` and `remove` and adds `add`. Deletes go first, to make room."""
        return b"".join(self.pieces(add, delete, remove, bundle_id))

    def pieces(
        self,
        add: Mapping[int, TableEntry],
        delete: Sequence[InstalledEntry],
        remove: Mapping[int, TableEntry],
        bundle_id: int,
    ) -> Iterator[bytes]:
        """The same bundle in pieces, each encoded only when it is asked for; the last one is the commit."""
        count = len(delete) + len(remove) + len(add)
        first = self._take_xids(count + 2)
        numbers = iter(range(first + 1, first + 1 + count))
        messages = chain(
            map(flowmod.delete, delete, numbers),
            map(flowmod.remove, remove.values(), remove, numbers),
            map(flowmod.add, add.values(), add, numbers),
        )
        return bundle.pieces(messages, bundle_id, first, first + 1 + count)

    def read(self, cookies: Sequence[int] | None = None) -> bytes:
        """Requests for the flow statistics of all entries, or of those with exactly these cookies."""
        if cookies is None:
            return stats.request(self._take_xids(1))
        first, exact = self._take_xids(len(cookies)), flowmod.EXACT_COOKIE
        requests = (stats.request(xid, cookie=c, mask=exact) for xid, c in enumerate(cookies, first))
        return b"".join(requests)

    def watch(self) -> bytes:
        """Request to be told of every change of entries from now on."""
        return monitor.request(self._take_xids(1))

    def decode_changes(self, raw: bytes) -> list[Change]:
        """What others have changed, out of a flow monitor's raw report.

        Raises:
            TransientError: the bytes are no such report.
        """
        return monitor.decode_changes(raw)

    def count(self) -> bytes:
        """Request for the number of entries in each table."""
        return tablestats.request(self._take_xids(1))

    def decode_counts(self, raw: bytes) -> dict[int, int]:
        """Entries by table out of a raw body, for those that have any.

        Raises:
            TransientError: the bytes are not table statistics.
        """
        return tablestats.decode_counts(raw)

    def decode(self, raw: bytes) -> list[InstalledEntry]:
        """Entries of a raw flow statistics body.

        Raises:
            TransientError: the bytes are not flow statistics.
        """
        return stats.decode_entries(raw)

    def differences(
        self, desired: Mapping[int, TableEntry], installed: Sequence[InstalledEntry]
    ) -> tuple[dict[int, TableEntry], list[InstalledEntry]]:
        """(entries to add, by cookie; entries to delete); `desired` by cookie.

        An entry with the right match but another cookie or other instructions (edited by hand) is only added: the add
        replaces it, so that no packet meets the gap between a delete and an add.

        Raises:
            TransientError: a match that was read is none.
        """
        there: set[int] = set()
        strange: list[InstalledEntry] = []
        for entry in installed:
            if entry.cookie in desired and (entry.vouched or content.is_intact(entry)):
                there.add(entry.cookie)
            else:
                strange.append(entry)
        missing = {cookie: entry for cookie, entry in desired.items() if cookie not in there}
        replaced = {_place(content.installed(entry)) for entry in missing.values()} if strange else set()
        return missing, [entry for entry in strange if _place(entry) not in replaced]

    def _take_xids(self, count: int) -> int:
        """The first of `count` consecutive transaction ids, none of them 0."""
        with self._lock:
            if self._next_xid + count > _XIDS:
                self._next_xid = 1
            first = self._next_xid
            self._next_xid += count
            return first


def _place(entry: InstalledEntry) -> tuple[int, int, bytes]:
    """A switch holds one entry there."""
    return entry.table, entry.priority, canonical(entry.match)
