"""A VFN's desired entries are a plain mapping in all but cost."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from policies.desired import Desired, Layer
from policies.entries import Field, TableEntry

LAYERS = [
    Layer({cookie: TableEntry(0, 1, (Field("in_port", cookie),)) for cookie in range(first, first + size)})
    for first, size in ((0, 3), (3, 1), (4, 0), (4, 2), (6, 4), (10, 1))
]
"""Disjoint."""
REMADE = [Layer(dict(layer.entries)) for layer in LAYERS]
"""The same entries in other objects, as when a layer is built again without need."""


@st.composite
def states(draw: st.DrawFn) -> Desired:
    """Any layers, each of the one or the other make, in one to three groups."""
    chosen = draw(st.lists(st.sampled_from(range(len(LAYERS))), unique=True))
    layers = [draw(st.sampled_from((LAYERS, REMADE)))[number] for number in chosen]
    cuts = sorted(draw(st.lists(st.integers(0, len(layers)), max_size=2)))
    return Desired([tuple(layers[a:b]) for a, b in zip([0, *cuts], [*cuts, len(layers)], strict=True)])


def plain(desired: Desired) -> dict[int, TableEntry]:
    return {cookie: entry for layer in desired.layers() for cookie, entry in layer.entries.items()}


@given(states())
def test_it_is_the_mapping_of_its_layers(desired) -> None:
    """Length, look-ups, iteration, views and equality are those of a dictionary of all entries."""
    expected = plain(desired)
    assert desired == expected
    assert expected == desired
    assert dict(desired) == expected
    assert dict(desired.items()) == expected
    assert list(desired) == list(desired.keys()) == list(expected)
    assert list(desired.values()) == list(expected.values())
    assert len(desired) == len(expected)
    assert [cookie in desired for cookie in range(12)] == [cookie in expected for cookie in range(12)]
    assert all(desired[cookie] is entry for cookie, entry in expected.items())


@given(states(), states(), st.booleans())
def test_a_difference_is_that_of_the_plain_mappings(after, before, shared) -> None:
    """Whatever layers and groups two states share, the difference is what a comparison entry by entry gives."""
    if shared:
        after = Desired([*before.groups[:1], *(g for g in after.groups if not {*g} & {*before.groups[0]})])
        assume(len(plain(after)) == len(after))
    new, old = plain(after), plain(before)
    expected = (
        {cookie: entry for cookie, entry in new.items() if cookie not in old},
        {cookie: entry for cookie, entry in old.items() if cookie not in new},
    )
    assert after.difference(before) == expected
    assert after.difference(old) == expected
    assert (after == before) == (new == old)


def test_what_is_shared_is_not_looked_at() -> None:
    """A difference takes no entry of a shared layer into its hands."""

    class Untouchable(Layer):
        def __init__(self) -> None:
            super().__init__({99: TableEntry(0, 1, ())})

        @property
        def entries(self):  # type: ignore[override]
            pytest.fail("looked into a shared layer")

        @entries.setter
        def entries(self, value) -> None:
            pass

    shared = Untouchable()
    same_group = (shared, LAYERS[0])
    assert Desired([same_group, (LAYERS[1],)]).difference(Desired([same_group])) == (LAYERS[1].entries, {})
    assert Desired([(shared, LAYERS[1])]).difference(Desired([(shared,)])) == (LAYERS[1].entries, {})


def test_an_unknown_cookie_is_a_key_error() -> None:
    """A look-up of what is not there fails as in any mapping."""
    with pytest.raises(KeyError):
        Desired([(LAYERS[0],)])[77]
