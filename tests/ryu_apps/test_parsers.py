"""What reaches Ryu's parsers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ryu.ofproto import ofproto_v1_3 as ofproto

from ryu_apps.parsers import needed


def message(msg_type: int, body: bytes = b"", version: int = 4) -> bytes:
    return struct.pack("!BBHI", version, msg_type, 8 + len(body), 1) + body


def hello(*lengths: int) -> bytes:
    elements = b"".join(struct.pack("!HH", 1, length).ljust(max(4, length), b"\0") for length in lengths)
    return message(ofproto.OFPT_HELLO, elements)


def multipart(kind: int, body: bytes) -> bytes:
    return message(ofproto.OFPT_MULTIPART_REPLY, struct.pack("!HH4x", kind, 0) + body)


def test_a_hello_of_any_version_is_read() -> None:
    """Versions are negotiated, so a hello may name one that is not ours."""
    assert all(needed(version, ofproto.OFPT_HELLO, message(0, version=version)) for version in (1, 4, 6))


@pytest.mark.parametrize("lengths", [(0,), (3,), (8, 0)])
def test_a_hello_element_that_does_not_end_is_refused(lengths: tuple[int, ...]) -> None:
    """An element shorter than its own header would keep Ryu's parser busy for ever."""
    with pytest.raises(ValueError, match="hello element"):
        needed(4, ofproto.OFPT_HELLO, hello(*lengths))


def test_a_hello_element_beyond_the_message_is_refused() -> None:
    """A length that reaches past the message is not believed."""
    with pytest.raises(ValueError, match="hello element of 99 bytes"):
        needed(4, ofproto.OFPT_HELLO, message(0, struct.pack("!HHI", 1, 99, 0)))


def test_other_versions_end_with_the_hello() -> None:
    """After the hello only OpenFlow 1.3 is spoken."""
    with pytest.raises(ValueError, match="version 1"):
        needed(1, ofproto.OFPT_ECHO_REQUEST, message(ofproto.OFPT_ECHO_REQUEST, version=1))


def test_port_descriptions_must_be_whole() -> None:
    """A port description has 64 bytes."""
    assert needed(4, ofproto.OFPT_MULTIPART_REPLY, multipart(ofproto.OFPMP_PORT_DESC, bytes(128)))
    with pytest.raises(ValueError, match="port descriptions of 65 bytes"):
        needed(4, ofproto.OFPT_MULTIPART_REPLY, multipart(ofproto.OFPMP_PORT_DESC, bytes(65)))


@pytest.mark.parametrize("kind", [ofproto.OFPMP_GROUP_DESC, ofproto.OFPMP_TABLE_FEATURES, ofproto.OFPMP_METER])
def test_statistics_that_nobody_asked_for_are_passed_over(kind: int) -> None:
    """Their parsers trust lengths; control never asks for them."""
    assert not needed(4, ofproto.OFPT_MULTIPART_REPLY, multipart(kind, bytes(64)))


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=80))
def test_rubbish_is_refused_or_passed_over(version: int, msg_type: int, body: bytes) -> None:
    """Whatever comes, the answer is yes, no or ValueError, at once."""
    try:
        assert needed(version, msg_type, message(msg_type, body, version)) in {True, False}
    except ValueError as error:
        assert str(error)
