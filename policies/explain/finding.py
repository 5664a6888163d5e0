"""What the way of a packet through the tables means: which entry decided, for which rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from policies.entries import TableEntry
from policies.pipeline.judgement import denied_by_default
from policies.pipeline.tables import Table
from policies.rules import Verdict

Found = tuple[int, int | None]
"""A table, and the cookie of the entry that matched there; None: none did."""

_LINE = re.compile(r"^ *(?P<table>\d+)\. (?P<rest>.*)$", re.MULTILINE)
_COOKIE = re.compile(r"\bcookie 0x(?P<digits>[0-9a-f]+)$")
_NOTHING = "No match."
_ASIDE = range(Table.SHADOW, Table.FLOWS + 1)
"""Tables that a packet goes through without being decided about."""
_JUDGING = (Table.REVERSE, Table.ENFORCEMENT)
_MEASURES = (Table.SENT, Table.RECEIVED)


@dataclass(frozen=True)
class Finding:
    """What becomes of a packet at one VFN."""

    verdict: Verdict
    table: int
    """Where it was decided."""
    rules: tuple[str, ...] = ()
    """Ids of the rules that the deciding entry stands for; none: the guard, a default, or nothing against it."""
    segment: int | None = None
    """Number of the segment whose default denied."""
    by_answer: bool = False
    """Does it pass since it answers a connection that is allowed?"""
    delivered: bool = False
    """Does it go out by a port?"""
    observed: tuple[str, ...] = ()
    """Rules in observe that would have dropped it."""
    limited: tuple[str, ...] = ()
    """Rules that limit how many like it pass."""
    steered: tuple[str, ...] = ()
    """Rules that hand it, or a copy, to an inspection VM."""


def path_of(trace: str) -> tuple[Found, ...]:
    """The way of a packet in the text of `ofproto/trace` (ovs-appctl(8)), shadow tables and recirculation included.

    Raises:
        ValueError: it is no such text.
    """
    found: list[Found] = []
    for line in _LINE.finditer(trace):
        cookie = _COOKIE.search(line["rest"])
        nothing = line["rest"].startswith(_NOTHING)
        found.append((int(line["table"]), None if nothing else int(cookie["digits"], 16) if cookie else 0))
    if not found:
        raise ValueError(f"not what ofproto/trace writes: {trace[:200]!r}")
    return tuple(found)


def find(path: Iterable[Found], entry_of: Callable[[int], TableEntry | None]) -> Finding:
    """What a way through the tables means.

    Args:
        entry_of: the desired entry of a cookie; None: somebody else's entry.
    """
    known = [(table, None if cookie is None else entry_of(cookie)) for table, cookie in path]
    observed = tuple(
        rule for table, entry in known if table == Table.SHADOW_DENIED and entry is not None for rule in entry.rules
    )
    way = [step for step in known if step[0] not in _ASIDE]
    if any(table == Table.FORWARD or (table in _MEASURES and entry and entry.steps) for table, entry in way):
        return _passed(way, observed)
    table, entry = way[-1]
    rules = () if entry is None else entry.rules
    segment = None if entry is None else denied_by_default(entry)
    return Finding(Verdict.DROP, table, rules, segment, observed=observed)


def _passed(way: Sequence[tuple[int, TableEntry | None]], observed: tuple[str, ...]) -> Finding:
    decided = dict(way)
    measures = [entry for entry in map(decided.get, _MEASURES) if entry is not None]
    out = [entry for entry in (*measures, decided.get(Table.FORWARD)) if entry is not None and entry.steps]
    passed = Finding(
        Verdict.ALLOW,
        way[-1][0],
        delivered=bool(out),
        observed=observed,
        limited=tuple(dict.fromkeys(rule for entry in measures if entry.meter is not None for rule in entry.rules)),
        steered=tuple(dict.fromkeys(rule for entry in measures if entry.steps for rule in entry.rules)),
    )
    for table in _JUDGING:
        if table in decided:
            entry = decided[table]
            rules = () if entry is None else entry.rules
            return replace(passed, table=table, rules=rules, by_answer=table == Table.REVERSE)
    return passed
