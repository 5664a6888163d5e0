"""What odd names add to the windows of who asks for them."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

from analyzer.dns.counts import NameCounts
from analyzer.dns.message import DnsMessage
from analyzer.dns.oddness import WINDOW
from analyzer.dns.passive import Exchange, PassiveDns
from analyzer.flows import Array

RESOLVER = IPv4Address("10.0.0.53")
CODED = "abcdefghijklmnopqrstuvwxyz234567abcdefgh{}.t.example.net"


def events(names: list[str], vm: int = 1, rcode: int = 0, begin: float = 0.0, resolver: str = str(RESOLVER)) -> Array:
    """Questions for these names, one a second, each answered."""
    dns = PassiveDns([RESOLVER], 10, 1)
    for number, name in enumerate(names):
        exchange, time = Exchange(vm, 5000, ip_address(resolver), False), begin + number
        dns.asked(time, exchange, DnsMessage(number, False, name, 16, 0, (), 0, 60))
        dns.answered(time, exchange, DnsMessage(number, True, name, 16, rcode, (), 0, 80))
    return dns.events.drain()


def told(counts: NameCounts, rows: Array) -> dict[str, dict[int, float]]:
    """By feature and VM."""
    found = counts.of(rows)
    return {c.feature: dict(zip(c.vm.tolist(), c.names.tolist(), strict=True)) for c in found}


def test_each_name_counts_once_a_minute() -> None:
    """Who asks for the same again and again has asked for one, also over several looks; a minute later it is news."""
    counts = NameCounts()
    absent = ["a.example.org", "b.example.org", "c.example.com"]  # two registered domains
    assert told(counts, events(absent, rcode=3)) == {"absent_names": {1: 2.0}}
    assert told(counts, events([*absent, "d.example.net"], rcode=3, begin=5.0)) == {"absent_names": {1: 1.0}}
    assert told(counts, events(absent, rcode=3, begin=2 * WINDOW)) == {"absent_names": {1: 2.0}}


def test_names_that_look_like_data_count_when_they_are_asked_for() -> None:
    """Each VM has its own; short names are none of them."""
    counts = NameCounts()
    first, second = (events([CODED.format(n) for n in range(count)], vm) for vm, count in ((1, 3), (2, 1)))
    assert told(counts, first) == {"coded_names": {1: 3.0}}
    assert told(counts, second) == {"coded_names": {2: 1.0}}
    assert told(counts, events(["www.example.org", "mail.example.org"])) == {}


def test_only_a_resolver_may_say_that_a_name_does_not_exist() -> None:
    """Anybody else's word is nothing, and silence is none."""
    assert told(NameCounts(), events(["a.example.org"], rcode=3, resolver="198.51.100.1")) == {}
    assert told(NameCounts(), events([])) == {}
