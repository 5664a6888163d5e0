"""The audit log: rows chained by SHA-256, so that none can be changed, taken out or moved unseen.

A row's hash is that of the JSON array ``[prev, seq, ts, actor, kind, body]`` where `prev` is the hash of the row
before (64 zeros at the start) and `body` the row's canonical JSON text. What no chain can show by itself is that rows
are missing at its end, or that all of it was written anew: for that, note `head` of `verify` elsewhere now and then.

Everything here reads the database file by itself, without the engine, which may go on writing meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtime.errors import AuditError

GENESIS = "0" * 64
_BEFORE_ALL, _BEHIND_ALL = -(1 << 63), (1 << 63) - 1
_COLUMNS = "seq, ts, actor, kind, body, prev, hash"


@dataclass(frozen=True)
class AuditRow:
    """One row as it stands in the file."""

    seq: int
    """1.. without gaps."""
    ts: float
    """Epoch seconds."""
    actor: str
    """`engine`, `analyzer`, or the name of a token."""
    kind: str
    body: Mapping[str, Any]
    prev: str
    hash: str

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class VerifyResult:
    """What `verify` found."""

    count: int
    """Rows that are proven."""
    head: str
    """Hash of the last of them."""
    error: str | None = None
    """What is wrong with the first bad row, with its `seq`; None: nothing."""

    @property
    def ok(self) -> bool:
        """Is the whole chain whole?"""
        return self.error is None


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def raw(row: AuditRow) -> str:
    """The text whose SHA-256 is the row's hash."""
    return canonical([row.prev, row.seq, row.ts, row.actor, row.kind, canonical(row.body)])


def digest(prev: str, seq: int, ts: float, actor: str, kind: str, body: str) -> str:
    """Hash of a row; `body` is its canonical JSON text."""
    return hashlib.sha256(canonical([prev, seq, ts, actor, kind, body]).encode()).hexdigest()


def verify(path: Path, until: float | None = None) -> VerifyResult:
    """Prove the chain from its first row, in one consistent view of the file.

    Args:
        until: up to the last row of that time (epoch seconds) or earlier; None: to the end.

    Raises:
        AuditError: the file is not there or is no audit database.
    """
    head, count = GENESIS, 0
    with closing(_open(path)) as connection:
        try:
            connection.execute("BEGIN")
            last = _BEHIND_ALL
            if until is not None:
                last = _edge(connection, "SELECT max(seq) FROM audit WHERE ts <= ?", until) or 0
            for row in _rows(connection, _BEFORE_ALL):
                if isinstance(row[0], int) and row[0] > last:
                    break
                wrong = _fault(row, head, count + 1)
                if wrong is not None:
                    return VerifyResult(count, head, wrong)
                head, count = row[6], count + 1
        except (sqlite3.DatabaseError, UnicodeError) as error:
            return VerifyResult(count, head, f"row {count + 1} cannot be read: {error}")
    return VerifyResult(count, head)


def list(path: Path, after: int = 0, limit: int = 100, kind: str | None = None) -> tuple[AuditRow, ...]:  # noqa: A001 - `audit.list` is the command's name
    """Up to `limit` rows with `seq` beyond `after`, oldest first, of one kind if given.

    Raises:
        AuditError: the file cannot be read.
    """
    with closing(_open(path)) as connection:
        try:
            return tuple(_parsed(row) for row in _rows(connection, after, kind, limit))
        except (sqlite3.DatabaseError, ValueError) as error:
            raise AuditError(f"a row cannot be read: {error}", file=path, remedy="run `dynseg audit verify`") from error


def rows(path: Path, since: float | None = None, until: float | None = None) -> Iterator[AuditRow]:
    """Rows without a gap, oldest first, in one consistent view of the file.

    Args:
        since: from the first row of that time (epoch seconds) or later.
        until: up to the last row of that time or earlier.

    Raises:
        AuditError: the file cannot be read.
    """
    with closing(_open(path)) as connection:
        try:
            connection.execute("BEGIN")
            first, last = 1, -1
            if since is not None:
                first = _edge(connection, "SELECT min(seq) FROM audit WHERE ts >= ?", since) or _BEHIND_ALL
            if until is not None:
                last = _edge(connection, "SELECT max(seq) FROM audit WHERE ts <= ?", until) or 0
            for row in _rows(connection, first - 1):
                if last >= 0 and row[0] > last:
                    return
                yield _parsed(row)
        except (sqlite3.DatabaseError, ValueError) as error:
            raise AuditError(f"a row cannot be read: {error}", file=path, remedy="run `dynseg audit verify`") from error


def _edge(connection: sqlite3.Connection, query: str, time: float) -> int | None:
    found: int | None = connection.execute(query, [time]).fetchone()[0]
    return found


def before(path: Path, moment: float) -> int:
    """Number of the last row that is older than a moment (epoch seconds); 0: none is.

    Raises:
        AuditError: the file cannot be read.
    """
    with closing(_open(path)) as connection:
        try:
            return _edge(connection, "SELECT max(seq) FROM audit WHERE ts < ?", moment) or 0
        except sqlite3.DatabaseError as error:
            raise AuditError(f"cannot be read: {error}", file=path, remedy="run `dynseg audit verify`") from error


def _open(path: Path) -> sqlite3.Connection:
    """Open for reading only. A file that no writer has open and that lies where nothing may be written is frozen."""
    if not path.is_file():
        raise AuditError("there is no audit database", file=path, remedy="check `state_dir` in the settings")
    uri = path.resolve().as_uri()
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        if "immutable" in mode and path.with_name(path.name + "-wal").exists():
            break
        connection = sqlite3.connect(f"{uri}?{mode}", uri=True)
        try:
            connection.execute("SELECT 1 FROM audit LIMIT 1").fetchone()
        except sqlite3.DatabaseError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise AuditError(f"not a readable audit database: {failure}", file=path, remedy="restore it from a copy")


def _rows(
    connection: sqlite3.Connection, after: int, kind: str | None = None, limit: int = -1
) -> Iterator[tuple[Any, ...]]:
    where, values = ("AND kind = ?", [kind]) if kind is not None else ("", [])
    query = f"SELECT {_COLUMNS} FROM audit WHERE seq > ? {where} ORDER BY seq LIMIT ?"  # noqa: S608 - no input in it
    # Start at the table's rows, not at an index: both would have to be altered alike to hide a change.
    return iter(connection.execute(query, [after, *values, limit]))


def _parsed(row: tuple[Any, ...]) -> AuditRow:
    seq, ts, actor, kind, body, prev, own = row
    if not _of_right_types(row):
        raise ValueError(f"row {seq} has a value of the wrong type")
    return AuditRow(seq, ts, actor, kind, json.loads(body), prev, own)


def _fault(row: tuple[Any, ...], head: str, expected: int) -> str | None:
    """What is wrong with a row that should be the next after `head`."""
    seq, ts, actor, kind, body, prev, own = row
    if not _of_right_types(row):
        return f"row {seq} has a value of the wrong type"
    if seq != expected:
        return f"row {expected} is missing, {seq} follows {expected - 1}"
    if prev != head:
        return f"row {seq} does not continue row {seq - 1}"
    if own != digest(prev, seq, ts, actor, kind, body):
        return f"row {seq} was altered"
    return None


def _of_right_types(row: tuple[Any, ...]) -> bool:
    seq, ts, *texts = row
    return isinstance(seq, int) and isinstance(ts, float) and all(isinstance(text, str) for text in texts)
