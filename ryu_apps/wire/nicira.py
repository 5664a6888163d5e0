"""Nicira's actions (nicira-ext.h, ofp-actions.c of Open vSwitch): copies, connection tracking, resubmits."""

from __future__ import annotations

import struct

from policies.entries import COLLECTOR_SET, Copy, Resubmit, Sample, Track
from runtime.errors import PolicyError
from ryu_apps.wire.oxm import NXM_1, OxmField, lookup
from ryu_apps.wire.packers import Part

_ACTION_EXPERIMENTER = 0xFFFF
_NICIRA = 0x00002320
_REG_MOVE, _RESUBMIT_TABLE, _SAMPLE, _CT, _CONTROLLER2 = 6, 14, 29, 35, 37
_HEADER = struct.Struct("!HHIH")
"""type, length, experimenter, subtype"""
_MOVE = struct.Struct("!HHH")
"""bits, first bit of the source, first bit of the destination; the headers of both follow"""
_RESUBMIT = struct.Struct("!HB3x")
"""in port, table"""
_CONNTRACK = struct.Struct("!H4sHB3xH")
"""flags, header of the zone's field, its bits, table, ALG; nested actions follow"""

_CONTROLLER2_FIXED = struct.Struct("!6x")
_PROPERTY = struct.Struct("!HH")
"""type, length without padding; the value follows, and zeros up to eight bytes"""
_MAX_LEN, _METER_ID = 0, 5

_SAMPLED = struct.Struct("!HIII")
"""probability, set of collectors, observation domain and point"""
_ALWAYS = 0xFFFF

_SAME_PORT = 0xFFF8
"""OFPP_IN_PORT in the 16 bits of OpenFlow 1.0."""
_COMMIT = 1
_NO_TABLE = 0xFF
_ZONE_BITS = 15
"""Bits 0 to 15: ofs << 6 | bits - 1."""
_MARK = "ct_mark"
_NXM_0 = 0x0000
_PORTS = {"tcp_src": 9, "tcp_dst": 10, "udp_src": 11, "udp_dst": 12}
"""Numbers in class NXM_0 of what has a name of OpenFlow 1.0, by which Open vSwitch gives it back."""
_NEWER_PORTS = ("sctp_src", "sctp_dst")
_NXM_HEADER = struct.Struct("!HBB")


def encode_copy(step: Copy) -> bytes:
    """NXAST_REG_MOVE of a whole register or port, or of a register to a connection's mark.

    Raises:
        PolicyError: other fields, or other widths.
    """
    source, destination = lookup(step.source), lookup(step.destination)
    headers = _copied(source) + _copied(destination)
    if source.bits != destination.bits:
        raise PolicyError(f"{source.bits} bits do not fit {destination.bits} of {step.destination}", key=step.source)
    return _action(_REG_MOVE, _MOVE.pack(source.bits, 0, 0) + headers)


def _copied(field: OxmField) -> bytes:
    if field.name in _PORTS:
        return _NXM_HEADER.pack(_NXM_0, _PORTS[field.name] << 1, field.size)
    if field.oxm_class != NXM_1 and field.name not in _NEWER_PORTS:
        raise PolicyError("only registers and ports are copied", key=field.name)
    return field.exact_header


def encode_track(step: Track) -> bytes:
    """NXAST_CT.

    Raises:
        PolicyError: the zone is in no register, or a mark is to be kept without the connection.
    """
    if not step.zone.startswith("reg"):
        raise PolicyError("a zone comes from a register", key=step.zone)
    if step.mark is not None and not step.commit:
        raise PolicyError("only a connection that is kept has a mark", key=step.mark)
    table = _NO_TABLE if step.goto is None else step.goto
    head = _CONNTRACK.pack(_COMMIT if step.commit else 0, lookup(step.zone).exact_header, _ZONE_BITS, table, 0)
    return _action(_CT, head + (b"" if step.mark is None else encode_copy(Copy(step.mark, _MARK))))


def encode_resubmit(step: Resubmit) -> bytes:
    """NXAST_RESUBMIT_TABLE, the packet's port as it is."""
    return _action(_RESUBMIT_TABLE, _RESUBMIT.pack(_SAME_PORT, step.table))


def encode_sample(step: Sample) -> bytes:
    """NXAST_SAMPLE of every packet."""
    return _action(_SAMPLE, _SAMPLED.pack(_ALWAYS, COLLECTOR_SET, step.domain, step.point))


def limited_copy(max_len: int, meter: Part) -> list[Part]:
    """NXAST_CONTROLLER2 with a meter of its own (Open vSwitch 2.13 and later), as the switch gives it back."""
    most = _PROPERTY.pack(_MAX_LEN, 8) + max_len.to_bytes(2, "big") + bytes(2)
    length = _HEADER.size + _CONTROLLER2_FIXED.size + len(most) + 8
    head = _HEADER.pack(_ACTION_EXPERIMENTER, length, _NICIRA, _CONTROLLER2) + _CONTROLLER2_FIXED.pack()
    return [head + most + _PROPERTY.pack(_METER_ID, 8), meter]


def _action(subtype: int, body: bytes) -> bytes:
    length = (_HEADER.size + len(body) + 7) // 8 * 8
    return (_HEADER.pack(_ACTION_EXPERIMENTER, length, _NICIRA, subtype) + body).ljust(length, b"\0")
