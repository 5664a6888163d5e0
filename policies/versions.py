"""Versions of the policy as the store keeps them: the text that was laid down, with the lists that it read then.

A list's file may be another tomorrow; what is loaded after a restart is what was accepted.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from policies.document import ReadList, unbased
from policies.prefixes import parse_lines
from policies.rules import Network
from runtime.errors import PolicyError

META = sa.MetaData()
_VERSIONS = sa.Table(
    "policy_versions",
    META,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("lists", sa.Text, nullable=False),
    sa.Column("enforced_at", sa.Float),
    sa.Column("refused", sa.Text),
)
_LISTS = sa.Table(
    "policy_lists", META, sa.Column("digest", sa.Text, primary_key=True), sa.Column("prefixes", sa.LargeBinary)
)


@dataclass(frozen=True)
class VersionLine:
    """A version without its text, as a list of them tells it. Times are epoch seconds."""

    number: int
    created: float
    actor: str
    digest: str
    enforced_at: float | None
    refused: str | None
    first: int
    """Number of the first version that was the same."""


@dataclass(frozen=True)
class PolicyVersion:
    """A policy that was accepted. Times are epoch seconds."""

    number: int
    """1.. in the order in which they were accepted."""
    created: float
    actor: str
    """Name of the token that laid it down."""
    text: str
    lists: Mapping[str, bytes]
    """By the path in the text: what `pack` made of the file's prefixes."""
    enforced_at: float | None = None
    """Every VFN that was connected had been read back with it."""
    refused: str | None = None
    """Why a switch did not take it; the version before it went on."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the text, but for the version that it was made from, and the lists."""
        return hashlib.sha256(json.dumps([unbased(self.text), self.list_digests], sort_keys=True).encode()).hexdigest()

    @cached_property
    def list_digests(self) -> dict[str, str]:
        """SHA-256 of each list, by its path."""
        return {name: hashlib.sha256(packed).hexdigest() for name, packed in self.lists.items()}

    def read_list(self, name: str) -> tuple[Network, ...]:
        """The prefixes of a list's file, as they were.

        Raises:
            PolicyError: the store has none of that name.
        """
        if name not in self.lists:
            raise PolicyError(f"version {self.number} of the policy was stored without it", file=name)
        return parse_lines(zlib.decompress(self.lists[name]).decode().splitlines(), name)


def pack(nets: tuple[Network, ...]) -> bytes:
    """One prefix a line, compressed."""
    return zlib.compress("\n".join(map(str, nets)).encode())


class KeepingLists:
    """Reads lists and keeps them, packed, for the version that will name them."""

    def __init__(self, read_list: ReadList) -> None:
        self._read_list = read_list
        self.packed: dict[str, bytes] = {}

    def __call__(self, name: str) -> tuple[Network, ...]:
        """The prefixes of a list's file."""
        nets = self._read_list(name)
        self.packed[name] = pack(nets)
        return nets


def save(connection: sa.Connection, version: PolicyVersion) -> None:
    """Write a version, or what has become of it."""
    values: dict[str, Any] = {"enforced_at": version.enforced_at, "refused": version.refused}
    known = connection.execute(_VERSIONS.update().where(_VERSIONS.c.number == version.number).values(**values)).rowcount
    if known:
        return
    for name, digest in version.list_digests.items():
        missing = connection.execute(sa.select(_LISTS.c.digest).where(_LISTS.c.digest == digest)).first() is None
        if missing:
            connection.execute(_LISTS.insert().values(digest=digest, prefixes=version.lists[name]))
    values |= {"number": version.number, "created": version.created, "actor": version.actor, "text": version.text}
    values |= {"digest": version.digest, "lists": json.dumps(version.list_digests)}
    connection.execute(_VERSIONS.insert().values(**values))


def last_number(connection: sa.Connection) -> int:
    """Number of the last version; 0: there is none."""
    return connection.execute(sa.select(sa.func.max(_VERSIONS.c.number))).scalar() or 0


def in_force(connection: sa.Connection) -> PolicyVersion | None:
    """The last version that was not refused."""
    query = sa.select(_VERSIONS).where(_VERSIONS.c.refused.is_(None)).order_by(_VERSIONS.c.number.desc()).limit(1)
    row = connection.execute(query).first()
    return None if row is None else _version(connection, row)


def numbered(connection: sa.Connection, number: int) -> PolicyVersion | None:
    """The version of a number."""
    row = connection.execute(sa.select(_VERSIONS).where(_VERSIONS.c.number == number)).first()
    return None if row is None else _version(connection, row)


def listed(connection: sa.Connection, limit: int, before: int | None = None) -> tuple[VersionLine, ...]:
    """The newest versions, newest first; of those before a number, if given."""
    table = _VERSIONS.c
    other = _VERSIONS.alias()
    first = sa.select(sa.func.min(other.c.number)).where(other.c.digest == table.digest).scalar_subquery()
    columns = (table.number, table.created, table.actor, table.digest, table.enforced_at, table.refused, first)
    known = sa.true() if before is None else table.number < before
    rows = connection.execute(sa.select(*columns).where(known).order_by(table.number.desc()).limit(limit))
    return tuple(VersionLine(*row) for row in rows)


def _version(connection: sa.Connection, row: Any) -> PolicyVersion:
    lists = {
        name: connection.execute(sa.select(_LISTS.c.prefixes).where(_LISTS.c.digest == digest)).scalar_one()
        for name, digest in json.loads(row.lists).items()
    }
    return PolicyVersion(row.number, row.created, row.actor, row.text, lists, row.enforced_at, row.refused)
