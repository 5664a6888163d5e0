"""Entries of many VMs, made fast: VMs with addresses of the same families have the same entries but for some values.

So the entries of a made-up VM are a form, in which the values of each other one are filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from operator import itemgetter

from policies.entries import Field, Output, SetField, Step, TableEntry, ToController
from topology.addresses import addresses_of, link_local, mac_number
from topology.model import Address, Vm

_MAC = "02:5e:ed:5e:ed:01"
_NUMBERS = 0x5EED0000
_ADDRESSES = {4: 0x0A5EED00, 6: 0xFD5EED << 104}
"""What the made-up VM is called by: numbers from these on, which stand nowhere else in entries."""

_Shape = tuple[int | None, ...]
"""Versions of a VM's addresses; None stands for its link-local one."""
_Values = Sequence[int]
"""What a VM is called by, each at its place."""


@dataclass(frozen=True)
class _Blank:
    """An entry to be picked from the fields and steps of a VM."""

    table: int
    priority: int
    match: Callable[[Sequence[Field]], tuple[Field, ...]]
    steps: int
    """Which of the form's."""
    goto: int | None
    meter: int | None
    """Place of its number among the values."""


@dataclass(frozen=True)
class _Form:
    """The entries of VMs of one shape."""

    constant: tuple[Field, ...]
    variable: tuple[tuple[str, int], ...]
    """Names of fields, and the places of their values."""
    steps: tuple[Callable[[_Values], tuple[Step, ...]], ...]
    blanks: tuple[_Blank, ...]

    def fill(self, values: _Values) -> list[TableEntry]:
        """The entries of a VM with these values."""
        fields = (*self.constant, *(Field(name, values[place]) for name, place in self.variable))
        steps = [make(values) for make in self.steps]
        return [
            TableEntry(
                blank.table,
                blank.priority,
                blank.match(fields),
                steps[blank.steps],
                blank.goto,
                meter=None if blank.meter is None else values[blank.meter],
            )
            for blank in self.blanks
        ]


class Stamp:
    """Does what `make` does for a VM and numbers of its place. Its entries name no rule and have no other numbers.

    The numbers must not be 0: what is 0 may be left out of entries.
    """

    def __init__(self, make: Callable[..., Iterable[TableEntry]]) -> None:
        self._make = make
        self._forms: dict[_Shape, _Form] = {}

    def entries(self, vm: Vm, *numbers: int) -> list[TableEntry]:
        """The entries of a VM."""
        own = link_local(vm.mac)
        shape = tuple(None if address == own else address.version for address in vm.addresses)
        form = self._forms.get(shape)
        if form is None:
            form = self._forms[shape] = self._form(vm, shape, len(numbers))
        return form.fill(_values(vm, numbers))

    def _form(self, vm: Vm, shape: _Shape, count: int) -> _Form:
        addresses = tuple(_made_up(number, version) for number, version in enumerate(shape))
        model = replace(vm, number=_NUMBERS + count, mac=_MAC, addresses=addresses)
        numbers = range(_NUMBERS, _NUMBERS + count)
        places = {value: place for place, value in enumerate(_values(model, numbers))}
        entries = list(self._make(model, *numbers))
        fields = dict.fromkeys(field for entry in entries for field in entry.match)
        constant = tuple(field for field in fields if field.value not in places)
        variable = tuple(field for field in fields if field.value in places)
        order = {field: position for position, field in enumerate((*constant, *variable))}
        steps = list(dict.fromkeys(entry.steps for entry in entries))
        blanks = (
            _Blank(
                entry.table,
                entry.priority,
                _picker([order[field] for field in entry.match]),
                steps.index(entry.steps),
                entry.goto,
                None if entry.meter is None else places[entry.meter],
            )
            for entry in entries
        )
        named = tuple((field.name, places[field.value]) for field in variable)
        return _Form(constant, named, tuple(_stepper(each, places) for each in steps), tuple(blanks))


def _values(vm: Vm, numbers: Sequence[int]) -> _Values:
    return [*numbers, vm.number, mac_number(vm.mac), *map(int, addresses_of(vm))]


def _made_up(number: int, version: int | None) -> Address:
    if version is None:
        return link_local(_MAC)
    return IPv4Address(_ADDRESSES[4] + number) if version == 4 else IPv6Address(_ADDRESSES[6] + number)


def _picker(positions: Sequence[int]) -> Callable[[Sequence[Field]], tuple[Field, ...]]:
    if len(positions) == 1:
        return lambda fields: (fields[positions[0]],)
    return itemgetter(*positions)


def _stepper(steps: tuple[Step, ...], places: dict[int, int]) -> Callable[[_Values], tuple[Step, ...]]:
    """Steps as a function of a VM's values."""
    parts = [_part(step, places) for step in steps]
    if all(make is None for make in parts):
        return lambda _: steps
    return lambda values: tuple(step if make is None else make(values) for step, make in zip(steps, parts, strict=True))


def _part(step: Step, places: dict[int, int]) -> Callable[[_Values], Step] | None:
    """A step as a function of a VM's values; None: it is the same for all."""
    match step:
        case SetField(name, value) if value in places:
            place = places[value]
            return lambda values: SetField(name, values[place])
        case Output(port) if port in places:
            place = places[port]
            return lambda values: Output(values[place])
        case ToController(most, meter) if meter in places:
            place = places[meter]
            return lambda values: ToController(most, values[place])
    return None
