"""A plant: one master asks six stations the same for ever, and whom anybody talks to is settled."""

import random

import pytest
from support.recordings import flow, write

from analyzer import replay
from analyzer.csvflows import read
from analyzer.replay import Replayed
from analyzer.site import Site

MASTER, STATIONS = "10.1.0.100", [f"10.1.0.{n}" for n in range(101, 107)]
BEGIN = 1000.0
"""When something happens: the judged plant is from 900 to 1060, what was learned from 0 to 300."""


def polling(begin: float, seconds: int, seed: int, port: int = 502) -> list[str]:
    """A short question a second to one station after the other."""
    chance = random.Random(seed)
    return [
        flow(begin + i + chance.uniform(0, 0.1), MASTER, STATIONS[i % 6], port,
             f"{6 + i % 2},{5 + i % 2},{420 + chance.randint(0, 9)},{380 + chance.randint(0, 9)}",
             source_port=42000 + i if port else 0, flags="2,2,0,9,3" if port else ",,,,")
        for i in range(seconds)
    ]  # fmt: skip


@pytest.fixture(scope="module", params=[502, 0], ids=["with ports", "without ports"])
def plant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """What replay makes of the plant with more rows in it, and the port that it is polled at."""
    folder, site = tmp_path_factory.mktemp("plant"), Site.of([])
    train = write(folder / "train.csv", polling(0, 300, 1, request.param))
    learned = replay.learn([read(train, site)], site)

    def run(rows: list[str]) -> Replayed:
        test = write(folder / "test.csv", [*polling(900, 160, 2, request.param), *rows])
        return replay.judge(learned, read(test, site), site)

    return run, request.param


def acting(result: Replayed) -> set[tuple[str, str]]:
    """Subjects and actions of rules that act."""
    return {(rule["subject"], rule["action"]) for rule in result.rules if rule["action"] != "alert"}


def test_the_plant_alone_leads_to_nothing(plant) -> None:
    """No rule, not even an alert."""
    assert plant[0]([]).rules == []


def test_a_station_that_turns_to_another_is_restricted(plant) -> None:
    """Two connections that were never there, to a service that is; where nobody knows who began, nobody is."""
    run, port = plant
    rows = [
        flow(BEGIN + 3 * i, STATIONS[0], STATIONS[3], port, "20,18,1400,1300", source_port=5000 + i if port else 0)
        for i in range(4)
    ]
    assert acting(run(rows)) == ({(STATIONS[0], "restrict")} if port else set())


def test_a_document_that_is_moved_between_stations_is_seen_at_its_end(plant) -> None:
    """One connection, over a service that was never used."""
    run, _ = plant
    moved = [flow(BEGIN, STATIONS[1], STATIONS[4], 4444, "65,33,77000,2500", seconds=20.0, flags="2,0,0,99,9")]
    assert acting(run(moved)) == {(STATIONS[1], "restrict")}


def test_opening_packets_that_rain_on_a_station_are_the_doing_of_who_sent_them(plant) -> None:
    """Told of without ports, the target first: not its doing."""
    run, _ = plant
    rain = [
        flow(BEGIN + i / 2, STATIONS[2], "10.1.0.200", 0, "0,150,0,6600", seconds=0.4, source_port=0, flags=",,,,")
        for i in range(40)
    ]
    assert acting(run(rain)) == {("10.1.0.200", "restrict"), ("10.1.0.200", "isolate")}
