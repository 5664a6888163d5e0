"""What the rules of a VFN need of its tables besides their own entries."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import NamedTuple

from policies.acl import Acl, Mode
from policies.pipeline.judgement import contains
from policies.pipeline.tables import Table
from policies.rules import Verdict
from topology.model import Segment


class Needs(NamedTuple):
    """Of one VFN."""

    tracking: bool
    """May a rule or default deny what is an answer?"""
    observing: bool
    """Is a rule in observe?"""
    observing_answers: bool
    """May a rule in observe mean what is an answer?"""
    stateless: tuple[str, ...]
    """Segments that keep no connections."""
    source_ports: bool
    """Does a rule name source ports?"""
    lists: tuple[str, ...]
    """Address lists that rules name, in the order of their names."""

    @property
    def keeping(self) -> bool:
        """Does any connection have to be known?"""
        return self.tracking or self.observing_answers

    @property
    def judged_from(self) -> Table:
        """Where a packet goes on once it is known to be honest."""
        return Table.SOURCE_LISTS if self.lists else Table.SOURCE


def needs_of(acls: Iterable[Acl]) -> frozenset[Needs]:
    """The different needs of these rules: they are few, however many the rules."""
    return frozenset(map(_needs_of, acls))


def together(rules: Collection[Needs], segments: Collection[Segment]) -> Needs:
    """What rules and the defaults of these segments need."""
    lists = {name for needs in rules for name in needs.lists}
    return Needs(
        tracking=any("deny" in (segment.default, segment.outward) for segment in segments)
        or any(needs.tracking for needs in rules),
        observing=any(needs.observing for needs in rules),
        observing_answers=any(needs.observing_answers for needs in rules),
        stateless=tuple(segment.name for segment in segments if segment.stateless),
        source_ports=any(needs.source_ports for needs in rules),
        lists=tuple(sorted(lists)),
    )


@lru_cache(1 << 16)
def _needs_of(acl: Acl) -> Needs:
    """What one rule needs."""
    observing = acl.mode is Mode.OBSERVE
    denies = acl.verdict is Verdict.DROP and not contains(acl)
    return Needs(
        tracking=denies and not observing,
        observing=observing,
        observing_answers=denies and observing,
        stateless=(),
        source_ports=any(service.source_ports for service in acl.services)
        or any(service.ports for allow in acl.unless or () for service in allow.services),
        lists=tuple(end.list for end in (acl.source, acl.destination) if end.list is not None),
    )
