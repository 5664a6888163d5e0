"""Why a packet passes or does not: policy, tables and switches side by side, and what is said when they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.switch import Site

from policies.entries import TableEntry
from policies.explain.answer import trace_plan
from policies.explain.finding import find, path_of
from policies.explain.question import ask
from policies.pipeline.tables import Table
from policies.requests import ExplainParams
from policies.rules import Verdict
from policies.simulate import Simulator
from topology.inventory import parse

INVENTORY = parse(
    "segments: {web: , db: {default: deny}, lab: {outward: deny}}\nvfns: {v1: {dpid: 1}, v2: {dpid: 2}}\n"
    "links: [{a: v1, a_port: a, b: v2, b_port: b}]\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1, 'fd00::1']}\n"
    "  web2: {segment: web, vfn: v1, port: w2, mac: '02:00:00:00:00:02', addresses: [10.0.0.2, 'fd00::2']}\n"
    "  db1: {segment: db, vfn: v2, port: d1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3, 'fd00::3']}\n"
    "  lab1: {segment: lab, vfn: v2, port: l1, mac: '02:00:00:00:00:04', addresses: [10.0.0.4]}\n"
    "outside: {gate: {vfn: v1, port: o1, mac: '02:00:00:00:ff:01', addresses: [192.0.2.1]}}\n"
)
POLICY = """
services: {sql: {protocol: tcp, ports: 5432}}
lists: {bad: {networks: [203.0.113.0/24]}}
rules:
- {name: sql, action: allow, from: {segment: web}, to: {vm: db1}, service: sql}
- {name: bad, action: deny, from: {list: bad}, to: any, tier: operator}
- {name: not-ssh, action: deny, from: outside, to: {segment: web}, service: {protocol: tcp, ports: 22}}
- {name: trial, action: deny, from: any, to: {vm: web2}, service: {protocol: udp, ports: 53}, mode: observe}
"""


@pytest.fixture
def site(tmp_path: Path):
    made = Site(INVENTORY, tmp_path / "dynseg.sqlite")
    made.connect()
    status, value = made.call("lay_down", text=POLICY)
    assert status == 200, value
    yield made
    made.store.close()


def traces(site: Site, **params: Any) -> dict[str, dict[str, str]]:
    """What switches would say that hold exactly what they must, in the words of ofproto/trace."""
    snapshot = site.engine.site()
    question = ask(ExplainParams(**params), INVENTORY)
    texts = {}
    for item in trace_plan(question, snapshot):
        view = snapshot.vfns[item["vfn"]]
        port = next(visit.port for visit in question.visits(INVENTORY) if visit.vfn == item["vfn"])
        path = Simulator(view.desired.values()).run({**question.fields(), "in_port": view.ports[port]}).path
        cookies = {id(entry): cookie for cookie, entry in view.desired.items()}
        lines = [
            f"{entry.table:2}. priority {entry.priority}, cookie {cookies[id(entry)]:#x}\n    drop" for entry in path
        ]
        texts[item["vfn"]] = {"text": "\n".join(lines)}
    return texts


def explained(site: Site, source: str, destination: str, **params: Any) -> dict[str, Any]:
    question = {"source": source, "destination": destination, **params}
    given: dict[str, Any] = {} if params.get("answer") else {"traces": traces(site, **question)}
    status, value = site.call("explain", **question, **given)
    assert status == 200, value
    assert value["agree"], value["disagreements"]
    return value


CASES = [
    (("web1", "db1", {"port": 5432}), ("allow", "sql", None)),
    (("fd00::1", "fd00::3", {"port": 5432}), ("allow", "sql", None)),
    (("web1", "db1", {"port": 80}), ("drop", None, "db")),
    (("web1", "db1", {"protocol": "icmp"}), ("drop", None, "db")),
    (("web1", "web2", {}), ("allow", None, None)),
    (("lab1", "web1", {}), ("drop", None, "lab")),
    (("203.0.113.9", "web1", {}), ("drop", "bad", None)),
    (("203.0.113.9", "db1", {}), ("drop", "bad", None)),
    (("192.0.2.1", "web1", {"port": 22}), ("drop", "not-ssh", None)),
    (("192.0.2.1", "web1", {"port": 443}), ("allow", None, None)),
    (("web2", "192.0.2.77", {"protocol": "udp", "port": 53}), ("allow", None, None)),
    (("db1", "web1", {"source_port": 5432, "port": 50000}), ("allow", None, None)),
]


@pytest.mark.parametrize(("packet", "expected"), CASES)
def test_policy_tables_and_switches_agree(site: Site, packet: tuple, expected: tuple) -> None:
    """Each says the same of the same packet, and names the same rule or default."""
    source, destination, params = packet
    value = explained(site, source, destination, **params)
    told = value["policy"]
    assert (told["verdict"], told["rule"], told.get("default")) == expected
    assert {row["by"] for row in value["vfns"]} == {"tables", "switch"}


def test_the_rule_comes_with_its_tier_its_author_and_a_reason(site: Site) -> None:
    """A rule of the policy is its author's, one of the moment its issuer's."""
    told = explained(site, "web1", "db1", port=5432)["policy"]
    assert {key: told[key] for key in ("tier", "issuer", "why")} == {
        "tier": "policy",
        "issuer": "anna",
        "why": "version 1 of the policy",
    }
    _, rule = site.call("isolate", actor="bert", name="web1", reason="drill")
    told = explained(site, "web1", "db1", port=5432)["policy"]
    assert (told["rule"], told["tier"], told["issuer"], told["why"]) == (rule["id"], "quarantine", "bert", "drill")


def test_the_rule_comes_with_its_time_its_vfns_and_what_it_has_met(site: Site) -> None:
    """A version's since it was laid down, a rule's until its end; a default has met packets, too."""
    told = explained(site, "web1", "db1", port=5432)["policy"]
    _, version = site.call("policy")
    assert (told["since"], told["until"], told["state"]) == (version["created"], None, "enforced")
    assert told["hits"] == {"allowed": 0, "denied": 0, "answers": 0, "observed": 0} | told["hits"]
    _, rule = site.call("isolate", name="web1", seconds=60.0)
    told = explained(site, "web1", "db1", port=5432)["policy"]
    known = site.rule(rule["id"])
    assert (told["until"], told["state"], told["vfns"]) == (known["expires"], "enforced", known["vfns"])
    denied = explained(site, "web2", "db1", port=22)["policy"]
    assert (denied["rule"], denied["default"], set(denied["hits"])) == (None, "db", set(told["hits"]))


def test_an_isolated_vm_is_cut_at_the_first_table(site: Site) -> None:
    """In both directions, by the rule's name; at the VM's VFN, wherever the packet comes from."""
    _, rule = site.call("isolate", name="web1")
    out = explained(site, "web1", "lab1", protocol="icmp")
    assert (out["vfns"][0]["table"], out["vfns"][0]["rules"]) == ("guard", [rule["id"]])
    back = explained(site, "lab1", "web1", protocol="icmp")
    assert back["policy"]["rule"] == rule["id"]
    assert [row["verdict"] for row in back["vfns"] if row["vfn"] == "v1"] == ["drop", "drop"]


def test_a_forged_sender_is_the_guards(site: Site) -> None:
    """A VM with another's address, and the outside with a VM's."""
    for source in ("web1", "192.0.2.1"):
        value = explained(site, source, "lab1", source_address="10.0.0.2")
        assert (value["policy"]["verdict"], value["policy"]["rule"]) == ("drop", None)
        assert value["vfns"][0]["table"] in ("guard", "border")


def test_an_answer_passes_by_its_connections_rule(site: Site) -> None:
    """Nothing else lets a VM of a segment that may not open connections speak."""
    site.call("lay_down", text="rules: [{name: in, action: allow, from: {vm: web1}, to: {vm: lab1}}]")
    value = explained(site, "lab1", "web1", source_port=80, port=50000, answer=True)
    assert (value["policy"]["verdict"], value["policy"]["rule"], value["policy"]["by_answer"]) == ("allow", "in", True)
    assert {(row["table"], row["answer"]) for row in value["vfns"] if row["by"] == "tables"} == {("reverse", True)}
    assert explained(site, "lab1", "web1", source_port=80, port=50000)["policy"]["verdict"] == "drop"


def test_what_a_rule_in_observe_would_do_is_told(site: Site) -> None:
    """The packet passes; the rule is named by the policy and where the packet enters."""
    value = explained(site, "web1", "web2", protocol="udp", port=53)
    assert (value["policy"]["verdict"], value["policy"]["observed"]) == ("allow", ["trial"])
    assert [row["observed"] for row in value["vfns"]] == [["trial"], ["trial"]]


def test_a_switch_that_does_otherwise_is_loud(site: Site) -> None:
    """Its VFN, what its tables say, what it says, and what the policy says."""
    question: dict[str, Any] = {"source": "web1", "destination": "db1", "port": 5432}
    given = traces(site, **question)
    text = given["v2"]["text"]
    start = text.index(f"\n{Table.COMMIT:2}. ") + 1
    given["v2"]["text"] = text[:start] + f"{Table.COMMIT:2}. No match.\n    drop\n"
    _, value = site.call("explain", **question, traces=given)
    assert not value["agree"]
    assert value["disagreements"] == [
        "VFN v2: its tables say allow in ENFORCEMENT (sql), its switch says drop in COMMIT (no rule)",
        "the policy says allow (sql), the switches at VFN v2 say drop in COMMIT (no rule)",
    ]


def test_a_vfn_that_was_never_there_is_not_vouched_for(tmp_path: Path) -> None:
    """Nobody knows its ports, so nobody can say that all agree."""
    fresh = Site(INVENTORY, tmp_path / "other.sqlite")
    fresh.connect("v1")
    status, value = fresh.call("explain", source="web1", destination="lab1")
    assert (status, value["agree"]) == (200, False)
    assert value["disagreements"] == ["VFN v2: it is not known to have the port b"]
    assert fresh.call("trace_plan", source="web1", destination="lab1")[1][0]["vfn"] == "v1"
    fresh.store.close()


def test_a_switch_elsewhere_is_not_asked(site: Site) -> None:
    """Then policy and tables are compared alone, and why is told."""
    errors = {vfn: {"error": "its switch is not on this machine"} for vfn in ("v1", "v2")}
    _, value = site.call("explain", source="web1", destination="lab1", traces=errors)
    assert value["agree"]
    assert "its switch was not asked: its switch is not on this machine" in [row["by"] for row in value["vfns"]]
    _, value = site.call("explain", source="web1", destination="lab1", traces={"v1": {"text": "what?"}})
    assert "not what ofproto/trace writes: 'what?'" in [row["by"] for row in value["vfns"]]


GROUPS = (
    "ff02::1",
    "224.0.0.251",
    "255.255.255.255",
    "0.0.0.0",
    "::",
    "127.0.0.1",
    "::1",
    "::ffff:192.0.2.1",
    "fe80::1%a",
)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"source": "web3", "destination": "db1"}, "'web3' is neither a VM nor an address"),
        ({"source": "web1", "destination": "10.0.0"}, "'10.0.0' is neither"),
        (
            {"source": "lab1", "destination": "fd00::3"},
            "destination: lab1 and fd00::3 have no address family in common",
        ),
        ({"source": "web1", "destination": "10.0.0.1"}, "destination: web1 talks to itself"),
        *(({"source": "web1", "destination": group}, f"{group} is not the address of one host") for group in GROUPS),
        ({"source": "web1", "destination": "db1", "source_address": "x"}, "source_address: 'x' is no address"),
        ({"source": "web1", "destination": "db1", "protocol": "any"}, "protocol: "),
        ({"source": "web1", "destination": "db1", "port": -1}, "port: "),
        ({"source": "web1"}, "destination: missing"),
    ],
)
def test_a_question_without_meaning_is_refused(site: Site, params: dict[str, Any], said: str) -> None:
    """400, with what is wrong."""
    for method in ("trace_plan", "explain"):
        status, value = site.call(method, **params)
        assert status == 400
        assert said in value["error"]


TRACE = f"""Flow: tcp,in_port=1

bridge("v1")
------------
 0. in_port=1, priority 900, cookie 0xd75e000000000001
    goto_table:{Table.OBSERVE}
 {Table.OBSERVE}. priority 0, cookie 0xd75e000000000002
    resubmit(,{Table.SHADOW})
    {Table.SHADOW}. No match.
            drop
    goto_table:{Table.ENFORCEMENT}
 {Table.LOOKUP}. ip, priority 100
    ct(table={Table.ANSWERS},zone=NXM_NX_REG2[0..15])
    drop
     -> A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table {Table.ANSWERS}.

Final flow: unchanged
Datapath actions: ct,recirc(0xf3)

recirc(0xf3) - resume conntrack with ct_state=new|trk
bridge("v1")
    thaw
        Resuming from table {Table.ANSWERS}
{Table.ANSWERS}. ct_state=-rpl, priority 0, cookie 0xd75e000000000003
    goto_table:{Table.DENIED}
"""


def test_traces_are_read_line_by_line() -> None:
    """Nested tables, recirculation, entries without cookie, no entry at all."""
    owner = 0xD75E << 48
    way = ((0, owner | 1), (Table.OBSERVE, owner | 2), (Table.SHADOW, None), (Table.LOOKUP, 0))
    assert path_of(TRACE) == (*way, (Table.ANSWERS, owner | 3))
    nothing: dict[int, TableEntry] = {}
    finding = find(path_of(TRACE), nothing.get)
    assert (finding.verdict, finding.table, finding.rules) == (Verdict.DROP, Table.ANSWERS, ())
