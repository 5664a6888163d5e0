"""Ryu's own way to a flow entry: `OFPMatch`, actions and `OFPFlowMod` objects, serialized one by one.

Only the messages are Ryu's here, not its hub: what is measured is its fastest possible case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ryu.ofproto import ofproto_v1_3, ofproto_v1_3_parser
from ryu.ofproto.ofproto_protocol import ProtocolDesc

from policies.entries import Field, Output, SetField, Step, TableEntry, ToController
from ryu_apps.wire.oxm import FIELDS

_PARSER, _OFPROTO = ofproto_v1_3_parser, ofproto_v1_3
_DATAPATH = ProtocolDesc(version=ofproto_v1_3.OFP_VERSION)
_SPELLING = {"nd_target": "ipv6_nd_target", "nd_sll": "ipv6_nd_sll", "nd_tll": "ipv6_nd_tll"}


@dataclass(frozen=True)
class RyuEntry:
    """What somebody who programs with Ryu would have at hand for an entry: addresses as text, fields as keywords."""

    cookie: int
    table: int
    priority: int
    match: dict[str, Any]
    steps: tuple[Step, ...]
    goto: int | None
    meter: int | None


def prepare(entries: Sequence[TableEntry], cookies: Sequence[int]) -> list[RyuEntry]:
    """The entries in Ryu's terms; not part of what is timed."""
    return [
        RyuEntry(cookie, e.table, e.priority, _keywords(e.match), e.steps, e.goto, e.meter)
        for e, cookie in zip(entries, cookies, strict=True)
    ]


def encode(entries: Sequence[RyuEntry]) -> bytes:
    """A flow-mod ADD for each."""
    return b"".join(_flow_mod(number, entry) for number, entry in enumerate(entries, 1))


def _flow_mod(xid: int, entry: RyuEntry) -> bytes:
    instructions = [] if entry.meter is None else [_PARSER.OFPInstructionMeter(entry.meter)]
    if entry.steps:
        actions = [_action(step) for step in entry.steps]
        instructions.append(_PARSER.OFPInstructionActions(_OFPROTO.OFPIT_APPLY_ACTIONS, actions))
    if entry.goto is not None:
        instructions.append(_PARSER.OFPInstructionGotoTable(entry.goto))
    message = _PARSER.OFPFlowMod(
        _DATAPATH,
        cookie=entry.cookie,
        table_id=entry.table,
        priority=entry.priority,
        match=_PARSER.OFPMatch(**entry.match),
        instructions=instructions,
    )
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


def _action(step: Step) -> Any:
    match step:
        case Output(port):
            return _PARSER.OFPActionOutput(port)
        case ToController(max_len):
            return _PARSER.OFPActionOutput(_OFPROTO.OFPP_CONTROLLER, max_len)
        case SetField(name, value):
            return _PARSER.OFPActionSetField(**{name: _user(name, value)})
    raise ValueError(f"no entry of this benchmark has {step}")


def _keywords(match: Sequence[Field]) -> dict[str, Any]:
    def value(field: Field) -> Any:
        user = _user(field.name, field.value)
        return user if field.mask is None else (user, _user(field.name, field.mask))

    return {_SPELLING.get(field.name, field.name): value(field) for field in match}


def _user(name: str, value: int) -> Any:
    descriptor = _OFPROTO.oxm_get_field_info_by_name(_SPELLING.get(name, name))[1]
    return descriptor.to_user(value.to_bytes(FIELDS[name].size, "big"))
