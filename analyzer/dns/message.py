"""DNS messages as a VM sent or got them (RFC 1035), read by dnspython."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rdatatype

from topology.model import Address

_ADDRESSES = (dns.rdatatype.A, dns.rdatatype.AAAA)
_PREFIX = 2
"""Over TCP a message has its length before it."""


class UnreadableError(ValueError):
    """What came is no DNS message of one question. Says nothing of its content."""


@dataclass(frozen=True)
class DnsMessage:
    """A question, or the answer to one."""

    id: int
    answer: bool
    name: str
    """What was asked for: lower case, without the last dot, escaped as in zone files (RFC 4343)."""
    qtype: int
    rcode: int
    addresses: tuple[Address, ...]
    """That the name leads to, over whatever aliases."""
    ttl: int
    """Seconds for which all of that holds."""
    size: int
    """Bytes of the message, as far as they came."""


def read(wire: bytes, *, over_tcp: bool = False) -> DnsMessage:
    """Read the message in a datagram, or the first one of a TCP segment.

    Raises:
        UnreadableError: it is none, is cut off, turns in circles, or asks for more or less than one name.
    """
    if over_tcp:
        wire = wire[_PREFIX : _PREFIX + int.from_bytes(wire[:_PREFIX], "big")]
    try:
        # Where an answer was too long (TC) its records are not used, so that they may be cut anywhere.
        message = dns.message.from_wire(wire, ignore_trailing=True, question_only=not _whole_answer(wire))
    except (dns.exception.DNSException, ValueError, IndexError, AssertionError) as error:
        raise UnreadableError(type(error).__name__) from None
    if message.opcode() != dns.opcode.QUERY or len(message.question) != 1:
        raise UnreadableError("not one question")
    question, answer = message.question[0], bool(message.flags & dns.flags.QR)
    addresses, ttl = _addresses(message) if answer and question.rdtype in _ADDRESSES else ((), 0)
    return DnsMessage(
        message.id,
        answer,
        _text(question.name),
        int(question.rdtype),
        int(message.rcode()),
        addresses,
        ttl,
        len(wire),
    )


def _whole_answer(wire: bytes) -> bool:
    flags = int.from_bytes(wire[2:4], "big")
    return bool(flags & dns.flags.QR) and not flags & dns.flags.TC


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _addresses(message: dns.message.Message) -> tuple[tuple[IPv4Address | IPv6Address, ...], int]:
    """What the name that was asked for leads to, and for how many seconds."""
    if not isinstance(message, dns.message.QueryMessage):
        return (), 0
    try:
        chain = message.resolve_chaining()
    except (dns.exception.DNSException, ValueError):  # aliases in circles, or no end of them
        return (), 0
    if chain.answer is None:
        return (), 0
    return tuple(ip_address(record.address) for record in chain.answer), int(chain.minimum_ttl)
