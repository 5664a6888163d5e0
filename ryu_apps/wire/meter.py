"""The meter of what a switch copies to its controller (OpenFlow 1.3 specification 7.3.4.4, `ofp_meter_mod`)."""

from __future__ import annotations

import struct

from ryu_apps.wire.flowmod import message

TYPE_METER_MOD = 29
CONTROLLER_METER = 0xFFFFFFFE
"""OFPM_CONTROLLER: whatever goes to the controller passes it, without any entry naming it. (Its neighbour 0xFFFFFFFD
limits the slow path, and would drop traffic.)"""

_ADD, _DELETE = 0, 2
_PKTPS, _BURST = 2, 4
_DROP = 1
_METER_MOD = struct.Struct("!HHI")
"""command, flags, meter"""
_BAND = struct.Struct("!HHII4x")
"""type, length, rate, burst"""


def add(packets_per_second: int, burst: int, xid: int) -> bytes:
    """METER_MOD ADD of the controller meter; what is over it is not copied, and goes on all the same.

    Args:
        burst: packets that may come at once.
    """
    band = _BAND.pack(_DROP, _BAND.size, packets_per_second, burst)
    return message(TYPE_METER_MOD, xid, _METER_MOD.pack(_ADD, _PKTPS | _BURST, CONTROLLER_METER) + band)


def delete(xid: int) -> bytes:
    """METER_MOD DELETE of the controller meter, no error when there is none."""
    return message(TYPE_METER_MOD, xid, _METER_MOD.pack(_DELETE, 0, CONTROLLER_METER))
