"""Port-mods, byte by byte what Ryu would have sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.ryu import DATAPATH, OFPROTO, PARSER, wire

from ryu_apps.wire.portmod import port_mod

numbers = st.integers(0, 0xFFFFFFFF)


@given(numbers, st.binary(min_size=6, max_size=6), st.booleans(), numbers)
def test_port_mod_equals_ryu(port: int, mac: bytes, down: bool, xid: int) -> None:
    """One flag of the configuration, the others left as they are."""
    config = OFPROTO.OFPPC_PORT_DOWN if down else 0
    expected = PARSER.OFPPortMod(DATAPATH, port, mac.hex(":"), config, OFPROTO.OFPPC_PORT_DOWN, 0)
    assert port_mod(port, mac, down=down, xid=xid) == wire(expected, xid)
