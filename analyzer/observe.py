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
    "dns",  # DNS flows
    "packets",  # sent
    "spoofed",  # flows under a source address that is not its own
    "denied",  # packets that enforcement dropped (entry counters)
    "switch_packets",  # packets that the switch classified as its own (entry counters)
)
DISTINCT = (
    "in_hosts",  # hosts inside
    "in_services",  # (host, protocol, port) inside
    "out_hosts",  # hosts outside
    "failed_services",  # (host, protocol, port) anywhere that failed
    "admin_pairs",  # (host, admin port)
    "new_peers",  # hosts inside it never talked to while the baseline was learned
    "new_outside",  # hosts outside its segment never talked to while the baseline was learned
)
FEATURES = SUMS + DISTINCT
COUNTER_FEATURES = ("denied", "switch_packets")
"""Come from entry counters, so they are absent wherever flows alone are read."""


def _port_set(*ports: int) -> Bool:
    """Membership by index: `ports[dst_port]`, several times faster than a search."""
    members = np.zeros(1 << 16, bool)
    members[list(ports)] = True
    return members


ADMIN_PORTS = _port_set(
    21, 22, 23, 110, 143, 389, 445, 993, 1433, 1521, 2222, 2323, 3306, 3389, 5432, 5900, 5985, 5986, 6379, 27017
)  # fmt: skip
"""Services where a password opens the host: those that brute-force tools list as modules."""
DNS_PORTS = _port_set(53, 853, 5353)


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
        excused: failures that are no fault of the initiator (its peer was cut off by us).
    """
    state = rows["state"]
    spoofed = state & FlowState.SPOOFED != 0
    sent = (state & FlowState.ANSWERED_ONLY == 0) & ~spoofed
    new = (state & FlowState.NEW != 0) & sent
    asked = new | ((state & FlowState.ASKED != 0) & sent)  # the record adds the same item again: still one
    failed = (state & FlowState.FAILED != 0) & sent & ~excused
    inside, outside = rows["dst_segment"] > 0, rows["dst_segment"] == 0
    real = rows["dst_segment"] != NOBODY
    ported = (rows["proto"] == TCP) | (rows["proto"] == UDP)
    admin = real & (rows["proto"] == TCP) & ADMIN_PORTS[rows["dst_port"]]
    dns = new & ported & DNS_PORTS[rows["dst_port"]]
    out = np.where(outside & sent, rows["src_bytes"], 0)
    columns = {
        "flows": new & real,
        "failed": failed & real,
        "admin_flows": new & admin,
        "bytes_out": out,
        "bytes_in": np.where(outside & sent, rows["dst_bytes"], 0),
        "bytes_unknown": np.where(novelty.outside, out, 0),
        "dns": dns,
        "packets": np.where(sent, rows["src_pkts"], 0),
        "spoofed": spoofed,
    }
    sums = np.zeros((len(rows), len(SUMS)))
    for name, column in columns.items():
        sums[:, SUMS.index(name)] = column
    host = mix(0, rows["dst_hi"], rows["dst_lo"])
    service = mix(1, host, rows["proto"], np.where(ported, rows["dst_port"], 0))
    return Contribution(
        sums,
        {
            "in_hosts": (asked & inside, host),
            "in_services": (asked & inside & ported, service),
            "out_hosts": (asked & outside, host),
            "failed_services": (failed & real, service),
            "admin_pairs": (asked & admin, service),
            "new_peers": (asked & inside & novelty.peer, host),
            "new_outside": (asked & outside & novelty.outside, host),
        },
    )
