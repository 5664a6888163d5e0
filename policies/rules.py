"""The values that travel through the engine: segmentation rules and the firewall rules they become."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Any

Network = IPv4Network | IPv6Network


class Action(StrEnum):
    """What a segmentation rule does."""

    ISOLATE = "isolate"
    """Drop everything from `source_vm` to all other segments (scope `other_segments`) or to and from it (`all`)."""
    ALLOW = "allow"
    """Accept `source_ip` -> `destination_vm`:`port`/`protocol` on the VFNs of the destination VM."""
    DENY = "deny"
    """Drop everything from and to `source_ip`, an outside address, on every VFN with VMs."""
    RESTRICT = "restrict"
    """`source_vm` may exchange packets with `peers` only."""
    RATE_LIMIT = "rate_limit"
    """At most `rate` packets per second from, and as many to, `source_vm` or `source_ip`."""
    STEER = "steer"
    """What `source_vm` exchanges goes to the inspection VM `target` instead; with `mirror` a copy of it does."""


class Scope(StrEnum):
    """How far an isolation goes."""

    OTHER_SEGMENTS = "other_segments"
    ALL = "all"


class Protocol(StrEnum):
    """Protocol of a rule."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"
    ICMP = "icmp"
    """ICMP or ICMPv6, by the packet's family."""
    ANY = "any"


class Mode(StrEnum):
    """What becomes of a rule."""

    OBSERVE = "observe"
    """It counts in the switch what it would do, and does nothing."""
    PROPOSE = "propose"
    """It waits until somebody approves it."""
    ENFORCE = "enforce"


@dataclass(frozen=True)
class Peer:
    """Whom a restricted VM may still exchange packets with."""

    net: Network
    protocol: Protocol = Protocol.ANY
    port: int | None = None
    """The port of whoever offers the service, VM or peer; None: any."""

    def as_json(self) -> dict[str, Any]:
        """As the store keeps it, and REST tells it."""
        return {"net": str(self.net), "protocol": self.protocol, "port": self.port}


class Tier(IntEnum):
    """Order of judgement in the enforcement table: a higher tier decides first. The value is the base priority.

    OpenFlow has 16 bits for priorities: so 9,200 for a tier, and the highest ends below the table's own.
    """

    EMERGENCY = 55_200
    QUARANTINE = 46_000
    OPERATOR = 36_800
    INTEL = 27_600
    POLICY = 18_400
    LEARNED = 9_200
    DEFAULT = 0


@dataclass(frozen=True)
class SegmentationRule:
    """Intent of the analyzer or of a person.

    Which fields are set depends on `action`: isolate: segment, source_vm, scope; allow: source_ip (address or
    network), destination_vm, port (None: any), protocol; deny: source_ip; restrict: segment, source_vm, peers;
    rate_limit: source_vm (and segment) or source_ip, rate; steer: segment, source_vm, target, mirror.
    """

    id: str
    """12 lower-case hex digits, unique."""
    action: Action
    issuer: str
    """`analyzer`, or the name of the token that posted it."""
    created: float
    """Epoch seconds."""
    segment: str | None = None
    source_vm: str | None = None
    scope: Scope = Scope.ALL
    source_ip: Network | None = None
    destination_vm: str | None = None
    port: int | None = None
    protocol: Protocol = Protocol.ANY
    risk: float = 0.0
    """0..100."""
    reasons: tuple[str, ...] = ()
    """Plain words with numbers."""
    evidence_time: float | None = None
    """Epoch seconds of the newest evidence; None for a person's rule."""
    expires: float | None = None
    """Epoch seconds; None: until released."""
    mode: Mode = Mode.ENFORCE
    rate: int | None = None
    """Packets per second; None: as set for the network."""
    peers: tuple[Peer, ...] = ()
    target: str | None = None
    """Name of an inspection VM on the VM's own VFN."""
    mirror: bool = False
    behaviour: str = ""
    """What the analyzer saw, by the name of the behaviour."""
    ordinary: float = 0.0
    """0..1: the share of its segment's ordinary traffic that it stops, as its issuer reckons."""


class RuleState(StrEnum):
    """Where a rule is in its life."""

    PROPOSED = "proposed"
    """It waits for somebody's approval."""
    APPROVED = "approved"
    INSTALLING = "installing"
    ENFORCED = "enforced"
    """Read back from every VFN it concerns."""
    EXPIRING = "expiring"
    """Its time is over; its entries are on their way out of the switches."""
    PROBATION = "probation"
    """Out of the switches, or on its way out; whom it was about is watched closely."""
    RELEASED = "released"
    ROLLED_BACK = "rolled_back"
    """Taken back because it did harm."""
    EXPIRED = "expired"
    REFUSED = "refused"
    FAILED = "failed"

    @property
    def live(self) -> bool:
        """Does the rule belong into the switches?"""
        return self in (RuleState.INSTALLING, RuleState.ENFORCED)


class Verdict(StrEnum):
    """What a firewall rule does with a packet."""

    ALLOW = "allow"
    DROP = "drop"


@dataclass(frozen=True)
class FirewallRule:
    """What a segmentation rule means for one VFN. None in a match field: anything."""

    rule_id: str
    vfn: str
    tier: Tier
    verdict: Verdict
    source_vm: str | None = None
    destination_vm: str | None = None
    not_destination_segment: str | None = None
    """Matches every destination segment but this one, `outside` and broadcast included."""
    source_net: Network | None = None
    destination_net: Network | None = None
    protocol: Protocol = Protocol.ANY
    destination_port: int | None = None
    cut_port_of: str | None = None
    """Isolation with scope `all`: this VM's port is cut in both directions for every ethertype."""
    mode: Mode = Mode.ENFORCE
    """`observe` or `enforce`."""
    unless: tuple[Peer, ...] | None = None
    """A restriction: it drops neither what its VM exchanges with any of these, nor the resolution of addresses."""
    limits: bool = False
    """It decides nothing: of what it matches `rate` packets per second pass."""
    rate: int | None = None
    """Packets per second; None: as set for the network."""
    target: str | None = None
    """It decides nothing: what it matches goes to this inspection VM instead, or with `mirror` too."""
    mirror: bool = False


def new_rule_id() -> str:
    """12 lower-case hex digits."""
    return secrets.token_hex(6)
