"""Who has to know whom, by segments, kept up to date rule by rule.

Two segments know each other if anything lets a packet pass from the one to the other, in either direction: their
defaults, or any rule that allows. Whether other rules deny it is not asked: that may change by the minute. And wherever
a rule is about packets to a segment, or to all but one, that segment is known to those that the packets come from, so
that what it denies or observes is counted as its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from policies.acl import Acl
from policies.rules import Verdict
from topology.model import OUTSIDE, Segment

Ends = tuple[frozenset[str] | None, frozenset[str] | None]
"""Segments of the source and of the destination of a rule; None: all."""


class Exchange:
    """Acquaintances of segments; `outside` is one."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        known = tuple(segments)
        self._all = frozenset({OUTSIDE, *(segment.name for segment in known)})
        self._open_inward = frozenset({OUTSIDE, *(segment.name for segment in known if segment.default == "allow")})
        self._open_outward = frozenset({OUTSIDE, *(segment.name for segment in known if segment.outward == "allow")})
        self._rules: dict[Acl, Ends] = {}
        self._knows: dict[str, Counter[str]] = {}
        """How many rules let a segment know others."""
        self._knows_all: Counter[str] = Counter()
        self._known_to_all: Counter[str] = Counter()
        self._all_know_all = 0

    def put(self, acl: Acl, ends: Ends) -> bool:
        """A rule is about packets between these, and no longer others; tells whether that is something else."""
        if self._rules.get(acl) == ends:
            return False
        self.remove(acl)
        self._rules[acl] = ends
        self._count(acl, ends, 1)
        return True

    def remove(self, acl: Acl) -> bool:
        """A rule is gone; tells whether it was there."""
        ends = self._rules.pop(acl, None)
        if ends is not None:
            self._count(acl, ends, -1)
        return ends is not None

    def known_to(self, segments: frozenset[str]) -> frozenset[str]:
        """The segments that any of these knows."""
        if not segments:
            return segments
        if self._all_know_all or any(self._knows_all[name] for name in segments):
            return self._all
        found = {name for name, rules in self._known_to_all.items() if rules}
        if segments & self._open_outward:
            found |= self._open_inward
        if segments & self._open_inward:
            found |= self._open_outward
        for name in segments:
            found |= self._knows.get(name, Counter()).keys()
        return frozenset(found)

    def _count(self, acl: Acl, ends: Ends, by: int) -> None:
        source, destination = ends
        if acl.verdict is Verdict.ALLOW:
            self._meet(source, destination, by)
            self._meet(destination, source, by)
        elif destination is not None:
            self._meet(source, destination, by)
        elif acl.destination.not_segment is not None:  # whom nobody here knows is then of another
            self._meet(source, frozenset({acl.destination.not_segment}), by)

    def _meet(self, names: frozenset[str] | None, others: frozenset[str] | None, by: int) -> None:
        """Let these know the others; None: all."""
        if names is None and others is None:
            self._all_know_all += by
        elif others is None:
            for name in names or ():
                self._knows_all[name] += by
        elif names is None:
            for other in others:
                self._known_to_all[other] += by
        else:
            for name in names:
                known = self._knows.setdefault(name, Counter())
                for other in others:
                    known[other] += by
                    if not known[other]:
                        del known[other]
