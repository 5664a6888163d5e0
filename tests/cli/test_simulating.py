"""`dynseg policy simulate` on an archive in files, and the same for those who ask the engine."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.archived import ENCODER, NET, flow, judged
from support.recorded import inventory_yaml
from support.switch import Site
from support.telemetry import START

from analyzer.archive import files
from analyzer.archive.files import Partition
from analyzer.ledger import Parts
from cli.main import main
from policies.dryrun import DryRun
from policies.requests import CreateParams, SimulateParams

DENY = "rules: [{name: no-sql, action: deny, from: {segment: web}, to: {segment: db}}]\n"
SINCE = str(START - 10)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings, inventory, and an archive of an hour: six flows web1 -> db1, two to the outside."""
    (tmp_path / "inventory.yaml").write_text(inventory_yaml(NET))
    settings = f"inventory: inventory.yaml\nrun_dir: run\nstate_dir: state\narchive: {{folder: {tmp_path}/flows}}\n"
    (tmp_path / "dynseg.yaml").write_text(settings)
    monkeypatch.setenv("DYNSEG_CONFIG", str(tmp_path / "dynseg.yaml"))
    rows = [flow(at=10.0 * number) for number in range(6)]
    rows += [flow("web2", "203.0.113.66", at=70.0 + number) for number in range(2)]
    for place, table in ENCODER.split(judged(rows)).items():
        files.write(Partition(*place).folder(tmp_path / "flows"), 0, table)
    return tmp_path


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["policy", "simulate", *arguments], input=text)


def told(*arguments: str, text: str | None = None) -> Mapping[str, Any]:
    result = run(*arguments, "--since", SINCE, "--json", text=text)
    assert result.exit_code == 0, result.output
    answer: Mapping[str, Any] = json.loads(result.stdout)
    return answer


def flows_of(answer: Mapping[str, Any]) -> dict[str, int]:
    return {outcome: count for outcome, count in answer["flows"].items() if count}


def test_a_file_is_compared_with_what_is_in_force(node: Path) -> None:
    """Where no engine ever ran nothing is in force; what it would drop is shown with a flow."""
    file = node / "policy.yaml"
    file.write_text(DENY)
    answer = told(str(file))
    assert flows_of(answer) == {"permitted": 2, "would be dropped": 6}
    assert (answer["vms"], answer["never_used"]) == (["db1", "web1"], [])
    group = answer["groups"][0]
    assert (group["from"], group["to"], group["service"], group["flows"]) == ("web", "db", "tcp/443", 6)
    assert group["example"]["source"] == "web1 10.0.1.1"
    shown = run(str(file), "--since", SINCE).stdout
    assert "would be dropped: 6" in shown
    assert "web1 10.0.1.1:40000 -> db1 10.0.3.9:443" in shown
    assert run(str(file), "--since", SINCE, "--strict").exit_code == 2
    assert flows_of(told("-", "--against", str(file), text="rules: []")) == {"permitted": 2, "newly allowed": 6}


def test_what_is_in_force_is_read_from_the_engines_database(node: Path) -> None:
    """The policy as it was laid down, and the rules of the moment, while the engine goes on."""
    (node / "state").mkdir()
    site = Site(NET, node / "state" / "dynseg.sqlite")
    site.time.now = START
    site.call("lay_down", text=DENY)
    site.call("isolate", name="web2")
    answer = told("-", text="rules: []")
    assert flows_of(answer) == {"newly allowed": 6, "denied as before": 2}
    site.store.close()


def test_one_rule_is_tried_beside_the_policy(node: Path) -> None:
    """In the form in which it would be posted."""
    answer = told("--rule", '{"action": "isolate", "source_vm": "web2"}')
    assert flows_of(answer) == {"permitted": 6, "would be dropped": 2}
    assert [(use["rule"], use["flows"]) for use in answer["rules"]] == [("simulated", 2)]
    for wrong in ("{", '{"action": "isolate", "source_vm": "web9"}', '{"action": "isolate", "vm": "web1"}'):
        result = run("--rule", wrong)
        assert (result.exit_code, result.stderr.startswith("dynseg: ")) == (1, True), wrong
    assert run().exit_code == 2


def test_a_flow_that_lasts_is_one_flow(node: Path) -> None:
    """The first of its parts counts, or, where that came before the time that is asked for, the first within."""
    rows = judged([flow(at=100.0 * number, seconds=100.0, src_port=7) for number in range(10, 13)])
    parts = Parts(rows.parts.rows, rows.parts.opened, np.arange(3, dtype=np.uint16))
    for place, table in ENCODER.split(type(rows)(parts, rows.decided, rows.score, rows.note, rows.notes)).items():
        files.write(Partition(*place).folder(node / "flows"), 9, table)
    (node / "policy.yaml").write_text(DENY)
    assert flows_of(told(str(node / "policy.yaml")))["would be dropped"] == 7
    result = run(str(node / "policy.yaml"), "--since", str(START + 1050), "--json")
    assert flows_of(json.loads(result.stdout)) == {"would be dropped": 1}


def test_who_asks_the_engine_gets_the_same_answer(node: Path) -> None:
    """By a process of its own, which is given what was asked; its error is the answer's."""
    dry_run = DryRun((sys.executable, "-m", "cli.main", "policy", "simulate"))
    status, answer = dry_run(SimulateParams(text=DENY, since=START - 10, folder=node))
    assert (status, flows_of(answer)) == (200, {"permitted": 2, "would be dropped": 6})
    params = SimulateParams(rule=CreateParams(action="isolate", source_vm="web2"), since=START - 10)
    assert flows_of(dry_run(params)[1])["would be dropped"] == 2
    status, answer = dry_run(SimulateParams(text="rules: [{name: a}]"))
    assert (status, answer["error"].startswith("policy:1: rules.0.")) == (400, True)


def test_the_engine_tries_aside(node: Path, tmp_path: Path) -> None:
    """What was asked reaches the command; an engine without an archive says so."""
    site = Site(NET, tmp_path / "dynseg.sqlite")
    assert site.call("simulate", text=DENY)[0] == 503
    asked: list[SimulateParams] = []

    def dry_run(params: SimulateParams) -> tuple[int, Any]:
        asked.append(params)
        return 200, {"flows": {}}

    site.engine.dry_run = dry_run  # type: ignore[assignment]
    assert site.call("simulate", text=DENY, since=5) == (200, {"flows": {}})
    assert (asked[0].text, asked[0].since) == (DENY, 5.0)
    for params in ({}, {"text": "", "rule": {"action": "deny"}}, {"text": "", "since": -1}):
        assert site.call("simulate", **params)[0] == 400
    site.store.close()
