"""Policy files: what each key becomes, and how mistakes are told."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from policies import prefixes
from policies.acl import MAX_RANK, Acl, Mode, Peer, Service
from policies.document import load, parse, parse_what_holds
from policies.rules import Protocol, Tier, Verdict
from runtime.errors import PolicyError
from topology.inventory import parse as parse_inventory

INVENTORY = parse_inventory(
    "segments: {web: , db: {default: deny}}\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web1: {segment: web, vfn: v1, port: w1, mac: '02:00:00:00:00:01', addresses: [10.0.0.1]}\n"
    "  six1: {segment: db, vfn: v1, port: d1, mac: '02:00:00:00:00:02', addresses: ['fd00::2']}\n"
)
POLICY = """\
services:
  https: {protocol: tcp, ports: [443, "8000-8099", 8100]}
  lookup:
    - {protocol: udp, ports: 53}
    - {protocol: tcp, ports: 53, source_ports: ["1024-65535"]}
lists:
  bad: {networks: [192.0.2.0/25, 192.0.2.128/25, "2001:db8::/32"]}
rules:
  - {name: web, action: allow, from: outside, to: {segment: web}, service: [https, lookup]}
  - {name: bad, action: deny, from: {list: bad}, to: any, tier: emergency, priority: 7}
  - name: ping
    action: allow
    from: {networks: [198.51.100.7]}
    to: {vm: web1}
    service: [{protocol: icmp}]
    mode: observe
"""


def no_files(name: str) -> tuple:
    raise AssertionError(f"{name} was read")


def refused(text: str) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        parse(text, INVENTORY, no_files, file="p.yaml")
    return caught.value


def rule(**fields: str) -> str:
    """A policy of one rule, its lines from 2 on."""
    own = {"name": "r", "action": "allow", "from": "any", "to": "any", **fields}
    return "rules:\n- " + "\n  ".join(f"{key}: {value}" for key, value in own.items()) + "\n"


def test_every_key_becomes_a_value() -> None:
    """A policy with all of its keys is read as the values that the compiler takes."""
    policy = parse(POLICY, INVENTORY, no_files)
    https = Service(Protocol.TCP, ((443, 443), (8000, 8100)))
    lookup = (Service(Protocol.TCP, ((53, 53),), ((1024, 65535),)), Service(Protocol.UDP, ((53, 53),)))
    assert policy.acls == (
        Acl(
            "web",
            Tier.POLICY,
            Verdict.ALLOW,
            Peer(segment="outside"),
            Peer(segment="web"),
            (lookup[0], https, lookup[1]),
        ),
        Acl("bad", Tier.EMERGENCY, Verdict.DROP, Peer(list="bad"), Peer(), rank=7),
        Acl(
            "ping",
            Tier.POLICY,
            Verdict.ALLOW,
            Peer(nets=(ip_network("198.51.100.7/32"),)),
            Peer(vm="web1"),
            (Service(Protocol.ICMP),),
            mode=Mode.OBSERVE,
        ),
    )
    assert policy.lists["bad"].nets == (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))


def test_an_empty_policy_is_one() -> None:
    """Other keys without values say nothing; rules are said not to be there."""
    for text in ("{}", "rules: []", "services:\nlists:\nrules: []\n"):
        assert parse(text, INVENTORY, no_files).acls == ()


def test_any_among_services_is_all_traffic() -> None:
    """Who allows anything need not look at what else is said."""
    text = rule(service="[{protocol: tcp, ports: 80}, {protocol: any}]")
    assert parse(text, INVENTORY, no_files).acls[0].services == ()


@pytest.mark.parametrize(
    ("text", "line", "key", "said"),
    [
        (rule(action="alow"), 3, "rules.0.action", "'allow' or 'deny'"),
        (rule(too="any"), 6, "rules.0.too", "did you mean `to`?"),
        ("rule: []", 1, "rule", "did you mean `rules`?"),
        ("services: {a: {protocol: tcp, port: 3}}", 1, "services.a.0.port", "did you mean `ports`?"),
        ("lists: {a: {network: []}}", 1, "lists.a.network", "did you mean `networks`?"),
        (rule(to="{segmnt: web}"), 5, "rules.0.to.segmnt", "did you mean `segment`?"),
        (rule(service="[{protocol: tcp, prts: 1}]"), 6, "rules.0.service.0.prts", "did you mean `ports`?"),
        (rule(to="all"), 5, "rules.0.to", "{segment: x}"),
        (rule(to="{segment: web, vm: web1}"), 5, "rules.0.to", "not one thing"),
        (rule(to="{networks: []}"), 5, "rules.0.to.networks", "must not be empty"),
        (rule(to="{segment: wb}"), 5, "rules.0.to.segment", "rule r: no segment 'wb' (did you mean `web`?"),
        (rule(to="{vm: web2}"), 5, "rules.0.to.vm", "rule r: no VM 'web2' (did you mean `web1`?"),
        (rule(to="{list: bad}"), 5, "rules.0.to.list", "rule r: no list 'bad'"),
        (rule(service="http"), 6, "rules.0.service.0", "rule r: no service 'http'"),
        (rule(service="[]"), 6, "rules.0.service", "must not be empty"),
        (rule(service="{protocol: tcp, ports: []}"), 6, "rules.0.service.0.ports", "must not be empty"),
        (rule(service="{protocol: tcp, ports: 90-80}"), 6, "rules.0.service.0.ports.0", "upside down (write 80-90)"),
        (rule(service="{protocol: tcp, ports: 70000}"), 6, "rules.0.service.0.ports.0", "1 .. 65535"),
        (rule(service="{protocol: tcp, ports: [0-5]}"), 6, "rules.0.service.0.ports.0", "1 .. 65535"),
        (rule(service="{protocol: tcp, ports: [1-2-3]}"), 6, "rules.0.service.0.ports.0", "no port or range"),
        (rule(service="{protocol: icmp, ports: 8}"), 6, "rules.0.service.0.ports", "protocol icmp has no ports"),
        ("services: {x: {protocol: any, source_ports: 8}}", 1, "services.x.0.source_ports", "any has no ports"),
        (rule(to="{networks: [10.0.0.1/8]}"), 5, "rules.0.to.networks.0", "write 10.0.0.0/8"),
        (rule(to="{networks: [10.0.0]}"), 5, "rules.0.to.networks.0", "no address or network"),
        (rule(to="{networks: ['fd00::1/64']}"), 5, "rules.0.to.networks.0", "write fd00::/64"),
        (rule(to="{networks: ['::ffff:192.0.2.0/120']}"), 5, "rules.0.to.networks.0", "write 192.0.2.0/24"),
        (rule(to="{networks: ['fe80::1%eth0']}"), 5, "rules.0.to.networks.0", "without what follows the %"),
        (rule(comment='"\\e[2J"'), 6, "rules.0.comment", "control character U+001B at place 1"),
        (rule(owner='"a\\u202eb"'), 6, "rules.0.owner", "control character U+202E at place 2"),
        ("", None, None, "has no rules"),
        ("services: {}\nrules:\n", None, None, "write `rules: []`"),
        ("# rules: []\n", None, None, "has no rules"),
        (rule(priority=str(MAX_RANK + 1)), 6, "rules.0.priority", str(MAX_RANK)),
        (rule(tier="quarantine"), 6, "rules.0.tier", "'policy', 'operator' or 'emergency'"),
        (rule(name="abcdef012345"), 2, "rules.0.name", "another name"),
        ("rules: [{name: a, action: allow, to: any}]", 1, "rules.0.from", "add `from`"),
        (rule(**{"from": "{networks: [192.0.2.1]}", "to": "{vm: six1}"}), 2, "rules.0", "no address family in common"),
        ("rules: 3", 1, "rules", "must be a list"),
        ("lists: [a]", 1, "lists", "must be a mapping"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_a_remedy(text: str, line: int | None, key: str | None, said: str) -> None:
    """File, line, key, what is wrong, and what to write instead."""
    error = refused(text)
    assert (error.file, error.line, error.key) == ("p.yaml", line, key)
    assert said in str(error)


def test_two_rules_of_one_name_are_refused() -> None:
    """A name tells one rule; the error has both lines."""
    error = refused(rule() + rule(to="{vm: web1}").removeprefix("rules:\n"))
    assert (error.line, "in line 2" in error.message) == (6, True)


def test_contradicting_rules_are_refused_by_both_names() -> None:
    """Allow and deny of the same traffic at the same priority; however its ports are written."""
    one = rule(service="{protocol: tcp, ports: [80, 81]}")
    other = rule(name="other", action="deny", service="{protocol: tcp, ports: 80-81}").removeprefix("rules:\n")
    error = refused(one + other)
    assert "rule other contradicts rule r" in error.message
    for apart in ("  priority: 5\n", "  tier: operator\n", "  mode: observe\n"):
        assert len(parse(one + other + apart, INVENTORY, no_files).acls) == 2


def test_a_rule_of_too_many_matches_is_refused() -> None:
    """Networks times networks times ports would be entries without end; lists cost one bit."""
    nets = ", ".join(f"10.{number}.0.0/17" for number in range(150))
    error = refused(rule(**{"from": f"{{networks: [{nets}]}}", "to": f"{{networks: [{nets}]}}"}))
    assert error.message == "rule r is 22500 pairs of networks and port ranges"
    assert "list" in (error.remedy or "")


def test_lists_are_read_from_files_beside_the_policy(tmp_path: Path) -> None:
    """Comments and empty lines are no prefixes; what is in the file and in the policy is one list."""
    (tmp_path / "bad.txt").write_text("# bad\n\n192.0.2.0/25 # half\n2001:db8::1\n")
    path = tmp_path / "policy.yaml"
    path.write_text("lists: {bad: {file: bad.txt, networks: [192.0.2.128/25]}}\n")
    nets = load(path, INVENTORY).policy.lists["bad"].nets
    assert nets == (ip_network("192.0.2.0/24"), ip_network("2001:db8::1/128"))


@pytest.mark.parametrize(
    "line", ["::ffff:192.0.2.1", "192.0.2.1/24", "192.0.2", "192.0.2.0/33", "fe80::1%eth0", "-", "10.0.0.0/8 x", "\x00"]
)
def test_a_line_that_is_no_prefix_is_named_by_number_alone(tmp_path: Path, line: str) -> None:
    """The engine may read what an operator may not, so the line itself is not shown."""
    (tmp_path / "bad.txt").write_text(f"192.0.2.1\n{line}\n")
    path = tmp_path / "policy.yaml"
    path.write_text("lists: {bad: {file: bad.txt}}\n")
    with pytest.raises(PolicyError) as caught:
        load(path, INVENTORY)
    error = caught.value
    assert (Path(error.file or "").name, error.line, error.key) == ("bad.txt", 2, "lists.bad.file")
    assert line not in error.message


def test_lists_that_are_not_readable_or_too_long_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file, a device without end, too many lines, too many prefixes."""
    path = tmp_path / "policy.yaml"
    for name in ("nowhere.txt", "/dev/zero", str(tmp_path)):
        path.write_text(f"rules: []\nlists: {{bad: {{file: {name}}}}}\n")
        with pytest.raises(
            PolicyError, match=r"policy\.yaml:2: lists\.bad\.file: .*: there is no such file \(give the"
        ):
            load(path, INVENTORY)
    monkeypatch.setattr(prefixes, "MAX_BYTES", 3)
    (tmp_path / "large.txt").write_text("# comments\n")
    path.write_text("lists: {bad: {file: large.txt}}\n")
    with pytest.raises(PolicyError, match=r"large\.txt: longer than 3 bytes"):
        load(path, INVENTORY)
    monkeypatch.setattr(prefixes, "MAX_BYTES", 10_000)
    path.write_text("lists: {bad: {file: many.txt}}\n")
    (tmp_path / "many.txt").write_text("".join(f"192.0.2.{2 * number}\n" for number in range(20)))
    monkeypatch.setattr("policies.document.MAX_PREFIXES", 19)
    with pytest.raises(PolicyError, match="list bad has 20 prefixes"):
        load(path, INVENTORY)
    monkeypatch.setattr(prefixes, "MAX_LINES", 19)
    with pytest.raises(PolicyError, match="longer than 19 lines"):
        load(path, INVENTORY)


def test_a_policy_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Not there, or not text."""
    with pytest.raises(PolicyError, match="cannot be read"):
        load(tmp_path / "none.yaml", INVENTORY)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="not UTF-8"):
        load(tmp_path / "bytes.yaml", INVENTORY)


def test_rules_about_what_is_no_longer_there_are_left_out_at_a_restart() -> None:
    """They can match nothing; what else is wrong is still refused."""
    text = rule() + rule(name="gone", to="{vm: web9}").removeprefix("rules:\n")
    policy, left_out = parse_what_holds(text, INVENTORY, no_files)
    assert [acl.rule_id for acl in policy.acls] == ["r"]
    assert "rule gone: no VM 'web9'" in left_out[0].message
    with pytest.raises(PolicyError, match="no list"):
        parse_what_holds(rule(to="{list: x}"), INVENTORY, no_files)
