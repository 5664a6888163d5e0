"""OXM match fields of OpenFlow 1.3 (specification 7.2.3.7) and Nicira's (meta-flow.h): registers, connection tracking.

Messages carry the fields in the order of Ryu's serializer; Open vSwitch gives them back in the order of `FIELDS`, which
is also the one to compare them in.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

from runtime.errors import PolicyError, TransientError
from ryu_apps.wire.packers import Column, Part

NXM_1 = 0x0001
OPENFLOW_BASIC = 0x8000
EXPERIMENTER = 0xFFFF
ONF = 0x4F4E4600
"""Experimenter id of the Open Networking Foundation (`tcp_flags`, bundles)."""

_HEADER = struct.Struct("!HBB")
_MATCH_HEADER = struct.Struct("!HH")
_OXM_MATCH = 1
_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""`struct` formats by bytes."""


@dataclass(frozen=True)
class OxmField:
    """One row of the field table."""

    name: str
    oxm_class: int
    number: int
    size: int
    """Bytes of the value on the wire."""
    bits: int
    """Width of the value."""
    maskable: bool = False
    experimenter: int | None = None
    always_masked: bool = False
    """Does the switch give it back with a mask even when the match is exact?"""

    @cached_property
    def full(self) -> int:
        """The mask that means exact."""
        return (1 << self.bits) - 1

    @cached_property
    def order(self) -> int:
        """Place in a message: Ryu sorts by class and number, by experimenter id where there is one."""
        return self.oxm_class << 7 | self.number if self.experimenter is None else self.experimenter

    @cached_property
    def exact_header(self) -> bytes:
        """Header of an unmasked value."""
        return self._header(masked=False)

    @cached_property
    def masked_header(self) -> bytes:
        """Header of a value and mask."""
        return self._header(masked=True)

    def _header(self, masked: bool) -> bytes:
        extra = b"" if self.experimenter is None else struct.pack("!I", self.experimenter)
        length = len(extra) + self.size * (2 if masked else 1)
        return _HEADER.pack(self.oxm_class, self.number << 1 | masked, length) + extra


def _basic(name: str, number: int, size: int, bits: int | None = None, maskable: bool = False) -> OxmField:
    return OxmField(name, OPENFLOW_BASIC, number, size, size * 8 if bits is None else bits, maskable)


FIELDS: dict[str, OxmField] = {
    field.name: field
    for field in (
        _basic("in_port", 0, 4),
        _basic("eth_src", 4, 6, maskable=True),
        _basic("eth_dst", 3, 6, maskable=True),
        _basic("eth_type", 5, 2),
        _basic("vlan_vid", 6, 2, 13, maskable=True),
        _basic("vlan_pcp", 7, 1, 3),
        _basic("ipv4_src", 11, 4, maskable=True),
        _basic("ipv4_dst", 12, 4, maskable=True),
        _basic("ipv6_src", 26, 16, maskable=True),
        _basic("ipv6_dst", 27, 16, maskable=True),
        _basic("ip_dscp", 8, 1, 6),
        _basic("ip_ecn", 9, 1, 2),
        _basic("ipv6_flabel", 28, 4, 20, maskable=True),
        _basic("ip_proto", 10, 1),
        _basic("tcp_src", 13, 2, maskable=True),
        _basic("tcp_dst", 14, 2, maskable=True),
        OxmField("tcp_flags", EXPERIMENTER, 42, 2, 12, True, ONF),
        _basic("udp_src", 15, 2, maskable=True),
        _basic("udp_dst", 16, 2, maskable=True),
        _basic("sctp_src", 17, 2, maskable=True),
        _basic("sctp_dst", 18, 2, maskable=True),
        _basic("icmpv4_type", 19, 1),
        _basic("icmpv4_code", 20, 1),
        _basic("icmpv6_type", 29, 1),
        _basic("icmpv6_code", 30, 1),
        _basic("nd_target", 31, 16, maskable=True),
        _basic("nd_sll", 32, 6, maskable=True),
        _basic("nd_tll", 33, 6, maskable=True),
        _basic("arp_op", 21, 2),
        _basic("arp_spa", 22, 4, maskable=True),
        _basic("arp_tpa", 23, 4, maskable=True),
        _basic("arp_sha", 24, 6, maskable=True),
        _basic("arp_tha", 25, 6, maskable=True),
        *(OxmField(f"reg{number}", NXM_1, number, 4, 32, True) for number in range(16)),
        OxmField("ct_state", NXM_1, 105, 4, 8, True, always_masked=True),
        OxmField("ct_zone", NXM_1, 106, 2, 16),
        OxmField("ct_mark", NXM_1, 107, 4, 32, True),
        _basic("metadata", 2, 8, maskable=True),
    )
}
"""Every field an entry may match or set, by the engine's name, in the order in which Open vSwitch gives them back."""

_MASKED = 1
"""Bit of a header's third byte."""
_RANK = {field.exact_header[:3]: rank for rank, field in enumerate(FIELDS.values())}


def lookup(name: str) -> OxmField:
    """The field of a name.

    Raises:
        PolicyError: there is none.
    """
    try:
        return FIELDS[name]
    except KeyError:
        raise PolicyError("not a field of OpenFlow 1.3", key=name, remedy=f"one of {', '.join(FIELDS)}") from None


def match_parts(name: str, mask: int | None, position: int) -> list[Part]:
    """A field of a match, its value at a position among all values.

    A full mask is written as exact and an empty one not at all, bits outside a mask as 0: so does the switch when it
    gives a match back.

    Raises:
        PolicyError: an unknown field, a mask that does not fit or where there can be none.
    """
    oxm = lookup(name)
    if mask is None or mask == oxm.full:
        if not oxm.always_masked:
            return [oxm.exact_header, column(oxm, None, position)]
        mask = oxm.full
    if mask == 0:
        return []
    if not oxm.maskable:
        raise PolicyError("cannot be masked", key=name)
    return [oxm.masked_header, column(oxm, mask, position), _encode_value(oxm, None, mask)]


def column(oxm: OxmField, mask: int | None, position: int) -> Column:
    """The place of a field's value. Only what fills whole words can be left to `struct`."""
    if mask is None and oxm.size in _FORMATS and oxm.bits == 8 * oxm.size:
        return Column(oxm.name, position, _FORMATS[oxm.size])
    return Column(oxm.name, position, f"{oxm.size}s", partial(_encode_value, oxm, mask))


def _encode_value(oxm: OxmField, mask: int | None, value: int) -> bytes:
    if mask is not None:
        value &= mask
    if not 0 <= value <= oxm.full:
        raise PolicyError(f"{value:#x} does not fit in {oxm.bits} bits", key=oxm.name)
    return value.to_bytes(oxm.size, "big")


def frame(size: int) -> tuple[bytes, bytes]:
    """What stands before and behind so many bytes of fields in an `ofp_match`: type and length, zeros up to eight."""
    length = _MATCH_HEADER.size + size
    return _MATCH_HEADER.pack(_OXM_MATCH, length), bytes(-length % 8)


def pack_match(oxms: bytes) -> bytes:
    """An `ofp_match`: type, length without padding, fields, zeros up to a multiple of 8."""
    head, tail = frame(len(oxms))
    return head + oxms + tail


def unpack_match(raw: bytes, offset: int, end: int) -> tuple[bytes, int]:
    """(OXM fields, offset after the padding) of an `ofp_match` at `offset` that must end by `end`.

    Raises:
        TransientError: it is not an OXM match or is longer than its place.
    """
    if offset + 8 > end:
        raise TransientError(f"no room for a match at byte {offset}")
    kind, length = _MATCH_HEADER.unpack_from(raw, offset)
    after = offset + (length + 7) // 8 * 8
    if kind != _OXM_MATCH or length < _MATCH_HEADER.size or after > end:
        raise TransientError(f"no match at byte {offset}: type {kind}, length {length}")
    return raw[offset + _MATCH_HEADER.size : offset + length], after


def split(oxms: bytes) -> Iterator[bytes]:
    """The single OXM fields of a match.

    Raises:
        TransientError: a field is longer than the match.
    """
    offset = 0
    while offset < len(oxms):
        end = offset + _HEADER.size + (oxms[offset + 3] if offset + 3 < len(oxms) else len(oxms))
        if end > len(oxms):
            raise TransientError(f"a match field at byte {offset} is longer than its match of {len(oxms)} bytes")
        yield oxms[offset:end]
        offset = end


def canonical(oxms: bytes) -> bytes:
    """The same match in the order of `FIELDS`, fields that are not there at its end.

    That is the switch's own order, so sorting changes nothing but the matches of a switch of another version.
    """
    fields: list[bytes] = sorted(split(oxms), key=_rank)
    return b"".join(fields)


def _rank(oxm: bytes) -> tuple[int, bytes]:
    return _RANK.get(oxm[:2] + bytes((oxm[2] & ~_MASKED,)), len(_RANK)), oxm
