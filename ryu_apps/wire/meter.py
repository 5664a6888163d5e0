"""Meters (OpenFlow 1.3 specification 7.3.4.4 and 7.3.5.9): packets a second with a burst, dropped beyond.

The rate decides the burst, so that one number says all about a meter of ours.
"""

from __future__ import annotations

import struct

from policies.codec import FIRST_LIMIT
from runtime.errors import TransientError
from ryu_apps.wire import multipart
from ryu_apps.wire.flowmod import TYPE_MULTIPART_REQUEST, message

TYPE_METER_MOD = 29
FOREIGN = 0
"""Packets per second of a meter that is not of our kind."""

_ALL_METERS = 0xFFFFFFFF
_ADD, _MODIFY, _DELETE = 0, 1, 2
_PKTPS_BURST = 6
"""OFPMF_PKTPS | OFPMF_BURST; Open vSwitch may also say that it counts (OFPMF_STATS)."""
_STATS = 8
_DROP = 1
_METER_MOD = struct.Struct("!HHI")
"""command, flags, meter"""
_BAND = struct.Struct("!HHII4x")
"""type, length, rate, burst"""
_REQUEST = struct.Struct("!I4x")
_CONFIG = struct.Struct("!HHI")
"""length, flags, meter; bands follow"""


def burst(meter: int, packets_per_second: int) -> int:
    """Packets that may come at once: a second's, but a tenth of limits and of copies, which would hold up control."""
    return max(1, packets_per_second // 10) if meter >= FIRST_LIMIT else packets_per_second


def add(meter: int, packets_per_second: int, xid: int) -> bytes:
    """METER_MOD ADD; refused when the number is taken."""
    return _set(_ADD, meter, packets_per_second, xid)


def modify(meter: int, packets_per_second: int, xid: int) -> bytes:
    """METER_MOD MODIFY; refused when there is none."""
    return _set(_MODIFY, meter, packets_per_second, xid)


def delete(meter: int, xid: int) -> bytes:
    """METER_MOD DELETE, and of every entry that names the meter; no error when there is none."""
    return message(TYPE_METER_MOD, xid, _METER_MOD.pack(_DELETE, 0, meter))


def config_request(xid: int) -> bytes:
    """Multipart request of the configuration of all meters."""
    return message(TYPE_MULTIPART_REQUEST, xid, multipart.head(multipart.METER_CONFIG) + _REQUEST.pack(_ALL_METERS))


def decode_configs(raw: bytes) -> dict[int, int]:
    """Packets per second by meter, out of a body of meter configurations; `FOREIGN` for what `add` did not make.

    Raises:
        TransientError: the bytes are not meter configurations.
    """
    meters: dict[int, int] = {}
    start = 0
    while start < len(raw):
        length, flags, meter = _CONFIG.unpack_from(raw, start) if start + _CONFIG.size <= len(raw) else (0, 0, 0)
        if length < _CONFIG.size or start + length > len(raw):
            raise TransientError(f"no meter at byte {start} of {len(raw)}: length {length}")
        meters[meter] = _rate(meter, flags, raw[start + _CONFIG.size : start + length])
        start += length
    return meters


def _set(command: int, meter: int, packets_per_second: int, xid: int) -> bytes:
    band = _BAND.pack(_DROP, _BAND.size, packets_per_second, burst(meter, packets_per_second))
    return message(TYPE_METER_MOD, xid, _METER_MOD.pack(command, _PKTPS_BURST, meter) + band)


def _rate(meter: int, flags: int, bands: bytes) -> int:
    if flags & ~_STATS != _PKTPS_BURST or len(bands) != _BAND.size:
        return FOREIGN
    kind, _, rate, at_once = _BAND.unpack(bands)
    return rate if kind == _DROP and at_once == burst(meter, rate) else FOREIGN
