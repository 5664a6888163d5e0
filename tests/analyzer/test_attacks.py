"""Attacks of each kind on a made-up office: who is acted on, how, and that nobody else is."""

import random

import numpy as np
import pytest
from support.recordings import flow, office, row, write

from analyzer import replay
from analyzer.csvflows import read
from analyzer.replay import Replayed
from analyzer.risk import MOST_ALONE
from analyzer.site import Site

BEGIN = 1000.0
"""When the attack starts: the judged office is from 900 to 1200, what was learned from 0 to 300."""
BAD = "10.0.0.105"


def beacon() -> list[str]:
    """Reports each ten seconds or so to an address that nobody knows."""
    rng = random.Random(5)
    times = np.cumsum([rng.uniform(7, 13) for _ in range(28)])
    return [flow(BEGIN - 90 + t, BAD, "203.0.113.9", 8080, "6,5,640,800") for t in times.tolist()]


def callback() -> list[str]:
    """A dead server is called every four seconds."""
    dead = "2,0,104,0"
    return [flow(BEGIN + 4 * i, BAD, "203.0.113.9", 8080, dead, flags="1,0,0,,0") for i in range(45)]


def guessing() -> list[str]:
    """A password each six seconds."""
    return [flow(BEGIN + 6 * i, BAD, "10.0.0.9", 22, "12,11,1800,2500", seconds=2) for i in range(25)]


def lateral() -> list[str]:
    """File sharing, remote management and procedure calls of neighbours."""
    doors = [(host, port) for host in (107, 108) for port in (445, 135, 5985)]
    return [flow(BEGIN + 8 * i, BAD, f"10.0.0.{h}", p, "20,18,9000,7000") for i, (h, p) in enumerate(doors)]


def worm() -> list[str]:
    """Telnet of strangers all over the world."""
    rng = random.Random(4)
    return [
        flow(BEGIN + i, BAD, f"203.0.113.{rng.randint(1, 254)}", 23, "1,0,60,0", flags="1,0,0,,0") for i in range(60)
    ]


def search() -> list[str]:
    """Services of a neighbour that nobody uses, three a second."""
    return [row(BEGIN + i / 3, BAD, "10.0.0.107", 7000 + i, failed=True) for i in range(20)]


def tunnel() -> list[str]:
    """Questions of two hundred bytes to the resolver, reported ten seconds at a time."""
    return [flow(BEGIN + 10 * i, BAD, "10.0.0.53", 53, "300,300,60000,80000", "udp", 9.9, 43000 + i) for i in range(10)]


def storm() -> list[str]:
    """Thousands of questions."""
    return [flow(BEGIN + i / 40, BAD, "10.0.0.53", 53, "1,1,70,120", "udp", 0.01) for i in range(3000)]


def push() -> list[str]:
    """A document a minute to a stranger, over a port that is never used."""
    return [flow(BEGIN + 15 * i, BAD, "203.0.113.9", 4433, "300,40,280000,2500") for i in range(6)]


def flood() -> list[str]:
    """Datagrams at full speed that nobody answers."""
    return [flow(BEGIN + i / 2, BAD, "203.0.113.9", 80, "9000,0,900000,0", "udp", 0.4, 43000 + i) for i in range(40)]


ATTACKS = {f.__name__: f for f in (beacon, callback, guessing, lateral, worm, search, tunnel, storm, push, flood)}
REASON = {
    "search": "searching",
    "push": "outbound volume",
    "lateral": "lateral movement",
    "tunnel": "DNS tunnel",
    "storm": "DNS storm",
}


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory):
    """What replay makes of the office with more rows in it."""
    folder, site = tmp_path_factory.mktemp("office"), Site.of([])
    learned = replay.learn([read(write(folder / "train.csv", office(0, 300, 1)), site)], site)

    def run(rows: tuple[str, ...]) -> tuple[Replayed, list[str]]:
        test = write(folder / "test.csv", [*office(900, 300, 2), *rows])
        return replay.judge(learned, read(test, site), site), test.read_text().splitlines()[1:]

    return run


def acting(result: Replayed) -> set[tuple[str, str]]:
    """Subjects and actions of rules that act."""
    return {(rule["subject"], rule["action"]) for rule in result.rules if rule["action"] != "alert"}


@pytest.mark.parametrize("name", ATTACKS)
def test_each_attack_leads_to_a_rule_about_its_author_alone(replayed, name: str) -> None:
    """The attacker is acted on, for the reason that it gave, and nobody else is; its flows stand out."""
    rows = ATTACKS[name]()
    result, lines = replayed(tuple(rows))
    assert {subject for subject, _ in acting(result)} == {BAD}
    reasons = [reason for rule in result.rules for reason in rule["reasons"] if rule["action"] != "alert"]
    assert any(reason.startswith(REASON.get(name, name)) for reason in reasons)
    bad = np.isin(lines, rows)
    assert np.median(result.scores[bad]) > np.quantile(result.scores[~bad], 0.99)


def test_a_search_is_known_by_its_first_dozen_flows(replayed) -> None:
    """What is new and refused again and again needs no whole scan to be told."""
    result, _ = replayed(tuple(search()))
    assert min(rule["time"] for rule in result.rules if rule["action"] == "restrict") <= BEGIN + 12 / 3


LOST = {
    "a service that is down": [row(BEGIN + 2 * i, BAD, "10.0.0.107", 8443, failed=True) for i in range(60)],
    "a printer that is off": [
        row(BEGIN + i, BAD, "10.0.0.107", p, failed=True) for i, p in enumerate([631, 9100, 515])
    ],
    "a colleague's desktop": [flow(BEGIN, BAD, "10.0.0.107", 3389, "90,80,9000,70000")],
}


@pytest.mark.parametrize("name", LOST)
def test_who_looks_for_what_it_was_told_of_is_left_alone(replayed, name: str) -> None:
    """New and in vain, or a new door: but few, as by who set a machine up wrongly, or works somewhere once."""
    assert acting(replayed(tuple(LOST[name]))[0]) == set()


def test_who_was_found_is_suspect_where_it_does_something_new(replayed) -> None:
    """After an attack its author's talk to strangers bears the verdict; what it always did, and others do, does not."""
    later = BEGIN + 70
    new, usual = row(later, BAD, "203.0.113.200", 443), row(later, BAD, "198.51.100.4", 443)
    other = row(later, "10.0.0.104", "203.0.113.201", 443)
    result, lines = replayed((*worm(), new, usual, other))
    risk = {line: result.scores[lines.index(line)] for line in (new, usual, other)}
    assert risk[new] > MOST_ALONE >= max(risk[usual], risk[other])


def test_the_office_alone_leads_to_nothing(replayed) -> None:
    """No rule, not even an alert."""
    assert replayed(())[0].rules == []


def crowd(port: int, source_port: int, flags: str, proto: str = "tcp") -> tuple[str, ...]:
    """A thousand sources that nobody has seen send a packet each to one VM."""
    return tuple(
        flow(BEGIN + i / 500, f"198.18.{i // 250}.{i % 250}", BAD, port, "1,0,44,0", proto, 0.0, source_port, flags)
        for i in range(1000)
    )


@pytest.mark.parametrize(
    "rows",
    [crowd(443, 50000, "1,0,0,0,0"), crowd(50000, 80, "1,0,0,1,0"), crowd(50000, 161, ",,,,", "udp")],
    ids=["forged openings", "reflected answers", "amplified answers"],
)
def test_the_target_of_a_crowd_is_relieved_and_not_punished(replayed, rows: tuple[str, ...]) -> None:
    """What reaches it is limited; neither it nor any of the forged senders is cut off."""
    result, lines = replayed(rows)
    assert acting(result) == {(BAD, "rate_limit")}
    bad = np.isin(lines, rows)
    assert np.median(result.scores[bad]) > np.quantile(result.scores[~bad], 0.99)


def test_strangers_who_knock_are_denied(replayed) -> None:
    """Each outside address that tries services in vain is denied; the VM that it tries is not."""
    knocks = tuple(
        row(BEGIN + 9 * i, f"203.0.113.{1 + i % 5}", BAD, port, failed=True)
        for i, port in enumerate([23, 2323, 5555, 8080, 445] * 4)
    )
    assert acting(replayed(knocks)[0]) == {(f"203.0.113.{i}", "deny") for i in range(1, 6)}
