"""Socket filters of the kernel's classic packet filter (linux/filter.h), enough to select by source MAC."""

from __future__ import annotations

import ctypes
import socket
import struct

_INSTRUCTION = struct.Struct("HBBI")
_SO_ATTACH_FILTER = 26
_LOAD_WORD, _LOAD_HALF, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x15, 0x06


def from_mac(mac: str) -> list[tuple[int, int, int, int]]:
    """Frames whose Ethernet source is `mac`; as (code, jump if true, jump if false, constant)."""
    raw = bytes.fromhex(mac.replace(":", ""))
    return [
        (_LOAD_WORD, 0, 0, 6),
        (_JUMP_EQUAL, 0, 3, int.from_bytes(raw[:4], "big")),
        (_LOAD_HALF, 0, 0, 10),
        (_JUMP_EQUAL, 0, 1, int.from_bytes(raw[4:], "big")),
        (_RETURN, 0, 0, 0xFFFF),
        (_RETURN, 0, 0, 0),
    ]


def attach(sock: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    """Let the kernel drop everything for which the program returns 0."""
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    header = struct.pack("HL", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)
