"""Actions and instructions of OpenFlow 1.3 (specification 7.2.4, 7.2.5), in the order Open vSwitch gives them back."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from policies.entries import Copy, Output, Resubmit, Sample, ToController, Track
from ryu_apps.wire.nicira import encode_copy, encode_resubmit, encode_sample, encode_track, limited_copy
from ryu_apps.wire.oxm import column, lookup
from ryu_apps.wire.packers import Column, Part, size

_OUTPUT = struct.Struct("!HH")
"""type, length; port, limit and padding follow"""
_LIMIT = struct.Struct("!H6x")
_ACTION = struct.Struct("!HH")
_APPLY = struct.Struct("!HH4x")
_GOTO = struct.Struct("!HHB3x")
_METER = struct.Struct("!HH")
"""type, length; the meter follows"""

_ACTION_OUTPUT = 0
_OUTPUT_SIZE = 16
_ACTION_SET_FIELD = 25
_INSTRUCTION_GOTO = 1
_INSTRUCTION_APPLY = 4
_INSTRUCTION_METER = 6
_METER_SIZE = 8
_PORT_CONTROLLER = b"\xff\xff\xff\xfd"
_NO_LIMIT = 0xFFE5
"""OFPCML_MAX: what Ryu writes into an output that is not to the controller, where it means nothing."""

Form = str | type[Output] | ToController | Copy | Track | Resubmit | Sample
"""A step without its value: the name of the field that is set, an output, or another step, which has none, except for
the meter of a copy to the controller, whose number here says only that there is one."""


def parts(forms: Sequence[Form], goto: int | None, metered: bool, position: int) -> list[Part]:
    """meter, apply-actions and goto-table of an entry; nothing at all for a drop.

    Args:
        position: where the values of the steps begin among all values; the meter's stands behind them.

    Raises:
        PolicyError: an action has no OpenFlow form.
    """
    actions: list[Part] = []
    for form in forms:
        actions += _action(form, position)
        position += values_of(form)
    written: list[Part] = []
    if metered:
        written += [_METER.pack(_INSTRUCTION_METER, _METER_SIZE), Column("meter", position, "I")]
    if actions:
        written += [_APPLY.pack(_INSTRUCTION_APPLY, _APPLY.size + size(actions)), *actions]
    if goto is not None:
        written.append(_GOTO.pack(_INSTRUCTION_GOTO, _GOTO.size, goto))
    return written


def _action(form: Form, position: int) -> list[Part]:
    match form:
        case str():
            return _set_field(form, position)
        case ToController() if form.meter is not None:
            return limited_copy(form.max_len, Column("meter", position, "I"))
        case ToController():
            return [_OUTPUT.pack(_ACTION_OUTPUT, _OUTPUT_SIZE) + _PORT_CONTROLLER + _LIMIT.pack(form.max_len)]
        case Copy():
            return [encode_copy(form)]
        case Track():
            return [encode_track(form)]
        case Resubmit():
            return [encode_resubmit(form)]
        case Sample():
            return [encode_sample(form)]
        case _:
            port = Column("output", position, "I")
            return [_OUTPUT.pack(_ACTION_OUTPUT, _OUTPUT_SIZE), port, _LIMIT.pack(_NO_LIMIT)]


def values_of(form: Form) -> int:
    """How many values a step without its values needs."""
    return int(isinstance(form, str) or form is Output or (isinstance(form, ToController) and form.meter is not None))


def _set_field(name: str, position: int) -> list[Part]:
    oxm = lookup(name)
    length = _ACTION.size + len(oxm.exact_header) + oxm.size
    padding = -length % 8
    head = _ACTION.pack(_ACTION_SET_FIELD, length + padding) + oxm.exact_header
    return [head, column(oxm, None, position), bytes(padding)]
