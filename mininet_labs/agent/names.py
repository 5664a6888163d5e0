"""DNS over UDP: a server that knows the lab's zone, and lookups that check the answer."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from mininet_labs.agent.frames import PATIENCE
from mininet_labs.agent.plan import Errand, Target


def listen(port: int) -> socket.socket:
    """The server's socket, in the endpoint's own namespace."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", port))
    return sock


def serve(sock: socket.socket, zone: Mapping[str, str]) -> None:
    """Answer A queries of the zone, for ever."""
    while True:
        data, client = sock.recvfrom(4096)
        try:
            reply = _answer(dns.message.from_wire(data), zone)
        except dns.exception.DNSException:
            continue  # a datagram that is no query gets no answer
        sock.sendto(reply.to_wire(), client)


def _answer(query: dns.message.Message, zone: Mapping[str, str]) -> dns.message.Message:
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.AA
    question = query.question[0]
    address = zone.get(str(question.name).rstrip("."))
    if address is None:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    elif question.rdtype == dns.rdatatype.A:
        reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", address))
    return reply


def look_up(errand: Errand, target: Target, rng: random.Random, zone: Mapping[str, str]) -> None:
    """Resolve a few names of the zone.

    Raises:
        OSError: it did not work.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect((target.address, errand.port))
        for _ in range(rng.randint(*errand.count)):
            name = rng.choice(sorted(zone))
            query = dns.message.make_query(name, "A")
            sock.send(query.to_wire())
            try:
                reply = dns.message.from_wire(sock.recv(4096))
            except dns.exception.DNSException as error:
                raise ConnectionError(f"no DNS message: {error}") from error
            answers = [record.address for rrset in reply.answer for record in rrset]
            if reply.id != query.id or answers != [zone[name]]:
                raise ConnectionError(f"{name} is {answers}, not {zone[name]}")
