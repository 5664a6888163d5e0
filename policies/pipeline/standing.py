"""Which rules stand where: an index of rules by what makes a VFN need them, kept up to date rule by rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policies.acl import Acl
from policies.pipeline.relevance import Reach


class Standing:
    """Rules by the segments and VMs that they stand with."""

    def __init__(self) -> None:
        self._reach: dict[Acl, Reach] = {}
        self._rules: dict[tuple[str, str], dict[Acl, None]] = {}

    def put(self, acl: Acl, reach: Reach) -> None:
        """A rule stands there, and no longer where it stood."""
        self.remove(acl)
        self._reach[acl] = reach
        for place in _places(reach):
            self._rules.setdefault(place, {})[acl] = None

    def remove(self, acl: Acl) -> None:
        """A rule stands nowhere."""
        reach = self._reach.pop(acl, None)
        for place in () if reach is None else _places(reach):
            del self._rules[place][acl]

    def reach(self, acl: Acl) -> Reach:
        """Where a rule stands."""
        return self._reach[acl]

    def at(self, segments: Iterable[str], vms: Iterable[str]) -> dict[Acl, None]:
        """The rules of a VFN with VMs of these segments (`outside`: with an outside port), by their names."""
        found: dict[Acl, None] = {}
        for place in (_EVERYWHERE, *(("segment", name) for name in segments), *(("vm", name) for name in vms)):
            found.update(self._rules.get(place, {}))
        return found


_EVERYWHERE = ("everywhere", "")


def _places(reach: Reach) -> Iterator[tuple[str, str]]:
    if reach.everywhere:
        yield _EVERYWHERE
        return
    yield from (("segment", name) for name in reach.segments)
    yield from (("vm", name) for name in reach.vms)
