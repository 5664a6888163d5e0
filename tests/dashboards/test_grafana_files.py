"""Grafana's dashboards: what is committed is what the code says, Grafana's own types agree, no link leads nowhere."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.grafana_types import panels, program

from dashboards import queries, resolutions
from dashboards.grafana_code import files
from dashboards.grafana_code.__main__ import FOLDER, main
from dashboards.metrics.schema import BY_NAME, NODE

BUILT_IN = {"timeFilter", "__interval", "__range_ms", "__url_time_range", "__field", "__data", "tag"}
"""What Grafana itself puts in the place of a variable, or of a macro; `$tag_vm` is an alias of InfluxDB's plugin."""


def load() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


DASHBOARDS = load()


def targets(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(what it is for, query) of panels and annotations."""
    for panel in panels(dashboard):
        yield from ((panel["title"], target) for target in panel["targets"])
    yield from ((each["name"], each["target"]) for each in dashboard["annotations"]["list"])


def test_what_is_committed_is_what_the_code_says() -> None:
    """Otherwise `make dashboards` was forgotten."""
    assert files.stale(FOLDER, files.all_files()) == []
    assert sorted(DASHBOARDS) == sorted(files.DASHBOARDS)


def test_a_stale_missing_or_strange_file_is_found_and_put_right(tmp_path: Path) -> None:
    """`--check` fails on it, and writing makes the folder hold just what the code says."""
    assert main(["--out", str(tmp_path)]) == 0
    assert main(["--out", str(tmp_path), "--check"]) == 0
    (tmp_path / "vm.json").write_text("{}")
    (tmp_path / "vfn.json").unlink()
    (tmp_path / "old.json").write_text("{}")
    assert files.stale(tmp_path, files.all_files()) == ["old.json", "vfn.json", "vm.json"]
    assert main(["--out", str(tmp_path), "--check"]) == 1
    assert main(["--out", str(tmp_path)]) == 0
    assert main(["--out", str(tmp_path), "--check"]) == 0


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_variable_that_is_used_is_there(name: str) -> None:
    """In queries, titles, links, and the queries of other variables; and every variable is used."""
    dashboard = DASHBOARDS[name]
    there = {variable["name"] for variable in dashboard["templating"]["list"]}
    text = json.dumps({**dashboard, "templating": {"list": [v.get("query") for v in dashboard["templating"]["list"]]}})
    used = {braced or bare for braced, bare in re.findall(r"\$(?:\{(\w+)|([a-zA-Z]\w*|__\w+))", text)}
    used = {"tag" if each.startswith("tag_") else each for each in used}
    assert used - BUILT_IN <= there
    assert there - set(resolutions.VARIABLES) <= used


@pytest.mark.parametrize("name", DASHBOARDS)
def test_links_lead_to_dashboards_that_take_what_they_bring(name: str) -> None:
    """The dashboard with that uid has every variable that the link sets."""
    by_uid = {each["uid"]: each for each in DASHBOARDS.values()}
    links = re.findall(r'"/d/([\w-]+)\?([^"]*)"', json.dumps(DASHBOARDS[name]))
    for uid, query in links:
        there = {variable["name"] for variable in by_uid[uid]["templating"]["list"]}
        assert set(re.findall(r"&var-(\w+)=", query)) <= there
    if name == "overview":
        assert {uid for uid, _ in links} >= {"dynseg-vm", "dynseg-segment", "dynseg-vfn", "dynseg-pipeline"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_queries_ask_for_what_is_written(name: str) -> None:
    """Each measurement, tag and field that a query names is one of the schema."""
    for title, target in targets(DASHBOARDS[name]):
        text = target["query"].replace("${pairs}", "dynseg_flows")
        measurements = re.findall(r'"(dynseg_\w+)"', text)
        assert measurements, title
        known = {"value", "latest", "largest", "policy", "five_minutes", resolutions.RAW, NODE}
        for measurement in measurements:
            known |= {measurement, *BY_NAME[measurement].tags, *(field.name for field in BY_NAME[measurement].fields)}
        named = set(re.findall(r'(?<!AS )"(\w+)"', text)) - set(re.findall(r'AS "(\w+)"', text))
        assert named <= known, (title, named - known)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_say_what_they_mean_and_lie_beside_each_other(name: str) -> None:
    """Every panel has a title, a meaning and a unit where it draws numbers; none covers another."""
    covered: set[tuple[int, int]] = set()
    for panel in panels(DASHBOARDS[name]):
        assert panel["title"]
        assert panel["description"].endswith((".", "."))
        assert panel["type"] == "table" or panel["fieldConfig"]["defaults"]["unit"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & covered, panel["title"]
        covered |= cells
    assert len({panel["id"] for panel in DASHBOARDS[name]["panels"]}) == len(DASHBOARDS[name]["panels"])


def test_alerts_name_dashboards_measurements_and_runbooks(root_dir: Path) -> None:
    """Each leads somewhere, asks for what is written, and has a severity."""
    uids = {each["uid"] for each in DASHBOARDS.values()}
    groups = yaml.safe_load((FOLDER / "provisioning/alerting/dynseg.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len({rule["uid"] for rule in rules}) == len(rules) >= 6
    for rule in rules:
        file, _, heading = rule["annotations"]["runbook_url"].partition("#")
        assert f"### {rule['title']}\n" in (root_dir / file).read_text()
        assert heading == rule["title"].lower().replace(" ", "-")
        assert rule["annotations"]["__dashboardUid__"] in uids
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        query = rule["data"][0]["model"]["query"]
        (measurement,) = re.findall(r'"(dynseg_\w+)"', query)
        fields = {field.name for field in BY_NAME[measurement].fields}
        assert set(re.findall(r'\w+\("(\w+)"\)', query)) <= fields
        assert "$" not in query.replace("$timeFilter", "")


def test_risks_below_which_nothing_is_done_are_the_documented_ones() -> None:
    """The queries' thresholds are the colours' steps."""
    from dashboards.grafana_code import look

    assert queries.ACTING_RISK in [value for value, _ in look.RISK_STEPS]


def test_grafanas_own_types_agree(tmp_path: Path, root_dir: Path) -> None:
    """`tsc` finds nothing wrong with dashboards, panels' options, queries and annotations."""
    modules = root_dir / "deploy/grafana/node_modules"
    if shutil.which("node") is None or not (modules / "@grafana/schema").exists():
        pytest.skip("Grafana's types are not installed: deploy/setup.sh --dev")
    (tmp_path / "node_modules").symlink_to(modules)
    assert check(tmp_path, DASHBOARDS, modules) == ""
    broken = json.loads(json.dumps(DASHBOARDS))
    broken["vm"]["panels"][0]["options"]["legend"]["displayMode"] = "sideways"
    broken["vfn"]["refresh"] = 10
    found = check(tmp_path, broken, modules)
    assert "sideways" in found
    assert "'number' is not assignable" in found


def check(folder: Path, dashboards: Mapping[str, Mapping[str, Any]], modules: Path) -> str:
    """What `tsc` says."""
    (folder / "check.ts").write_text(program(dashboards))
    options = ("--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022")
    command = [str(modules / ".bin/tsc"), *options, "check.ts"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False).stdout
