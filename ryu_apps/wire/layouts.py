"""Entries as bytes, fast: they differ much in values, and little in the fields they match and the steps they take."""

from __future__ import annotations

from functools import lru_cache

from policies.entries import Output, SetField, TableEntry, ToController
from runtime.errors import PolicyError
from ryu_apps.wire import instructions
from ryu_apps.wire.instructions import Form
from ryu_apps.wire.oxm import FIELDS, frame, match_parts
from ryu_apps.wire.packers import packer, size

_RANKS = {name: rank for rank, name in enumerate(FIELDS)}
_LAYOUTS = 1 << 14
"""So many are remembered: more than a network has, but not without end."""


class Layout:
    """All bytes but the values of entries that have certain fields, masks and steps.

    The values are those of the fields, those of the steps, and the meter, if there is one.

    Args:
        names: of the fields.
        masks: as many.
        forms: the steps without their values.
        goto: as in an entry.
        metered: is there a meter?

    Raises:
        PolicyError: an unknown field, a field twice, a mask that does not fit or where there can be none, an action
            without OpenFlow form.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        masks: tuple[int | None, ...],
        forms: tuple[Form, ...],
        goto: int | None,
        metered: bool,
    ) -> None:
        for name in names:
            if names.count(name) > 1:
                raise PolicyError("matched twice", key=name)
        fields = {name: match_parts(name, masks[position], position) for position, name in enumerate(names)}
        ryus = [part for name in sorted(fields, key=lambda name: FIELDS[name].order) for part in fields[name]]
        own = [part for name in sorted(fields, key=_RANKS.__getitem__) for part in fields[name]]
        rest = instructions.parts(forms, goto, metered, len(names))
        self.canonical_size = size(own)
        """Bytes of the match's fields."""
        head, tail = frame(self.canonical_size)
        self.match = packer([head, *ryus, tail])
        """Packs an `ofp_match` for a message, its fields in Ryu's order."""
        self.body = packer([head, *ryus, tail, *rest])
        """Packs the same, and the instructions behind it."""
        self.content = packer([*own, *rest])
        """Packs the fields alone in the order of `oxm.canonical`, and the instructions behind them."""


@lru_cache(_LAYOUTS)
def _layout(
    names: tuple[str, ...],
    masks: tuple[int | None, ...],
    forms: tuple[Form, ...],
    goto: int | None,
    metered: bool,
) -> Layout:
    return Layout(names, masks, forms, goto, metered)


def laid_out(entry: TableEntry) -> tuple[Layout, list[int]]:
    """An entry's layout, and the values for it.

    Raises:
        PolicyError: as of `Layout`.
    """
    names: tuple[str, ...] = ()
    masks: tuple[int | None, ...] = ()
    values: list[int] = []
    if entry.match:
        names, matched, masks = zip(*entry.match)  # noqa: B905  a field has three parts; the check takes as long again
        values += matched
    forms: list[Form] = []
    for step in entry.steps:
        if isinstance(step, SetField):
            forms.append(step.name)
            values.append(step.value)
        elif isinstance(step, Output):
            forms.append(Output)
            values.append(step.port)
        elif isinstance(step, ToController) and step.meter is not None:
            forms.append(ToController(step.max_len, 0))
            values.append(step.meter)
        else:
            forms.append(step)
    if entry.meter is not None:
        values.append(entry.meter)
    return _layout(names, masks, tuple(forms), entry.goto, entry.meter is not None), values
