"""From what the analyzer knows to rows of the archive: decision, score and reasons beside every flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from analyzer.archive.decisions import InForce
from analyzer.archive.schema import Judged, Note
from analyzer.core import NOTABLE, Core
from analyzer.flows import F8, I8, Array
from analyzer.ledger import Parts
from analyzer.names import Names
from analyzer.pair import FlowTable
from analyzer.risk import Verdict, p_of_risk

MOST_REASONS = 3


class Sink(Protocol):
    """Takes what is to be archived."""

    def put(self, judged: Judged) -> None:
        """Must not block."""


class Recorder:
    """Hands every flow of a table to the archive, once.

    Args:
        sink: the archive.
        core: knows the risk of flows and of whoever opened them.
        table: one that is `recorded`.
        names: of the inventory.
        with_segments: fills the segments of rows.
        part_seconds: a flow that lasts is recorded in parts of so long.
    """

    def __init__(
        self,
        sink: Sink,
        core: Core,
        table: FlowTable,
        names: Names,
        with_segments: Callable[[Array], Array],
        part_seconds: float,
    ) -> None:
        self._sink = sink
        self._core = core
        self._table = table
        self._with_segments = with_segments
        self._part_seconds = part_seconds
        self._in_force = InForce(names)
        self._notes: dict[int, Note] = {}

    def rules(self, rules: Iterable[Mapping[str, Any]], now: float) -> None:
        """The rules in force have changed. What the change is about is recorded in parts, before and after it."""
        self._in_force.update(rules, now)
        self._table.split(self._in_force.touched_by_change)

    def verdict(self, verdict: Verdict) -> None:
        """Keep why a subject is thought ill of; they are as many as `Subjects` has places."""
        self._notes[verdict.subject] = Note(verdict.behaviour, verdict.reasons[:MOST_REASONS])

    def forged(self, rows: Array) -> None:
        """Reports of flows under forged addresses, which the guard drops. There is a row for each report of a VFN."""
        self._put(Parts.whole(rows))

    def record(self) -> None:
        """Archive what has come to be recorded since the last call; right after `FlowTable.finish` and `set_risk`."""
        self._put(self._table.record(self._part_seconds))

    def close(self) -> None:
        """Archive whatever is in the table: there will be no more."""
        self._put(self._table.record(0.0))

    def _put(self, parts: Parts) -> None:
        if not len(parts):
            return
        rows = self._with_segments(parts.rows)
        rows["risk"] = own = self._core.flow_risk(rows)
        score = self._core.score(rows, own)
        note, notes = self._explain(rows, own, score)
        self._sink.put(Judged(parts, self._in_force.decide(rows, parts.opened), score, note, notes))

    def _explain(self, rows: Array, own: F8, score: F8) -> tuple[I8, list[Note]]:
        """Why each flow scores as it does: its initiator's verdict, or that the flow itself is unusual."""
        notes: list[Note] = []
        note = np.full(len(rows), -1, np.int64)
        from_verdict = np.flatnonzero(score > own)
        subjects, of = np.unique(self._core.subjects.lookup(rows[from_verdict]), return_inverse=True)
        for i, subject in enumerate(subjects.tolist()):
            if subject in self._notes:
                note[from_verdict[of == i]] = len(notes)
                notes.append(self._notes[subject])
        alone = np.flatnonzero((note < 0) & (own >= NOTABLE))
        levels, of = np.unique(np.floor(own[alone]), return_inverse=True)
        note[alone] = len(notes) + of
        notes += [Note("unusual", (f"unlike its segment's flows (p {p_of_risk(level):.0e})",)) for level in levels]
        return note, notes
