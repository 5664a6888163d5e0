"""Consents as the store keeps them; the engine's database has them for ever, as it has what was looked at by them."""

from __future__ import annotations

import json

import sqlalchemy as sa

from policies.consent import ConsentRecord, record_json, record_of

META = sa.MetaData()
_CONSENTS = sa.Table(
    "consents",
    META,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("granted_at", sa.Float, nullable=False, index=True),
    sa.Column("over_at", sa.Float),
    sa.Column("record", sa.Text, nullable=False),
)


def save(connection: sa.Connection, record: ConsentRecord) -> None:
    """Write a consent, or what has become of it."""
    values = {"over_at": record.over_at, "record": json.dumps(record_json(record), sort_keys=True)}
    of_it = _CONSENTS.c.id == record.consent.id
    if not connection.execute(_CONSENTS.update().where(of_it).values(**values)).rowcount:
        new = {"id": record.consent.id, "granted_at": record.consent.granted_at, **values}
        connection.execute(_CONSENTS.insert().values(**new))


def pending(connection: sa.Connection) -> tuple[ConsentRecord, ...]:
    """Those that are not over, or were not yet seen to be gone from the switches, oldest first."""
    query = sa.select(_CONSENTS.c.record).where(_CONSENTS.c.over_at.is_(None)).order_by(_CONSENTS.c.granted_at)
    return tuple(record_of(json.loads(text)) for text in connection.execute(query).scalars())


def newest(connection: sa.Connection, limit: int) -> tuple[ConsentRecord, ...]:
    """The newest of all, newest first."""
    query = sa.select(_CONSENTS.c.record).order_by(_CONSENTS.c.granted_at.desc(), _CONSENTS.c.id).limit(limit)
    return tuple(record_of(json.loads(text)) for text in connection.execute(query).scalars())


def one(connection: sa.Connection, identity: str) -> ConsentRecord | None:
    """The consent of an id."""
    text = connection.execute(sa.select(_CONSENTS.c.record).where(_CONSENTS.c.id == identity)).scalar()
    return None if text is None else record_of(json.loads(text))
