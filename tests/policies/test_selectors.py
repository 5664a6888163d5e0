"""Labels: which VMs a selector means, how a rule says so, and what is told of selectors that mean nothing or all."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from policies.acl import Peer, Policy
from policies.document import NobodyError, Reading, parse_what_holds, read
from policies.reference import TCP, Packet, decide
from policies.rules import Verdict
from runtime.errors import PolicyError
from topology.addresses import link_local
from topology.inventory import parse

INVENTORY = parse(
    "segments: {shop: {labels: {env: prod}}, lab: {default: deny, labels: {env: test}}}\nvfns: {v1: {dpid: 1}}\nvms:\n"
    "  a: {segment: shop, vfn: v1, port: a, mac: '02:00:00:00:00:01', addresses: [10.0.0.1], labels: {app: web}}\n"
    "  b: {segment: shop, vfn: v1, port: b, mac: '02:00:00:00:00:02', addresses: [10.0.0.2], labels: {app: db}}\n"
    "  c: {segment: lab, vfn: v1, port: c, mac: '02:00:00:00:00:03', addresses: [10.0.0.3], labels: {app: web}}\n"
    "  d: {segment: lab, vfn: v1, port: d, mac: '02:00:00:00:00:04', addresses: [10.0.0.4], labels: {env: prod}}\n"
)


def reading(end: str, action: str = "deny") -> Reading:
    text = f"rules: [{{name: r, action: {action}, from: {end}, to: any}}]"
    return read(text, INVENTORY, lambda name: ())


def policy(end: str) -> Policy:
    return reading(end).policy


def test_a_vm_has_its_segments_labels_and_its_own_over_them() -> None:
    """What the inventory says twice, the VM says last."""
    assert INVENTORY.vms["a"].labels == {"env": "prod", "app": "web"}
    assert INVENTORY.vms["d"].labels == {"env": "prod"}


@pytest.mark.parametrize(
    ("end", "peer"),
    [
        ("{labels: {app: db}}", Peer(vm="b")),
        ("{labels: {app: [web, db], env: prod}}", Peer(segment="shop")),
        ("{labels: {app: web}, segment: lab}", Peer(vm="c")),
        ("{labels: {app: web}}", Peer(list="app=web")),
    ],
)
def test_a_selector_is_a_vm_a_segment_or_a_list_of_addresses(end: str, peer: Peer) -> None:
    """All keys must fit, of each any of its values; what is one thing already becomes no list."""
    assert policy(end).acls[0].source == peer


def test_the_list_of_a_selector_has_every_address_of_its_vms() -> None:
    """Link-local ones, too; and it is made once for all rules that select the same."""
    text = (
        "rules:\n- {name: r, action: deny, from: {labels: {app: web}}, to: outside}\n"
        "- {name: s, action: deny, from: outside, to: {labels: {app: web}}}\n"
    )
    found = read(text, INVENTORY, lambda name: ()).policy
    vms = [INVENTORY.vms[name] for name in ("a", "c")]
    expected = {ip_network(one) for vm in vms for one in (*vm.addresses, link_local(vm.mac))}
    assert {name: set(one.nets) for name, one in found.lists.items()} == {"app=web": expected}


def test_a_selector_decides_about_its_vms_alone() -> None:
    """The reference denies what those with the label send, and nobody else."""
    found = policy("{labels: {app: web}}")
    verdicts = {}
    for name, vm in INVENTORY.vms.items():
        packet = Packet(name, None, vm.addresses[0], INVENTORY.vms["a"].addresses[0], TCP, 50000, 80, 2)
        verdicts[name] = decide(INVENTORY, found, (), packet).verdict
    assert verdicts == {"a": Verdict.DROP, "b": Verdict.ALLOW, "c": Verdict.DROP, "d": Verdict.ALLOW}


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("{labels: {ap: web}}", "no VM has a label 'ap'; did you mean `app`?"),
        ("{labels: {app: wep}}", "no VM has app=wep; did you mean `web`?"),
        ("{labels: {app: db, env: test}}", "no VM has all of them at once"),
        ("{labels: {app: db}, segment: lab}", "no VM has all of them at once"),
    ],
)
def test_a_selector_of_nobody_is_refused(end: str, said: str) -> None:
    """With the label or value that is not there, and the nearest one that is; a restart leaves the rule out."""
    with pytest.raises(NobodyError, match="selects no VM") as caught:
        policy(end)
    assert (caught.value.line, said in str(caught.value)) == (1, True)
    text = f"rules: [{{name: r, action: deny, from: {end}, to: any}}]"
    assert [error.message for error in parse_what_holds(text, INVENTORY, lambda name: ())[1]] == [caught.value.message]


def test_a_selector_of_everybody_is_told() -> None:
    """It may be meant, so it is no mistake."""
    remarks = reading("{labels: {env: [prod, test]}}").remarks
    assert len(remarks) == 1
    assert "rule r: env=prod|test selects every VM" in remarks[0]
    assert reading("any").remarks == ()


def test_selectors_that_need_too_many_lists_are_refused() -> None:
    """A switch has 32 bits for them; whole segments and single VMs need none."""
    vms = "".join(
        f"  v{n}: {{segment: s{n % 2}, vfn: v1, port: p{n}, mac: '02:00:00:00:01:{n:02x}', addresses: [10.0.1.{n}], "
        f"labels: {{pair: p{n // 2}}}}}\n"
        for n in range(68)
    )
    inventory = parse(f"segments: {{s0: , s1: }}\nvfns: {{v1: {{dpid: 1}}}}\nvms:\n{vms}")
    rules = [f"{{name: r{n}, action: deny, from: {{labels: {{pair: p{n}}}}}, to: outside}}" for n in range(33)]
    assert len(read(f"rules: [{', '.join(rules[:32])}]", inventory, lambda name: ()).policy.lists) == 32
    with pytest.raises(PolicyError, match="33th list"):
        read(f"rules: [{', '.join(rules)}]", inventory, lambda name: ())
