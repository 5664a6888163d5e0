"""What an event adds to the windows of its initiator: a pure function of columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analyzer.compiled import Row, compiled
from analyzer.flows import F8, I8, NOBODY, TCP, U8, UDP, Array, Bool, Fate, FlowState
from analyzer.keytable import mixed

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
    "asked",  # openings that switches copied, long before they are told of as flows
    "absent_names",  # domains that do not exist, first asked for in a minute (copies)
    "coded_names",  # names that look like encoded data, likewise (copies)
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
    "denied_services",  # (host, protocol, port) of an unheard service or peer that VFNs kept it from
    "hit_sources",  # hosts that aimed flows at it
)
FEATURES = SUMS + DISTINCT
COUNTER_FEATURES = ("denied", "switch_packets", "asked", "absent_names", "coded_names", "denied_services")
"""Come from entry counters, copies and what VFNs tell of their doing: absent wherever flows alone are read."""
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
    """What a batch of events adds to windows. Rows are events."""

    subject: I8
    """(events,) whose doing each is; NOBODY: nobody's who is judged."""
    deed: Bool
    """(events,) is it something that makes its subject worth a look?"""
    sums: F8
    """(events, len(SUMS))"""
    items: U8
    """(len(DISTINCT), events) what each touches; 0: nothing that counts."""
    victim: I8
    """(events,) VM that each is aimed at; NOBODY where it is none."""
    answered: Bool
    """(events,) did the victim answer?"""
    source: U8
    """(events,) who aims, as an item."""

    def __len__(self) -> int:
        return len(self.subject)


@dataclass(frozen=True)
class Novelty:
    """What the baseline says about the peers of a batch of events."""

    peer: Bool
    """The initiator never talked to this address."""
    outside: Bool
    """Its segment never talked to this address."""
    service: Bool
    """Nobody of its segment ever talked to this service (protocol, port) of the other one's segment."""

    def address(self, rows: Array) -> Bool:
        """Is whom events (dtype FLOW) turn to unknown: outside to their segment, inside to their initiator?"""
        return np.where(rows["dst_segment"] == 0, self.outside, self.peer)

    def anyhow(self, rows: Array) -> Bool:
        """Is anything of it unknown: the address, or the service there?"""
        return np.asarray((rows["dst_segment"] >= 0) & (self.address(rows) | self.service))


def contributions(rows: Array, subject: I8, victim: I8, novelty: Novelty, excused: Bool) -> Contribution:
    """What events (dtype FLOW) add to the windows of who opened them, and of the VMs that they are aimed at.

    Args:
        rows: of the events.
        subject: whose doing they are; NOBODY: they count for nobody.
        victim: whom they may count against as a target; NOBODY: nobody.
        novelty: of those whom they talk to.
        excused: events whose failing is not their initiator's (its peer was cut off by us).
    """
    count = len(rows)
    made = Contribution(
        subject,
        np.zeros(count, bool),
        np.zeros((count, len(SUMS))),
        np.zeros((len(DISTINCT), count), np.uint64),
        np.full(count, NOBODY, np.int64),
        np.zeros(count, bool),
        np.zeros(count, np.uint64),
    )
    _contribute(rows, subject, (novelty.peer, novelty.outside, novelty.service), excused, _PORTS, made.deed, made.sums,
                made.items)  # fmt: skip
    _aim(rows, victim, made.victim, made.answered, made.source)
    return made


(
    _FLOWS, _FAILED, _ADMIN_FLOWS, _BYTES_OUT, _BYTES_IN, _BYTES_UNKNOWN, _BYTES_UNHEARD, _DNS, _PACKETS, _DNS_BYTES,
    _DNS_PACKETS, _UNHEEDED, _SPOOFED, _DENIED, _SWITCH_PACKETS, _COPIED, _ABSENT_NAMES, _CODED_NAMES,
    _KNOCKS, _HIT_FLOWS, _HIT_ANSWERED,
) = range(len(SUMS))  # fmt: skip
(
    _IN_HOSTS, _IN_SERVICES, _OUT_HOSTS, _FAILED_SERVICES, _ADMIN_PAIRS, _NEW_PEERS, _NEW_OUTSIDE, _NEW_SERVICES,
    _NEW_DOORS, _KNOCKED, _FAILED_DOORS, _DENIED_SERVICES, _HIT_SOURCES,
) = range(len(DISTINCT))  # fmt: skip
_PORTS = (ADMIN_PORTS, DOORS, DNS_PORTS)
_NEW, _STATE_FAILED, _STATE_SPOOFED = int(FlowState.NEW), int(FlowState.FAILED), int(FlowState.SPOOFED)
_ANSWERED_ONLY, _ASKED = int(FlowState.ANSWERED_ONLY), int(FlowState.ASKED)
_KEPT = int(Fate.DROPPED | Fate.STOPPED)
_DEEDS = _NEW | _ASKED | _STATE_FAILED | _STATE_SPOOFED
_SALT = np.uint64(0), np.uint64(1), np.uint64(2)
_ONE = np.uint64(1)


@compiled
def _item(salt: np.uint64, first: Any, second: Any) -> np.uint64:
    return max(mixed(mixed(salt, np.uint64(first)), np.uint64(second)), _ONE)


@compiled
def _contribute(
    rows: Array,
    subject: I8,
    novelty: tuple[Bool, Bool, Bool],
    excused: Bool,
    ports: tuple[Bool, Bool, Bool],
    deed: Bool,
    sums: F8,
    items: U8,
) -> None:
    for i in range(len(rows)):
        if subject[i] == NOBODY:
            continue
        row, blamed = rows[i], not excused[i]
        deed[i] = row.state & _DEEDS != 0 or row.src_bytes > 0
        new_peer, new_outside, new_service = novelty[0][i], novelty[1][i], novelty[2][i]
        spoofed = row.state & _STATE_SPOOFED != 0
        sent = row.state & _ANSWERED_ONLY == 0 and not spoofed
        _add_sums(row, sent, blamed, new_outside, new_service, ports, sums[i])
        # A record adds the same item again as the copy of a first packet before: it is still one.
        asked = sent and blamed and row.state & (_NEW | _ASKED) != 0
        failed = sent and blamed and row.state & _STATE_FAILED != 0
        if asked or failed:
            _add_items(row, asked, failed, new_peer, new_outside, new_service, ports, items[:, i])
        if sent and blamed and row.fate & _KEPT != 0 and (new_peer or new_service):
            _add_denied(row, items[:, i])


@compiled
def _add_sums(
    row: Row, sent: bool, blamed: bool, new_outside: bool, new_service: bool, ports: tuple[Bool, Bool, Bool], sums: F8
) -> None:
    admin_ports, _, dns_ports = ports
    real, outside, inside = row.dst_segment != NOBODY, row.dst_segment == 0, row.dst_segment > 0
    ported = row.proto in {TCP, UDP}
    if not sent:
        sums[_SPOOFED] = row.state & _STATE_SPOOFED != 0
        return
    if blamed and row.state & _NEW != 0:
        sums[_FLOWS] = real
        sums[_ADMIN_FLOWS] = real and row.proto == TCP and admin_ports[row.dst_port]
        sums[_DNS] = ported and dns_ports[row.dst_port]
    if blamed and row.state & _ASKED != 0:
        sums[_COPIED] = real
    if blamed and row.state & _STATE_FAILED != 0:
        sums[_FAILED] = real
        sums[_KNOCKS] = inside and ported and new_service
    if outside:
        sums[_BYTES_OUT], sums[_BYTES_IN] = row.src_bytes, row.dst_bytes
        if new_outside:
            sums[_BYTES_UNKNOWN] = row.src_bytes
            sums[_BYTES_UNHEARD] = row.src_bytes if new_service else np.uint64(0)
    if real and ported and row.dst_port == DNS_PORT:
        sums[_DNS_BYTES], sums[_DNS_PACKETS] = row.src_bytes, row.src_pkts
    sums[_PACKETS] = row.src_pkts
    if real and blamed and row.dst_pkts == 0:
        sums[_UNHEEDED] = row.src_pkts


@compiled
def _add_items(
    row: Row,
    asked: bool,
    failed: bool,
    new_peer: bool,
    new_outside: bool,
    new_service: bool,
    ports: tuple[Bool, Bool, Bool],
    items: U8,
) -> None:
    admin_ports, doors, _ = ports
    real, outside, inside = row.dst_segment != NOBODY, row.dst_segment == 0, row.dst_segment > 0
    ported, tcp = row.proto in {TCP, UDP}, row.proto == TCP
    host = _item(_SALT[0], row.dst_hi, row.dst_lo)
    service = _service(row, host)
    admin, door, unheard = tcp and admin_ports[row.dst_port], tcp and doors[row.dst_port], ported and new_service
    if asked and inside:
        items[_IN_HOSTS] = host
        if ported:
            items[_IN_SERVICES] = service
        if new_peer:
            items[_NEW_PEERS] = host
        if unheard:
            items[_NEW_SERVICES] = service
        if door and (unheard or new_peer):
            items[_NEW_DOORS] = service
    if asked and outside:
        items[_OUT_HOSTS] = host
        if new_outside:
            items[_NEW_OUTSIDE] = host
    if asked and real and admin:
        items[_ADMIN_PAIRS] = service
    if failed and real:
        items[_FAILED_SERVICES] = service
        if admin or door:
            items[_FAILED_DOORS] = service
        if inside and unheard:
            items[_KNOCKED] = service


@compiled
def _service(row: Row, host: np.uint64) -> np.uint64:
    port = row.dst_port if row.proto in {TCP, UDP} else 0
    return max(mixed(_item(_SALT[1], host, row.proto), np.uint64(port)), _ONE)


@compiled
def _add_denied(row: Row, items: U8) -> None:
    if row.dst_segment != NOBODY and row.proto in {TCP, UDP}:
        items[_DENIED_SERVICES] = _service(row, _item(_SALT[0], row.dst_hi, row.dst_lo))


@compiled
def _aim(rows: Array, candidate: I8, victim: I8, answered: Bool, source: U8) -> None:
    """Who is aimed at.

    Answers of which nobody saw the question (`ANSWERED_ONLY`: reflected traffic) are aimed at the would-be asker.
    """
    for i in range(len(rows)):
        row = rows[i]
        reflected = row.state & _ANSWERED_ONLY != 0
        if candidate[i] == NOBODY or not (reflected or row.state & _NEW != 0):
            continue
        victim[i] = candidate[i]
        answered[i] = not reflected and row.dst_pkts > 0 and row.state & _STATE_FAILED == 0
        if reflected:
            source[i] = _item(_SALT[2], row.dst_hi, row.dst_lo)
        else:
            source[i] = _item(_SALT[2], row.src_hi, row.src_lo)
