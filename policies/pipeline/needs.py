"""What the rules of a VFN need of its tables besides their own entries."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from policies.acl import Acl, Mode
from policies.pipeline.judgement import contains
from policies.pipeline.tables import Table
from policies.rules import Verdict
from topology.model import Segment


@dataclass(frozen=True)
class Needs:
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


def needs_of(acls: Iterable[Acl], segments: Collection[Segment]) -> Needs:
    """What these rules and the defaults of these segments need."""
    tracking = any("deny" in (segment.default, segment.outward) for segment in segments)
    observing = observing_answers = False
    source_ports = False
    lists: set[str] = set()
    for acl in acls:
        if acl.verdict is Verdict.DROP and not contains(acl):
            tracking = tracking or acl.mode is Mode.ENFORCE
            observing_answers = observing_answers or acl.mode is Mode.OBSERVE
        observing = observing or acl.mode is Mode.OBSERVE
        for service in acl.services:
            source_ports = source_ports or bool(service.source_ports)
        for end in (acl.source, acl.destination):
            if end.list is not None:
                lists.add(end.list)
    stateless = tuple(segment.name for segment in segments if segment.stateless)
    return Needs(tracking, observing, observing_answers, stateless, source_ports, tuple(sorted(lists)))
