"""Who is believed about names."""

from __future__ import annotations

from ipaddress import ip_address

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.dns import passive as module
from analyzer.dns.events import Kind
from analyzer.dns.message import DnsMessage
from analyzer.dns.names import entropy, registered
from analyzer.dns.passive import OPEN_SECONDS, Exchange, PassiveDns, Source

RESOLVER, STRANGER = ip_address("10.0.0.53"), ip_address("198.51.100.1")
SERVER = ip_address("203.0.113.9")
NAME = "www.example.org"


def asked(name: str = NAME, number: int = 7) -> DnsMessage:
    return DnsMessage(number, False, name, 1, 0, (), 0, 33)


def told(name: str = NAME, number: int = 7, ttl: int = 60) -> DnsMessage:
    return DnsMessage(number, True, name, 1, 0, (SERVER,), ttl, 49)


def with_(vm: int = 1, port: int = 5000, server=RESOLVER, over_tcp: bool = False) -> Exchange:
    return Exchange(vm, port, server, over_tcp)


def test_an_answer_to_an_open_question_names_the_address_for_who_asked() -> None:
    """And for nobody else."""
    dns = PassiveDns([RESOLVER], 10, 1)
    dns.asked(0.0, with_(), asked())
    assert dns.answered(0.1, with_(), told())
    assert (dns.name_of(1, SERVER), dns.name_of(2, SERVER), dns.anybodys_name_of(SERVER)) == (NAME, None, NAME)
    (named,) = dns.names(1)
    assert (named.source, named.first, named.expires) == (Source.DNS, 0.1, 60.1)


@given(
    st.sampled_from(
        [
            (with_(), told(number=8)),
            (with_(), told("other.example.org")),
            (with_(port=5001), told()),
            (with_(vm=2), told()),
            (with_(server=STRANGER), told()),
            (with_(over_tcp=True), told()),
        ]
    )
)
def test_what_was_not_asked_names_nothing(forged: tuple[Exchange, DnsMessage]) -> None:
    """Another number, name, port, VM, server or transport: it is told from an answer, and leaves the question open."""
    dns = PassiveDns([RESOLVER, STRANGER], 10, 1)
    dns.asked(0.0, with_(), asked())
    assert not dns.answered(0.1, *forged)
    assert (len(dns), dns.unasked) == (0, 1)
    assert dns.answered(0.2, with_(), told())
    assert not dns.answered(0.3, with_(), told())


def test_a_late_answer_counts_for_nothing() -> None:
    """Clients do not wait for it either."""
    dns = PassiveDns([RESOLVER], 10, 1)
    dns.asked(0.0, with_(), asked())
    assert not dns.answered(OPEN_SECONDS + 0.1, with_(), told())
    assert len(dns) == 0


def test_a_server_that_is_no_resolver_is_counted_and_not_believed() -> None:
    """A VM may ask whom it likes; that puts no name on an address."""
    dns = PassiveDns([RESOLVER], 10, 1)
    dns.asked(0.0, with_(server=STRANGER), asked())
    assert dns.answered(0.1, with_(server=STRANGER), told())
    assert len(dns) == 0
    assert dns.events.drain()["resolver"].tolist() == [False, False]


def test_a_vm_does_not_overrule_a_resolver_while_that_holds() -> None:
    """What it says to the server names it before and afterwards."""
    dns = PassiveDns([RESOLVER], 10, 1)
    dns.call(0.0, 1, SERVER, "said.example.org", Source.TLS)
    dns.asked(1.0, with_(), asked())
    dns.answered(1.0, with_(), told(ttl=60))
    dns.call(2.0, 1, SERVER, "said.example.org", Source.TLS)
    assert dns.name_of(1, SERVER) == NAME
    dns.call(61.5, 1, SERVER, "said.example.org", Source.TLS)
    assert dns.name_of(1, SERVER) == "said.example.org"


def test_no_vm_makes_anothers_names_be_forgotten(monkeypatch) -> None:
    """Each has its share, and open questions have an end."""
    monkeypatch.setattr(module, "MOST_NAMES", 40)
    dns = PassiveDns([RESOLVER], 2, 1)
    dns.call(0.0, 2, SERVER, NAME, Source.TLS)
    for number in range(1000):
        dns.call(0.0, 1, ip_address(number + 1), "x.example.org", Source.TLS)
        dns.asked(0.0, with_(), asked(number=number))
    assert (len(dns), dns.name_of(2, SERVER)) == (21, NAME)
    assert not dns.answered(0.1, with_(), told(number=0))
    assert dns.answered(0.1, with_(), told(number=999))


def test_events_say_what_a_name_is_like() -> None:
    """One row for each message, names and domains as salted hashes."""
    dns = PassiveDns([RESOLVER], 10, 1)
    for name in ("a.example.co.uk", "b.example.co.uk"):
        dns.asked(1.0, with_(), asked(name))
    dns.answered(1.5, with_(), told("b.example.co.uk"))
    dns.answered(1.5, with_(), told("b.example.co.uk"))
    events = dns.events.drain()
    assert events["kind"].tolist() == [Kind.QUESTION, Kind.QUESTION, Kind.ANSWER, Kind.UNASKED]
    assert (len(np.unique(events["name"])), len(np.unique(events["domain"]))) == (2, 1)
    assert (events["labels"][0], events["length"][0], events["bytes"][0]) == (4, 15, 33)
    assert not len(dns.events.drain())


@given(st.from_regex(r"[a-z0-9-]{0,20}(\.[a-z0-9-]{0,20}){0,6}", fullmatch=True))
def test_a_name_has_a_domain_and_an_entropy(name: str) -> None:
    """The domain is its end; at most every character is another one."""
    assert name.endswith(registered(name))
    assert 0 <= entropy(name) <= 6


def test_made_up_names_are_of_more_entropy_than_given_ones() -> None:
    """Which is what the number is for."""
    assert entropy("www.example.org") < entropy("mail-server.example.org") < entropy("x7f3q9zk2m8w1p5.example.org")
