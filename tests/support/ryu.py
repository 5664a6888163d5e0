"""Ryu's own OpenFlow 1.3 encoder, as the reference that our bytes must equal."""

from __future__ import annotations

import struct
from typing import Any

from ryu.ofproto import nicira_ext, ofproto_v1_3, ofproto_v1_3_parser
from ryu.ofproto.ofproto_protocol import ProtocolDesc

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
from ryu_apps.wire.oxm import FIELDS

OFPROTO = ofproto_v1_3
PARSER = ofproto_v1_3_parser
DATAPATH = ProtocolDesc(version=ofproto_v1_3.OFP_VERSION)

_SPELLING = {"nd_target": "ipv6_nd_target", "nd_sll": "ipv6_nd_sll", "nd_tll": "ipv6_nd_tll"}
"""Ryu's `nd_target` is the Nicira field, which Open vSwitch refuses ahead of `eth_type`, where Ryu sorts it."""


def ryu_name(name: str) -> str:
    """Ryu's name of a field."""
    return _SPELLING.get(name, name)


def ryu_value(name: str, value: int) -> Any:
    """The value as Ryu's user would write it."""
    descriptor = OFPROTO.oxm_get_field_info_by_name(ryu_name(name))[1]
    return descriptor.to_user(value.to_bytes(FIELDS[name].size, "big"))


def ryu_match(match: tuple[Field, ...]) -> Any:
    """An OFPMatch."""
    arguments: dict[str, Any] = {}
    for field in match:
        value = ryu_value(field.name, field.value)
        oxm = FIELDS[field.name]
        mask = oxm.full if field.mask is None else field.mask
        if mask == oxm.full and not oxm.always_masked:
            arguments[ryu_name(field.name)] = value
        elif mask:
            arguments[ryu_name(field.name)] = (value, ryu_value(field.name, mask))
    return PARSER.OFPMatch(**arguments)


def _copied(name: str) -> str:
    """Ports are copied under their names of OpenFlow 1.0, if they had any: so Open vSwitch gives them back."""
    return f"{name}_nxm" if name in ("tcp_src", "tcp_dst", "udp_src", "udp_dst") else ryu_name(name)


def ryu_action(step: Step) -> Any:
    """An OFPAction."""
    match step:
        case Output(port):
            return PARSER.OFPActionOutput(port)
        case ToController(max_len, meter) if meter is not None:
            # NXAST_CONTROLLER2 with properties max_len (0) and meter_id (5), of which Ryu knows the first alone.
            properties = struct.pack("!HHHxx", 0, 8, max_len) + struct.pack("!HHI", 5, 8, meter)
            data = struct.pack("!H6x", 37) + properties
            return PARSER.OFPActionExperimenterUnknown(0x2320, data)
        case ToController(max_len):
            return PARSER.OFPActionOutput(OFPROTO.OFPP_CONTROLLER, max_len)
        case SetField(name, value):
            return PARSER.OFPActionSetField(**{ryu_name(name): ryu_value(name, value)})
        case Copy(source, destination):
            return PARSER.NXActionRegMove(_copied(source), _copied(destination), FIELDS[source].bits)
        case Track(zone, commit, goto, mark):
            bits = nicira_ext.ofs_nbits(0, 15)
            moves = [] if mark is None else [PARSER.NXActionRegMove(mark, "ct_mark", 32)]
            return PARSER.NXActionCT(int(commit), zone, bits, 0xFF if goto is None else goto, 0, moves)
        case Resubmit(table):
            return PARSER.NXActionResubmitTable(table_id=table)
        case Sample(domain, point):
            return PARSER.NXActionSample(0xFFFF, COLLECTOR_SET, domain, point)


def ryu_instructions(entry: TableEntry) -> list[Any]:
    """The instructions of an entry."""
    meter = [] if entry.meter is None else [PARSER.OFPInstructionMeter(entry.meter)]
    apply = PARSER.OFPInstructionActions(OFPROTO.OFPIT_APPLY_ACTIONS, [ryu_action(step) for step in entry.steps])
    goto = [] if entry.goto is None else [PARSER.OFPInstructionGotoTable(entry.goto)]
    return meter + ([apply] if entry.steps else []) + goto


def ryu_flow_mod(entry: TableEntry, cookie: int) -> Any:
    """An OFPFlowMod ADD."""
    return PARSER.OFPFlowMod(
        DATAPATH,
        cookie=cookie,
        table_id=entry.table,
        command=OFPROTO.OFPFC_ADD,
        priority=entry.priority,
        buffer_id=OFPROTO.OFP_NO_BUFFER,
        out_port=OFPROTO.OFPP_ANY,
        out_group=OFPROTO.OFPG_ANY,
        flags=OFPROTO.OFPFF_RESET_COUNTS,
        match=ryu_match(entry.match),
        instructions=ryu_instructions(entry),
    )


def wire(message: Any, xid: int) -> bytes:
    """A Ryu message as bytes, with a transaction id."""
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


def part(struct: Any) -> bytes:
    """A match, action or instruction as bytes."""
    buffer = bytearray()
    struct.serialize(buffer, 0)
    return bytes(buffer)
