"""The tables of the captures' cases."""

import pytest

from benchmarks.analyzer.calibration import TRAFFIC
from benchmarks.analyzer.cases import calm, delays, held_out, summary, table
from benchmarks.analyzer.pace import SLOWEST, paces, slow

ATTACK = {
    "name": "scan-syn", "family": "ddos", "attack": True, "auc": 0.9996, "background_as_negative": False,
    "tpr_1pct": 0.997, "tpr_01pct": 0.994, "acted": True, "alerted": True, "delay_s": 1234.5, "delay_flows": 97,
    "stopped": 0.9, "false_acted": 0, "victim_hits": 0, "false_alerts": 1,
}  # fmt: skip
MISSED = ATTACK | {"acted": False, "alerted": False, "delay_s": None, "delay_flows": None, "stopped": 0.0}
QUIET = {"name": "benign", "attack": False, "host_days": 1.171, "false_acted": 0, "unsure_acted": 2, "false_alerts": 3}


def test_a_row_tells_what_was_measured() -> None:
    """Rates, delay and what was false; an attack that nobody saw is called so, and cases without one are elsewhere."""
    rows = table([ATTACK, MISSED | {"tpr_1pct": None, "tpr_01pct": None}, QUIET]).splitlines()[2:]
    assert rows[0] == "| scan-syn | 1.000 | 1.00, 0.99 | 1,234, 97 | 0.90 | 0, 0, 1 |"
    assert rows[1] == "| scan-syn | 1.000 | too few negatives | no | 0.00 | 0, 0, 1 |"
    assert len(rows) == 2
    assert calm([ATTACK, QUIET]).splitlines()[2:] == ["| benign | 1.17 | 0, 2, 3 |"]


def test_a_third_of_the_cases_is_held_out_by_its_name_alone() -> None:
    """Whichever cases there are, and always the same."""
    names = [f"case-{number}" for number in range(600)]
    assert 150 < sum(map(held_out, names)) < 250
    assert held_out("voip-scan")
    assert not held_out("scan-syn")


def test_a_summary_takes_means_of_what_is_known() -> None:
    """Cases with too few negatives have no rate and spoil none."""
    said = summary("All", [ATTACK, MISSED | {"tpr_1pct": None, "tpr_01pct": None}, QUIET])
    assert said.startswith("All: 1 of 2 acted on, 1 alerted or acted on")
    assert "TPR 0.997 at 1 %" in said
    assert "0.450 of the flows stopped" in said


def test_slow_is_by_kind_and_for_scans_and_guesses_by_pace() -> None:
    """A scan of one try in six seconds is slow, one of ten in a second is not, nor one of a pace that is not known."""
    scan = ATTACK | {"family": "scan"}
    assert slow(scan, {"scan-syn": 6.0})
    assert not slow(scan, {"scan-syn": 0.1})
    assert not slow(scan, {"another": 6.0})
    assert not slow(ATTACK, {"scan-syn": 6.0}), "a flood never is"
    assert slow(MISSED | {"family": "lateral"}, {})


@pytest.mark.slow
@pytest.mark.skipif(not (TRAFFIC / "protocol.yaml").is_file(), reason="no captures beside the project")
def test_the_pace_of_an_attack_is_that_of_its_own_first_flows() -> None:
    """Of scans and guesses alone: nmap begins its flows at once, a script's logins wait for each other."""
    found = paces(TRAFFIC)
    assert found["scan-syn"] < 0.01
    assert found["bruteforce-ssh"] > SLOWEST
    assert "ddos-synflood" not in found


def test_delays_are_told_apart_for_fast_and_slow() -> None:
    """The median is of the fast ones that were acted on; a slow one is in time by its seconds or by its flows."""
    late = ATTACK | {"family": "lateral", "delay_s": 9000.0, "delay_flows": 30}
    said = delays([ATTACK, MISSED, late, late | {"delay_flows": 60}, QUIET], {})
    assert "2 fast attacks, median 1234.5 s and 97 flows" in said
    assert "1 of 2 slow ones" in said
    assert "none acted on" in delays([MISSED], {})
