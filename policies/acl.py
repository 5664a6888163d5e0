"""What the network may do, as values that name no switch: rules of all tiers over VMs, segments and addresses.

`policies.reference` says what they mean for a packet, `policies.pipeline` makes table entries of them, and tests hold
the two against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from policies.rules import Network, Protocol, Tier, Verdict
from policies.terms import Terms

MAX_RANK = 3000
"""A tier has room for so many ranks: 9,200 priorities, three for each rank."""
DEFAULT_RANK = 1000
MAX_LISTS = 32
"""Address lists of a policy: one bit of a register each."""

PortRange = tuple[int, int]
"""First and last port, both within."""


class Mode(StrEnum):
    """What a rule does with what it matches."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    """Counts what it would decide, and decides nothing."""


@dataclass(frozen=True)
class Peer:
    """One end of a rule. At most one field is set; none: anything, broadcasts included."""

    vm: str | None = None
    segment: str | None = None
    """Its name; `outside` is one."""
    not_segment: str | None = None
    """Every segment but this one, `outside` and broadcasts included."""
    nets: tuple[Network, ...] = ()
    """Any of these addresses, whosever they are."""
    list: str | None = None
    """Name of an `AddressList`."""


@dataclass(frozen=True)
class Service:
    """A protocol and its ports. No ports: all of them. ICMP has none."""

    protocol: Protocol
    ports: tuple[PortRange, ...] = ()
    """Destination ports, any of these ranges."""
    source_ports: tuple[PortRange, ...] = ()


@dataclass(frozen=True)
class Acl:
    """One rule. First match by tier, then rank, then drop before allow; what no rule decides the segments' defaults do.

    A rule of the tiers `POLICY` and `LEARNED` decides about IP only, and about connections: a packet that answers a
    connection which is allowed passes whatever these tiers say about its own direction. A drop of a higher tier
    (containment) holds for every frame it matches, answers and address resolution included; an allow there also for
    what looks like its answers. In observe a drop comes after those of its rank that are enforced.
    """

    rule_id: str
    """Of the segmentation rule it comes from, or the policy rule's name."""
    tier: Tier
    verdict: Verdict
    source: Peer = Peer()
    destination: Peer = Peer()
    services: tuple[Service, ...] = ()
    """Any of these; none: all traffic."""
    rank: int = DEFAULT_RANK
    """0..MAX_RANK; the higher rank of a tier decides first."""
    mode: Mode = Mode.ENFORCE
    unless: tuple[Acl, ...] | None = None
    """Of a restriction, a containing drop of what one VM sends or gets: what these allows mean, answers included, is
    left to the other rules, and so is the resolution of addresses. It looks at packets, not at connections. Of several
    restrictions of a VM, what one leaves to others no other drops."""

    @cached_property
    def _hash(self) -> int:
        """Rules are keys of many dictionaries, and deep."""
        return hash((self.rule_id, self.tier, self.rank, self.source, self.destination, self.services))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class AddressList:
    """A named set of addresses and prefixes."""

    name: str
    nets: tuple[Network, ...]


@dataclass(frozen=True)
class Policy:
    """What people have laid down for the network; checked by `policies.document`."""

    version: int = 0
    """Counts up with every change; 0: none was ever laid down."""
    acls: tuple[Acl, ...] = ()
    """Names are unique."""
    lists: Mapping[str, AddressList] = field(default_factory=dict)
    terms: Mapping[str, Terms] = field(default_factory=dict)
    """Of rules of which there is something to say, by name."""

    @cached_property
    def lasting(self) -> Mapping[Tier, tuple[Acl, ...]]:
        """Rules without end and hours, by tier."""
        found: dict[Tier, list[Acl]] = {}
        for acl in self.acls:
            terms = self.terms.get(acl.rule_id)
            if terms is None or not terms.timed:
                found.setdefault(acl.tier, []).append(acl)
        return {tier: tuple(acls) for tier, acls in found.items()}

    def at(self, now: float) -> Policy:
        """The part of it that is in force at a moment (epoch seconds): rules whose time it is."""
        off = {name for name, terms in self.terms.items() if not terms.active(now)}
        return replace(self, acls=tuple(acl for acl in self.acls if acl.rule_id not in off)) if off else self

    def next_change(self, now: float) -> float | None:
        """The next moment at which `at` may give another part; None: never."""
        times = (terms.next_change(now) for terms in self.terms.values())
        return min((time for time in times if time is not None), default=None)
