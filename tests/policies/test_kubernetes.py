"""NetworkPolicies: what they become decides as Kubernetes would, and what does not map is refused with its line."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
import yaml

from policies.acl import Policy
from policies.document import parse
from policies.kubernetes import convert
from policies.reference import TCP, Packet, decide
from policies.rules import Verdict
from runtime.errors import PolicyError
from topology.inventory import parse as parse_inventory

INVENTORY = parse_inventory(
    "segments: {shop: , lab: }\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  web: {segment: shop, vfn: v1, port: a, mac: '02:00:00:00:00:01', addresses: [10.0.0.1], labels: {app: web}}\n"
    "  db: {segment: shop, vfn: v1, port: b, mac: '02:00:00:00:00:02', addresses: [10.0.0.2], labels: {app: db}}\n"
    "  mon: {segment: lab, vfn: v1, port: c, mac: '02:00:00:00:00:03', addresses: [10.0.0.3], labels: {app: mon}}\n"
    "  job: {segment: lab, vfn: v1, port: d, mac: '02:00:00:00:00:04', addresses: [10.0.0.4], labels: {app: job}}\n"
)
HEAD = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: db, namespace: shop}\nspec:\n"
DB = (
    HEAD
    + """\
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
  - from:
    - podSelector: {matchLabels: {app: web}}
    - ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}
    ports: [{protocol: TCP, port: 5432}]
  - from:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: lab}}
      podSelector: {matchExpressions: [{key: app, operator: In, values: [mon, spy]}]}
    ports: [{port: 9100, endPort: 9109}]
"""
)
OTHERS = """\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: lab}
spec: {podSelector: {}}
"""


def imported(text: str) -> Policy:
    return parse(convert(text, "k.yaml"), INVENTORY, lambda _: ())


def passes(policy: Policy, source: str, target: str, port: int) -> bool:
    vms = [INVENTORY.vms.get(name) for name in (source, target)]
    addresses = [vm.addresses[0] if vm else ip_address(name) for vm, name in zip(vms, (source, target), strict=True)]
    ends = [vm.name if vm else None for vm in vms]
    packet = Packet(ends[0], ends[1], addresses[0], addresses[1], TCP, 50000, port, 2)
    return decide(INVENTORY, policy, (), packet).verdict is Verdict.ALLOW


def test_who_is_selected_is_reached_as_allowed_only() -> None:
    """By pods of the own and of other namespaces, by addresses but for some; nobody else is concerned."""
    policy = imported(DB)
    assert passes(policy, "web", "db", 5432)
    assert not passes(policy, "web", "db", 5433)
    assert passes(policy, "192.0.2.7", "db", 5432)
    assert not passes(policy, "192.0.2.200", "db", 5432)
    assert passes(policy, "mon", "db", 9105)
    assert not passes(policy, "job", "db", 9105)
    assert passes(policy, "job", "web", 9105)
    assert passes(policy, "db", "192.0.2.200", 443), "egress is not limited"


def test_several_policies_allow_together() -> None:
    """One that allows nothing closes its namespace to all; another may still open it."""
    policy = imported(DB + OTHERS)
    assert not passes(policy, "web", "mon", 80)
    assert not passes(policy, "mon", "job", 80)
    assert passes(policy, "web", "db", 5432)
    opened = OTHERS.replace("closed", "open").replace("{podSelector: {}}", "{podSelector: {}, ingress: [{}]}")
    for text in (opened, opened + OTHERS, OTHERS + opened):
        assert passes(imported(text), "web", "mon", 80), "everything is allowed, whoever else allows less"


def test_both_directions_may_be_closed_while_one_of_them_is_opened() -> None:
    """What a sender may not send, no receiver's rule lets pass, and the other way round."""
    closed = OTHERS.replace("namespace: lab", "namespace: shop").replace("{}}", "{}, policyTypes: [Ingress, Egress]}")
    alone = imported(closed)
    assert not any(passes(alone, *ends, 80) for ends in (("web", "db"), ("web", "mon"), ("mon", "web")))
    assert passes(alone, "mon", "job", 80), "whom no policy selects"
    for text in (closed + "---\n" + DB, DB + closed):
        policy = imported(text)
        assert passes(policy, "mon", "db", 9105)
        assert not passes(policy, "web", "db", 5432), "web may not send"


def test_egress_without_types_is_limited_only_where_something_is_said() -> None:
    """As a cluster fills in `policyTypes`: Egress is among them if there is a rule of it."""
    said = HEAD + "  podSelector: {}\n  ingress: [{}]\n  egress: "
    assert passes(imported(said + "[]\n"), "web", "192.0.2.7", 443)
    assert not passes(imported(said + "[{ports: [{port: 80}]}]\n"), "web", "192.0.2.7", 443)


def test_no_two_policies_make_rules_of_one_name() -> None:
    """Long names differ where they were shortened; the same name twice is refused with both lines."""
    long = [OTHERS.replace("closed", "closed-" * 9 + end) for end in ("a", "b")]
    assert len({acl.rule_id for acl in imported("".join(long)).acls}) == 2
    with pytest.raises(PolicyError, match=r"k\.yaml:9: metadata\.name: lab\.closed is there already, in line 4"):
        convert(OTHERS + OTHERS, "k.yaml")


def test_egress_alone_is_imported() -> None:
    """What a pod may reach; an ingress of everything beside it limits nothing."""
    text = HEAD + (
        "  podSelector: {matchLabels: {app: web}}\n  policyTypes: [Ingress, Egress]\n  ingress: [{}]\n"
        "  egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]\n"
    )
    policy = imported(text)
    assert passes(policy, "web", "db", 5432)
    assert not passes(policy, "web", "192.0.2.7", 443)
    assert passes(policy, "db", "192.0.2.7", 443)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("app: db}}", "app: db}, matchLabel: {}}", 5, "unknown key (did you mean `matchLabels`?"),
        ("port: 5432", "port: postgres", 11, "a name that a pod gives to a port"),
        ("operator: In", "operator: NotIn", 14, "operator NotIn has no meaning here"),
        ("kubernetes.io/metadata.name: lab", "team: blue", 13, "by labels of theirs"),
        ("192.0.2.128/25]", "192.0.2.0/24]", 10, "leaves nothing of the block"),
        ("192.0.2.0/24,", "192.0.2.1/24,", 10, "write 192.0.2.0/24"),
        ("[Ingress]", "[Ingress, Egress]\n  egress: [{ports: [{port: 53}]}]", 7, "import it where the inventory is"),
        ("port: 9100, endPort: 9109", "endPort: 9109", 15, "without a port to begin with"),
        ("endPort: 9109", "endPort: 9099", 15, "below the port 9100"),
        ("port: 5432", "port: 65536", 11, "ports are 1 .. 65535"),
        ("- podSelector: {matchLabels: {app: web}}", "- {}", 9, "names nobody"),
        ("kind: NetworkPolicy", "kind: Deployment", 2, "'NetworkPolicy'"),
        (", namespace: shop", "", 3, "no namespace"),
        ("protocol: TCP", "protocol: ICMP", 11, "'TCP', 'UDP' or 'SCTP'"),
    ],
)
def test_what_does_not_map_is_refused_with_its_line(old: str, new: str, line: int, said: str) -> None:
    """And with a remedy; lines are those of the whole file."""
    assert old in DB
    for before, more in (("", 0), (OTHERS, OTHERS.count("\n") + 1)):
        with pytest.raises(PolicyError) as caught:
            convert(before + ("---\n" if before else "") + DB.replace(old, new, 1), "k.yaml")
        assert said in str(caught.value)
        assert caught.value.line == line + more


def test_policies_without_a_namespace_belong_to_a_segment_that_is_named() -> None:
    """By an option."""
    assert "segment: lab" in convert(DB.replace(", namespace: shop", ""), "k.yaml", "lab")


@pytest.mark.parametrize(
    "kind", ["apiVersion: v1\nkind: List", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList"]
)
def test_what_kubectl_prints_is_read_item_by_item(kind: str) -> None:
    """Several in a list, with all that a cluster writes into them; mistakes are told with their line in the file."""
    items = [
        text.replace("---\n", "").replace("metadata: {", "metadata: {uid: 7, generation: 1, ") for text in (DB, OTHERS)
    ]
    indented = ["  - " + text.rstrip("\n").replace("\n", "\n    ") + "\n    status: {}\n" for text in items]
    listed = f"{kind}\nitems:\n{''.join(indented)}metadata: {{resourceVersion: ''}}\n"
    assert convert(listed, "k.yaml") == convert(DB + OTHERS, "k.yaml")
    assert yaml.safe_load(convert(f"{kind}\nitems: []\n", "k.yaml")) == {"rules": []}
    with pytest.raises(PolicyError) as caught:
        convert(listed.replace("port: 5432", "port: sql"), "k.yaml")
    assert caught.value.line == 3 + DB.splitlines().index("    ports: [{protocol: TCP, port: 5432}]") + 1


def test_an_empty_file_is_no_policy() -> None:
    """It has no rules."""
    assert parse(convert("---\n---\n", "k.yaml"), INVENTORY, lambda _: ()).acls == ()
