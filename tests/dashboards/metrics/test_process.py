"""A whole node: control starts the writer, which writes what engine and analyzer tell; all are exposed, and log."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.control import Node, until

from mininet_labs.stores import InfluxDb
from runtime.tokens import Role

pytestmark = pytest.mark.cluster

PROCESSES = ("control", "engine", "analyzer", "metrics")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDb]:
    with InfluxDb(tmp_path_factory.mktemp("influx")) as store:
        httpx.post(f"{store.url}/query", params={"q": "CREATE DATABASE dynseg"}).raise_for_status()
        yield store


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, store: InfluxDb) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("node"), manage_bridges=False)
    node.settings["metrics"] = {"url": store.url, "api": "v1", "interval_seconds": 1, "node": "n1"}
    node.settings["log_format"] = "json"
    node.write_settings()
    try:
        node.start()
        node.wait_up()
        until(node.both, "all processes are there")
        yield node
        node.end()
    finally:
        node.clean_up()
        pid = node.run_dir / "metrics.pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGKILL)


def rows(store: InfluxDb, query: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{store.url}/query", params={"db": "dynseg", "q": query}).raise_for_status().json()
    return [
        dict(zip(series["columns"], values, strict=True)) | series.get("tags", {})
        for series in answer["results"][0].get("series", ())
        for values in series["values"]
    ]


def test_every_process_has_its_points(node: Node, store: InfluxDb) -> None:
    """All four are up, with processor time and memory; VFNs that are away are told as that."""

    def up() -> list[dict[str, Any]] | None:
        found = rows(
            store, 'SELECT last("up") AS "up", last("memory_bytes") AS "m" FROM "dynseg_process" GROUP BY "process"'
        )
        # InfluxDB reads field by field: of a point that it takes meanwhile it may have found one only.
        there = {row["process"] for row in found if row["up"] and row["m"] is not None}
        return found if there == set(PROCESSES) else None

    assert all(row["m"] > 1e6 for row in until(up, "all four are up"))
    vfns = rows(store, 'SELECT last("connected") AS "there" FROM "dynseg_enforcement" GROUP BY "vfn"')
    assert {(row["vfn"], row["there"]) for row in vfns} == {("alpha", 0), ("beta", 0)}


def test_an_isolation_is_an_annotation_and_a_number(node: Node, store: InfluxDb) -> None:
    """What a person does shows within seconds, whatever is in the reason, with rule, VM, segment and actor."""
    reason = 'it "scans", = everything\\ 🦊'
    answer = node.ask("POST", "/v1/vms/web1/isolate", Role.OPERATOR, json={"reason": reason})
    assert answer.status_code == 201

    def event() -> dict[str, Any] | None:
        found = rows(store, "SELECT * FROM \"dynseg_events\" WHERE kind = 'isolation'")
        return found[0] if found else None

    found = until(event, "the isolation is on the graphs")
    assert found["text"] == reason.replace("\\", "\N{FULLWIDTH REVERSE SOLIDUS}")
    assert (found["vm"], found["segment"], found["vfn"]) == ("web1", "web", "alpha")
    assert (found["rule"], found["actor"]) == (answer.json()["id"], "operator")
    query = 'SELECT last("rules") AS "rules" FROM "dynseg_rules" GROUP BY "action", "issuer"'
    until(lambda: any(row["action"] == "isolate" and row["rules"] == 1 for row in rows(store, query)), "it is counted")


def test_a_process_that_dies_shows_and_comes_back(node: Node, store: InfluxDb) -> None:
    """The analyzer killed: a point says that it is down, then up again, started once more; nothing else stops."""
    before = len(rows(store, 'SELECT "written" FROM "dynseg_writer"'))
    os.kill(node.processes()["analyzer"]["pid"], signal.SIGSTOP)
    down = 'SELECT "up" FROM "dynseg_process" WHERE "process" = \'analyzer\' AND "up" = 0'
    try:
        seen = len(rows(store, down))
        until(lambda: len(rows(store, down)) > seen, "it does not answer", 30)
    finally:
        os.kill(node.processes()["analyzer"]["pid"], signal.SIGKILL)
    starts = 'SELECT last("starts") AS "n" FROM "dynseg_process" WHERE "process" = \'analyzer\' AND "up" = 1'
    until(lambda: any(row["n"] >= 2 for row in rows(store, starts)), "it is up again", 60)
    assert len(rows(store, 'SELECT "written" FROM "dynseg_writer"')) > before


@pytest.mark.parametrize("process", PROCESSES)
def test_prometheus_reads_what_each_process_exposes(node: Node, process: str) -> None:
    """Over control, for viewers only; its own tool finds nothing to complain about."""
    path = "/metrics" if process == "control" else f"/metrics/{process}"
    answer = until(lambda: (a := node.ask("GET", path, Role.VIEWER)).status_code == 200 and a, "it answers")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert families["dynseg_build_info"].samples[0].labels["process"] == process
    assert node.ask("GET", path, None).status_code == 401
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=answer.content, capture_output=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_nobody_else_is_exposed(node: Node) -> None:
    """A process that there is not is 404, with what there is."""
    answer = node.ask("GET", "/metrics/database")
    assert answer.status_code == 404
    assert "analyzer" in answer.json()["remedy"]


def test_levels_change_in_all_processes_or_in_one(node: Node) -> None:
    """For operators; a wrong level or process is 400 and changes nothing."""
    answer = node.ask("PUT", "/v1/log-level", Role.OPERATOR, json={"level": "DEBUG", "logger": "dynseg.engine"})
    assert {told["levels"].get("dynseg.engine") for told in answer.json().values()} == {"DEBUG"}
    assert set(answer.json()) == set(PROCESSES)
    body = {"level": "INHERIT", "logger": "dynseg.engine", "process": "analyzer"}
    levels = node.ask("PUT", "/v1/log-level", Role.OPERATOR, json=body).json()
    assert "dynseg.engine" not in levels["analyzer"]["levels"]
    assert levels["engine"]["levels"]["dynseg.engine"] == "DEBUG"
    body = {"level": "DEBUG", "logger": "dynseg.channel", "process": "engine"}
    assert "DEBUG" in node.ask("PUT", "/v1/log-level", Role.OPERATOR, json=body).text
    log = node.run_dir / "engine.log"
    until(lambda: '"level": "debug"' in log.read_text(), "messages are told of while the process runs")
    back = node.ask("PUT", "/v1/log-level", Role.OPERATOR, json=body | {"level": "INHERIT"}).json()
    assert "dynseg.channel" not in back["engine"]["levels"]
    levels = node.ask("GET", "/v1/log-level", Role.VIEWER).json()
    for wrong in (
        {"level": "LOUD"},
        {"level": "INFO", "process": "database"},
        {"level": "INFO", "process": "metrics", "x": 1},
    ):
        problem = node.ask("PUT", "/v1/log-level", json=wrong)
        assert (problem.status_code, set(problem.json())) == (400, {"error", "remedy"})
    assert node.ask("GET", "/v1/log-level", Role.VIEWER).json() == levels
    assert node.ask("PUT", "/v1/log-level", Role.VIEWER, json={"level": "DEBUG"}).status_code == 403


def test_a_rule_leads_through_the_logs(node: Node) -> None:
    """`dynseg log trail` prints what the engine said about a rule, in order; every line of its log is JSON."""
    rule = node.ask("POST", "/v1/rules", json={"action": "deny", "source_ip": "203.0.113.9"}).json()["id"]
    node.ask("DELETE", f"/v1/rules/{rule}")
    log = node.run_dir / "engine.log"
    until(lambda: f'"{rule}"' in log.read_text() and '"released"' in log.read_text(), "it is in the log")
    for line in log.read_text().splitlines():
        json.loads(line)
    command = [Path(sys.executable).with_name("dynseg"), "log", "trail", rule]
    done = subprocess.run(command, env=node.environment, capture_output=True, text=True, timeout=60, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert next(event["event"] for event in events if event["logger"] == "dynseg.engine.audit") == "admitted"
    assert "released" in {event["event"] for event in events}
    assert {event["rule"] for event in events if "rule" in event} == {rule}
