"""The report page: all that a reader needs is on it, it asks nobody for anything, and strange data cannot break it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.browser import browse, covered
from support.page import Page
from support.report import START, failing, sample

from dashboards.model import DemoReport, ProbeSeries, ReportLink, ReportRule, RiskPoint
from dashboards.report import render
from dashboards.strips import cells, loss_words, runs
from dashboards.svg import TimeScale
from dashboards.timeline_view import FLAG, spread
from dashboards.topology_view import levels_of, place


@pytest.fixture(scope="module")
def good() -> Page:
    return Page(render(sample()))


def test_every_part_of_the_run_is_on_the_page(good: Page) -> None:
    """Rules with all their reasons, every check, VM, probe, moment and audit row can be read."""
    data = sample()
    wanted = [rule.id for rule in data.rules] + [reason for rule in data.rules for reason in rule.reasons]
    wanted += [check.name for check in data.checks] + [check.text for check in data.checks]
    wanted += [vm.name for vm in data.vms] + [host.name for host in data.outside] + list(data.vfns)
    wanted += [moment.text for moment in data.moments] + [row.text for row in data.audit]
    wanted += [f"{series.source} → {series.target}" for series in data.probes]
    wanted += ["1.42 s", "1.87 s", "2.31 s", "10 of 214 entries", "all 8 checks hold"]
    assert [text for text in wanted if text not in good.text] == []


def test_isolated_and_released_vms_are_named_with_their_rule(good: Page) -> None:
    """The topology says which rule cut a VM off, and which VM is back."""
    for text in ("isolated · 77b0c1d2", "isolated · a10b20c3", "released · 3f2a9c01", "dns1 protected"):
        assert text in good.text


def test_the_page_is_whole_and_asks_nobody(good: Page) -> None:
    """Every element is closed, there is no script, and no address leads anywhere."""
    assert good.open == []
    assert "script" not in good.tags
    assert good.addresses == ["data:,"]
    assert "url(" not in render(sample())


def test_failures_are_said_first() -> None:
    """A run that failed says so at its top, and names the false rule and the attack that nobody answered."""
    text = Page(render(failing())).text
    assert text.index("1 of 8 checks fail") < text.index("What failed") < text.index("Topology")
    for part in ("2 of 3: data pushed outside was not seen", "not contained", "nothing: a false rule"):
        assert part in text
    assert "checks hold" not in text


def test_nothing_in_the_data_becomes_markup() -> None:
    """Names and reasons that look like HTML are shown as they are."""
    evil = '</svg><script src="http://203.0.113.1/x.js"></script>"\'&'
    data = sample()
    rule = replace(data.rules[0], reasons=(evil,), attack=evil)
    vm = replace(data.vms[0], name=evil, isolated_by=rule.id)
    attack = replace(data.attacks[0], vm=evil, name=evil)
    hostile = replace(data, title=evil, vms=(vm, *data.vms[1:]), rules=(replace(rule, vm=evil),), attacks=(attack,))
    page = Page(render(hostile))
    assert "script" not in page.tags
    assert page.addresses == ["data:,"]
    assert evil in page.text


def test_an_empty_run_still_has_a_page() -> None:
    """A run that failed before anything happened can be reported."""
    empty = DemoReport("nothing", START, START, {}, (), (), (), (), ())
    assert "No rule was issued." in Page(render(empty)).text


NAMES = st.sampled_from(["a", "b", "c"])
TIMES = st.floats(START - 5, START + 200)


@settings(max_examples=25)
@given(
    st.lists(st.builds(RiskPoint, TIMES, NAMES, st.floats(-10, 200), st.text(max_size=5)), max_size=8),
    st.lists(
        st.builds(ReportRule, st.text(max_size=12), NAMES, NAMES, TIMES, st.none() | TIMES, st.none() | TIMES),
        max_size=3,
    ),
    st.lists(st.tuples(TIMES, st.booleans()), max_size=20),
)
def test_any_run_gives_a_whole_page(
    risk: list[RiskPoint], rules: list[ReportRule], probe: list[tuple[float, bool]]
) -> None:
    """Whatever order and times the evidence has, the page is drawn and every element closed."""
    series = ProbeSeries("p", "a", "b", "innocent", [t for t, _ in probe], [lost for _, lost in probe])
    vms = tuple(replace(sample().vms[0], name=name) for name in "abc")
    data = replace(sample(), vms=vms, risk=tuple(risk), rules=tuple(rules), probes=(series,))
    assert Page(render(data)).open == []


@given(st.lists(st.tuples(st.floats(0, 50), st.booleans()), max_size=60))
def test_strips_lose_and_invent_no_probe(probe: list[tuple[float, bool]]) -> None:
    """Cells and merged runs hold exactly the probes that were sent and lost."""
    probe.sort()
    series = ProbeSeries("p", "a", "b", "innocent", [START + t for t, _ in probe], [lost for _, lost in probe])
    row = cells(series)
    for view in (row, list(runs(row))):
        assert sum(cell.sent for cell in view) == len(probe)
        assert sum(cell.lost for cell in view) == sum(lost for _, lost in probe)
        assert all(one.end <= other.start + 1e-6 for one, other in pairwise(view))


def test_runs_end_where_the_state_changes_or_sending_pauses() -> None:
    """A block of losses and a pause are both to be seen at their true times."""
    times = [START + n / 100 for n in range(300)] + [START + 5 + n / 100 for n in range(100)]
    lost = [100 <= n < 200 for n in range(400)]
    merged = list(runs(cells(ProbeSeries("p", "a", "b", "attacker", times, lost))))
    assert [(round(run.start - START, 1), round(run.end - START, 1), run.state) for run in merged] == [
        (0.0, 1.0, "passed"),
        (1.0, 2.0, "lost"),
        (2.0, 3.0, "passed"),
        (5.0, 6.0, "passed"),
    ]


def test_loss_in_words() -> None:
    """An innocent's loss is lost, an attacker's is blocked."""
    series = ProbeSeries("p", "a", "b", "innocent", range(4000), [n == 7 for n in range(4000)])
    assert loss_words(series) == "1 of 4,000 lost (0.025 %)"
    assert loss_words(replace(series, kind="attacker")) == "1 of 4,000 blocked (0.025 %)"
    assert loss_words(replace(series, lost=[False] * 4000)) == "0 of 4,000 lost"


@given(st.floats(0.5, 5000), st.floats(20, 120))
def test_ticks_are_round_ordered_and_apart(seconds: float, room: float) -> None:
    """Labels of the time axis never run into each other and stay on it."""
    scale = TimeScale(START, START + seconds, 100, 1100)
    places = [x for x, _ in scale.ticks(room, START)]
    assert places
    assert all(100 <= x <= 1100.01 for x in places)
    assert all(b - a >= room - 0.01 for a, b in pairwise(places))


@given(st.lists(st.floats(200, 1140), max_size=12))
def test_flags_do_not_cover_each_other(places: list[float]) -> None:
    """Flags keep their order, stand a flag's width apart, and do not move where there is room."""
    moved = spread(places)
    assert len(moved) == len(places)
    in_order = [x for _, x in sorted(zip(places, moved, strict=True))]
    assert all(b - a >= FLAG - 1e-6 for a, b in pairwise(in_order))
    if all(b - a >= FLAG for a, b in pairwise(sorted(places))):
        assert moved == places


def test_the_best_connected_vfn_is_on_top() -> None:
    """Levels follow the distance from the core; parts without a link to it come below."""
    assert levels_of(sample()) == [["core"], ["leaf1", "leaf2", "leaf3"]]
    chain = replace(sample(), vfns=("x", "y", "z", "alone"), links=(ReportLink("x", "y"), ReportLink("y", "z")))
    assert levels_of(chain) == [["y"], ["x", "z"], ["alone"]]


def test_cards_do_not_overlap() -> None:
    """No VFN's card covers another's, and all lie on the picture."""
    cards, width, height = place(sample())
    boxes = [(card.x, card.y, card.x + card.width, card.y + card.height) for card in cards.values()]
    assert all(x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height for x0, y0, x1, y1 in boxes)
    for number, (ax0, ay0, ax1, ay1) in enumerate(boxes):
        for bx0, by0, bx1, by1 in boxes[number + 1 :]:
            assert ax1 <= bx0 or bx1 <= ax0 or ay1 <= by0 or by1 <= ay0


@pytest.mark.browser
def test_a_browser_draws_it_and_has_nothing_to_object(tmp_path: Path) -> None:
    """Chromium finds all pictures, and neither an error nor a request that the page's own policy forbids."""
    page = tmp_path / "report.html"
    page.write_text(render(sample()), encoding="utf-8")
    shown, console = browse(page)
    assert shown.count("<svg") == 5
    assert "all 8 checks hold" in shown
    assert console == ""


def test_a_step_that_a_stronger_one_stood_for_is_no_release(good: Page) -> None:
    """Nobody was free when it ended: its mark is not drawn, and the table says which rule stood for it."""
    assert "stronger: 3f2a9c01" in good.text
    assert good.words.count("released") == 1
    assert good.words.count("restricted, isolated") == 1, "in the whole run they stand too close to be apart"


@pytest.mark.browser
@pytest.mark.parametrize("seconds", [0.03, 0.3, 3.0, 30.0])
def test_no_words_cover_others(tmp_path: Path, seconds: float) -> None:
    """However close a VM's rules follow each other, their words can be read, as can all others of the pictures."""
    data = sample()
    step, rule, *others = data.rules
    times = [data.attacks[0].start + 1 + n * seconds for n in range(3)]
    rules = (
        replace(step, created=times[0], enforced=times[0], released=times[1]),
        replace(rule, created=times[1], enforced=times[1], released=times[2]),
    )
    assert covered(render(replace(data, rules=(*rules, *others))), tmp_path / "report.html") == []


@pytest.mark.browser
def test_the_pages_own_policy_forbids_requests(tmp_path: Path) -> None:
    """If markup with an outside address ever came into the page, the browser would refuse to fetch it."""
    page = tmp_path / "report.html"
    page.write_text(
        render(sample()).replace("</body>", '<img src="http://203.0.113.1/x.png"></body>'), encoding="utf-8"
    )
    assert "203.0.113.1" in browse(page)[1]
