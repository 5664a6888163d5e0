"""The engine's memory: rules, their history, versions of the policy and the audit log, in one SQLite file.

What changes and the audit rows that tell of it are one transaction, written before anything is done about it. The
engine is the only writer. Other processes may read at any time (write-ahead log).
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from policies import audit, consentstore, controlstore, versions
from policies.consent import ConsentRecord
from policies.controls import Controls
from policies.controlstore import Offender
from policies.lifecycle import OVER, RuleRecord
from policies.rules import Action, Mode, Peer, Protocol, RuleState, Scope, SegmentationRule
from policies.versions import PolicyVersion, VersionLine
from runtime.errors import AuditError

LOG = logging.getLogger("dynseg.engine")

_META = sa.MetaData()
_RULES = sa.Table(
    "rules",
    _META,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("created", sa.Float, nullable=False, index=True),
    sa.Column("removed_at", sa.Float),
    sa.Column("record", sa.Text, nullable=False),
)
_HISTORY = sa.Table(
    "rule_history",
    _META,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("rule", sa.Text, nullable=False, index=True),
    sa.Column("ts", sa.Float, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)
_AUDIT = sa.Table(
    "audit",
    _META,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("ts", sa.Float, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("prev", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)
# Statements of every write, built once: to build them anew costs more than to carry them out.
_SAVE_RULE = insert(_RULES)
_SAVE_RULE = _SAVE_RULE.on_conflict_do_update(
    index_elements=[_RULES.c.id],
    set_={name: _SAVE_RULE.excluded[name] for name in ("state", "created", "removed_at", "record")},
)
_OTHERWISE = ~sa.exists().where(_RULES.c.id == sa.bindparam("rule"), _RULES.c.state == sa.bindparam("state"))
_CHANGE = {name: _HISTORY.c[name].type for name in ("rule", "ts", "state", "detail")}
_ADD_HISTORY = _HISTORY.insert().from_select(
    list(_CHANGE), sa.select(*(sa.bindparam(name, type_=kind) for name, kind in _CHANGE.items())).where(_OTHERWISE)
)
"""Of a rule that was in another state before, or was not there."""
_ADD_AUDIT = _AUDIT.insert()
_TRIGGERS = tuple(
    f"CREATE TRIGGER IF NOT EXISTS audit_no_{verb.lower()} BEFORE {verb} ON audit "
    "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    for verb in ("UPDATE", "DELETE")
)
TIDY_ROWS = 1000
"""Of the audit log: so many later SQLite's own log (a few megabytes by then) is moved into the database."""
_LONGEST_LOG = 1 << 14
"""Pages of 4 KiB that SQLite's own log may have before a commit moves them, whoever waits for it."""
_PENDING = tuple(state.value for state in RuleState if state not in OVER)
_OVER = tuple(state.value for state in OVER if state is not RuleState.REFUSED)


@dataclass(frozen=True)
class Entry:
    """Something to be put on record."""

    ts: float
    """Epoch seconds."""
    actor: str
    kind: str
    body: Mapping[str, Any]


class Store:
    """The open database.

    Raises:
        AuditError: the file cannot be opened, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._together = False
        self._durable = True
        self._open: sa.Connection | None = None
        self.unsafe = False
        """Was something written that may not be on the disk yet, and that `sync` has not been asked for?"""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Only the owner may read who was isolated and why; the database's other files inherit the mode.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.StaticPool)
            sa.event.listen(self._engine, "connect", self._connected)
            # The driver would begin a transaction only at the first write; here each one is begun by `begin`.
            sa.event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
            with self._engine.begin() as connection:
                _META.create_all(connection)
                versions.META.create_all(connection)
                consentstore.META.create_all(connection)
                controlstore.META.create_all(connection)
                for trigger in _TRIGGERS:
                    connection.exec_driver_sql(trigger)
                self.count, self.head = _head(connection)
            self._log = os.open(path.with_name(f"{path.name}-wal"), os.O_RDONLY)
            self._tidier = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._tidied = self.count
            self.listeners: list[Callable[[Sequence[Entry]], None]] = []
            """Each is told what was put on record."""
        except (OSError, sqlite3.DatabaseError, sa.exc.DatabaseError) as error:
            raise AuditError(f"cannot be opened: {_plain(error)}", file=path, remedy="check `state_dir`") from error

    def close(self) -> None:
        """Close the database; nothing is pending."""
        self._tidier.close()
        self._engine.dispose()
        os.close(self._log)

    def _connected(self, connection: sqlite3.Connection, _record: object) -> None:
        """There is one connection, and it stays."""
        self._driver = connection
        connection.isolation_level = None
        pragmas = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=2000", f"wal_autocheckpoint={_LONGEST_LOG}")
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    def sync(self) -> Callable[[], None]:
        """What makes sure that all that was written until now is on the disk, and may do so in another thread.

        The call raises AuditError: the disk does not take it.
        """
        self.unsafe = False
        return self._sync

    def _sync(self) -> None:
        try:
            os.fdatasync(self._log)
        except OSError as error:
            raise AuditError(f"is not safe on the disk: {error.strerror}", file=self.path) from error

    def tidy(self) -> Callable[[], None] | None:
        """What moves a log that is long to where it belongs, and may do so in another thread; None: it is short.

        SQLite would do it itself within a commit of every megabyte or so, and wait for the disk twice.
        """
        if self.count - self._tidied < TIDY_ROWS:
            return None
        self._tidied = self.count
        return self._tidy

    def _tidy(self) -> None:
        try:
            self._tidier.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.DatabaseError as error:
            LOG.warning("the log of %s stays long: %s", self.path, error)  # nothing is lost; there is a next time

    @contextmanager
    def together(self, *, durable: bool = True) -> Iterator[None]:
        """Whatever is written within is one transaction. A block that fails has written nothing.

        Args:
            durable: it is on the disk when the block ends; else when `sync` has been called and carried out. What tells
                of it, or follows from it, must not leave before (`policies.safely`).

        Raises:
            AuditError: the disk does not take it.
        """
        count, head = self.count, self.head
        self._together, self._durable = True, durable
        try:
            yield
            if self._open is not None:
                self._open.commit()
                self.unsafe |= not durable and self.count != count
        except BaseException as error:
            self.count, self.head = count, head
            if isinstance(error, sa.exc.DatabaseError):
                raise self._unwritten(error) from error
            raise
        finally:
            self._together = False
            if self._open is not None:
                self._open.close()  # and what was not committed is rolled back
                self._open = None
                self._driver.execute("PRAGMA synchronous=FULL")

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        """The one that is open, or one of its own."""
        if not self._together:
            with self._engine.begin() as connection:
                yield connection
            return
        if self._open is None:
            if not self._durable:  # a commit waits for no disk then, and the order of what reaches it stays (WAL)
                self._driver.execute("PRAGMA synchronous=NORMAL")
            self._open = self._engine.connect()
            self._open.begin()
        yield self._open

    def write(
        self,
        entries: Iterable[Entry],
        records: Iterable[RuleRecord] = (),
        policy: PolicyVersion | None = None,
        consents: Iterable[ConsentRecord] = (),
        *,
        controls: Controls | None = None,
        offenders: Iterable[Offender] = (),
    ) -> None:
        """Put entries on record, and whatever has changed into its new state: all or nothing.

        Args:
            records: rules, each in the order of its states if it has gone through several.
            policy: another version of it.
            controls: what people have set, if that is what changed.

        Raises:
            AuditError: the disk does not take it; nothing of it is written.
        """
        count, head, entries = self.count, self.head, tuple(entries)
        try:
            with self._transaction() as connection:
                _save(connection, records)
                if policy is not None:
                    versions.save(connection, policy)
                for consent in consents:
                    consentstore.save(connection, consent)
                if controls is not None:
                    controlstore.save_controls(connection, controls)
                for offender in offenders:
                    controlstore.save_offender(connection, offender)
                rows = []
                for entry in entries:
                    count += 1
                    body = audit.canonical(entry.body)
                    ts = float(entry.ts)
                    own = audit.digest(head, count, ts, entry.actor, entry.kind, body)
                    rows.append((count, ts, entry.actor, entry.kind, body, head, own))
                    head = own
                if rows:
                    columns = ("seq", "ts", "actor", "kind", "body", "prev", "hash")
                    connection.execute(_ADD_AUDIT, [dict(zip(columns, row, strict=True)) for row in rows])
        except sa.exc.DatabaseError as error:
            raise self._unwritten(error) from error
        self.count, self.head = count, head
        for tell in self.listeners:
            tell(entries)

    def pending(self) -> tuple[RuleRecord, ...]:
        """Rules that are not over, or not yet seen to be gone, oldest first."""
        leaving = sa.and_(_RULES.c.state.in_(_OVER), _RULES.c.removed_at.is_(None))
        return self._records(sa.or_(_RULES.c.state.in_(_PENDING), leaving), None)

    def issued_since(self, moment: float) -> tuple[RuleRecord, ...]:
        """Rules issued since then (epoch seconds), whatever became of them, oldest first."""
        return self._records(_RULES.c.created >= moment, None)

    def controls(self) -> Controls:
        """What people have set about automatic rules."""
        with self._transaction() as connection:
            return controlstore.controls(connection)

    def offenders(self, since: float) -> tuple[Offender, ...]:
        """Whom automatic rules were about that were to hold until then or longer."""
        with self._transaction() as connection:
            return controlstore.offenders(connection, since)

    def rules(self, state: RuleState | None = None, limit: int = 1000) -> tuple[RuleRecord, ...]:
        """The newest rules, newest first, of one state if given."""
        return self._records(sa.true() if state is None else _RULES.c.state == state.value, limit)

    def rule(self, identity: str) -> RuleRecord | None:
        """The rule of an id."""
        found = self._records(_RULES.c.id == identity, 1)
        return found[0] if found else None

    def history(self, identity: str) -> tuple[tuple[float, RuleState, str], ...]:
        """(epoch seconds, state, detail) of each change of a rule, oldest first."""
        query = sa.select(_HISTORY).where(_HISTORY.c.rule == identity).order_by(_HISTORY.c.number)
        with self._transaction() as connection:
            return tuple((row.ts, RuleState(row.state), row.detail) for row in connection.execute(query))

    def policies(self, limit: int, before: int | None = None) -> tuple[VersionLine, ...]:
        """The newest versions, newest first; of those before a number, if given."""
        with self._transaction() as connection:
            return versions.listed(connection, limit, before)

    def newest_policy(self) -> int:
        """Number of the last version of the policy; 0: there is none."""
        with self._transaction() as connection:
            return versions.last_number(connection)

    def policy_in_force(self) -> PolicyVersion | None:
        """The last version of the policy that no switch has refused."""
        with self._transaction() as connection:
            return versions.in_force(connection)

    def policy(self, number: int) -> PolicyVersion | None:
        """The version of a number."""
        with self._transaction() as connection:
            return versions.numbered(connection, number)

    def consents_pending(self) -> tuple[ConsentRecord, ...]:
        """Consents that are not over, or not yet seen to be gone from the switches."""
        with self._transaction() as connection:
            return consentstore.pending(connection)

    def consents(self, limit: int = 1000) -> tuple[ConsentRecord, ...]:
        """The newest consents, newest first."""
        with self._transaction() as connection:
            return consentstore.newest(connection, limit)

    def consent(self, identity: str) -> ConsentRecord | None:
        """The consent of an id."""
        with self._transaction() as connection:
            return consentstore.one(connection, identity)

    def latest(self) -> float:
        """Epoch seconds of the last thing on record; 0: nothing is."""
        with self._transaction() as connection:
            return connection.execute(sa.select(_AUDIT.c.ts).order_by(_AUDIT.c.seq.desc()).limit(1)).scalar() or 0.0

    def audit(self, after: int = 0, limit: int = 100, kind: str | None = None) -> tuple[audit.AuditRow, ...]:
        """Rows of the audit log, as `policies.audit.list`."""
        return audit.list(self.path, after, limit, kind)

    def _unwritten(self, error: sa.exc.DatabaseError) -> AuditError:
        remedy = "free the disk, and let no other engine write to this file"
        return AuditError(f"cannot be written: {_plain(error)}", file=self.path, remedy=remedy)

    def _records(self, where: sa.ColumnElement[bool], limit: int | None) -> tuple[RuleRecord, ...]:
        newest_first = limit is not None
        order = (_RULES.c.created.desc(), _RULES.c.id.desc()) if newest_first else (_RULES.c.created, _RULES.c.id)
        query = sa.select(_RULES.c.record).where(where).order_by(*order).limit(limit)
        with self._transaction() as connection:
            return tuple(record_of(json.loads(text)) for text in connection.execute(query).scalars())


def _plain(error: Exception) -> str:
    """A database error without the statement and its values."""
    return str(error.orig) if isinstance(error, sa.exc.DBAPIError) else str(error)


def _head(connection: sa.Connection) -> tuple[int, str]:
    last = connection.execute(sa.select(_AUDIT.c.seq, _AUDIT.c.hash).order_by(_AUDIT.c.seq.desc()).limit(1)).first()
    return (0, audit.GENESIS) if last is None else (last.seq, last.hash)


def _save(connection: sa.Connection, records: Iterable[RuleRecord]) -> None:
    """Save rules and what has become of them, each in the order of its states."""
    waiting: dict[str, RuleRecord] = {}
    for record in records:
        if record.rule.id in waiting:
            _save_each(connection, waiting.values())
            waiting = {}
        waiting[record.rule.id] = record
    if waiting:
        _save_each(connection, waiting.values())


def _save_each(connection: sa.Connection, records: Collection[RuleRecord]) -> None:
    """Save different rules: all by the same two statements, however many they are."""
    changes = [{"rule": r.rule.id, "ts": r.changed_at, "state": r.state.value, "detail": r.detail} for r in records]
    connection.execute(_ADD_HISTORY, changes)
    connection.execute(_SAVE_RULE, [_row(record) for record in records])


def _row(record: RuleRecord) -> dict[str, Any]:
    return {
        "id": record.rule.id,
        "state": record.state.value,
        "created": record.rule.created,
        "removed_at": record.removed_at,
        "record": audit.canonical(record_json(record)),
    }


def record_json(record: RuleRecord) -> dict[str, Any]:
    """A record as JSON values; `record_of` is the way back."""
    rule = record.rule
    # Not `asdict`, which copies every value: this is done several times for each rule that comes into force.
    content = {
        **vars(rule),
        "source_ip": None if rule.source_ip is None else str(rule.source_ip),
        "peers": [peer.as_json() for peer in rule.peers],
    }
    return {**vars(record), "rule": content}


def record_of(values: Mapping[str, Any]) -> RuleRecord:
    """The record of `record_json`; what an earlier dynseg did not write is as by default."""
    rule = dict(values["rule"])
    rule |= {"action": Action(rule["action"]), "scope": Scope(rule["scope"]), "protocol": Protocol(rule["protocol"])}
    rule |= {"mode": Mode(rule.get("mode", Mode.ENFORCE)), "peers": tuple(map(_peer_of, rule.get("peers", ())))}
    rule["reasons"] = tuple(rule["reasons"])
    rule["source_ip"] = None if rule["source_ip"] is None else ip_network(rule["source_ip"])
    own = {**values, "rule": SegmentationRule(**rule), "state": RuleState(values["state"])}
    own |= {"vfns": tuple(values["vfns"]), "supersedes": tuple(values.get("supersedes", ()))}
    becomes = values.get("becomes")
    return RuleRecord(**{**own, "becomes": None if becomes is None else RuleState(becomes)})


def _peer_of(values: Mapping[str, Any]) -> Peer:
    return Peer(ip_network(values["net"]), Protocol(values["protocol"]), values["port"])
