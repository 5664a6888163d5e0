"""The name of the server in what a client says first: TLS ClientHello (SNI) or an HTTP request (Host).

Nothing else of it is kept, and nothing of it is written anywhere.
"""

from __future__ import annotations

import re
import struct

import dpkt
import h11

from analyzer.dns.passive import Source

_HANDSHAKE, _CLIENT_HELLO = 0x16, 0x01
_RECORD = 5
_SERVER_NAME = 0
_HOST_NAME = 0
_NAME_AT = 5
"""In the extension: length of the list, kind of name, length of the name."""
_METHOD = re.compile(rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE) ")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}\.?)*")
_LONGEST_NAME = 253
_LINE = b"\r\n"


def server_name(data: bytes) -> tuple[str, Source] | None:
    """The name in the first TCP segment of a client's, lower case; None: there is none, or it is something else."""
    if data[:1] == bytes((_HANDSHAKE,)):
        found, source = _from_tls(data), Source.TLS
    elif _METHOD.match(data):
        found, source = _from_http(data), Source.HTTP
    else:
        return None
    if found is None or len(found) > _LONGEST_NAME or not _NAME.fullmatch(found):
        return None
    return found.lower().rstrip("."), source


def _from_tls(data: bytes) -> str | None:
    """SNI (RFC 6066). A hello that goes on in another segment is filled up with zeros: no extension's name."""
    if len(data) < _RECORD + 4 or data[_RECORD] != _CLIENT_HELLO:
        return None
    length = int.from_bytes(data[_RECORD + 1 : _RECORD + 4], "big")
    hello = data[_RECORD + 4 : _RECORD + 4 + length]
    try:
        parsed = dpkt.ssl.TLSClientHello(hello.ljust(min(length, 1 << 14), b"\0"))
    except (dpkt.Error, struct.error, IndexError, ValueError, TypeError, KeyError):
        return None
    for kind, content in getattr(parsed, "extensions", ()):
        if kind == _SERVER_NAME and content[2:3] == bytes((_HOST_NAME,)):
            size = int.from_bytes(content[3:_NAME_AT], "big")
            return str(content[_NAME_AT : _NAME_AT + size], "ascii", "replace")
    return None


def _from_http(data: bytes) -> str | None:
    """Host (RFC 9110). A head that goes on in another segment ends with its last whole line."""
    head, end, _ = data.partition(_LINE + _LINE)
    if not end:
        head = data[: data.rfind(_LINE)] if _LINE in data else b""
    connection = h11.Connection(h11.SERVER)
    try:
        connection.receive_data(head + _LINE + _LINE)
        request = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(request, h11.Request):
        return None
    host = next((value for name, value in request.headers if name == b"host"), b"")
    return str(host, "ascii", "replace").rsplit(":", 1)[0] or None
