"""Names of servers in what clients say first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.packets import client_hello

from analyzer.dns.passive import Source
from analyzer.hello import server_name


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (client_hello("www.Example.org"), ("www.example.org", Source.TLS)),
        (client_hello("www.example.org", 300), ("www.example.org", Source.TLS)),
        (client_hello("www.example.org") + bytes(40), ("www.example.org", Source.TLS)),
        (client_hello(None), None),
        (client_hello("203.0.113.9 evil"), None),
        (b"GET / HTTP/1.1\r\nHost: www.example.org:8080\r\nCookie: a=b\r\n\r\n", ("www.example.org", Source.HTTP)),
        (
            b"POST /x HTTP/1.1\r\nHost: www.example.org\r\nContent-Length: 5\r\n\r\nhello",
            ("www.example.org", Source.HTTP),
        ),
        (b"GET / HTTP/1.1\r\nHost: www.example.org\r\nCookie: cut in the mid", ("www.example.org", Source.HTTP)),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", None),
        (b"GET / HTTP/1.0\r\n\r\n", None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", None),
        (b"", None),
    ],
)
def test_names_are_found(data: bytes, name: tuple[str, Source] | None) -> None:
    """In whole and in cut hellos and requests; nothing that is no name."""
    assert server_name(data) == name


@given(st.integers(0, 400))
def test_a_hello_cut_anywhere_tells_its_name_or_none(cut: int) -> None:
    """Never half a name."""
    assert server_name(client_hello("www.example.org", 200)[:cut]) in (None, ("www.example.org", Source.TLS))


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\x16\3\1\0\xff\1\0\0\xf0", b"GET ", b"GET / HTTP/1.1\r\nHost:"])
)
def test_any_bytes_name_something_or_nothing(data: bytes, start: bytes) -> None:
    """Whatever a VM says."""
    found = server_name(start + data)
    assert found is None or found[0] == found[0].lower().strip(".")
