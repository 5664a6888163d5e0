"""`dynseg report` from a node's own records, and from a server of metrics."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.archived import ENCODER, NET, flow, judged
from support.metrics import filled
from support.page import Page
from support.recorded import inventory_yaml
from support.switch import Site
from support.telemetry import START

from analyzer.archive import files
from analyzer.archive.decisions import Decision
from analyzer.archive.files import Partition
from cli.main import main
from policies.store import Entry, Store

OBSERVED = """
rules:
  - {name: no-sql, action: deny, from: {segment: web}, to: {segment: db}, mode: observe}
"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings, a policy with an observed rule, an archive of a minute, and an audit log with a detection."""
    (tmp_path / "inventory.yaml").write_text(inventory_yaml(NET))
    (tmp_path / "dynseg.yaml").write_text("inventory: inventory.yaml\nrun_dir: run\nstate_dir: state\n")
    monkeypatch.setenv("DYNSEG_CONFIG", str(tmp_path / "dynseg.yaml"))
    (tmp_path / "state").mkdir()
    database = tmp_path / "state/dynseg.sqlite"
    site = Site(NET, database)
    site.call("lay_down", text=OBSERVED, actor="alice")
    site.store.close()
    store = Store(database)
    about = {"vm": "web1", "risk": 91.0, "behaviour": "scan", "reasons": ["tried 30"], "time": START + 40, "count": 1}
    store.write([Entry(START + 40, "analyzer", "detection", about)])
    rule = {"rule": "r1", "action": "isolate", "source_vm": "web1", "state": "installing", "reasons": ["tried 30"]}
    store.write([Entry(START + 41, "analyzer", "admitted", rule)])
    store.close()
    rows = [judged([flow(at=10.0 * n, src_bytes=500) for n in range(6)])]
    rows.append(judged([flow("web1", "db1", at=45.0 + n, dst_port=22) for n in range(3)], Decision.DENIED))
    for number, batch in enumerate(rows):
        for place, table in ENCODER.split(batch).items():
            files.write(Partition(*place).folder(tmp_path / "state/flows"), number, table)
    return tmp_path


def run(node: Path, *arguments: str, about: Sequence[float] = (START - 10, START + 110)) -> Result:
    since, until = (f"{moment:.3f}" for moment in about)
    options = ("--since", since, "--until", until, "--out", str(node / "report.html"))
    return CliRunner().invoke(main, ["report", *options, *arguments])


def text(node: Path) -> str:
    return Page((node / "report.html").read_text()).text


def test_a_nodes_records_make_a_page(node: Path) -> None:
    """Risk, the isolation, denied flows by service, and what the observed rule would have dropped."""
    result = run(node)
    assert result.exit_code == 0, result.output
    assert "flow archive and audit log" in result.stdout
    page = text(node)
    assert "highest risk 91" in page
    assert "web1 isolated tried 30 analyzer" in page
    assert "web db tcp/22 3" in page
    assert "web → db tcp/443 6" in page
    assert "web db 3.0 kB 6" in page


def test_a_node_that_has_recorded_no_flow_yet_has_a_page(node: Path) -> None:
    """What happened is told all the same, and where flows would be it says that there are none."""
    shutil.rmtree(node / "state/flows")
    result = run(node)
    assert result.exit_code == 0, result.output
    page = text(node)
    assert "web1 isolated tried 30 analyzer" in page
    for told in ("No flows.", "No traffic.", "No flow has been recorded yet."):
        assert told in page


def test_a_dash_is_standard_output(node: Path) -> None:
    """Just the page, so that it can be sent on."""
    result = run(node, "--out", "-")
    assert result.exit_code == 0
    assert result.stdout.startswith("<!doctype html>")
    assert result.stdout.rstrip().endswith("</html>")
    assert not (node / "report.html").exists()


def test_times_are_held_to(node: Path) -> None:
    """What lies before `--since` or after `--until` is not on the page."""
    assert run(node, about=(START - 10, START + 30)).exit_code == 0
    page = text(node)
    assert "Nothing was denied" in page
    assert "web1" not in page
    assert run(node, about=(START + 20, START + 20)).exit_code == 2


def test_a_server_that_is_not_there_is_told_and_the_records_are_read(
    node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it was asked for by name: then that is an error with a remedy."""
    monkeypatch.setenv("DYNSEG_METRICS__URL", "http://127.0.0.1:9")
    result = run(node)
    assert result.exit_code == 0, result.output
    assert "no metrics from http://127.0.0.1:9" in result.stderr
    assert "highest risk 91" in text(node)
    result = run(node, "--from", "metrics")
    assert result.exit_code == 1
    assert "metrics.url" in result.stderr


def test_no_server_and_no_records_are_errors_in_words(node: Path) -> None:
    """No server is named; no node has ever run here; the page cannot be written."""
    assert "say --from records" in run(node, "--from", "metrics").stderr
    result = run(node, "--out", str(node / "no/such/folder.html"))
    assert result.exit_code == 1
    assert "name another with --out" in result.stderr
    shutil.rmtree(node / "state")
    result = run(node)
    assert result.exit_code == 1
    assert "no audit database" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.cluster
def test_a_server_makes_a_page(node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded run of the lab: who attacked, what was done, what the observed rule would have dropped."""
    with filled(tmp_path / "influxdb") as made:
        monkeypatch.setenv("DYNSEG_METRICS__URL", made.place.url)
        for about in ((made.since, made.until), (made.until - 24 * 3600, made.until + 300)):
            result = run(node, about=about)
            assert result.exit_code == 0, result.output
            assert result.stderr == ""
            page = text(node)
            assert "web1 isolated" in page
            assert "no-shells-from-web" in page
            assert "rules in the switches 100 %" in page
