"""What is in force, read from the database alone: for commands that work beside the engine, or without it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from policies import versions
from policies.acl import Acl
from policies.lifecycle import RuleRecord
from policies.rules import RuleState, SegmentationRule
from policies.store import record_of
from policies.translate import acls_in, translate
from policies.versions import PolicyVersion
from runtime.errors import PolicyError
from topology.model import Inventory


@dataclass(frozen=True)
class Snapshot:
    """The policy and the rules in force."""

    version: PolicyVersion | None
    """None: none was ever laid down."""
    rules: tuple[SegmentationRule, ...]

    def issued(self, inventory: Inventory) -> tuple[Acl, ...]:
        """What the rules say about packets."""
        return acls_of(self.rules, inventory)


def read(path: Path) -> Snapshot:
    """Read the engine's database; its writer may go on meanwhile. Where there is none, nothing is in force.

    Raises:
        PolicyError: it cannot be read.
    """
    if not path.exists():
        return Snapshot(None, ())
    engine = sa.create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
    try:
        with closing(engine.connect()) as connection:
            version = versions.in_force(connection)
            states = [state.value for state in RuleState if state.live]
            query = sa.text("SELECT record FROM rules WHERE state IN :states ORDER BY created, id")
            found = connection.execute(query.bindparams(sa.bindparam("states", states, expanding=True))).scalars()
            records: list[RuleRecord] = [record_of(json.loads(text)) for text in found]
    except sa.exc.DatabaseError as error:
        raise PolicyError(f"cannot be read: {error.orig}", file=path, remedy="check `state_dir`") from error
    finally:
        engine.dispose()
    return Snapshot(version, tuple(record.rule for record in records))


def acls_of(rules: Iterable[SegmentationRule], inventory: Inventory) -> tuple[Acl, ...]:
    """What segmentation rules say about packets, each once; a rule that this inventory leaves nothing for says nothing.

    A port that is cut says what its rule's drops say of IP, too.
    """
    found: list[Acl] = []
    for rule in rules:
        try:
            found += acls_in(translate(rule, inventory))
        except PolicyError:
            continue  # the engine releases it at its start, and says why
    return tuple(dict.fromkeys(found))
