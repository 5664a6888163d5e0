"""Taking a port down and up (OpenFlow 1.3 specification 7.3.4.3, `ofp_port_mod`).

Open vSwitch takes the network device itself down, so nothing comes in or goes out from then on, whatever the data path
has cached. (`OFPPC_NO_RECV` and `OFPPC_NO_FWD` only change what it decides, and wait for the cache.)
"""

from __future__ import annotations

import struct

from ryu_apps.wire.flowmod import message

TYPE_PORT_MOD = 16
DOWN = 1
"""OFPPC_PORT_DOWN, in a port's configuration."""
_PORT_MOD = struct.Struct("!I4x6s2xIII4x")
"""port, hardware address, configuration, mask, advertised features"""


def port_mod(port: int, mac: bytes, *, down: bool, xid: int) -> bytes:
    """PORT_MOD of the one flag.

    Args:
        mac: the port's own address, 6 bytes, as its description says; the switch refuses another.
    """
    return message(TYPE_PORT_MOD, xid, _PORT_MOD.pack(port, mac, DOWN if down else 0, DOWN, 0))
