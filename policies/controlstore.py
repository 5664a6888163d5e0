"""What people have set, and who has offended how often, as the store keeps them."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from policies.controls import Controls

META = sa.MetaData()
_CONTROLS = sa.Table(
    "controls", META, sa.Column("number", sa.Integer, primary_key=True), sa.Column("record", sa.Text, nullable=False)
)
"""One row."""
_OFFENDERS = sa.Table(
    "offenders",
    META,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("offences", sa.Integer, nullable=False),
    sa.Column("last", sa.Float, nullable=False),
)
_ADD_OFFENDER = insert(_OFFENDERS)
# Built once: this is done for every rule that answers somebody, and to build it costs more than to carry it out.
_PUT_OFFENDER = _ADD_OFFENDER.on_conflict_do_update(
    index_elements=[_OFFENDERS.c.subject],
    set_={name: _ADD_OFFENDER.excluded[name] for name in ("offences", "last")},
)


@dataclass(frozen=True)
class Offender:
    """A VM or address that automatic rules were about."""

    subject: str
    """Name of the VM, or the address as a network."""
    offences: int
    last: float
    """Epoch seconds until which the last of these rules was to hold."""


def save_controls(connection: sa.Connection, controls: Controls) -> None:
    """Write what people have set."""
    record = controls.model_dump_json()
    if not connection.execute(_CONTROLS.update().values(record=record)).rowcount:
        connection.execute(_CONTROLS.insert().values(number=1, record=record))


def controls(connection: sa.Connection) -> Controls:
    """What people have set."""
    text = connection.execute(sa.select(_CONTROLS.c.record)).scalar()
    return Controls() if text is None else Controls.model_validate_json(text)


def save_offender(connection: sa.Connection, offender: Offender) -> None:
    """Write how often somebody has offended."""
    connection.execute(_PUT_OFFENDER, vars(offender))


def offenders(connection: sa.Connection, since: float) -> tuple[Offender, ...]:
    """Those whose last rule was to hold until then or longer."""
    query = sa.select(_OFFENDERS).where(_OFFENDERS.c.last >= since)
    return tuple(Offender(row.subject, row.offences, row.last) for row in connection.execute(query))
