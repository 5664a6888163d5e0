"""Match fields: equal to Ryu's, refused when impossible, and comparable whatever order a switch gives them in."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.entries import fields, matches
from support.ryu import part, ryu_action, ryu_match

from policies.entries import Field, SetField, TableEntry
from runtime.errors import PolicyError, TransientError
from ryu_apps.wire.content import installed
from ryu_apps.wire.layouts import laid_out
from ryu_apps.wire.oxm import FIELDS, canonical, pack_match, split, unpack_match

MASKABLE = [name for name, oxm in FIELDS.items() if oxm.maskable]


def encode_match(match: tuple[Field, ...]) -> bytes:
    """An `ofp_match` as it stands in a message."""
    layout, values = laid_out(TableEntry(0, 0, match))
    return layout.match(values)


def canonical_match(match: tuple[Field, ...]) -> bytes:
    """The fields as the switch gives them back."""
    return installed(TableEntry(0, 0, match)).match


@pytest.mark.parametrize("name", FIELDS)
@settings(max_examples=10)
@given(data=st.data())
def test_exact_field_equals_ryu(name: str, data: st.DataObject) -> None:
    """Every field, unmasked, is the same bytes as Ryu's."""
    match = (data.draw(fields(name, masked=False)),)
    assert encode_match(match) == part(ryu_match(match))


@pytest.mark.parametrize("name", MASKABLE)
@settings(max_examples=10)
@given(data=st.data())
def test_masked_field_equals_ryu(name: str, data: st.DataObject) -> None:
    """Every maskable field, masked, is the same bytes as Ryu's."""
    match = (data.draw(fields(name, masked=True)),)
    assert encode_match(match) == part(ryu_match(match))


@pytest.mark.parametrize("name", FIELDS)
@settings(max_examples=10)
@given(data=st.data())
def test_set_field_equals_ryu(name: str, data: st.DataObject) -> None:
    """Setting any field is the same bytes as Ryu's action."""
    step = SetField(name, data.draw(st.integers(0, FIELDS[name].full)))
    actions = installed(TableEntry(0, 0, (), (step,))).instructions[8:]
    assert actions == part(ryu_action(step))


@given(matches())
def test_whole_match_equals_ryu(match: tuple[Field, ...]) -> None:
    """Fields together come in the order Ryu writes them, padding included."""
    assert encode_match(match) == part(ryu_match(match))


def test_full_mask_is_exact_and_empty_mask_is_absent() -> None:
    """The two masks that a switch normalises are normalised before they leave."""
    exact = encode_match((Field("eth_type", 0x800), Field("ipv4_src", 0x0A000001)))
    assert encode_match((Field("eth_type", 0x800), Field("ipv4_src", 0x0A000001, 0xFFFFFFFF))) == exact
    assert encode_match((Field("eth_type", 0x800), Field("ipv4_src", 0x0A000001, 0))) == encode_match(
        (Field("eth_type", 0x800),)
    )


def test_bits_outside_the_mask_are_cleared() -> None:
    """10.1.2.3/24 is 10.1.2.0/24: equal meanings are equal bytes."""
    assert encode_match((Field("ipv4_src", 0x0A010203, 0xFFFFFF00),)) == encode_match(
        (Field("ipv4_src", 0x0A010200, 0xFFFFFF00),)
    )


@pytest.mark.parametrize(
    ("match", "key"),
    [
        ((Field("ipv4_source", 1),), "ipv4_source"),
        ((Field("eth_type", 0x10000),), "eth_type"),
        ((Field("tcp_dst", -1),), "tcp_dst"),
        ((Field("ipv4_src", 0, 1 << 32),), "ipv4_src"),
        ((Field("ip_proto", 6, 0xF0),), "ip_proto"),
        ((Field("reg0", 1), Field("reg0", 2)), "reg0"),
    ],
)
def test_impossible_match_is_refused(match: tuple[Field, ...], key: str) -> None:
    """A match without an OpenFlow form raises an error that names its field."""
    with pytest.raises(PolicyError) as caught:
        encode_match(match)
    assert caught.value.key == key


@given(matches(), st.randoms(use_true_random=False))
def test_canonical_forgets_the_order(match: tuple[Field, ...], shuffler: random.Random) -> None:
    """Whatever order a switch gives fields in, the canonical match is the same."""
    oxms = canonical_match(match)
    shuffled: list[bytes] = list(split(oxms))
    shuffler.shuffle(shuffled)
    assert canonical(b"".join(shuffled)) == oxms
    assert canonical(oxms) == oxms


@given(matches())
def test_packed_match_is_unpacked(match: tuple[Field, ...]) -> None:
    """Packing and unpacking lose nothing, wherever the match lies."""
    oxms = canonical_match(match)
    raw = b"before" + pack_match(oxms) + b"after"
    assert unpack_match(raw, 6, len(raw)) == (oxms, len(raw) - 5)


@given(st.binary(max_size=64))
def test_rubbish_is_a_transient_error(raw: bytes) -> None:
    """Any bytes are either a match or a TransientError."""
    try:
        oxms, after = unpack_match(raw, 0, len(raw))
        fields_found = list(split(oxms))
    except TransientError:
        return
    assert after <= len(raw)
    assert b"".join(fields_found) == oxms
