"""Switches that keep entries in memory, a codec whose messages they read, and a clock that moves when told."""

# ruff: noqa: D102 - what the methods of the codec do `policies.codec.SwitchCodec` says

from __future__ import annotations

import hashlib
import io
import pickle
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies.codec import Change, InstalledEntry
from policies.entries import OWNER, OWNER_SHIFT, TableEntry

TABLE_FULL = {"type": 5, "code": 1}


class PlainCodec:
    """A `SwitchCodec` whose messages are pickled values."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[TableEntry, InstalledEntry]] = {}
        """By the identity of entries, which layers share; with the entry, so that it stays what it is."""

    def cookie(self, entry: TableEntry) -> int:
        return self.installed(entry).cookie

    def cookies(self, entries: Iterable[TableEntry]) -> list[int]:
        return [self.cookie(entry) for entry in entries]

    def identity(self, entry: TableEntry) -> tuple[int, int, int, bytes]:
        one = self.installed(entry)
        return one.table, one.priority, one.cookie, one.match

    def installed(self, entry: TableEntry) -> InstalledEntry:
        known = self._made.get(id(entry))
        if known is None:
            known = self._made[id(entry)] = entry, _installed(entry)
        return known[1]

    def add(self, entry: TableEntry) -> bytes:
        return pickle.dumps(("add", self.installed(entry)))

    def delete(self, installed: InstalledEntry) -> bytes:
        return pickle.dumps(("delete", installed))

    def remove(self, entries: Mapping[int, TableEntry]) -> bytes:
        return b"".join(self.delete(self.installed(entry)) for entry in entries.values())

    def bundle(self, messages: Sequence[bytes], bundle_id: int) -> bytes:
        return pickle.dumps(("bundle", [pickle.loads(message) for message in messages]))

    def change(
        self,
        add: Mapping[int, TableEntry],
        delete: Sequence[InstalledEntry],
        remove: Mapping[int, TableEntry],
        bundle_id: int,
    ) -> bytes:
        gone = [*map(self.delete, delete), *(self.delete(self.installed(entry)) for entry in remove.values())]
        return self.bundle([*gone, *map(self.add, add.values())], bundle_id)

    def set_meters(self, meters: Mapping[int, int], there: Collection[int] = ()) -> bytes:
        return b"".join(pickle.dumps(("meter", number, rate, number in there)) for number, rate in meters.items())

    def drop_meters(self, meters: Collection[int]) -> bytes:
        return b"".join(pickle.dumps(("drop meter", number)) for number in meters)

    def read_meters(self) -> bytes:
        return pickle.dumps(("read meters",))

    def decode_meters(self, raw: bytes) -> dict[int, int]:
        meters: dict[int, int] = pickle.loads(raw)
        return meters

    def failed_cookie(self, data: bytes) -> int | None:
        return int.from_bytes(data, "big") if data else None

    def read(self, cookies: Sequence[int] | None = None) -> bytes:
        return pickle.dumps(("read", cookies))

    def watch(self) -> bytes:
        return pickle.dumps(("watch",))

    def decode_changes(self, raw: bytes) -> Sequence[Change]:
        changes: Sequence[Change] = pickle.loads(raw)
        return changes

    def count(self) -> bytes:
        return pickle.dumps(("count",))

    def decode_counts(self, raw: bytes) -> Mapping[int, int]:
        counts: Mapping[int, int] = pickle.loads(raw)
        return counts

    def decode(self, raw: bytes) -> Sequence[InstalledEntry]:
        return [InstalledEntry._make(row) for row in pickle.loads(raw)]

    def differences(
        self, desired: Mapping[int, TableEntry], installed: Sequence[InstalledEntry]
    ) -> tuple[dict[int, TableEntry], list[InstalledEntry]]:
        there = {_key(one): one for one in installed}
        add, wanted = {}, set()
        for cookie, entry in desired.items():
            one = self.installed(entry)
            key = _key(one)
            wanted.add(key)
            if there.get(key) != one:
                add[cookie] = entry
        return add, [one for key, one in there.items() if key not in wanted]


def _installed(entry: TableEntry) -> InstalledEntry:
    content = repr((entry.table, entry.priority, entry.match, entry.steps, entry.goto)).encode()
    cookie = OWNER << OWNER_SHIFT | int.from_bytes(hashlib.blake2b(content, digest_size=6).digest(), "big")
    instructions = repr((entry.steps, entry.goto)).encode()
    return InstalledEntry(entry.table, entry.priority, cookie, repr(entry.match).encode(), instructions, 0, 0)


def _key(installed: InstalledEntry) -> tuple[int, int, bytes]:
    return installed.table, installed.priority, installed.match


def _messages(body: bytes) -> list[Any]:
    stream, found = io.BytesIO(body), []
    while stream.tell() < len(body):
        found.append(pickle.load(stream))
    return found


@dataclass
class MemorySwitch:
    """Entries of one VFN; `room` limits their number, bundles are all or nothing."""

    room: int = 1_000_000
    entries: dict[tuple[int, int, bytes], InstalledEntry] = field(default_factory=dict)
    meters: dict[int, int] = field(default_factory=dict)
    down: set[int] = field(default_factory=set)
    """Numbers of the ports that are down."""
    bundles: int = 0
    urgent: int = 0
    """Sends of entries without a bundle."""
    meter_mods: int = 0
    refuses: str = ""
    """Kind of message that it does not take."""

    def apply(self, body: bytes, down: Collection[int] = (), up: Collection[int] = ()) -> list[dict[str, Any]]:
        """Carry out messages; the errors."""
        self.down = (self.down | set(down)) - set(up)
        parts = _messages(body)
        if parts and parts[0][0] == "bundle":
            self.bundles += 1
            before = dict(self.entries)
            errors = [error for part in parts[0][1] if (error := self._one(*part)) is not None]
            if errors:
                self.entries = before
            return errors[:1]
        self.urgent += any(part[0] == "add" for part in parts)
        return [error for part in parts if (error := self._one(*part)) is not None]

    def read(self, body: bytes) -> list[tuple[str, bytes]]:
        """Answers to requests: kind and body of each part."""
        answers = []
        for name, *cookies in _messages(body):
            if name == "read meters":
                answers.append(("meters", pickle.dumps(self.meters)))
            elif name == "count":
                answers.append(("tables", pickle.dumps(dict(Counter(entry.table for entry in self.entries.values())))))
            else:
                wanted = cookies[0]
                found = [one for one in self.entries.values() if wanted is None or one.cookie in wanted]
                answers += [
                    ("flows", pickle.dumps([tuple(one) for one in part]))
                    for part in (found[: len(found) // 2], found[len(found) // 2 :])
                ]
        return answers

    def _one(self, kind: str, *what: Any) -> dict[str, Any] | None:
        if kind == self.refuses:
            return {"type": 1, "code": 2, "data": ""}
        if kind == "meter":
            self.meter_mods += 1
            number, rate, there = what
            if there != (number in self.meters):
                return {"type": 12, "code": 1, "data": ""}
            self.meters[number] = rate
        elif kind == "drop meter":
            self.meter_mods += 1
            self.meters.pop(what[0], None)
        elif kind == "delete":
            self.entries.pop(_key(what[0]), None)
        elif kind == "add":
            (entry,) = what
            if _key(entry) not in self.entries and len(self.entries) >= self.room:
                return {**TABLE_FULL, "data": entry.cookie.to_bytes(8, "big").hex()}
            self.entries[_key(entry)] = entry
        return None


@dataclass
class Time:
    """A clock that moves when told."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now
