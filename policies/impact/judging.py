"""Judges classes of flows: `policies.reference.decide` for the packet that opens each, many at once.

The order of rules, what contains, and who answers whom are the reference's, written anew for columns; a test holds the
two against each other on every flow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from policies.acl import Acl, Mode, Peer, Service
from policies.impact import ends, services
from policies.impact.flows import I4
from policies.reference import ICMP, SCTP, TCP, UDP
from policies.rules import Tier, Verdict
from topology.model import Inventory

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Classes:
    """Classes of flows, one element each: the classes of their ends and services."""

    source: I4
    destination: I4
    service: I4

    def reversed(self, rows: Rows) -> Classes:
        """The ends of some of them swapped."""
        return Classes(self.destination[rows], self.source[rows], self.service[rows])


@dataclass(frozen=True)
class Verdicts:
    """What becomes of classes of flows."""

    allowed: Bools
    deciding: Sequence[tuple[Acl, Rows]]
    """Each rule that decides of something, and of what; what no rule decides, defaults do."""


@dataclass
class _Judged:
    """By itself, in one direction."""

    allowed: Bools
    by_rule: Bools
    contained: Bools
    deciding: list[tuple[Acl, Rows]] = field(default_factory=list)


@dataclass(frozen=True)
class _Facts:
    ends: ends.Facts
    services: services.Facts


class Judge:
    """Knows in what order a policy's rules decide, and where each finds its ends and services in the classes' facts."""

    def __init__(
        self,
        inventory: Inventory,
        acls: Iterable[Acl],
        peers: Sequence[Peer],
        known: Sequence[Service],
        *,
        observed: bool = False,
    ) -> None:
        enforced = [acl for acl in acls if observed or acl.mode is Mode.ENFORCE]
        ordered = sorted(enforced, key=_order, reverse=True)
        self._groups = [tuple(group) for _, group in groupby(ordered, _order)]
        self._exceptions: dict[tuple[Peer, Peer], tuple[Acl, ...]] = {}
        """What restrictions of one VM leave to other rules, by their ends."""
        for acl in ordered:
            if acl.unless is not None:
                ends = acl.source, acl.destination
                self._exceptions[ends] = (*self._exceptions.get(ends, ()), *acl.unless)
        self._peer = {peer: place for place, peer in enumerate(peers)}
        self._service = {service: place for place, service in enumerate(known)}
        segments = inventory.segments.values()
        # By number; 0 is the outside, and the last (-1) everybody: neither has a default.
        size = max((segment.number for segment in segments), default=0) + 2
        self._closed, self._kept_in, self._stateless = (np.zeros(size, bool) for _ in range(3))
        for segment in segments:
            self._closed[segment.number] = segment.default == "deny"
            self._kept_in[segment.number] = segment.outward == "deny"
            self._stateless[segment.number] = segment.stateless

    def decide(self, classes: Classes, of_ends: ends.Facts, of_services: services.Facts) -> Verdicts:
        """What becomes of the packets that open flows of these classes, when nothing is known of a connection."""
        facts = _Facts(of_ends, of_services)
        own = self._judge(classes, facts, back=False)
        rows = np.flatnonzero(self._answering(classes, facts) & ~own.allowed & ~own.contained)
        connection = self._judge(classes.reversed(rows), facts, back=True)
        answers = connection.allowed & connection.by_rule
        allowed = own.allowed.copy()
        allowed[rows[answers]] = True
        passed = np.zeros(len(allowed), bool)
        passed[rows[answers]] = True
        deciding = [(acl, found[~passed[found]]) for acl, found in own.deciding]
        deciding += [(acl, rows[found[answers[found]]]) for acl, found in connection.deciding]
        return Verdicts(allowed, [(acl, found) for acl, found in deciding if len(found)])

    def _answering(self, classes: Classes, facts: _Facts) -> Bools:
        """Does a packet that opens a flow look like an answer, as nobody tracks its protocol, or nobody does there?"""
        proto, version = facts.services.proto[classes.service], facts.services.version[classes.service]
        source, destination = facts.ends.segment[classes.source], facts.ends.segment[classes.destination]
        icmp = proto == np.where(version == 4, ICMP[4], ICMP[6])
        stateless = self._stateless[np.where(source > 0, source, destination)]
        shaped = ((proto == UDP) & stateless) | ((proto != TCP) & (proto != UDP) & ~icmp)
        return np.asarray(shaped & (destination >= 0))

    def _judge(self, classes: Classes, facts: _Facts, *, back: bool) -> _Judged:
        """What is said of packets by themselves; `back`: with the ports of their services swapped."""
        count = len(classes.source)
        found = _Judged(np.zeros(count, bool), np.zeros(count, bool), np.zeros(count, bool))
        open_ = np.arange(count)
        for group in self._groups:
            if not len(open_):
                break
            decided = np.zeros(len(open_), bool)
            for acl in group:
                if back and acl.unless is not None:
                    continue  # a restriction has looked at the packet itself
                matched = self._matches(acl, classes, facts, open_, back=back)
                if matched.any():
                    found.deciding.append((acl, open_[matched]))
                    decided |= matched
            rows = open_[decided]
            found.by_rule[rows] = True
            found.allowed[rows] = group[0].verdict is Verdict.ALLOW
            found.contained[rows] = group[0].verdict is Verdict.DROP and group[0].tier >= Tier.INTEL
            open_ = open_[~decided]
        inward = self._closed[facts.ends.segment[classes.destination[open_]]]
        outward = self._kept_in[facts.ends.segment[classes.source[open_]]]
        found.allowed[open_] = ~(inward | outward)
        return found

    def _matches(self, acl: Acl, classes: Classes, facts: _Facts, rows: Rows, *, back: bool) -> Bools:
        """Does a rule match, or expect as an answer, what no restriction leaves to other rules?"""
        matched = self._touches(acl, classes, facts, rows, back=back)
        if acl.unless is not None and matched.any():
            for allow in self._exceptions[acl.source, acl.destination]:
                matched &= ~self._touches(allow, classes, facts, rows, back=back)
        return matched

    def _touches(self, acl: Acl, classes: Classes, facts: _Facts, rows: Rows, *, back: bool) -> Bools:
        """Does a rule match, or expect as an answer?"""
        source, destination = classes.source[rows], classes.destination[rows]
        service = classes.service[rows]
        one, other = (facts.ends.peers[:, self._peer[peer]] for peer in (acl.source, acl.destination))
        ahead, swapped = (facts.services.ahead, facts.services.back)[:: -1 if back else 1]
        matched = one[source] & other[destination]
        if acl.services:
            matched &= self._serves(acl, ahead)[service]
        if acl.verdict is Verdict.ALLOW and acl.tier >= Tier.INTEL:
            told = np.isin(facts.services.proto, (UDP, SCTP))
            expected = (self._serves(acl, swapped) if acl.services else True) & told
            matched |= other[source] & one[destination] & expected[service]
        return np.asarray(matched)

    def _serves(self, acl: Acl, facts: Bools) -> Bools:
        places = [self._service[service] for service in acl.services]
        return np.asarray(facts[:, places].any(axis=1))


def with_exceptions(acls: Iterable[Acl]) -> Iterator[Acl]:
    """Rules, and what restrictions among them leave to others: all that names ends and services."""
    for acl in acls:
        yield acl
        yield from acl.unless or ()


def _order(acl: Acl) -> tuple[int, int, int]:
    """The first decides: by tier, then rank, then drop before allow; in observe after those that are enforced."""
    drops = acl.verdict is Verdict.DROP
    return acl.tier, acl.rank, drops * (2 if acl.mode is Mode.ENFORCE else 1)
