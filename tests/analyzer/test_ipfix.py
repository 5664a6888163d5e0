"""IPFIX as Open vSwitch sends it, and whatever else may come to its port."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.flows import ACK, TCP, address_halves
from analyzer.ipfix import MOST_TEMPLATES, USUAL, Decoder, Fields

TCP_TEMPLATE, UDP_TEMPLATE, ICMP_TEMPLATE = 300, 304, 312
ONE, TWO = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")
VALUES = {
    138: (ACK).to_bytes(4, "big"), 82: b"vm-port", 4: bytes([TCP]), 27: ONE.packed, 28: TWO.packed,
    7: (40_000).to_bytes(2, "big"), 11: (443).to_bytes(2, "big"), 158: (1_500_000).to_bytes(4, "big"),
    159: (250_000).to_bytes(4, "big"), 2: (17).to_bytes(8, "big"), 352: (2600).to_bytes(8, "big"),
}  # fmt: skip


def record(fields: Fields = USUAL[TCP_TEMPLATE], **more: bytes) -> bytes:
    """A record of a layout; `more` are values of elements, as `e82`."""
    values = {**VALUES, **{int(name[1:]): value for name, value in more.items()}}
    parts = []
    for element, length in fields:
        value = values.get(element, b"" if length == 0xFFFF else bytes(length))
        parts.append(bytes([len(value)]) + value if length == 0xFFFF else value)
    return b"".join(parts)


def message(*sets: tuple[int, bytes], sequence: int = 1, domain: int = 3) -> bytes:
    body = b"".join(struct.pack("!HH", kind, 4 + len(content)) + content for kind, content in sets)
    return struct.pack("!HHIII", 10, 16 + len(body), 1_800_000_000, sequence, domain) + body


def template(number: int, fields: Fields) -> bytes:
    return struct.pack("!HH", number, len(fields)) + b"".join(struct.pack("!HH", *field) for field in fields)


def test_a_record_is_read_to_the_last_field() -> None:
    """Times count back from the receipt, since the sender's clock is none of ours."""
    decoder = Decoder()
    decoded = decoder.decode([(5000.0, message((TCP_TEMPLATE, record())))])
    (side,) = decoded.sides
    assert decoded.interfaces.tolist() == [b"vm-port"]
    assert (side["first"], side["last"]) == (4998.5, 4999.75)
    assert ((side["src_hi"], side["src_lo"]), (side["dst_hi"], side["dst_lo"])) == (
        address_halves(str(ONE)), address_halves(str(TWO)),
    )  # fmt: skip
    assert [side[name].item() for name in ("src_port", "dst_port", "proto", "flags", "pkts", "bytes", "vfn")] == [
        40_000, 443, TCP, ACK, 17, 2600, 2,
    ]  # fmt: skip
    assert not side["answers"]
    assert decoder.status() == {"records": 1, "lost": 0, "rubbish": 0, "unread": 0}


@pytest.mark.parametrize(("kind", "answers"), [(128, False), (129, True), (1, True)])
def test_pings_answers_are_known(kind: int, answers: bool) -> None:
    """Nobody opens a flow with an echo reply or an error; flags are TCP's alone."""
    made = record(USUAL[ICMP_TEMPLATE], e4=bytes([58]), e178=bytes([kind]))
    (side,) = Decoder().decode([(1.0, message((ICMP_TEMPLATE, made)))]).sides
    assert (side["answers"], side["flags"], side["src_port"]) == (answers, 0, 0)


def test_many_of_several_layouts_are_read_together() -> None:
    """Names of different lengths, several records a set, several sets a message, padding behind them."""
    short = record(e82=b"a", e2=(1).to_bytes(8, "big"))
    udp = record(USUAL[UDP_TEMPLATE], e4=bytes([17]), e2=(3).to_bytes(8, "big"))
    sent = message((TCP_TEMPLATE, short + record(e2=(2).to_bytes(8, "big")) + bytes(3)), (UDP_TEMPLATE, udp))
    decoded = Decoder().decode([(1.0, sent)] * 50)
    assert len(decoded.sides) == 150
    by_name = {(name, int(side["pkts"])) for name, side in zip(decoded.interfaces.tolist(), decoded.sides, strict=True)}
    assert by_name == {(b"a", 1), (b"vm-port", 2), (b"vm-port", 3)}


def test_an_exporters_own_template_counts() -> None:
    """Also one with vendors' elements, and for its own domain only."""
    own: Fields = ((4, 1), (352, 8), (82, 0xFFFF), (138, 4), (158, 4), (159, 4), (2, 8), (28, 16), (27, 16))
    announced = template(400, own)
    vendors = struct.pack("!HH", 401, 2) + struct.pack("!HHI", 0x8000 | 27, 16, 6876) + struct.pack("!HH", 4, 1)
    decoder = Decoder()
    decoder.decode([(1.0, message((2, announced + vendors)))])
    known = decoder.decode([(1.0, message((400, record(own)))), (1.0, message((400, record(own)), domain=4))])
    assert known.sides["bytes"].tolist() == [2600]
    decoder.decode([(1.0, message((401, bytes(17))))])
    assert decoder.unread == 2
    assert decoder.rubbish == 0


def test_gaps_are_losses_and_restarts_are_none() -> None:
    """By VFN; what tells of the exporter itself counts for nothing."""
    decoder = Decoder()

    def send(sequence: int, domain: int = 3) -> None:
        decoder.decode([(1.0, message((TCP_TEMPLATE, record()), sequence=sequence, domain=domain))])

    for sequence in (2**32 - 2, 2**32 - 1, 0, 1, 5, 6):
        send(sequence)
    assert decoder.lost == {2: 3}
    send(1)
    send(2)
    decoder.decode([(1.0, message((462, bytes(12)), sequence=77, domain=0))])
    assert decoder.lost == {2: 3}


def test_the_templates_kept_are_bounded() -> None:
    """Whoever announces without end takes no memory."""
    decoder = Decoder()
    for number in range(256, 256 + MOST_TEMPLATES + 50):
        decoder.decode([(1.0, message((2, template(number, ((4, 1),)))))])
    assert len(decoder._templates) == MOST_TEMPLATES


@given(st.data())
def test_whatever_comes_is_counted_and_raises_nothing(data: st.DataObject) -> None:
    """Cut, changed and invented datagrams; a whole one behind them is read all the same."""
    whole = message((2, template(400, USUAL[TCP_TEMPLATE])), (TCP_TEMPLATE, record()), (400, record()))
    kind = data.draw(st.sampled_from(("cut", "changed", "invented")))
    if kind == "cut":
        bad = whole[: data.draw(st.integers(0, len(whole) - 1))]
    elif kind == "changed":
        changed = bytearray(whole)
        for _ in range(data.draw(st.integers(1, 8))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        bad = bytes(changed)
    else:
        body = data.draw(st.binary(max_size=200))
        bad = struct.pack("!HHIII", 10, 16 + len(body), 0, 0, data.draw(st.integers(0, 2**32 - 1))) + body
    decoder = Decoder()
    decoded = decoder.decode([(1.0, bad), (1.0, message((TCP_TEMPLATE, record()), domain=9))])
    assert 8 in decoded.sides["vfn"]
    assert np.isfinite(decoded.sides["first"]).all()
    if kind == "cut":
        assert (decoder.rubbish, len(decoded.sides)) == (1, 1)
