"""DNS messages: read whole, or refused in one way."""

from __future__ import annotations

from ipaddress import ip_address

import dns.flags
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.packets import answer, question

from analyzer.dns.message import UnreadableError, read

LOOP = bytes.fromhex("0007 0100 0001 0000 0000 0000 c00c 0001 0001".replace(" ", ""))
"""A question whose name is a pointer to itself."""


def test_a_question_is_read() -> None:
    """Its name in lower case, its type, its size."""
    wire = question("WWW.Example.org", 99, "AAAA").to_wire()
    read_ = read(wire)
    assert (read_.id, read_.answer, read_.name, read_.qtype, read_.size) == (
        99,
        False,
        "www.example.org",
        28,
        len(wire),
    )


def test_what_a_name_leads_to_is_read_over_its_aliases() -> None:
    """Only addresses at the end of the aliases of the name that was asked for, for the shortest of their times."""
    asked = question("www.example.org")
    records = ("www.example.org. 300 IN CNAME a.example.net.", "a.example.net. 60 IN A 192.0.2.1")
    read_ = read(answer(asked, *records, "other.example.com. 60 IN A 192.0.2.9"))
    assert (read_.answer, read_.addresses, read_.ttl) == (True, (ip_address("192.0.2.1"),), 60)


def test_aliases_in_circles_lead_nowhere() -> None:
    """They are an answer without addresses."""
    records = ("a.example.org. 9 IN CNAME b.example.org.", "b.example.org. 9 IN CNAME a.example.org.")
    assert read(answer(question("a.example.org"), *records)).addresses == ()


def test_no_such_name_is_an_answer() -> None:
    """Of code 3."""
    assert read(answer(question("nx.example.org"), rcode=3)).rcode == 3


def test_an_answer_that_was_too_long_names_nothing() -> None:
    """It says so itself (TC), and may be cut anywhere."""
    wire = bytearray(answer(question("www.example.org"), "www.example.org. 60 IN A 192.0.2.1"))
    wire[2] |= dns.flags.TC >> 8
    assert read(bytes(wire[:-3])).addresses == ()


def test_over_tcp_the_length_comes_first() -> None:
    """What follows the first message is another."""
    wire = question("www.example.org").to_wire()
    assert read(len(wire).to_bytes(2, "big") + wire + b"more", over_tcp=True).name == "www.example.org"


@pytest.mark.parametrize("wire", [b"", LOOP, question("a.example.org").to_wire()[:-3], bytes(12)])
def test_what_is_none_is_refused(wire: bytes) -> None:
    """Nothing, circles, cut off, no question."""
    with pytest.raises(UnreadableError):
        read(wire)


@given(st.binary(max_size=300), st.booleans())
@example(LOOP, False)
def test_any_bytes_are_read_or_refused(wire: bytes, over_tcp: bool) -> None:
    """Whatever a VM sends."""
    try:
        assert read(wire, over_tcp=over_tcp).size <= len(wire)
    except UnreadableError as error:
        assert str(error)


@given(st.data())
def test_any_harm_to_a_message_is_read_or_refused(data: st.DataObject) -> None:
    """Bytes changed and cut off anywhere in an honest answer."""
    records = ("www.example.org. 300 IN CNAME a.example.net.", "a.example.net. 60 IN A 192.0.2.1")
    wire = bytearray(answer(question("www.example.org"), *records))
    for at in data.draw(st.lists(st.integers(0, len(wire) - 1), max_size=4)):
        wire[at] = data.draw(st.integers(0, 255))
    try:
        read(bytes(wire[: data.draw(st.integers(0, len(wire)))]))
    except UnreadableError as error:
        assert str(error)
