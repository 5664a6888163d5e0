"""The REST interface of a running control; the peers behind it answer with what they were asked."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from support.control import ON_THIS_MACHINE, Node, Peer, until

from runtime.tokens import Role
from ryu_apps.routes import ROUTES, Route

MAX_BODY = 1 << 20


def answer(call: Mapping[str, Any]) -> tuple[int, Any]:
    """What was asked; a missing VM is 404; the time line of risk comes as text."""
    if call["method"] == "risk":
        return 200, f'[{{"since": {call["params"].get("since", 0)}}}]'.encode()
    if call["method"] == "trace_plan":
        item = {"vfn": "alpha", "bridge": "alpha", "flow": "tcp,in_port=1", "states": ["trk,new"]}
        return (200, [item]) if call["params"].get("source") != "nobody" else (400, {"error": "who?", "remedy": "-"})
    if call["params"].get("name") == "nobody":
        return 404, {"error": "no VM nobody", "remedy": "see `dynseg vms`"}
    return 200, {key: call[key] for key in ("method", "params", "actor", "role")}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("rest"), manage_bridges=False) as node:
        node.run_dir.mkdir()
        engine, analyzer = (Peer(node.run_dir / f"{name}.sock", answer) for name in ("engine", "analyzer"))
        try:
            node.start()
            node.wait_up()
            engine.wait("hello", role="control")
            analyzer.wait("hello", role="control")
            yield node
        finally:
            engine.close()
            analyzer.close()


def path_of(route: Route) -> str:
    named = {"{name}": "web1", "{vm}": "web1", "{id}": "0123456789ab", "{process}": "engine"}
    path = route.path
    for parameter, value in named.items():
        path = path.replace(parameter, value)
    return path


def problem(response: httpx.Response) -> Mapping[str, str]:
    assert response.headers["Content-Type"].startswith("application/json")
    assert set(response.json()) == {"error", "remedy"}
    value: Mapping[str, str] = response.json()
    return value


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
@pytest.mark.parametrize("role", [None, *Role])
def test_each_route_is_for_its_role_and_those_above(node: Node, route: Route, role: Role | None) -> None:
    """The whole matrix: no token 401, too low a role 403, else the answer."""
    response = node.ask(route.verb, path_of(route), role)
    expected = 401 if role is None else 200 if role.covers(route.role) else 403
    assert response.status_code == expected
    if expected != 200:
        assert problem(response)["remedy"]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer nonsense", "Basic {token}", "{token}", "Bearer {token}x", "Bearer {half}"],
)
def test_only_a_whole_bearer_token_opens(node: Node, header: str) -> None:
    """Other schemes, parts of a token and nothing at all are 401, which names the scheme."""
    token = node.token(Role.ADMIN)
    headers = {"Authorization": header.format(token=token, half=token[:20])}
    response = httpx.get(f"http://127.0.0.1:{node.rest}/v1/vms", headers=headers, **ON_THIS_MACHINE)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert token not in response.text


def test_path_query_and_body_become_params(node: Node) -> None:
    """The process gets one set of params, the token's name as actor, and its role."""
    flows = node.ask("GET", "/v1/vms/web1/flows?limit=7", Role.VIEWER).json()
    assert flows == {"method": "flows", "params": {"vm": "web1", "limit": 7}, "actor": "viewer", "role": "viewer"}
    isolate = node.ask("POST", "/v1/vms/web1/isolate", Role.OPERATOR, json={"scope": "all", "seconds": 5}).json()
    assert isolate["method"] == "isolate"
    assert isolate["params"] == {"name": "web1", "scope": "all", "seconds": 5}


def test_what_the_process_answers_is_the_answer(node: Node) -> None:
    """Status and value pass through, a value or its text alike."""
    assert node.ask("GET", "/v1/risk?since=7.5").json() == [{"since": 7.5}]
    response = node.ask("GET", "/v1/vms/nobody")
    assert response.status_code == 404
    assert problem(response)["error"] == "no VM nobody"


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/v1/rules/", 404),
        ("PUT", "/v1/rules", 405),
        ("DELETE", "/v1/status", 405),
        ("GET", "/v1/vms/../../etc/passwd", 404),
    ],
)
def test_unknown_paths_and_verbs_are_told_in_json(node: Node, verb: str, path: str, status: int) -> None:
    """Also what is not there has error and remedy."""
    response = node.ask(verb, path)
    assert response.status_code == status
    problem(response)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=ten", "limit=-1", "limit=1e3", "limit=", "limits=1", "limit=9" + "9" * 5000],
)
def test_a_wrong_query_is_refused(node: Node, query: str) -> None:
    """Numbers out of range, texts and unknown keys are 400 and named."""
    response = node.ask("GET", f"/v1/verdicts?{query}")
    assert response.status_code == 400
    assert "limit" in problem(response)["error"]


@pytest.mark.parametrize("since", ["x", "-1", "nan", "inf", ""])
def test_a_wrong_time_is_refused_in_words(node: Node, since: str) -> None:
    """What Python says of such a text is not for people."""
    told = problem(node.ask("GET", f"/v1/risk?since={since}"))
    assert told == {"error": "query parameter 'since' is wrong", "remedy": "it must be seconds since 1970"}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"7",
        b'"text"',
        b'{"seconds": NaN}',
        b'{"seconds": Infinity}',
        b"\xff\xfe",
        b'{"name": "other"}',
        b"[" * 100_000,
    ],
)
def test_a_wrong_body_is_refused(node: Node, body: bytes) -> None:
    """What is no JSON object, or says again what the path says, is 400."""
    response = node.ask("POST", "/v1/vms/web1/isolate", content=body)
    assert response.status_code == 400
    problem(response)


def test_a_body_over_the_limit_is_refused_unread(node: Node) -> None:
    """One byte more than 1 MiB is 413; a body that does not tell its length is 411 rather than taken for none."""
    assert node.ask("POST", "/v1/rules", content=b" " * MAX_BODY).status_code == 200
    assert node.ask("POST", "/v1/rules", content=b" " * (MAX_BODY + 1)).status_code == 413
    assert node.ask("POST", "/v1/rules", content=iter([b"{}"])).status_code == 411


def test_status_has_a_part_for_each_process(node: Node) -> None:
    """Control tells its own, the others are asked."""
    status = node.ask("GET", "/v1/status", Role.VIEWER).json()
    assert set(status) == {"control", "engine", "analyzer"}
    assert status["control"]["vfns"] == {"alpha": False, "beta": False}
    assert status["control"]["hub_lag_ms"] >= 0
    assert status["engine"]["method"] == status["analyzer"]["method"] == "status"


def test_rubbish_at_the_rest_port_does_no_harm(node: Node) -> None:
    """Bytes that are no HTTP are answered or dropped; the next request works."""
    for rubbish in (b"\0" * 4096, b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/rules HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", node.rest), timeout=5) as sock:
            sock.sendall(rubbish)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
    assert node.ask("GET", "/v1/vms").status_code == 200


def test_a_process_that_is_away_is_503_with_a_remedy(tmp_path: Any) -> None:
    """No engine: its routes say so, the analyzer's still work."""
    with Node(tmp_path, manage_bridges=False) as node:
        node.run_dir.mkdir()
        engine = Peer(node.run_dir / "engine.sock", lambda _call: None)
        analyzer = Peer(node.run_dir / "analyzer.sock", answer)
        try:
            node.start()
            node.wait_up()
            engine.wait("hello")
            analyzer.wait("hello")
            silent = node.ask("GET", "/v1/vms")
            assert silent.status_code == 503
            assert "did not answer within 5 s" in problem(silent)["error"]
            engine.close()
            (node.run_dir / "engine.sock").mkdir()  # whoever starts now cannot listen there
            gone = until(lambda: _away(node), "the engine is seen to be away")
            assert problem(gone)["remedy"]
            assert node.ask("GET", "/v1/verdicts").status_code == 200
            assert "error" in node.ask("GET", "/v1/status").json()["engine"]
        finally:
            engine.close()
            analyzer.close()


def _away(node: Node) -> httpx.Response | None:
    response = node.ask("GET", "/v1/vms")
    return response if "away" in json.dumps(response.json()) else None


def test_explain_asks_the_engine_the_switches_and_the_engine_again(node: Node) -> None:
    """What switches answer goes to the engine beside the question; who is not on this machine is not asked."""
    value = node.ask("GET", "/v1/explain?source=web1&destination=db1&port=5432&answer=true", Role.VIEWER).json()
    assert value["method"] == "explain"
    assert value["params"] == {
        "source": "web1",
        "destination": "db1",
        "port": 5432,
        "answer": "true",
        "traces": {"alpha": {"error": "its switch is not on this machine"}},
    }
    assert node.ask("GET", "/v1/explain?source=nobody&destination=db1", Role.VIEWER).status_code == 400
    for query in ("protocol=gre", "answer=yes", "port=65536", "traces=x"):
        assert node.ask("GET", f"/v1/explain?{query}", Role.VIEWER).status_code == 400


def test_a_policy_may_be_twice_as_long_as_other_bodies(node: Node) -> None:
    """As text within JSON, up to its own limit."""
    text = "#" * (3 << 19)
    value = node.ask("PUT", "/v1/policy", json={"text": text}).json()
    assert (value["method"], value["params"]) == ("lay_down", {"text": text})
    assert node.ask("PUT", "/v1/policy", content=b" " * (2 << 20)).status_code == 200
    assert node.ask("PUT", "/v1/policy", content=b" " * ((2 << 20) + 1)).status_code == 413


def test_if_match_says_from_which_version_a_change_is_made(node: Node) -> None:
    """With or without quotes; anything else, or the same twice, is refused."""

    def put(match: str, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {node.token(Role.OPERATOR)}", "If-Match": match}
        url = f"http://127.0.0.1:{node.rest}/v1/policy"
        return httpx.put(url, headers=headers, json={"text": "", **body}, **ON_THIS_MACHINE)

    for match in ('"7"', "7"):
        assert put(match).json()["params"] == {"text": "", "base_version": 7}
    for match in ("*", 'W/"7"', "", '"x"'):
        assert put(match).status_code == 400
    assert put("7", base_version=7).status_code == 400
