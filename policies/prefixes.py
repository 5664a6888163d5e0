"""Large sets of addresses: read from files of one prefix a line, and brought to the fewest prefixes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton

from policies.rules import Network
from runtime.errors import PolicyError, WrongValueError

MAX_PREFIXES = 1_000_000
"""Of one list, at its fewest."""
MAX_LINES = 4 * MAX_PREFIXES
"""Of one file: what is longer is not read to its end."""
MAX_BYTES = 64 * MAX_LINES
_PIECE = 10_000
_Range = tuple[int, int, int]
"""IP version, first and last address."""
_MAPPED = 0xFFFF
"""What stands ahead of an IPv4 address that is written as one of IPv6 (RFC 4291, 2.5.5.2)."""
_WHERE = "give the path of a file that the engine can read, relative to the policy's own folder"


def network(text: str) -> Network:
    """An address or network.

    Raises:
        ValueError: it is none, or none that a packet here can have; says what to write.
    """
    text = text.strip()
    try:
        found = ip_network(text)
    except ValueError as error:
        if "host bits" in str(error):
            raise WrongValueError(
                f"{text!r} has bits beyond its length", f"write {ip_network(text, strict=False)}"
            ) from None
        raise WrongValueError(
            f"{text!r} is no address or network", "write one such as 192.0.2.0/24 or 2001:db8::1"
        ) from None
    if found.version == 6 and "%" in text:
        raise WrongValueError(f"{text!r} names an interface of one machine", "write it without what follows the %")
    if _is_mapped(found.version, int(found.network_address), found.prefixlen):
        inner = IPv4Network((int(found.network_address) & 0xFFFF_FFFF, found.prefixlen - 96))
        right = inner if inner.num_addresses > 1 else inner.network_address
        raise WrongValueError(f"{text!r} is IPv4 written as IPv6, which no packet has", f"write {right}")
    return found


def _is_mapped(version: int, first: int, length: int) -> bool:
    return version == 6 and length >= 96 and first >> 32 == _MAPPED


def read(path: Path) -> tuple[Network, ...]:
    """The prefixes of a file, at their fewest.

    What a line holds is never quoted: the engine may read more than those who name a file to it.

    Raises:
        PolicyError: not readable, too long, or a line is no prefix; names file and line.
    """
    try:
        if not path.is_file():
            raise PolicyError("there is no such file", file=path, remedy=_WHERE)
        if path.stat().st_size > MAX_BYTES:
            raise PolicyError(
                f"longer than {MAX_BYTES} bytes", file=path, remedy="take comments out, or split the list"
            )
        with path.open(encoding="ascii", errors="replace") as lines:
            return parse_lines(lines, path)
    except OSError as error:
        raise PolicyError(f"cannot be read: {error.strerror}", file=path, remedy=_WHERE) from error


def parse_lines(lines: Iterable[str], file: Path | str) -> tuple[Network, ...]:
    """The prefixes of these lines, at their fewest; `file` is the name that errors give.

    Raises:
        PolicyError: too many lines, or one is no prefix.
    """
    return _fewest(_ranges(lines, file))


def aggregate(nets: Iterable[Network]) -> tuple[Network, ...]:
    """The fewest prefixes that hold the same addresses: IPv4 first, rising.

    `ipaddress.collapse_addresses` does the same by comparing objects, many times as slowly.
    """
    return _fewest((net.version, *_range(int(net.network_address), net.prefixlen, net.max_prefixlen)) for net in nets)


def _parsed(text: str) -> _Range:
    """The addresses of a prefix.

    Raises:
        ValueError: it is none, or has bits beyond its length.
    """
    address, slash, length = text.partition("/")
    version, family, width = (6, AF_INET6, 128) if ":" in address else (4, AF_INET, 32)
    try:
        first = int.from_bytes(inet_pton(family, address))
    except OSError as error:
        raise ValueError(text) from error
    if slash and not (length.isascii() and length.isdigit() and int(length) <= width):
        raise ValueError(text)
    begin, end = _range(first, int(length) if slash else width, width)
    if begin != first or _is_mapped(version, first, int(length) if slash else width):
        raise ValueError(text)
    return version, begin, end


def _range(address: int, length: int, width: int) -> tuple[int, int]:
    others = (1 << width - length) - 1
    return address & ~others, address | others


def _ranges(lines: Iterable[str], file: Path | str) -> Iterator[_Range]:
    for number, line in enumerate(lines, 1):
        if number > MAX_LINES:
            remedy = f"a list may have {MAX_PREFIXES} prefixes: leave out what is not needed, or join neighbours"
            raise PolicyError(f"longer than {MAX_LINES} lines", file=file, line=number, remedy=remedy)
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            yield _parsed(text)
        except ValueError:
            remedy = "write an address or network a line, no bits beyond its length, IPv4 as IPv4; comments go behind #"
            raise PolicyError("is no prefix", file=file, line=number, remedy=remedy) from None


def _fewest(ranges: Iterable[_Range]) -> tuple[Network, ...]:
    by_version: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
    for version, first, last in ranges:
        by_version[version].append((first, last))
    v4 = (IPv4Network(prefix) for prefix in _prefixes(by_version[4], 32))
    v6 = (IPv6Network(prefix) for prefix in _prefixes(by_version[6], 128))
    return (*v4, *v6)


def _prefixes(ranges: list[tuple[int, int]], width: int) -> Iterator[tuple[int, int]]:
    """(first address, length) of the prefixes that make up these ranges of addresses."""
    for first, last in _merged(_sorted(ranges)):
        begin = first
        while begin <= last:
            # The largest block that begins here, and no larger than what is left.
            free = min((begin & -begin).bit_length() - 1 if begin else width, (last - begin + 1).bit_length() - 1)
            yield begin, width - free
            begin += 1 << free


def _sorted(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """In pieces: while Python sorts, no other thread has its turn."""
    pieces = (sorted(ranges[begin : begin + _PIECE]) for begin in range(0, len(ranges), _PIECE))
    return merge(*pieces)


def _merged(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sorted ranges with those joined that overlap or touch."""
    begin = end = None
    for first, last in ranges:
        if begin is None or end is None:
            begin, end = first, last
        elif first <= end + 1:
            end = max(end, last)
        else:
            yield begin, end
            begin, end = first, last
    if begin is not None and end is not None:
        yield begin, end
