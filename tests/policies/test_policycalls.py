"""Versions of the policy as people ask about them: history, differences, going back, and two people at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.switch import Site

from policies.aside import Then, Work
from policies.document import rebased
from policies.reference import TCP, Packet, judge
from policies.rules import Verdict
from policies.terms import moment
from topology.inventory import parse

INVENTORY = (
    "segments: {web: , db: {default: deny}}\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  db1: {segment: db, vfn: v1, port: d1, mac: '02:00:00:00:00:03', addresses: [10.0.0.3]}\n"
)


def rule(**fields: Any) -> str:
    own = {"name": "sql", "action": "allow", "from": "{vm: web1}", "to": "{segment: db}", **fields}
    return "rules:\n- {" + ", ".join(f"{key}: {value}" for key, value in own.items()) + "}\n"


@pytest.fixture
def site(tmp_path: Path):
    made = Site(parse(INVENTORY), tmp_path / "dynseg.sqlite")
    made.connect()
    yield made
    made.store.close()


def may_connect(site: Site) -> bool:
    a, b = (site.inventory.vms[name].addresses[0] for name in ("web1", "db1"))
    packet = Packet("web1", "db1", a, b, TCP, 50000, 5432, 2)
    return judge(site.inventory, site.engine.policies.policy, (), packet).verdict is Verdict.ALLOW


def in_force(site: Site) -> tuple[int, str]:
    _, value = site.call("policy")
    return value["version"], value["state"]


def diff(site: Site, one: int, other: int | None = None) -> tuple[int, Any]:
    params: dict[str, Any] = {"from": one} if other is None else {"from": one, "to": other}
    return site.call("policy_diff", **params)


def test_history_has_every_version_newest_first(site: Site) -> None:
    """Who, when, what became of it, and which earlier one it is the same as."""
    for text, actor in ((rule(), "anna"), ("rules: []\n", "bert"), (rule(), "anna")):
        site.call("lay_down", text=text, actor=actor)
    status, rows = site.call("policy_history")
    assert status == 200
    assert [(row["version"], row["state"], row["actor"], row["again"]) for row in rows] == [
        (3, "enforced", "anna", 1),
        (2, "replaced", "bert", None),
        (1, "replaced", "anna", None),
    ]
    assert site.call("policy", version=1)[1]["state"] == "replaced"
    assert [row["version"] for row in site.call("policy_history", limit=1, before=3)[1]] == [2]
    assert rows[0]["digest"] == rows[2]["digest"]


def test_a_version_that_is_exported_and_applied_again_is_no_new_one(site: Site) -> None:
    """That it says from which version it was made changes nothing; a change of it does, and is told by its file."""
    site.call("lay_down", text=rule())
    text = rebased(rule(), 1)
    assert site.call("lay_down", text=text)[1]["version"] == 1
    assert site.call("lay_down", text=text.replace("sql", "psql"))[1]["version"] == 2
    _, refused = site.call("lay_down", text="rules: [7]", file="shop.yaml")
    assert refused["error"].startswith("shop.yaml:1: rules.0")


def test_diff_tells_what_is_different(site: Site, tmp_path: Path) -> None:
    """Between two versions, or one and the version in force; also of files of lists."""
    (tmp_path / "bad.txt").write_text("192.0.2.1\n")
    listed = "lists: {bad: {file: bad.txt}}\n"
    site.call("lay_down", text=listed + rule(), folder=str(tmp_path))
    (tmp_path / "bad.txt").write_text("192.0.2.2\n")
    site.call("lay_down", text=listed + rule(priority=7), folder=str(tmp_path))
    status, told = diff(site, 1)
    assert (status, told["to"], told["files"]) == (200, 2, ["bad.txt"])
    assert [(row["name"], row["after"]) for row in told["changes"]] == [("sql", {"priority": 7})]
    assert told["text"].startswith("--- version 1\n+++ version 2\n")
    assert diff(site, 1, 9) == (
        404,
        {"error": "no version 9", "remedy": "the newest is 2"},
    )


def test_rollback_is_a_new_version_with_the_lists_of_then(site: Site, tmp_path: Path) -> None:
    """Confirmed like any other, on record with the version that it repeats and why."""
    (tmp_path / "good.txt").write_text("10.0.0.1\n")
    listed = "lists: {good: {file: good.txt}}\n" + rule(**{"from": "{list: good}"})
    site.call("lay_down", text=listed, folder=str(tmp_path))
    site.call("lay_down", text="rules: []\n")
    (tmp_path / "good.txt").write_text("10.0.0.99\n")
    assert not may_connect(site)
    status, value = site.call("rollback", version=1, reason="the shop is down")
    assert (status, value["version"]) == (200, 3)
    assert may_connect(site), "the list is that of version 1, not what its file says now"
    body = site.audit("policy")[-1]
    assert (body["again"], body["reason"], body["left_out"]) == (1, "the shop is down", [])
    site.pass_time(0.01)
    assert in_force(site) == (3, "enforced")
    assert site.call("rollback", version=3)[1]["version"] == 3, "it is in force already"
    assert site.call("rollback", version=9)[0] == 404


def test_a_change_of_an_old_version_is_refused_with_both_numbers_and_who(site: Site) -> None:
    """Said by the request, or by the text itself; the same text again is no conflict."""
    site.call("lay_down", text=rule(), actor="anna")
    site.call("lay_down", text=rule(priority=7), actor="bert", base_version=1)
    status, value = site.call("lay_down", text=rule(priority=8), actor="anna", base_version=1)
    assert status == 409
    assert (value["base_version"], value["version"], value["actor"]) == (1, 2, "bert")
    assert "made from version 1, but bert laid down version 2" in value["error"]
    assert "dynseg policy diff 1 2" in value["remedy"]
    written = f"base_version: 1\n{rule(priority=9)}"
    assert site.call("lay_down", text=written)[0] == 409
    assert site.call("rollback", version=1, base_version=1)[0] == 409
    assert site.call("lay_down", text=rule(priority=7), base_version=1)[1]["version"] == 2
    assert in_force(site)[0] == 2
    assert site.call("lay_down", text=written, base_version=2)[1]["version"] == 3, "the request says it last"


def test_of_two_who_apply_at_once_the_second_is_told(site: Site) -> None:
    """Both were checked at the same time; neither had said from which version the change was made."""
    waiting: list[tuple[Work, Then]] = []

    def later(work: Work, then: Then) -> list[Any]:
        waiting.append((work, then))
        return []

    site.engine.reading = later
    calls: list[Callable[[], Any]] = [
        lambda: site.call("lay_down", text=rule(), actor="anna"),
        lambda: site.call("lay_down", text=rule(priority=7), actor="bert"),
    ]
    for call in calls:
        with pytest.raises(KeyError):
            call()
    for work, then in waiting:
        site.pump(then(work()))
    statuses = [site.results[request] for request in sorted(site.results)][-2:]
    assert [status for status, _ in statuses] == [200, 409]
    assert "made from version 0, but anna laid down version 1" in statuses[1][1]["error"]


def test_a_rule_leaves_when_its_time_is_over(site: Site) -> None:
    """The version stays, the rule goes from the switches, and the record says so."""
    until = site.time.now + 3600
    status, value = site.call("lay_down", text=rule(expires=f'"{moment(until)}"'))
    assert (status, value["off"], may_connect(site)) == (200, [], True)
    entries = len(site.switches["v1"].entries)
    site.pass_time(3599)
    assert may_connect(site)
    assert site.engine.patience() is not None
    site.pass_time(1.0)
    site.pass_time(0.01)
    assert not may_connect(site)
    assert len(site.switches["v1"].entries) < entries
    assert site.audit("policy_hours") == [{"version": 1, "began": [], "ended": ["sql"], "expired": ["sql"]}]
    assert site.call("policy")[1]["off"] == ["sql"]
    site.restart()
    site.connect()
    assert not may_connect(site), "nor does it come back with a restart"
    assert len(site.audit("policy_hours")) == 1


def test_a_rule_comes_and_goes_with_its_hours(site: Site) -> None:
    """The test's clock begins on Monday, 12 January 1970, 13:46:40 UTC."""
    site.call("lay_down", text=rule(schedule='{days: mon, from: "14:00", to: "15:00"}'))
    assert not may_connect(site)
    site.pass_time(800)
    assert may_connect(site)
    site.pass_time(3600)
    assert not may_connect(site)
    assert [(body["began"], body["ended"]) for body in site.audit("policy_hours")] == [(["sql"], []), ([], ["sql"])]
    site.pass_time(0.01)
    assert in_force(site) == (1, "enforced")


def test_a_rule_whose_time_was_over_is_refused(site: Site) -> None:
    """With both times; the policy before stays whole."""
    site.call("lay_down", text=rule())
    status, value = site.call("lay_down", text=rule(expires='"1970-01-02T00:00:00Z"'))
    assert status == 400
    expected = (
        "policy:2: rules.0.expires: rule sql: its time was over at 1970-01-02T00:00:00Z; it is 1970-01-12T13:46:40Z"
    )
    assert value["error"] == expected
    assert in_force(site)[0] == 1
    for text in (rule(expires="tomorrow"), rule(expires='"2099-01-01T00:00:00"')):
        assert site.call("lay_down", text=text)[0] == 400


def test_rolling_back_to_a_rule_whose_time_is_over_leaves_it_off(site: Site) -> None:
    """Going back must not fail over what has ended since."""
    site.call("lay_down", text=rule(expires=f'"{moment(site.time.now + 10)}"'))
    site.call("lay_down", text="rules: []\n")
    site.pass_time(20)
    status, value = site.call("rollback", version=1)
    assert (status, value["off"], may_connect(site)) == (200, ["sql"], False)


def test_texts_that_are_too_long_or_bombs_are_refused_at_once(site: Site) -> None:
    """Ten million characters, aliases that double, endless nesting; the policy in force stays whole."""
    site.call("lay_down", text=rule())
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    for text, said in (
        ("#" * 10_000_000, "at most 2097152 characters"),
        (bomb, "alias *a is not allowed"),
        ("rules: " + "[" * 100, "nested deeper"),
    ):
        status, value = site.call("lay_down", text=text)
        assert (status, said in value["error"], bool(value["remedy"])) == (400, True, True), value
    assert in_force(site)[0] == 1
    assert may_connect(site)
