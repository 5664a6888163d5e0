"""Table entries as people write them: the notation of ovs-ofctl(8) and ovs-actions(7), which its `add-flows` reads."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from policies.entries import (
    COLLECTOR_SET,
    Copy,
    Field,
    Output,
    Resubmit,
    Sample,
    SetField,
    Step,
    TableEntry,
    ToController,
    Track,
)
from policies.pipeline.tables import ARP, ICMP, ICMPV6, IPV4, IPV6, SCTP, TCP, UDP

_NAMES = {
    "eth_src": "dl_src",
    "eth_dst": "dl_dst",
    "eth_type": "dl_type",
    "ip_proto": "nw_proto",
    "ipv4_src": "nw_src",
    "ipv4_dst": "nw_dst",
    "icmpv4_type": "icmp_type",
    "icmpv4_code": "icmp_code",
    "icmpv6_type": "icmp_type",
    "icmpv6_code": "icmp_code",
}
"""Fields that ovs-ofctl calls otherwise than OpenFlow."""
_WORDS: Mapping[tuple[int | None, int | None], str] = {
    (ARP, None): "arp",
    (IPV4, None): "ip",
    (IPV6, None): "ipv6",
    (IPV4, TCP): "tcp",
    (IPV6, TCP): "tcp6",
    (IPV4, UDP): "udp",
    (IPV6, UDP): "udp6",
    (IPV4, SCTP): "sctp",
    (IPV6, SCTP): "sctp6",
    (IPV4, ICMP[4]): "icmp",
    (IPV6, ICMPV6): "icmp6",
}
"""By EtherType and IP protocol."""
_MACS = frozenset({"eth_src", "eth_dst", "arp_sha", "arp_tha", "nd_sll", "nd_tll"})
_V4 = frozenset({"ipv4_src", "ipv4_dst", "arp_spa", "arp_tpa"})
_V6 = frozenset({"ipv6_src", "ipv6_dst", "nd_target"})
_FLAGS = {
    "tcp_flags": ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"),
    "ct_state": ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"),
}
"""Names of the bits, lowest first."""
_PLAIN_MAX = 65_535
"""Larger numbers are easier to read in hexadecimal."""


def flow(entry: TableEntry) -> str:
    """One line of a flow file. The rules that the entry stands for are a comment."""
    told = f"  # {', '.join(entry.rules)}" if entry.rules else ""
    head = [f"table={entry.table}", f"priority={entry.priority}", *matching(entry)]
    return f"{','.join(head)} actions={actions(entry)}{told}"


def matching(entry: TableEntry) -> list[str]:
    """The match, protocol first."""
    fields = {field.name: field for field in entry.match}
    kind, protocol = fields.get("eth_type"), fields.get("ip_proto")
    numbers = (None if kind is None else kind.value, None if protocol is None else protocol.value)
    word, known = _WORDS.get(numbers), ("eth_type", "ip_proto")
    if word is None:
        word, known = _WORDS.get((numbers[0], None)), ("eth_type", "")
    if word is None:
        return [_field(field) for field in entry.match]
    return [word, *(_field(field) for field in entry.match if field.name not in known)]


def actions(entry: TableEntry) -> str:
    """The instructions, as actions in their order."""
    found = [] if entry.meter is None else [f"meter:{entry.meter}"]
    found += map(_step, entry.steps)
    if entry.goto is not None:
        found.append(f"goto_table:{entry.goto}")
    return ",".join(found) or "drop"


def _field(field: Field) -> str:
    name = _NAMES.get(field.name, field.name)
    if field.name in _FLAGS and field.mask is not None:
        return f"{name}={_flags(_FLAGS[field.name], field.value, field.mask)}"
    if field.mask is None:
        return f"{name}={_value(field.name, field.value)}"
    if field.name in _V4 | _V6:
        length = _prefix_length(field.mask, 32 if field.name in _V4 else 128)
        if length is not None:
            return f"{name}={_value(field.name, field.value)}/{length}"
    value, mask = (_value(field.name, number, hexadecimal=True) for number in (field.value, field.mask))
    return f"{name}={value}/{mask}"


def _value(name: str, value: int, *, hexadecimal: bool = False) -> str:
    if name in _MACS:
        return value.to_bytes(6, "big").hex(":")
    if name in _V4:
        return str(IPv4Address(value))
    if name in _V6:
        return str(IPv6Address(value))
    return hex(value) if hexadecimal or value > _PLAIN_MAX or name == "eth_type" else str(value)


def _flags(names: tuple[str, ...], value: int, mask: int) -> str:
    bits = ((1 << place, name) for place, name in enumerate(names))
    return "".join(f"{'+' if value & bit else '-'}{name}" for bit, name in bits if mask & bit)


def _prefix_length(mask: int, width: int) -> int | None:
    length = mask.bit_count()
    return length if mask == ((1 << length) - 1) << (width - length) else None


def _step(step: Step) -> str:
    match step:
        case SetField(name, value):
            return f"set_field:{_value(name, value)}->{_NAMES.get(name, name)}"
        case Output(port):
            return f"output:{port}"
        case ToController(max_len, meter):
            limited = "" if meter is None else f",meter_id={meter}"
            return f"controller(max_len={max_len}{limited})"
        case Copy(source, destination):
            return f"move:{_subfield(source)}->{_subfield(destination)}"
        case Resubmit(table):
            return f"resubmit(,{table})"
        case Sample(domain, point):
            told = f"collector_set_id={COLLECTOR_SET},obs_domain_id={domain},obs_point_id={point}"
            return f"sample(probability=65535,{told})"
        case Track():
            return _track(step)


def _track(step: Track) -> str:
    parts = ["commit"] if step.commit else []
    if step.goto is not None:
        parts.append(f"table={step.goto}")
    parts.append(f"zone={_nxm(step.zone)}[0..15]")
    if step.mark is not None:
        parts.append(f"exec(move:{_subfield(step.mark)}->NXM_NX_CT_MARK[])")
    return f"ct({','.join(parts)})"


def _subfield(name: str) -> str:
    return f"{_nxm(name)}[]"


def _nxm(name: str) -> str:
    """The name in Nicira's or OpenFlow's extensible match, as actions take it."""
    prefix = "NXM_NX" if name.startswith("reg") else "OXM_OF"
    return f"{prefix}_{name.upper()}"
