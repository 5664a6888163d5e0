"""Commands about the policy, against a running control; the peer behind it answers as the engine does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.control import Node, answered

from cli.main import main

CALLS: list[Mapping[str, Any]] = []
POLICY = {"version": 3, "state": "enforced", "actor": "anna", "vfns": {"alpha": True}, "text": "rules: []\n"}
ZERO = {"allowed": 0, "answers": 0, "denied": 0, "observed": 0}
HITS = [
    {
        "rule": "sql",
        "kind": "policy",
        "action": "allow",
        "mode": "enforce",
        "packets": {**ZERO, "allowed": 7, "answers": 5},
        "bytes": {**ZERO, "allowed": 700, "answers": 500},
        "vfns": {"alpha": {"packets": {**ZERO, "allowed": 2}, "bytes": {**ZERO, "allowed": 200}}},
    }
]
EXPLAINED = {
    "policy": {"verdict": "allow", "rule": "sql"},
    "vfns": [{"vfn": "alpha", "by": "tables", "verdict": "allow", "table": "ENFORCEMENT", "rules": ["sql"]}],
    "agree": True,
    "disagreements": [],
}


def answer(call: Mapping[str, Any]) -> tuple[int, Any]:
    """What the engine would answer, in small."""
    CALLS.append(call)
    match call["method"]:
        case "policy" | "lay_down" | "rollback":
            return 200, POLICY
        case "policy_history":
            return 200, [{"version": 3, "state": "enforced", "actor": "anna"}]
        case "policy_diff":
            gone = {"part": "rules", "name": "sql", "change": "removed"}
            return 200, {"from": 1, "to": 2, "changes": [gone], "files": ["bad.txt"], "text": ""}
        case "hits":
            return 200, HITS
        case "restrictions":
            origin = {"issuer": "bert", "why": "spam", "since": 1.8e9, "until": None}
            row: dict[str, Any] = {"rule": "no-mail", "kind": "policy", "direction": "from", "other": "outside"}
            return 200, [{**row, **origin, "hits": {**ZERO, "denied": 7}}]
        case "trace_plan":
            return 200, []
        case "explain":
            loud = {"agree": False, "disagreements": ["VFN alpha: its tables say allow, its switch says drop"]}
            return 200, {**EXPLAINED, **(loud if call["params"]["source"] == "odd1" else {})}
    return 404, {"error": "no method", "remedy": "none"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with answered(tmp_path_factory.mktemp("policies"), answer) as node:
        yield node


def run(node: Node, *arguments: str) -> Result:
    CALLS.clear()
    return CliRunner().invoke(main, arguments, env={"DYNSEG_CONFIG": str(node.folder / "dynseg.yaml")})


def asked(method: str) -> Mapping[str, Any]:
    found = [call for call in CALLS if call["method"] == method]
    assert len(found) == 1
    params: Mapping[str, Any] = found[0]["params"]
    return params


def test_apply_sends_the_text_and_where_its_lists_are(node: Node, tmp_path: Path) -> None:
    """The file as it is, and its own folder."""
    file = tmp_path / "policy.yaml"
    file.write_text("# mine\nrules: []\n")
    result = run(node, "policy", "apply", str(file))
    assert result.exit_code == 0, result.output
    assert asked("lay_down") == {"text": "# mine\nrules: []\n", "folder": str(tmp_path), "file": str(file)}
    assert "version: 3" in result.stdout


def test_show_prints_the_text_as_it_was_written(node: Node) -> None:
    """After the facts; an earlier version by its number."""
    result = run(node, "policy", "show", "--version", "2")
    assert asked("policy") == {"version": 2}
    assert result.stdout.endswith("\n\nrules: []\n")
    assert json.loads(run(node, "policy", "show", "--json").stdout) == POLICY


def test_check_needs_no_control(node: Node, tmp_path: Path) -> None:
    """A good file is counted, a bad one is one line with its place; nobody is asked."""
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("rules: [{name: a, action: allow, from: any, to: any, mode: observe}]")
    bad.write_text("rules: [{name: a, action: allow, from: any, to: {vm: web11}}]")
    result = run(node, "policy", "check", str(good))
    assert (result.exit_code, "observed: 1" in result.stdout) == (0, True)
    result = run(node, "policy", "check", str(bad))
    assert result.exit_code == 1
    assert f"{bad}:1: rules.0.to.vm: rule a: no VM 'web11'" in result.stderr
    assert CALLS == []


def test_hits_are_a_table_of_sums(node: Node) -> None:
    """Of all VFNs, or of one."""
    lines = run(node, "hits").stdout.splitlines()
    assert lines[0].split() == ["rule", "kind", "action", "mode", "allowed", "answers", "denied", "observed", "bytes"]
    assert lines[1].split() == ["sql", "policy", "allow", "enforce", "7", "5", "0", "0", "1200"]
    assert run(node, "hits", "--vfn", "alpha").stdout.splitlines()[1].split()[4:] == ["2", "0", "0", "0", "200"]
    assert json.loads(run(node, "hits", "--json").stdout) == HITS


def test_explain_asks_about_one_packet(node: Node) -> None:
    """Every option is part of the question."""
    options = ["--protocol", "udp", "--port", "53", "--source-port", "9", "--answer", "--source-address", "10.9.9.9"]
    result = run(node, "explain", "web1", "192.0.2.7", *options)
    assert result.exit_code == 0, result.output
    question = {"protocol": "udp", "port": 53, "source_port": 9, "answer": "true", "source_address": "10.9.9.9"}
    assert asked("trace_plan") == {"source": "web1", "destination": "192.0.2.7", **question}
    assert "rule: sql" in result.stdout
    assert "ENFORCEMENT" in result.stdout


def test_a_disagreement_is_loud(node: Node) -> None:
    """On the error output, with exit status 1."""
    result = run(node, "explain", "odd1", "web1")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == ["DISAGREEMENT: VFN alpha: its tables say allow, its switch says drop"]


def test_history_and_rollback_are_requests(node: Node) -> None:
    """Where to go back to, from what, and why."""
    result = run(node, "policy", "history", "--limit", "3")
    assert asked("policy_history") == {"limit": 3}
    assert result.stdout.splitlines()[0].split() == ["version", "state", "actor"]
    run(node, "policy", "rollback", "2", "--base", "3", "--reason", "worse")
    assert asked("rollback") == {"version": 2, "base_version": 3, "reason": "worse"}


def test_diff_of_versions_is_a_request_and_of_files_is_none(node: Node, tmp_path: Path) -> None:
    """A file against the version in force needs only its text."""
    result = run(node, "policy", "diff", "1", "2")
    assert asked("policy_diff") == {"from": 1, "to": 2}
    assert result.stdout.splitlines() == ["part   name  change", "rules  sql   removed", "the file bad.txt was another"]
    file = tmp_path / "policy.yaml"
    file.write_text("rules: [{name: a, action: allow, from: any, to: any}]\n")
    rows = json.loads(run(node, "policy", "diff", str(file), "--json").stdout)["changes"]
    assert [(row["name"], row["change"]) for row in rows] == [("a", "removed")]
    assert "-rules: [{name: a" in run(node, "policy", "diff", str(file), "--text").stdout


def test_export_can_be_applied_again_from_its_version_only(node: Node) -> None:
    """As it was written, or as JSON."""
    assert run(node, "policy", "export").stdout == "base_version: 3\nrules: []\n"
    assert json.loads(run(node, "policy", "export", "--format", "json", "--version", "3").stdout) == {"base_version": 3}


def test_apply_says_from_which_version_it_is_made(node: Node, tmp_path: Path) -> None:
    """As a number in the request."""
    file = tmp_path / "policy.yaml"
    file.write_text("rules: []\n")
    run(node, "policy", "apply", str(file), "--base", "2", "--reason", "new shop")
    params = asked("lay_down")
    assert (params["base_version"], params["reason"]) == (2, "new shop")


def test_the_schema_is_printed_as_it_is_published(node: Node) -> None:
    """For editors."""
    published = Path(__file__).parents[2] / "docs" / "policy.schema.json"
    assert run(node, "policy", "schema").stdout == published.read_text()


def test_explain_of_a_vm_lists_what_restricts_it(node: Node) -> None:
    """Instead of a packet, never both."""
    lines = run(node, "explain", "--vm", "web1").stdout.splitlines()
    assert asked("restrictions") == {"name": "web1"}
    assert lines[0].split() == ["rule", "kind", "direction", "other", "denied", "issuer", "why", "since"]
    assert lines[1].split()[:5] == ["no-mail", "policy", "from", "outside", "7"]
    for wrong in ([], ["web1"], ["web1", "db1", "--vm", "web1"]):
        assert run(node, "explain", *wrong).exit_code == 2


def test_templates_are_listed_and_filled_in(node: Node) -> None:
    """Checked against the network before they are printed; what is missing is told."""
    assert "vendor-access: A vendor reaches one VM for two hours" in run(node, "policy", "template").stdout
    result = run(node, "policy", "template", "vendor-access", "--set", "vendor=198.51.100.7", "--set", "vm=web1")
    assert result.exit_code == 0, result.output
    assert "- name: vendor-web1\n" in result.stdout
    result = run(node, "policy", "template", "vendor-access", "--set", "vendor=198.51.100.7", "--set", "vm=web9")
    assert (result.exit_code, "no VM 'web9'" in result.stderr) == (1, True)
    assert "to be filled in: vendor" in run(node, "policy", "template", "vendor-access").stderr
    assert run(node, "policy", "template", "vendor-access", "--set", "vm").exit_code == 2


def test_network_policies_are_imported(node: Node, tmp_path: Path) -> None:
    """Printed as a policy that `check` takes."""
    file = tmp_path / "k8s.yaml"
    spec = "metadata: {name: a}\nspec: {podSelector: {}, policyTypes: [Ingress]}\n"
    file.write_text(f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n{spec}")
    result = run(node, "policy", "import", "k8s", str(file), "--segment", "web")
    assert result.exit_code == 0, result.output
    assert "name: web.a.ingress-else" in result.stdout
    assert "no namespace" in run(node, "policy", "import", "k8s", str(file)).stderr
