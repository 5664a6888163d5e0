"""Whether a recording is of the network that was learned: told early, by what came before, and not by an attacker."""

import logging
from pathlib import Path

import numpy as np
import pytest
from support.recordings import flow, office, row, write

from analyzer import replay
from analyzer.csvflows import read
from analyzer.familiar import Company, company
from analyzer.flows import FlowBatch
from analyzer.replay import Learned, Replayed
from analyzer.site import Site

OFFICE, ELSEWHERE = "10.0.0.", "172.20.9."
BACKUP = [flow(1000.0 + 15 * i, f"{OFFICE}105", "203.0.113.9", 4433, "300,40,280000,2500") for i in range(6)]
"""A lot of data for a stranger, over a service that the office never uses: exfiltration, where that is known."""


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Learned, Site]:
    """What is normal in an office."""
    site = Site.of([])
    train = write(tmp_path_factory.mktemp("office") / "train.csv", office(0, 300, 1))
    return replay.learn([read(train, site)], site), site


def recorded(folder: Path, rows: list[str], site: Site) -> FlowBatch:
    """These rows as a recording of that site."""
    return read(write(folder / "test.csv", rows), site)


def judged(learned: tuple[Learned, Site], folder: Path, rows: list[str]) -> Replayed:
    """What a replay of these rows says, by the office's baseline."""
    known, site = learned
    return replay.judge(known, recorded(folder, rows, site), site)


def company_of(learned: tuple[Learned, Site], folder: Path, rows: list[str]) -> Company:
    """Who has had part in them at each row."""
    known, site = learned
    batch = recorded(folder, rows, site)
    return company(known.vms, known.baseline.known.dealt, batch.rows, np.arange(len(batch)))


def moved(rows: list[str]) -> list[str]:
    """The same in another network."""
    return [line.replace(OFFICE, ELSEWHERE) for line in rows]


def acted_on(result: Replayed) -> set[str]:
    """About whom there is more than an alert."""
    return {rule["subject"] for rule in result.rules if rule["action"] != "alert"}


def test_another_networks_baseline_calls_nothing_new_and_that_is_said(
    learned: tuple[Learned, Site], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Everybody's services are new beside it, so nobody is acted on for that; in its own network it is."""
    rows = [*office(990, 120, 2), *BACKUP]
    with caplog.at_level(logging.WARNING, "dynseg"):
        assert acted_on(judged(learned, tmp_path, rows)) == {f"{OFFICE}105"}
        assert "another network" not in caplog.text
        assert acted_on(judged(learned, tmp_path, moved(rows))) == set()
    assert caplog.text.count("that was another network") == 1
    assert "0 were met in what was learned, and of 1 that began talks 0" in caplog.text
    assert "--train" in caplog.text


def test_a_scan_is_seen_by_another_networks_baseline(learned: tuple[Learned, Site], tmp_path: Path) -> None:
    """What is plain without any learning still is, and nobody else is acted on."""
    scan = [row(1000.0 + i / 100, f"{OFFICE}105", f"{OFFICE}{100 + i % 10}", 1 + i, failed=True) for i in range(300)]
    assert acted_on(judged(learned, tmp_path, moved([*office(990, 60, 2), *scan]))) == {f"{ELSEWHERE}105"}


def test_new_hosts_of_the_same_network_are_judged_by_it(learned: tuple[Learned, Site], tmp_path: Path) -> None:
    """Five times as many as there were, of whom one exfiltrates: some old ones are enough."""
    new = [line.replace(f"{OFFICE}1", f"10.0.{n}.1") for n in range(1, 6) for line in office(990, 120, n)]
    rows = [*office(990, 120, 2), *new, *(line.replace(OFFICE, "10.0.1.") for line in BACKUP)]
    assert company_of(learned, tmp_path, rows).familiar[-1]
    assert "10.0.1.105" in acted_on(judged(learned, tmp_path, rows))


def test_forged_senders_do_not_make_a_network_another(learned: tuple[Learned, Site], tmp_path: Path) -> None:
    """A flood under a thousand addresses of the site, none of which ever gets an answer."""
    flood = [
        flow(1000.0 + i / 1000, f"10.9.{i // 250}.{i % 250}", f"{OFFICE}9", 445, "1,0,60,0", flags="1,0,0,,0")
        for i in range(1000)
    ]
    assert company_of(learned, tmp_path, [*office(990, 30, 2), *flood]).familiar.all()


def test_a_few_addresses_that_agree_by_chance_do_not_make_a_network_this_one(
    learned: tuple[Learned, Site], tmp_path: Path
) -> None:
    """One of twenty has an address that the office knows, and asks others than were asked there."""
    rows = [line.replace(f"{ELSEWHERE}100", f"{OFFICE}100") for line in moved(office(990, 60, 2))]
    who = company_of(learned, tmp_path, rows)
    assert (who.met[-1], who.talking_met[-1], who.again[-1]) == (1, 1, 0)
    assert not who.familiar[-1]


def test_until_somebody_is_answered_names_tell(learned: tuple[Learned, Site], tmp_path: Path) -> None:
    """A recording that begins with a stranger's probes of a VM that was met is of this network; of another's, not."""
    probes = [flow(1000.0 + i, "203.0.113.5", f"{OFFICE}105", 22, "1,0,60,0", flags="1,0,0,,0") for i in range(3)]
    assert company_of(learned, tmp_path, probes).familiar.all()
    assert not company_of(learned, tmp_path, moved(probes)).familiar.any()


def test_a_newcomer_that_alone_is_answered_does_not_make_a_network_another(
    learned: tuple[Learned, Site], tmp_path: Path
) -> None:
    """Of the others only what they send was recorded, as some exporters do."""
    alone = [row(1010.0, f"{OFFICE}200", f"{OFFICE}9", 22)]
    one_way = [flow(1000.0 + i, f"{OFFICE}{100 + i}", f"{OFFICE}9", 445, "3,0,180,0") for i in range(10)]
    who = company_of(learned, tmp_path, [*one_way, *alone])
    assert (who.talking[-1], who.talking_met[-1]) == (1, 0)
    assert who.familiar.all()


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
def test_a_prefix_gives_the_prefix_of_the_output(learned: tuple[Learned, Site], tmp_path: Path, share: float) -> None:
    """Also where the recording begins as another network's and turns out to be this one."""
    rows = sorted([*moved(office(990, 20, 3)), *office(1012, 40, 2), *BACKUP], key=lambda r: float(r.split(",")[1]))
    whole = judged(learned, tmp_path, rows)
    assert len(set(company_of(learned, tmp_path, rows).familiar.tolist())) == 2
    some = judged(learned, tmp_path, rows[: int(share * len(rows))])
    assert some.scores.tolist() == whole.scores[: len(some.scores)].tolist()
    assert some.rules == whole.rules[: len(some.rules)]
