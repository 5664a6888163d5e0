"""Hypothesis strategies: table entries that Open vSwitch accepts, every field's prerequisites included."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from policies.entries import Copy, Field, Output, Resubmit, Sample, SetField, Step, TableEntry, ToController, Track
from ryu_apps.wire.oxm import FIELDS

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
_IP = ("ip_dscp", "ip_ecn")
_V4 = ("ipv4_src", "ipv4_dst", *_IP)
_V6 = ("ipv6_src", "ipv6_dst", "ipv6_flabel", *_IP)
_REGISTERS = tuple(f"reg{number}" for number in range(16))

ALWAYS = ("in_port", "metadata", "eth_dst", "eth_src", *_REGISTERS, "ct_state", "ct_zone", "ct_mark")
"""Fields without prerequisites."""

FAMILIES: tuple[tuple[dict[str, int], tuple[str, ...]], ...] = (
    ({}, ()),
    ({"eth_type": 0x88CC}, ()),
    ({"vlan_vid": 0x1005}, ("vlan_pcp",)),
    ({"eth_type": ARP}, ("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha")),
    ({"eth_type": IPV4}, _V4),
    ({"eth_type": IPV4, "ip_proto": 6}, (*_V4, "tcp_src", "tcp_dst", "tcp_flags")),
    ({"eth_type": IPV4, "ip_proto": 17}, (*_V4, "udp_src", "udp_dst")),
    ({"eth_type": IPV4, "ip_proto": 132}, (*_V4, "sctp_src", "sctp_dst")),
    ({"eth_type": IPV4, "ip_proto": 1}, (*_V4, "icmpv4_type", "icmpv4_code")),
    ({"eth_type": IPV6}, _V6),
    ({"eth_type": IPV6, "ip_proto": 6}, (*_V6, "tcp_src", "tcp_dst", "tcp_flags")),
    ({"eth_type": IPV6, "ip_proto": 17}, (*_V6, "udp_src", "udp_dst")),
    ({"eth_type": IPV6, "ip_proto": 58}, (*_V6, "icmpv6_type", "icmpv6_code")),
    ({"eth_type": IPV6, "ip_proto": 58, "icmpv6_type": 135}, (*_V6, "nd_target", "nd_sll")),
    ({"eth_type": IPV6, "ip_proto": 58, "icmpv6_type": 136}, (*_V6, "nd_target", "nd_tll")),
)
"""(values that the optional fields need, optional fields)."""

OPEN_VSWITCH_RANGE = {"in_port": (1, 0xFEFF), "arp_op": (0, 0xFF)}
"""Fields of which Open vSwitch knows less than OpenFlow's width: its ports are 16 bits, its ARP operations 8."""

SETTABLE = ("metadata", "eth_dst", "eth_src", *_REGISTERS)
"""Fields that any packet can have set."""


@cache
def fields(name: str, masked: bool | None = None) -> st.SearchStrategy[Field]:
    """A match on one field; `masked` None: either."""
    oxm = FIELDS[name]
    values = st.integers(*OPEN_VSWITCH_RANGE.get(name, (0, oxm.full)))
    exact = st.builds(Field, st.just(name), values, st.none())
    mask = st.builds(Field, st.just(name), values, st.integers(0, oxm.full))
    if masked is None:
        return st.one_of(exact, mask) if oxm.maskable else exact
    return mask if masked else exact


@st.composite
def matches(draw: st.DrawFn) -> tuple[Field, ...]:
    """A match whose prerequisites are met, sorted by name."""
    fixed, optional = draw(st.sampled_from(FAMILIES))
    names = draw(st.sets(st.sampled_from([*ALWAYS, *optional]), max_size=6))
    chosen = [draw(fields(name)) for name in names]
    return tuple(sorted([*chosen, *(Field(name, value) for name, value in fixed.items())], key=lambda f: f.name))


@cache
def steps() -> st.SearchStrategy[Step]:
    """One action."""
    set_fields = st.sampled_from(SETTABLE).flatmap(
        lambda name: st.builds(SetField, st.just(name), st.integers(0, FIELDS[name].full))
    )
    ports = st.one_of(st.integers(1, 0xFE00), st.sampled_from((0xFFFFFFF8, 0xFFFFFFFA, 0xFFFFFFFB, 0xFFFFFFFE)))
    registers = st.sampled_from(_REGISTERS)
    copies = st.builds(Copy, registers, registers)
    tables = st.integers(0, 253)
    tracks = st.builds(Track, registers, st.just(False), st.none() | tables)
    commits = st.builds(Track, registers, st.just(True), st.none() | tables, st.none() | registers)
    samples = st.builds(Sample, st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
    outputs = st.builds(Output, ports) | st.builds(ToController, st.integers(0, 0xFFFF))
    return st.one_of(set_fields, outputs, copies, tracks, commits, st.builds(Resubmit, tables), samples)


METERS = (1, 2)
"""Numbers that an entry may name; a switch must have them."""


@st.composite
def entries(draw: st.DrawFn) -> TableEntry:
    """A whole entry; its goto leads on, as OpenFlow demands, and only IP is tracked, as Open vSwitch demands.

    It also refuses to track what is matched as untrackable; so entries that match a state do not track.
    """
    table = draw(st.integers(0, 253))
    match = draw(matches())
    values = {field.name: field.value for field in match}
    tracked = values.get("eth_type") in (IPV4, IPV6) and "ct_state" not in values
    actions = draw(st.lists(steps(), max_size=4))
    return TableEntry(
        table,
        draw(st.integers(0, 0xFFFF)),
        match,
        tuple(step for step in actions if tracked or not isinstance(step, Track)),
        draw(st.none() | st.integers(table + 1, 253)) if table < 253 else None,
        tuple(draw(st.lists(st.text("0123456789abcdef", min_size=12, max_size=12), max_size=2))),
        draw(st.none() | st.sampled_from(METERS)),
    )
