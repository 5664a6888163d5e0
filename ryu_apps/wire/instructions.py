"""Actions and instructions of OpenFlow 1.3 (specification 7.2.4, 7.2.5), in the order Open vSwitch gives them back."""

from __future__ import annotations

import struct
from functools import cache

from policies.entries import Copy, Output, Resubmit, SetField, Step, TableEntry, ToController, Track
from ryu_apps.wire.nicira import encode_copy, encode_resubmit, encode_track
from ryu_apps.wire.oxm import OxmField, encode_value, lookup

_OUTPUT = struct.Struct("!HHIH6x")
_ACTION = struct.Struct("!HH")
_APPLY = struct.Struct("!HH4x")
_GOTO = struct.Struct("!HHB3x")
_METER = struct.Struct("!HHI")

_ACTION_OUTPUT = 0
_ACTION_SET_FIELD = 25
_INSTRUCTION_GOTO = 1
_INSTRUCTION_APPLY = 4
_INSTRUCTION_METER = 6
_GOTOS = tuple(_GOTO.pack(_INSTRUCTION_GOTO, _GOTO.size, table) for table in range(256))
_PORT_CONTROLLER = 0xFFFFFFFD
_NO_LIMIT = 0xFFE5
"""OFPCML_MAX: what Ryu writes into an output that is not to the controller, where it means nothing."""


def encode_step(step: Step) -> bytes:
    """One action.

    Raises:
        PolicyError: an unknown field or a value that does not fit.
    """
    match step:
        case SetField():
            head, oxm, padding = _set_field(step.name)
            return head + encode_value(oxm, step.value) + padding
        case Output():
            return _OUTPUT.pack(_ACTION_OUTPUT, _OUTPUT.size, step.port, _NO_LIMIT)
        case ToController():
            return _OUTPUT.pack(_ACTION_OUTPUT, _OUTPUT.size, _PORT_CONTROLLER, step.max_len)
        case Copy():
            return encode_copy(step)
        case Track():
            return encode_track(step)
        case Resubmit():
            return encode_resubmit(step)


def encode_instructions(entry: TableEntry) -> bytes:
    """meter, apply-actions and goto-table of an entry; nothing at all for a drop.

    Raises:
        PolicyError: an action has no OpenFlow form.
    """
    instructions = b"" if entry.meter is None else _METER.pack(_INSTRUCTION_METER, _METER.size, entry.meter)
    if entry.steps:
        actions = b"".join(map(encode_step, entry.steps))
        instructions += _APPLY.pack(_INSTRUCTION_APPLY, _APPLY.size + len(actions)) + actions
    return instructions if entry.goto is None else instructions + _GOTOS[entry.goto]


@cache
def _set_field(name: str) -> tuple[bytes, OxmField, bytes]:
    """What stands before the value that a field is set to, the field, what stands behind."""
    oxm = lookup(name)
    size = _ACTION.size + len(oxm.exact_header) + oxm.size
    padding = bytes(-size % 8)
    return _ACTION.pack(_ACTION_SET_FIELD, size + len(padding)) + oxm.exact_header, oxm, padding
