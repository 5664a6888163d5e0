"""Questions that nobody would ask."""

from __future__ import annotations

from ipaddress import ip_address

import numpy as np

from analyzer.dns.events import DNS_EVENT
from analyzer.dns.message import DnsMessage
from analyzer.dns.oddness import ABSENT_NAMES, MOST_KEPT, TUNNEL_NAMES, WINDOW, Oddness
from analyzer.dns.passive import Exchange, PassiveDns

RESOLVER = ip_address("10.0.0.53")
CHANCE = np.random.default_rng(3)


def events(names: list[str], vm: int = 1, *, rcode: int = 0, resolver=RESOLVER, pace: float = 0.5):
    """Questions for these names, each answered."""
    dns = PassiveDns([RESOLVER], 10, 1)
    for number, name in enumerate(names):
        exchange, time = Exchange(vm, 5000, resolver, False), number * pace
        dns.asked(time, exchange, DnsMessage(number, False, name, 16, 0, (), 0, 60))
        dns.answered(time, exchange, DnsMessage(number, True, name, 16, rcode, (), 0, 80))
    return dns.events.drain()


def encoded(count: int) -> list[str]:
    """Names with 40 random characters of base32 below one domain."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz234567"))
    return ["".join(CHANCE.choice(letters, 40)) + ".t.example.net" for _ in range(count)]


def test_data_in_names_is_odd() -> None:
    """As many names as that below one domain; told of who asked, at the time of the last question."""
    (odd,) = Oddness().judge(events(encoded(TUNNEL_NAMES)))
    assert (odd.vm, odd.time) == (1, (TUNNEL_NAMES - 1) * 0.5)
    assert "data in names" in odd.what


def test_what_people_ask_for_is_not() -> None:
    """Many hosts of one site, long names below many domains, one long name again and again, fewer of them."""
    for names in (
        [f"host-{number}.example.org" for number in range(300)],
        [name.replace("t.example", f"e{number}.example{number}") for number, name in enumerate(encoded(200))],
        encoded(1) * 300,
        encoded(TUNNEL_NAMES - 1),
    ):
        assert Oddness().judge(events(names, pace=0.1)) == []


def test_a_search_by_guessing_is_odd_if_a_resolver_says_so() -> None:
    """Anybody else's word that a name does not exist is none."""
    names = [f"x{number}.example{number}.com" for number in range(ABSENT_NAMES)]
    (odd,) = Oddness().judge(events(names, rcode=3))
    assert "do not exist" in odd.what
    assert Oddness().judge(events(names, rcode=3, resolver=ip_address("198.51.100.1"))) == []
    assert Oddness().judge(events(names)) == []


def test_only_a_minute_counts_and_memory_is_bounded() -> None:
    """Slow questions are not odd here; old ones are forgotten."""
    oddness = Oddness()
    assert oddness.judge(events(encoded(TUNNEL_NAMES), pace=2 * WINDOW / TUNNEL_NAMES)) == []
    many = np.zeros(MOST_KEPT + 10, DNS_EVENT)
    many["time"] = 1e6
    oddness.judge(many)
    assert len(oddness._kept) == MOST_KEPT
    assert oddness.judge(many[:0]) == []


def test_vms_do_not_add_up() -> None:
    """Half of it each."""
    names = encoded(TUNNEL_NAMES)
    half = len(names) // 2
    assert Oddness().judge(np.concatenate([events(names[:half]), events(names[half:], vm=2)])) == []
