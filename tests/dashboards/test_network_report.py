"""The network's report: it tells what it was given, asks nobody for anything, and strange names cannot break it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.browser import browse, covered
from support.network_report import START, sample
from support.page import Page

from dashboards.network_report import clock, courses, heat, words
from dashboards.network_report.model import Happening, NetworkReport, Pair, WouldDrop
from dashboards.network_report.page import render
from dashboards.svg import TimeScale


def test_it_tells_what_it_was_given() -> None:
    """Figures, talkers, what was denied, what would have been, and what happened stand on the page."""
    text = Page(render(sample())).text
    for told in ("highest risk 92", "1,204", "tcp/5432", "no-shells-from-web", "88", "web1 isolated", "alice", "24 h"):
        assert told in text


def test_it_asks_nobody_for_anything() -> None:
    """No address of anything outside the page, and every element is closed."""
    page = Page(render(sample()))
    assert [address for address in page.addresses if not address.startswith(("data:", "#"))] == []
    assert page.open == []
    assert "script" not in page.tags


def test_an_empty_time_has_a_page() -> None:
    """Where nothing flowed and nothing happened it says so."""
    empty = NetworkReport(START, START + 60, 10, "nothing", (), {}, (), {}, (), (), ())
    text = Page(render(empty)).text
    for told in ("No VM was worth a look", "No flows", "Nothing was denied", "No traffic"):
        assert told in text


@settings(max_examples=25)
@given(st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=40))
def test_strange_names_stay_text(name: str) -> None:
    """A segment, VM, rule or reason with markup in its name adds no element."""
    plain = sample()
    strange = replace(
        plain,
        risks={name: [(START, 50.0)]},
        happenings=(Happening(START + 1, "isolation", name, f"<b>{name}", name, name),),
        pairs=(Pair(name, "db", 1, 10, 1), Pair("db", "<img src=x>", 1, 1000)),
        would_drop=(WouldDrop(name, None, 1, 1),),
    )
    page = Page(render(strange))
    assert page.open == []
    assert set(page.tags) <= {*Page(render(plain)).tags}


def test_lanes_and_cells_are_bounded() -> None:
    """Thousands of VMs and hundreds of segments make a page of readable size; it says what it leaves out."""
    many = replace(
        sample(),
        risks={f"vm{i}": [(START + 900 * (i % 90), 20.0 + i % 80)] for i in range(2000)},
        happenings=(),
        pairs=tuple(Pair(f"s{i}", f"s{(i * 7) % 200}", 1, i + 1) for i in range(200)),
    )
    html = render(many)
    assert f"the {heat.MOST} of 200 segments" in Page(html).text
    assert f"the riskiest {courses.MOST_LANES} of 2000 VMs" in Page(html).text
    assert len(heat.segments(many.pairs)) == heat.MOST
    assert len(html) < 1_000_000


def test_the_riskiest_come_first_and_outside_comes_last() -> None:
    """Lanes by risk, the heat map by name."""
    drawing = courses.risk(sample())
    assert drawing.index(">web1<") < drawing.index(">db2<")
    assert heat.segments(sample().pairs)[-1] == "outside"


def test_who_was_cut_off_without_any_risk_has_a_lane() -> None:
    """As a person may know more; below those at risk, and alone, too."""
    when = sample().since + 900
    done = (Happening(when, "isolation", "ops1 isolated", "ticket", "alice", "ops1"), Happening(when, "policy", "p"))
    drawing = courses.risk(replace(sample(), happenings=done))
    assert drawing.index(">db2<") < drawing.index(">ops1<")
    assert "ops1 isolated" in drawing
    assert "No VM was worth a look" not in Page(render(replace(sample(), risks={}, happenings=done))).text


@given(st.floats(1, 40 * 86_400))
def test_ticks_are_round_and_apart(seconds: float) -> None:
    """Whatever the range is, labels do not touch and none lies beside the axis."""
    found = clock.ticks(TimeScale(START, START + seconds, 100, 1100))
    places = [x for x, _ in found]
    assert all(b - a >= 79 for a, b in itertools.pairwise(places))
    assert all(100 <= x <= 1101 for x in places)


def test_amounts_read_well() -> None:
    """Decimal units, two digits where there is room for them."""
    assert [words.amount(n) for n in (0, 999, 1000, 12_345, 999_600, 10**9)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "12.3 kB",
        "1.0 MB",
        "1.0 GB",
    ]
    assert [words.stretch(n) for n in (90, 180, 3600, 86_400, 7 * 86_400)] == [
        "90 s",
        "3 min",
        "60 min",
        "24 h",
        "7 days",
    ]


def test_numbers_are_short_and_have_no_powers_of_ten() -> None:
    """Large figures fit their cards, an axis says thousands as people do."""
    assert [words.count(n) for n in (0, 8513, 999_999, 1_234_567, 36_014_125, 2.5e9)] == [
        "0",
        "8,513",
        "999,999",
        "1.2 M",
        "36 M",
        "2.5 G",
    ]
    assert [words.rounded(n) for n in (0, 0.01234, 4.5, 99.96, 1500, 12_345.6)] == [
        "0",
        "0.0123",
        "4.5",
        "100",
        "1,500",
        "12,346",
    ]
    steep = replace(sample(), decisions={"allowed": [(START, 1300.0)]})
    assert "1,500 / s" in courses.flows(steep)


def test_a_picture_says_in_words_what_it_shows() -> None:
    """For who cannot see it: the riskiest VMs, and the most flows a second."""
    html = render(sample())
    assert 'aria-label="Risk of VMs over time; the highest: web1 92, db2 31"' in html
    assert "the most a second: allowed 35, unknown 0.5, denied 30" in html


@pytest.mark.browser
def test_a_browser_draws_it_and_has_nothing_to_object(tmp_path: Path) -> None:
    """Chromium finds all pictures, and neither an error nor a request that the page's own policy forbids."""
    page = tmp_path / "report.html"
    page.write_text(render(sample()), encoding="utf-8")
    shown, console = browse(page)
    assert shown.count('role="img"') == 3
    assert console == ""


@pytest.mark.browser
@pytest.mark.parametrize("segments", [1, 5, 40])
def test_no_words_cover_others(tmp_path: Path, segments: int) -> None:
    """One segment or many, with long names: whatever is written in the pictures can be read."""
    names = [f"customers-of-the-northern-region-{i}" for i in range(segments)]
    wide = replace(
        sample(),
        risks={f"finance-database-replica-{i}": [(START + 900 * i, 90.0)] for i in range(30)},
        pairs=tuple(Pair(name, names[-i], 1, 10**i % 10**9 + 1, i % 2) for i, name in enumerate(names)),
    )
    assert covered(render(wide), tmp_path / "report.html") == []


def test_marks_are_told_apart_by_their_shape() -> None:
    """Who sees no colours sees a flag, a pennant, a swallow-tail, and a flag on the other side."""
    shapes = {courses.flag(kind).replace(colour, "") for kind, colour in courses.MARKS.items()}
    assert len(shapes) == len(courses.MARKS) == 4
