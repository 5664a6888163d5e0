"""The values that travel through the engine: segmentation rules and the firewall rules they become."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network


class Action(StrEnum):
    """What a segmentation rule does."""

    ISOLATE = "isolate"
    """Drop everything from `source_vm` to all other segments (scope `other_segments`) or to and from it (`all`)."""
    ALLOW = "allow"
    """Accept `source_ip` -> `destination_vm`:`port`/`protocol` on the VFNs of the destination VM."""
    DENY = "deny"
    """Drop everything from and to `source_ip`, an outside address, on every VFN with VMs."""


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
    network), destination_vm, port (None: any), protocol; deny: source_ip.
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


class RuleState(StrEnum):
    """Where a rule is in its life."""

    INSTALLING = "installing"
    ENFORCED = "enforced"
    """Read back from every VFN it concerns."""
    RELEASED = "released"
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
