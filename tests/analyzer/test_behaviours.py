"""Checks that every detector has to pass, and what each one is for."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.behaviours import ALERT, ALL, DEALINGS, Behaviour, Scene
from analyzer.behaviours.base import seconds_text
from analyzer.dealings import ROW, Dealings
from analyzer.observe import FEATURES
from analyzer.windows import LENGTHS

SHAPE = (len(LENGTHS), 1, len(FEATURES))
EVERY = pytest.mark.parametrize("behaviour", ALL, ids=lambda b: b.name)


NOBODY = Dealings(np.zeros(0, ROW), np.zeros(0, np.uint64))


def outside_scene(**values: float) -> Scene:
    """The same of an outside address."""
    return replace(scene(None, **values), outside=np.ones(1, bool))


def dealing(seconds: float, opened: float, gap_spread: float, size_spread: float, **columns: float) -> Scene:
    """One subject that has opened connections to one service within so many seconds; nothing in the windows."""
    rows = np.zeros(1, ROW)
    rows["unknown"] = rows["outside"] = True
    rows["proto"], rows["port"], rows["dst_lo"] = 6, 443, 0xFFFF_C000_0207
    rows["last"], rows["opened"], rows["bytes_out"], rows["bytes_in"] = seconds, opened, 500 * opened, 500 * opened
    for what, spread in (("gap", gap_spread), ("size", size_spread)):
        mean = np.log(max(seconds / opened, 1.0)) if what == "gap" else 6.0
        rows[f"{what}s"], rows[f"{what}_sum"] = opened, opened * mean
        rows[f"{what}_squares"] = opened * (mean**2 + spread**2)
    for name, value in columns.items():
        rows[name] = value
    return replace(scene(), dealings=Dealings(rows, np.ones(1, np.uint64)), dealer=np.zeros(1, np.int64))


def scene(usual: dict[str, float] | None = None, **values: float) -> Scene:
    """One subject with these values in every window, everything else 0."""
    made = []
    for features in (values, usual or {}, usual or {}):
        array = np.zeros(SHAPE)
        for name, value in features.items():
            array[:, :, FEATURES.index(name)] = value
        made.append(array)
    now, own, segment = made
    first, no = np.zeros(1, np.int64), np.zeros(1, bool)
    return Scene(now, own, segment, first, no, no, no, NOBODY, np.zeros(0, np.int64))


def closed(one: Scene) -> Scene:
    """The same where whom VMs talk to is settled."""
    return replace(one, closed=np.ones(1, bool))


def settled(one: Scene) -> Scene:
    """The same where at least the services inside are settled."""
    return replace(one, settled=np.ones(1, bool))


def of_stranger(one: Scene) -> Scene:
    """The same of an outside address."""
    return replace(one, outside=np.ones(1, bool))


LOUD = {
    "scan": scene(flows=500, in_services=500, in_hosts=3, failed_services=480, failed=480),
    "failed-connections": scene(flows=500, failed=480),
    "brute-force": scene(flows=200, admin_flows=200, admin_pairs=1),
    "first-contact": scene(flows=1, out_hosts=1, new_outside=1),
    "outbound-volume": scene(flows=1, bytes_out=4e8, bytes_unknown=4e8, bytes_in=1e6),
    "spoofing": scene(spoofed=100),
    "searching": scene(flows=12, failed=12, knocked=12),
    "worm": scene(flows=60, failed=55, failed_doors=50),
    "guessing": dealing(100, 12, 1.0, 0.05, port=22, outside=False, unheard=1),
    "lateral-movement": scene(new_doors=10),
    "hammering": dealing(10, 20, 1.0, 0.0, outside=False, failed=20, bytes_out=2e5, bytes_in=0),
    "new-edge": closed(dealing(60, 4, 1.0, 0.5, outside=False)),
    "uninvited": of_stranger(dealing(60, 40, 1.0, 0.1, outside=False, unheard=1)),
    "strange-door": scene(new_doors=1),
    "probing": scene(denied_services=30),
    "coded-names": scene(coded_names=80),
    "absent-names": scene(absent_names=80),
    "beacon": dealing(1800, 40, 0.2, 0.05),
    "callback": dealing(300, 40, 0.2, 0.0, failed=40, bytes_in=0),
    "dns-tunnel": scene(dns=5, dns_packets=4000, dns_bytes=900_000),
    "dns-storm": scene(dns=20_000),
    "flood": scene(unheeded=1e6),
    "openings": scene(asked=5000),
    "flooded": scene(hit_sources=5000, hit_flows=9000, hit_answered=10),
    "knocking": outside_scene(flows=9, failed=9, knocks=9, knocked=9),
    "first-seen-service": scene(new_services=5),
}
QUIET = scene(
    flows=12,
    in_hosts=4,
    in_services=5,
    bytes_out=2e5,
    bytes_in=3e6,
    dns=5,
    dns_packets=6,
    dns_bytes=450,
    packets=500,
    unheeded=30,
    hit_flows=20,
    hit_sources=3,
    hit_answered=19,
    failed=1,
)


@EVERY
def test_silence_and_ordinary_work_are_nothing(behaviour: Behaviour) -> None:
    """Nobody is suspected for nothing, nor for a page or two."""
    assert behaviour.strength(scene())[0] == 0
    assert behaviour.strength(QUIET)[0] < 1


@EVERY
def test_each_sees_what_it_is_for(behaviour: Behaviour) -> None:
    """The loud example is seen, with a reason that has its numbers, a name and a technique."""
    loud = LOUD[behaviour.name]
    assert behaviour.strength(loud)[0] >= 1
    reason = behaviour.reason(loud, 0)
    assert any(c.isdigit() for c in reason)
    assert behaviour.technique.startswith("T1")


@EVERY
def test_what_is_usual_is_no_behaviour(behaviour: Behaviour) -> None:
    """The same numbers, when they are usual for the VM and its segment, are no finding (forgery is never usual)."""
    loud = LOUD[behaviour.name]
    known = loud.dealings.rows.copy()
    known["unknown"] = known["unheard"] = False
    usual = replace(loud, own=loud.values, segment=loud.values, dealings=Dealings(known, loud.dealings.keys))
    assert behaviour.strength(usual)[0] < 1


@EVERY
@given(st.lists(st.floats(0, 1e9), min_size=len(FEATURES), max_size=len(FEATURES)))
def test_any_numbers_give_a_strength(behaviour: Behaviour, numbers: list[float]) -> None:
    """Strength is finite and not negative for any windows, and a finding always has a reason."""
    values = np.tile(np.array(numbers), (len(LENGTHS), 1, 1))
    any_scene = replace(scene(), values=values)
    found = behaviour.strength(any_scene)
    assert found.shape == (1,)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    if found[0] >= 1:
        assert behaviour.reason(any_scene, 0)


@pytest.mark.parametrize("behaviour", DEALINGS, ids=lambda b: b.name)
@given(
    st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 3), st.floats(0, 3), st.booleans(),
    st.dictionaries(st.sampled_from(["failed", "bytes_out", "bytes_in"]), st.floats(0, 1e9)),
    st.sampled_from([22, 443, 445]),
)  # fmt: skip
def test_no_dealing_is_bad_that_is_known(
    behaviour: Behaviour, seconds: float, opened: float, gap: float, size: float, outside: bool,
    amounts: dict[str, float], port: int,
) -> None:  # fmt: skip
    """Whatever is done with services that were learned: only what is new to the baseline has to be looked at."""
    known = dealing(seconds, 1 + opened, gap, size, unknown=0, unheard=0, outside=outside, port=port, **amounts)
    strange = replace(known, outside=np.ones(1, bool))
    assert behaviour.strength(closed(known))[0] < 1
    assert behaviour.strength(settled(known))[0] < 1
    assert behaviour.strength(strange)[0] < 1


@EVERY
def test_subjects_do_not_disturb_each_other(behaviour: Behaviour) -> None:
    """In a crowd each gets the strength it has alone."""
    loud = LOUD[behaviour.name]
    parts = (QUIET, loud, QUIET)
    values, own, segment = (
        np.concatenate([getattr(p, name) for p in parts], axis=1) for name in ("values", "own", "segment")
    )
    crowd = Scene(
        values,
        own,
        segment,
        who=np.arange(len(parts)),
        outside=np.concatenate([p.outside for p in parts]),
        closed=np.concatenate([p.closed for p in parts]),
        settled=np.concatenate([p.settled for p in parts]),
        dealings=loud.dealings,
        dealer=loud.dealer + 1,
    )
    assert behaviour.strength(crowd).tolist() == [behaviour.strength(s)[0] for s in parts]


def test_a_browser_is_no_scanner() -> None:
    """Many outside services that answer, and a few inside, are no scan however many they are."""
    scan = next(b for b in ALL if b.name == "scan")
    assert scan.strength(scene(flows=400, out_hosts=200, in_services=12, in_hosts=6))[0] < 1


def test_admin_work_on_many_machines_is_no_brute_force() -> None:
    """An operator who opens two sessions on each of fifteen machines does not guess passwords."""
    brute = next(b for b in ALL if b.name == "brute-force")
    assert brute.strength(scene(admin_flows=30, admin_pairs=15))[0] < 1


def test_fetching_is_no_pushing() -> None:
    """Much data out counts only when much less comes in."""
    volume = next(b for b in ALL if b.name == "outbound-volume")
    assert volume.strength(scene(bytes_out=4e8, bytes_unknown=4e8, bytes_in=4e8))[0] == 0


def test_only_clear_behaviours_may_act() -> None:
    """A first contact, a first service or door and failing connections never lead to a rule by themselves."""
    alerting = {"first-contact", "first-seen-service", "strange-door", "failed-connections"}
    assert {b.name for b in ALL if b.action == ALERT} == alerting


def test_a_victim_is_only_relieved() -> None:
    """What is done to a subject never leads to more than limiting what reaches it."""
    assert {(b.name, b.action) for b in ALL if b.passive} == {("flooded", "rate_limit")}


@pytest.mark.parametrize("behaviour", DEALINGS, ids=lambda b: b.name)
def test_clocks_and_people_are_no_implants(behaviour: Behaviour) -> None:
    """Time asked for by the clock, a site read by a person, a page of sixty parts, a known login: all nothing."""
    for harmless in (
        dealing(3000, 50, 0.1, 0.0, port=123, proto=17),
        dealing(1800, 80, 1.3, 0.9),
        dealing(30, 60, 1.0, 0.6),
        dealing(600, 20, 0.1, 0.05, port=22, outside=False, unknown=False),
        dealing(3600, 15, 0.9, 0.0, failed=15, bytes_in=0),
    ):
        assert behaviour.strength(harmless)[0] < 1


def test_knocking_is_asked_of_strangers_only() -> None:
    """A VM that fails at services that do not exist is a scanner at most, at the scanner's floors."""
    knocking = next(b for b in ALL if b.name == "knocking")
    assert knocking.strength(scene(flows=9, failed=9, knocks=9, knocked=9))[0] == 0


def test_long_answers_are_no_tunnel() -> None:
    """Many ordinary questions carry no data, however many bytes they are together."""
    tunnel = next(b for b in ALL if b.name == "dns-tunnel")
    assert tunnel.strength(scene(dns=20_000, dns_packets=20_000, dns_bytes=1.6e6))[0] == 0


def test_a_service_that_answers_a_crowd_is_not_flooded() -> None:
    """Many sources are a success, as long as they are answered."""
    flooded = next(b for b in ALL if b.name == "flooded")
    assert flooded.strength(scene(hit_sources=5000, hit_flows=9000, hit_answered=8900))[0] == 0


def named(name: str) -> Behaviour:
    """The behaviour of that name."""
    return next(b for b in ALL if b.name == name)


def test_new_acquaintances_are_nothing_where_they_are_usual() -> None:
    """Only a closed segment makes talk with somebody new a finding, and there one connection is none."""
    edge = named("new-edge")
    often = dealing(60, 40, 1.0, 0.5, outside=False)
    assert edge.strength(closed(often))[0] >= 1
    assert edge.strength(often)[0] == 0
    assert edge.strength(of_stranger(closed(often)))[0] == 0
    assert edge.strength(closed(dealing(60, 1, 0.0, 0.0, outside=False)))[0] == 0
    assert edge.strength(closed(dealing(60, 40, 1.0, 0.5, outside=False, port=0)))[0] == 0


def test_a_door_of_a_new_kind_is_a_new_edge_where_services_are_settled() -> None:
    """Again and again, answered, and a door: an acquaintance over another service, or a known kind, is none."""
    edge = named("new-edge")
    door = {"outside": False, "unheard": 1, "port": 445}
    assert edge.strength(settled(dealing(60, 4, 1.0, 0.5, **door)))[0] >= 1
    assert edge.strength(settled(dealing(60, 4, 1.0, 0.5, **door | {"unknown": 0})))[0] >= 1
    assert edge.strength(dealing(60, 4, 1.0, 0.5, **door))[0] == 0
    assert edge.strength(settled(dealing(60, 2, 1.0, 0.5, **door)))[0] < 1
    assert edge.strength(settled(dealing(60, 4, 1.0, 0.5, **door | {"port": 8443})))[0] == 0
    assert edge.strength(settled(dealing(60, 4, 1.0, 0.5, **door | {"unheard": 0})))[0] == 0
    assert edge.strength(settled(dealing(60, 4, 1.0, 0.5, **door | {"failed": 4})))[0] == 0
    assert edge.strength(of_stranger(settled(dealing(60, 4, 1.0, 0.5, **door))))[0] == 0


@pytest.mark.parametrize(
    "harmless",
    [
        {"flows": 40, "failed": 40, "knocked": 2, "failed_services": 2, "new_peers": 1},
        {"flows": 60, "failed": 12, "knocked": 12},
        {"flows": 40, "failed": 40, "failed_doors": 12},
        {"flows": 40, "failed": 40, "new_peers": 4, "failed_doors": 4},
        {"flows": 9, "failed": 9, "new_peers": 9},
    ],
    ids=["set up wrongly", "new work, mostly answered", "known hosts down", "a few new hosts down", "before its peers"],
)
def test_who_misses_what_it_was_told_of_does_not_search(harmless: dict[str, float]) -> None:
    """One service that is down, new services that answer, hosts that are known: nothing of it is a search."""
    assert named("searching").strength(scene(None, **harmless))[0] < 1


def test_a_search_takes_what_is_new_and_in_vain() -> None:
    """Unheard services, doors of new hosts, or new hosts; a stranger's search is for others to see."""
    kinds: list[dict[str, float]] = [{"knocked": 8}, {"failed_doors": 8, "new_outside": 8}, {"new_peers": 15}]
    for found in kinds:
        assert named("searching").strength(scene(None, flows=15, failed=14, **found))[0] >= 1
        assert named("searching").strength(outside_scene(flows=15, failed=14, **found))[0] == 0


def test_a_document_moved_over_a_service_of_its_own_is_a_new_edge() -> None:
    """One connection is enough where it moves more than words over what nobody ever used."""
    edge = named("new-edge")
    moved = {"outside": False, "bytes_out": 80e3}
    assert edge.strength(closed(dealing(20, 1, 0.0, 0.0, unheard=1, **moved)))[0] >= 1
    assert edge.strength(closed(dealing(20, 1, 0.0, 0.0, **moved)))[0] == 0


def test_a_client_that_waits_for_its_server_hammers_nobody() -> None:
    """Tries once a second for hours are patience; the same packets in ten seconds are not, unless they are refused."""
    hammering = named("hammering")
    rain = {"outside": False, "failed": 1200, "bytes_out": 72e3, "bytes_in": 0}
    assert hammering.strength(dealing(10, 1200, 1.0, 0.0, **rain))[0] >= 1
    assert hammering.strength(dealing(3500, 1200, 1.0, 0.0, **rain))[0] == 0
    assert hammering.strength(dealing(10, 1200, 1.0, 0.0, **rain | {"bytes_in": 48e3}))[0] == 0


def test_visitors_of_a_published_page_are_invited() -> None:
    """A browser's requests differ, a monitor's are rare, and a service that others used before is offered."""
    uninvited = named("uninvited")
    page = {"outside": False, "unheard": 1}
    assert uninvited.strength(of_stranger(dealing(60, 40, 1.0, 0.9, **page)))[0] == 0
    assert uninvited.strength(of_stranger(dealing(3000, 50, 0.1, 0.0, **page)))[0] == 0
    assert uninvited.strength(of_stranger(dealing(60, 40, 1.0, 0.1, **page | {"unheard": 0})))[0] == 0
    assert uninvited.strength(dealing(60, 40, 1.0, 0.1, **page))[0] == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00001, "0 s"), (0.0234, "0.023 s"), (79.4321, "79.4 s"), (600.0, "10 min"), (3600.0, "60 min"),
        (30626.0, "8.51 h"), (864000.0, "240 h"),
    ],
)  # fmt: skip
def test_how_long_something_went_on_is_told_in_three_digits(seconds: float, text: str) -> None:
    """A person reads `8.51 h`, not `510.433 min`."""
    assert seconds_text(seconds) == text
