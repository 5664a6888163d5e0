"""What the dashboards ask, asked of a real InfluxDB that a run of the lab has filled: every panel shows something."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from support.grafana_types import panels
from support.metrics import Filled, filled

from dashboards import queries, resolutions
from dashboards.grafana_code.__main__ import FOLDER
from dashboards.influxql import InfluxQl, Series, Span

pytestmark = pytest.mark.cluster

NOTHING_HAPPENED = {
    ("pipeline", "Processes down"),
    ("detection", "False alarms"),
    ("detection", "False alarms by behaviour"),
}
"""Panels that are rightly empty: what they count did not happen in the run."""
NO_ROLLUP = re.compile(r'FROM "dynseg_events"')


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled(tmp_path_factory.mktemp("influxdb")) as made:
        yield made


@pytest.fixture(scope="module")
def client(run: Filled) -> Iterator[InfluxQl]:
    with InfluxQl(run.place) as made:
        yield made


def load() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


DASHBOARDS = load()
TARGETS = [
    pytest.param(name, panel, target, id=f"{name}: {panel['title']} {target['refId']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in panels(dashboard)
    for target in panel["targets"]
]
CHOSEN: Mapping[str, Sequence[str]] = {"segment": ["web"], "vm": ["web1"], "vfn": ["leaf1", "leaf2"], "node": ["lab"]}


def looked_at(run: Filled, policy: str) -> tuple[Span, Mapping[str, Sequence[str]]]:
    step = 10 if policy == resolutions.RAW else resolutions.FINE_SECONDS
    return Span(run.since, run.until, step), {**CHOSEN, **resolutions.Resolution(1, policy, step).variables()}


@pytest.mark.parametrize("policy", [resolutions.RAW, resolutions.FINE])
@pytest.mark.parametrize(("name", "panel", "target"), TARGETS)
def test_every_panel_shows_something(
    run: Filled, client: InfluxQl, name: str, panel: dict[str, Any], target: dict[str, Any], policy: str
) -> None:
    """Series with numbers within their bounds, the tags that its alias and links name, from fine and coarse points."""
    found = client.ask(target["query"], *looked_at(run, policy))
    if (name, panel["title"]) in NOTHING_HAPPENED:
        assert not found
        return
    assert found
    assert all(series.rows for series in found)
    named = set(re.findall(r"\$tag_(\w+)", target.get("alias", "")))
    links = set(re.findall(r"__field\.labels\.(\w+)", json.dumps(panel["fieldConfig"])))
    columns = {name for series in found for name in series.columns} | {name for series in found for name in series.tags}
    assert named | links <= columns
    assert set(re.findall(r"__data\.fields\.(\w+)", json.dumps(panel["fieldConfig"]))) <= columns
    overridden = {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]} - {"Time"}
    if target["resultFormat"] == "table":
        assert overridden <= columns
    bounds(panel, found)


def bounds(panel: dict[str, Any], found: list[Series]) -> None:
    """Nothing is negative; what has an upper end stays below it."""
    for series in found:
        for name in {"value", "largest"} & set(series.columns):
            values = series.numbers(name)
            values = values[values == values]  # noqa: PLR0124 - NaN is not itself
            assert (values >= 0).all()
            if (top := panel["fieldConfig"]["defaults"].get("max")) is not None:
                assert (values <= top).all()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_variable_has_values(run: Filled, client: InfluxQl, name: str) -> None:
    """Its query, as Grafana asks it for the range that is shown, lists what there is."""
    expected = {"segment": {"app", "db", "ops", "web"}, "vfn": {"core", "leaf1", "leaf2", "leaf3"}, "node": {"lab"}}
    for variable in DASHBOARDS[name]["templating"]["list"]:
        if variable["type"] != "query":
            continue
        for hours in (0.5, 24):
            text = variable["query"].replace("$__range_ms", str(int(hours * 3.6e6)))
            found = [row[1] for series in client.ask(text, Span(run.since, run.until)) for row in series.rows]
            if variable.get("hide") == 2:
                assert [str(each) for each in found] == resolutions.suiting(hours * 3600).variables()[variable["name"]]
            else:
                assert set(found) >= expected.get(variable["name"], {"web1", "db1"})


@pytest.mark.parametrize("name", DASHBOARDS)
def test_annotations_tell_what_happened(run: Filled, client: InfluxQl, name: str) -> None:
    """The isolation, the release and the policy of the run are lines on every graph, with a title and a text."""
    told = {}
    for each in DASHBOARDS[name]["annotations"]["list"]:
        target = each["target"]
        found = client.ask(target["query"], *looked_at(run, resolutions.RAW))
        columns = {target["titleColumn"], target["textColumn"], *target["tagsColumn"].split(",")}
        assert all(columns <= set(series.columns) for series in found)
        told[each["name"]] = [row for series in found for row in series.dicts()]
    assert {row["kind"] for row in told["Isolations and releases"]} >= {"isolation", "release"}
    assert {row["vm"] for row in told["Isolations and releases"]} == {"web1", "web2"}
    assert [row["title"] for row in told["Policy"]] == ["policy version 1"]


def test_the_run_looks_as_it_was(run: Filled, client: InfluxQl) -> None:
    """Attackers are the riskiest, what web was denied at db is on top of the denied, all rules are in the switches."""
    span, variables = looked_at(run, resolutions.RAW)

    def rows(query: str) -> list[dict[str, Any]]:
        return [row for series in client.ask(query, span, variables) for row in series.dicts()]

    risky = sorted(rows(queries.SEGMENT_VMS), key=lambda row: -row["risk"])
    assert {row["vm"] for row in risky[:2]} == {"web1", "web2"}
    assert rows(queries.HIGHEST_RISK)[0]["value"] >= queries.ACTING_RISK
    denied = max(rows(queries.PAIRS_DENIED), key=lambda row: row["flows"])
    assert (denied["src_segment"], denied["dst_segment"]) == ("web", "db")
    assert rows(queries.CUT_OFF)[0]["value"] >= 1
    assert rows(queries.ENFORCED)[-1]["value"] == 1
    assert [row["rule"] for row in rows(queries.WOULD_DROP) if row["packets"]] == ["no-shells-from-web"]
    talkers = rows(queries.TALKERS)
    assert talkers[0]["largest"] == max(row["largest"] for row in talkers)


def test_coarse_points_add_up_to_fine_ones(run: Filled, client: InfluxQl) -> None:
    """Down-sampling loses no packet and no peak."""
    for query in (queries.FLOWS_DENIED, queries.HIGHEST_RISK, queries.VMS_AT_RISK):
        fine = client.ask(query, *looked_at(run, resolutions.RAW))[0].numbers("value")
        _, variables = looked_at(run, resolutions.FINE)
        coarse = client.ask(query, Span(run.since - 300, run.until + 300), variables)[0].numbers("value")
        assert fine[0] == coarse[0] > 0


@pytest.mark.parametrize("query", [queries.RULES, queries.CUT_OFF, queries.ENFORCED, queries.VFN_STATE, queries.STARTS])
def test_how_things_stand_is_told_by_the_finest_points_there_are(run: Filled, client: InfluxQl, query: str) -> None:
    """By fine ones alone where there are any, whatever the range; by coarse ones where those are gone."""
    span, variables = looked_at(run, resolutions.FINE)
    fine = re.sub(r', "\$\{coarse\}"\."\w+"', "", query)
    assert fine != query
    assert client.ask(query, span, variables) == client.ask(fine, span, variables) != []
    gone = re.sub(r'FROM ("\w+"), ', rf'FROM "{resolutions.FOREVER}".\1, ', query)
    assert gone != query
    assert client.ask(gone, span, variables) != []
