"""Commands that ask control, against a running one; the peers behind it answer as engine and analyzer do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.control import ROOT, Node, answered, free_port

from cli.main import main
from runtime.tokens import Role

RULE = {
    "id": "0123456789ab",
    "state": "enforced",
    "action": "isolate",
    "source_vm": "web1",
    "scope": "all",
    "risk": 91.5,
    "created": 1_790_000_000.0,
    "reasons": ["200 ports of db1 in 1.2 s", "no answer from 99 %"],
    "vfns": ["alpha"],
}
FLOW = {"start": 1_790_000_000.0, "proto": "tcp", "src": "10.9.0.1", "dst": "10.9.0.2", "dst_port": 80, "failed": False}
CALLS: list[Mapping[str, Any]] = []


def answer(call: Mapping[str, Any]) -> tuple[int, Any]:
    """What a real process would answer, in small."""
    CALLS.append(call)
    params = call["params"]
    match call["method"]:
        case "rules":
            return 200, [RULE] if params.get("state") != "failed" else []
        case "rule":
            return (
                (200, RULE) if params["id"] == RULE["id"] else (404, {"error": "no such rule", "remedy": "list them"})
            )
        case "isolate" if params["name"] == "dns1":
            return 409, {"error": "dns1 is protected", "remedy": "take `protected` out of the inventory"}
        case "flows":
            return 200, [FLOW]
        case "status":
            return 200, {"phase": "judging"}
        case _:
            return 200, {"asked": call["method"], **params}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with answered(tmp_path_factory.mktemp("cli"), answer) as node:
        yield node


def run(node: Node, *arguments: str, **environment: str) -> Result:
    CALLS.clear()
    settings = str(node.folder / "dynseg.yaml")
    return CliRunner().invoke(main, arguments, env={"DYNSEG_CONFIG": settings, "DYNSEG_TOKEN": None, **environment})


@pytest.mark.parametrize(
    ("arguments", "method", "params"),
    [
        (["vfns"], "vfns", {}),
        (["vms"], "vms", {}),
        (["vm", "web1"], "vm", {"name": "web1"}),
        (["vm", "a b?c"], "vm", {"name": "a b?c"}),
        (["flows", "web1", "--limit", "3"], "flows", {"vm": "web1", "limit": 3}),
        (["names", "web1", "--limit", "3"], "names", {"name": "web1", "limit": 3}),
        (["evidence"], "evidence", {"limit": 50}),
        (["verdicts"], "verdicts", {"limit": 50}),
        (["rules", "--state", "live"], "rules", {"state": "live"}),
        (["rules"], "rules", {}),
        (["isolate", "web1"], "isolate", {"name": "web1"}),
        (
            ["isolate", "web1", "--scope", "all", "--seconds", "60", "--reason", "scan"],
            "isolate",
            {"name": "web1", "scope": "all", "seconds": 60.0, "reason": "scan"},
        ),
        (
            ["allow", "10.9.0.1", "db1", "--port", "5432", "--protocol", "tcp"],
            "create",
            {"action": "allow", "source_ip": "10.9.0.1", "destination_vm": "db1", "port": 5432, "protocol": "tcp"},
        ),
        (["deny", "203.0.113.66"], "create", {"action": "deny", "source_ip": "203.0.113.66"}),
        (["release", "0123456789ab"], "release", {"id": "0123456789ab"}),
        (
            ["rules", "release", "0123456789ab", "--false-alarm", "--reason", "backup"],
            "release",
            {"id": "0123456789ab", "false_alarm": "true", "reason": "backup"},
        ),
        (["rules", "approve", "0123456789ab"], "approve", {"id": "0123456789ab"}),
        (["rules", "reject", "0123456789ab", "--reason", "no"], "reject", {"id": "0123456789ab", "reason": "no"}),
        (["hold", "on", "--reason", "exercise"], "hold", {"on": True, "reason": "exercise"}),
        (["hold", "off"], "hold", {"on": False}),
        (["modes"], "modes", {}),
        (
            [
                "modes",
                "--overall",
                "as-set",
                "--segment",
                "web=observe",
                "--segment",
                "db=as-set",
                "--action",
                "deny=propose",
            ],
            "set_modes",
            {"overall": None, "segments": {"web": "observe", "db": None}, "actions": {"deny": "propose"}},
        ),
        (["limit", "web1", "--rate", "50"], "create", {"action": "rate_limit", "source_vm": "web1", "rate": 50}),
        (["limit", "203.0.113.66"], "create", {"action": "rate_limit", "source_ip": "203.0.113.66"}),
        (
            ["limit", "fd00::7", "--mode", "observe"],
            "create",
            {"action": "rate_limit", "source_ip": "fd00::7", "mode": "observe"},
        ),
        (
            ["restrict", "web1", "--peer", "10.0.0.0/24,tcp,443", "--peer", "10.0.1.1", "--mode", "propose"],
            "create",
            {
                "action": "restrict",
                "source_vm": "web1",
                "peers": [{"net": "10.0.0.0/24", "protocol": "tcp", "port": 443}, {"net": "10.0.1.1"}],
                "mode": "propose",
            },
        ),
        (
            ["steer", "web1", "trap1", "--mirror"],
            "create",
            {"action": "steer", "source_vm": "web1", "target": "trap1", "mirror": True},
        ),
    ],
)
def test_each_command_asks_what_it_says(
    node: Node, arguments: list[str], method: str, params: Mapping[str, Any]
) -> None:
    """One command, one call, by the operator of the tokens file."""
    result = run(node, *arguments)
    assert result.exit_code == 0, result.output
    assert [(call["method"], call["params"], call["role"]) for call in CALLS] == [(method, params, "operator")]


def test_a_table_is_for_people(node: Node) -> None:
    """Headings, one rule a line, columns that no rule has left out."""
    lines = run(node, "rules").stdout.splitlines()
    assert lines[0].split() == ["id", "state", "action", "source", "vm", "scope", "risk", "reasons"]
    assert lines[1].startswith("0123456789ab  enforced  isolate")
    assert "200 ports of db1" in lines[1]
    assert run(node, "rules", "--state", "failed").stdout.strip() == "none"


def test_a_sheet_has_every_field(node: Node) -> None:
    """One rule, with its reasons whole."""
    output = run(node, "rule", "0123456789ab").stdout
    assert "reasons: 200 ports of db1 in 1.2 s; no answer from 99 %" in output
    assert "created: 2026-" in output


def test_json_is_for_programs(node: Node) -> None:
    """--json prints the answer as it came."""
    assert json.loads(run(node, "rules", "--json").stdout) == [RULE]
    assert json.loads(run(node, "flows", "web1", "--json").stdout) == [FLOW]


def test_status_shows_all_three(node: Node) -> None:
    """Control's part and what the others say."""
    output = run(node, "status").stdout
    assert "control:" in output
    assert "alpha: no" in output
    assert "phase: judging" in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rule", "ffffffffffff"], "dynseg: no such rule (list them)"),
        (["isolate", "dns1"], "dynseg: dns1 is protected (take `protected` out of the inventory)"),
    ],
)
def test_a_refusal_is_one_line_and_status_1(node: Node, arguments: list[str], said: str) -> None:
    """Error and remedy as the process gave them."""
    result = run(node, *arguments)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [said]


@pytest.mark.parametrize(
    "arguments",
    [
        ["isolate"],
        ["isolate", "web1", "--scope", "none"],
        ["allow", "10.9.0.1"],
        ["restrict", "web1"],
        ["restrict", "web1", "--peer", "10.0.0.1,tcp,https"],
        ["modes", "--segment", "web"],
        ["modes", "--action", "deny=perhaps"],
        ["hold"],
        ["flows", "x", "--limit", "0"],
        ["nope"],
    ],
)
def test_a_usage_error_is_status_2(node: Node, arguments: list[str]) -> None:
    """What click finds is never sent."""
    assert run(node, *arguments).exit_code == 2
    assert CALLS == []


def test_the_token_of_the_environment_wins(node: Node) -> None:
    """A viewer's token may look and may not touch; a wrong one opens nothing."""
    viewer = node.token(Role.VIEWER)
    assert run(node, "rules", DYNSEG_TOKEN=viewer).exit_code == 0
    refused = run(node, "isolate", "web1", DYNSEG_TOKEN=viewer)
    assert (refused.exit_code, refused.stderr) == (
        1,
        "dynseg: the token viewer is a viewer's (show one of an operator)\n",
    )
    assert "no valid token" in run(node, "rules", DYNSEG_TOKEN="x" * 43).stderr


def test_a_control_that_does_not_run_is_told(node: Node) -> None:
    """The address that was tried, and how to start it."""
    result = run(node, "status", DYNSEG_REST__PORT=str(free_port()))
    assert result.exit_code == 1
    assert "control does not answer at http://127.0.0.1:" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_no_proxy_stands_between_it_and_this_machine(node: Node) -> None:
    """Whatever the environment says: it would be shown the token, and knows another machine by this name."""
    nobody = f"http://127.0.0.1:{free_port()}"
    assert run(node, "vms", HTTP_PROXY=nobody, http_proxy=nobody, NO_PROXY="", no_proxy="").exit_code == 0


def test_something_else_at_the_port_is_told(node: Node) -> None:
    """The OpenFlow port speaks no HTTP."""
    result = run(node, "status", DYNSEG_REST__PORT=str(node.openflow))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_without_a_tokens_file_the_way_to_one_is_told(node: Node) -> None:
    """Before the first start of control there is none."""
    result = run(node, "status", DYNSEG_STATE_DIR="elsewhere")
    assert result.exit_code == 1
    assert "set DYNSEG_TOKEN" in result.stderr


def test_the_command_line_loads_neither_ryu_nor_eventlet(node: Node) -> None:
    """Asking, and the commands that start other processes, keep control's libraries out."""
    code = (
        "import sys; from click.testing import CliRunner; from cli.main import main;"
        "result = CliRunner().invoke(main, ['rules', '--json']); assert result.exit_code == 0, result.output;"
        "import analyzer.replay, ryu_apps.wire.codec;"
        "print([name for name in ('ryu', 'eventlet') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=node.environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
