"""Which rules stand where: an index of rules by what makes a VFN need them, kept up to date rule by rule.

It has shelves, so that a VFN with many rules looks only through those where one has changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from policies.acl import Acl
from policies.pipeline.relevance import Reach

_FULL = 2048
"""Rules on a shelf, before there are more shelves."""
_EVERYWHERE = ("everywhere", "")


class Shelf:
    """Some of the rules, by the segments and VMs that they stand with."""

    def __init__(self) -> None:
        self._reach: dict[Acl, Reach] = {}
        self._rules: dict[tuple[str, str], dict[Acl, None]] = {}
        self.state = object()
        """Another object whenever a rule stands elsewhere."""
        self.content = object()
        """Another object whenever a rule of the shelf has other entries of its own."""

    def put(self, acl: Acl, reach: Reach) -> None:
        """A rule stands there, and no longer where it stood."""
        self.remove(acl)
        self._reach[acl] = reach
        for place in _places(reach):
            self._rules.setdefault(place, {})[acl] = None
        self.state = object()

    def remove(self, acl: Acl) -> None:
        """A rule stands nowhere."""
        reach = self._reach.pop(acl, None)
        if reach is not None:
            for place in _places(reach):
                del self._rules[place][acl]
            self.state = object()

    def at(self, segments: Iterable[str], vms: Iterable[str]) -> tuple[Acl, ...]:
        """The rules of a VFN with VMs of these segments (`outside`: with an outside port), by their names."""
        found: dict[Acl, None] = {}
        for place in (_EVERYWHERE, *(("segment", name) for name in segments), *(("vm", name) for name in vms)):
            found.update(self._rules.get(place, {}))
        return tuple(found)


class Shelves:
    """All rules."""

    def __init__(self) -> None:
        self.all: tuple[Shelf, ...] = (Shelf(),)

    def of(self, acl: Acl) -> Shelf:
        """Where a rule is to be found."""
        return self.all[hash(acl) % len(self.all)]

    def follow(self, gone: Collection[Acl], moved: Collection[Acl], stands: Mapping[Acl, Reach]) -> None:
        """Take out rules, and put others where they stand now; `stands`: of all."""
        if not len(stands) <= _FULL * len(self.all) <= 8 * max(len(stands), _FULL):
            self.all = tuple(Shelf() for _ in range(2 * len(stands) // _FULL + 1))
            gone, moved = (), stands.keys()
        for acl in gone:
            self.of(acl).remove(acl)
        for acl in moved:
            self.of(acl).put(acl, stands[acl])


def _places(reach: Reach) -> Iterator[tuple[str, str]]:
    if reach.everywhere:
        yield _EVERYWHERE
        return
    yield from (("segment", name) for name in reach.segments)
    yield from (("vm", name) for name in reach.vms)
