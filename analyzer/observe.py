"""What an event adds to the windows of its initiator: a pure function of columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analyzer.flows import F8, NOBODY, TCP, U8, UDP, Array, Bool, FlowState
from analyzer.keytable import mix

SUMS = (
    "flows",  # connections opened
    "failed",  # of them refused or never answered
    "admin_flows",  # opened to an admin port
    "bytes_out",  # sent outside
    "bytes_in",  # received from outside
    "bytes_unknown",  # sent outside to addresses its segment is not known to talk to
    "bytes_unheard",  # of them those over services (protocol, port) that it never used outside
    "dns",  # DNS flows
    "packets",  # sent
    "dns_bytes",  # sent to name servers
    "dns_packets",  # sent to name servers
    "unheeded",  # packets sent to whom nothing came back from
    "spoofed",  # flows under a source address that is not its own
    "denied",  # packets that enforcement dropped (entry counters)
    "switch_packets",  # packets that the switch classified as its own (entry counters)
    "knocks",  # opened inside that failed, to services unheard of between the segments
    "hit_flows",  # flows that others aimed at it, answers to questions never asked included
    "hit_answered",  # of them those that it answered
)
DISTINCT = (
    "in_hosts",  # hosts inside
    "in_services",  # (host, protocol, port) inside
    "out_hosts",  # hosts outside
    "failed_services",  # (host, protocol, port) anywhere that failed
    "admin_pairs",  # (host, admin port)
    "new_peers",  # hosts inside it never talked to while the baseline was learned
    "new_outside",  # hosts outside its segment never talked to while the baseline was learned
    "new_services",  # (host, protocol, port) inside, of services unheard of between the segments
    "new_doors",  # (host, door) inside where the peer or the service is unheard of
    "knocked",  # (host, protocol, port) of them
    "failed_doors",  # (host, admin port or door) anywhere that failed
    "hit_sources",  # hosts that aimed flows at it
)
FEATURES = SUMS + DISTINCT
COUNTER_FEATURES = ("denied", "switch_packets")
"""Come from entry counters, so they are absent wherever flows alone are read."""
PASSIVE_FEATURES = ("hit_flows", "hit_answered", "hit_sources")
"""What others do to a subject: no model of its own doings may look at them, or a victim would seem to misbehave."""


def _port_set(*ports: int) -> Bool:
    """Membership by index: `ports[dst_port]`, several times faster than a search."""
    members = np.zeros(1 << 16, bool)
    members[list(ports)] = True
    return members


ADMIN_PORTS = _port_set(
    21, 22, 23, 110, 143, 389, 445, 993, 1433, 1521, 2222, 2323, 3306, 3389, 5432, 5900, 5985, 5986, 6379, 27017
)  # fmt: skip
"""Services where a password opens the host: those that brute-force tools list as modules."""
DOORS = _port_set(22, 23, 88, 135, 139, 389, 445, 636, 2222, 2323, 3268, 3389, 5900, 5985, 5986)
"""Services through which one host is run from another, or rights over it are obtained (T1021, T1047, T1558)."""
DNS_PORT = 53
DNS_PORTS = _port_set(DNS_PORT, 853, 5353)


@dataclass(frozen=True)
class Contribution:
    """What a batch of events adds. Rows are events."""

    sums: F8
    """(events, len(SUMS))"""
    distinct: Mapping[str, tuple[Bool, U8]]
    """Which events count for a distinct feature, and the item's key (of all events)."""


@dataclass(frozen=True)
class Novelty:
    """What the baseline says about the peers of a batch of events."""

    peer: Bool
    """The initiator never talked to this address."""
    outside: Bool
    """Its segment never talked to this address."""
    service: Bool
    """Nobody of its segment ever talked to this service (protocol, port) of the other one's segment."""


def peer_keys(rows: Array, salt: int) -> U8:
    """Key of (initiator, address it talks to)."""
    source = [np.where(rows["src_vm"] > 0, 0, rows[name]) for name in ("src_hi", "src_lo")]
    return mix(salt, rows["src_vm"], *source, rows["dst_hi"], rows["dst_lo"])


def segment_keys(rows: Array, salt: int) -> U8:
    """Key of (initiator's segment, address)."""
    return mix(salt + 1, rows["src_segment"], rows["dst_hi"], rows["dst_lo"])


def service_keys(rows: Array, salt: int) -> U8:
    """Key of (both segments, protocol, destination port)."""
    return mix(salt + 2, rows["src_segment"], rows["dst_segment"], rows["proto"], rows["dst_port"])


def contributions(rows: Array, novelty: Novelty, excused: Bool) -> Contribution:
    """What events (dtype FLOW) add to their initiators' windows.

    Args:
        rows: events.
        novelty: of their peers.
        excused: attempts that are no fault of the initiator (its peer was cut off by us).
    """
    state = rows["state"]
    spoofed = state & FlowState.SPOOFED != 0
    sent = (state & FlowState.ANSWERED_ONLY == 0) & ~spoofed
    new = (state & FlowState.NEW != 0) & sent & ~excused
    asked = new | ((state & FlowState.ASKED != 0) & sent & ~excused)  # the record adds the same item again: still one
    failed = (state & FlowState.FAILED != 0) & sent & ~excused
    inside, outside = rows["dst_segment"] > 0, rows["dst_segment"] == 0
    real = rows["dst_segment"] != NOBODY
    ported = (rows["proto"] == TCP) | (rows["proto"] == UDP)
    admin = real & (rows["proto"] == TCP) & ADMIN_PORTS[rows["dst_port"]]
    door = inside & (rows["proto"] == TCP) & DOORS[rows["dst_port"]]
    names = sent & real & ported & (rows["dst_port"] == DNS_PORT)
    out = np.where(outside & sent, rows["src_bytes"], 0)
    columns = {
        "flows": new & real,
        "failed": failed & real,
        "admin_flows": new & admin,
        "bytes_out": out,
        "bytes_in": np.where(outside & sent, rows["dst_bytes"], 0),
        "bytes_unknown": np.where(novelty.outside, out, 0),
        "bytes_unheard": np.where(novelty.outside & novelty.service, out, 0),
        "dns": new & ported & DNS_PORTS[rows["dst_port"]],
        "dns_bytes": np.where(names, rows["src_bytes"], 0),
        "dns_packets": np.where(names, rows["src_pkts"], 0),
        "packets": np.where(sent, rows["src_pkts"], 0),
        "unheeded": np.where(sent & real & ~excused & (rows["dst_pkts"] == 0), rows["src_pkts"], 0),
        "spoofed": spoofed,
        "knocks": failed & inside & ported & novelty.service,
    }
    host = mix(0, rows["dst_hi"], rows["dst_lo"])
    service = mix(1, host, rows["proto"], np.where(ported, rows["dst_port"], 0))
    unheard = ported & novelty.service
    return Contribution(
        _sums(len(rows), columns),
        {
            "in_hosts": (asked & inside, host),
            "in_services": (asked & inside & ported, service),
            "out_hosts": (asked & outside, host),
            "failed_services": (failed & real, service),
            "admin_pairs": (asked & admin, service),
            "new_peers": (asked & inside & novelty.peer, host),
            "new_outside": (asked & outside & novelty.outside, host),
            "new_services": (asked & inside & unheard, service),
            "new_doors": (asked & door & (unheard | novelty.peer), service),
            "knocked": (failed & inside & unheard, service),
            "failed_doors": (failed & real & (rows["proto"] == TCP) & (ADMIN_PORTS | DOORS)[rows["dst_port"]], service),
        },
    )


def received(rows: Array) -> tuple[Array, Contribution]:
    """What events add to the windows of the VMs that they are aimed at: those VMs' numbers, and the contributions.

    Answers of which nobody saw the question (`ANSWERED_ONLY`: reflected traffic) are aimed at the would-be asker.
    """
    reflected = rows["state"] & FlowState.ANSWERED_ONLY != 0
    victim = np.where(reflected, rows["src_vm"], rows["dst_vm"])
    aimed = (victim > 0) & (reflected | (rows["state"] & FlowState.NEW != 0))
    rows, victim, reflected = rows[aimed], victim[aimed], reflected[aimed]
    columns = {
        "hit_flows": np.ones(len(rows)),
        "hit_answered": ~reflected & (rows["dst_pkts"] > 0) & (rows["state"] & FlowState.FAILED == 0),
    }
    high, low = (np.where(reflected, rows[f"dst_{half}"], rows[f"src_{half}"]) for half in ("hi", "lo"))
    return victim, Contribution(
        _sums(len(rows), columns), {"hit_sources": (np.ones(len(rows), bool), mix(2, high, low))}
    )


def _sums(count: int, columns: Mapping[str, Array]) -> F8:
    sums = np.zeros((count, len(SUMS)))
    for name, column in columns.items():
        sums[:, SUMS.index(name)] = column
    return sums
