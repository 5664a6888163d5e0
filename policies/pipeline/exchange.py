"""Who may exchange packets with whom, by segments, kept up to date rule by rule.

Two segments do if anything lets a packet pass from the one to the other, in either direction: their defaults, or any
rule that allows. Whether other rules deny it is not asked: that may change by the minute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from policies.acl import Acl
from topology.model import OUTSIDE, Segment

Ends = tuple[frozenset[str] | None, frozenset[str] | None]
"""Segments of the source and of the destination of a rule; None: all."""


class Exchange:
    """Partners of segments; `outside` is one."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        known = tuple(segments)
        self._all = frozenset({OUTSIDE, *(segment.name for segment in known)})
        self._open_inward = frozenset({OUTSIDE, *(segment.name for segment in known if segment.default == "allow")})
        self._open_outward = frozenset({OUTSIDE, *(segment.name for segment in known if segment.outward == "allow")})
        self._allowed: dict[Acl, Ends] = {}
        self._partners: dict[str, Counter[str]] = {}
        self._with_all: Counter[str] = Counter()
        self._all_with_all = 0

    def put(self, acl: Acl, ends: Ends) -> bool:
        """A rule allows this, and no longer what it allowed; tells whether that is something else."""
        if self._allowed.get(acl) == ends:
            return False
        self.remove(acl)
        self._allowed[acl] = ends
        self._count(ends, 1)
        return True

    def remove(self, acl: Acl) -> bool:
        """A rule allows nothing; tells whether it did."""
        ends = self._allowed.pop(acl, None)
        if ends is not None:
            self._count(ends, -1)
        return ends is not None

    def partners(self, segments: frozenset[str]) -> frozenset[str]:
        """Segments with which any of these may exchange packets."""
        if not segments:
            return segments
        if self._all_with_all or any(self._with_all[name] for name in segments):
            return self._all
        found = {name for name, rules in self._with_all.items() if rules}
        if segments & self._open_outward:
            found |= self._open_inward
        if segments & self._open_inward:
            found |= self._open_outward
        for name in segments:
            found |= self._partners.get(name, Counter()).keys()
        return frozenset(found)

    def _count(self, ends: Ends, by: int) -> None:
        one, other = ends
        if one is None and other is None:
            self._all_with_all += by
        for names, others in ((one, other), (other, one)):
            for name in names or ():
                if others is None:
                    self._with_all[name] += by
                    continue
                partners = self._partners.setdefault(name, Counter())
                for partner in others:
                    partners[partner] += by
                    if not partners[partner]:
                        del partners[partner]
