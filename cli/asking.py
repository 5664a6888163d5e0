"""Commands that ask control, each one REST request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
limit = click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most this many.")
reason = click.option("--reason", help="Why; stands in the audit log.")
seconds = click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Release it after this time.")

RULE = ("id", "state", "action", "source_vm", "source_ip", "destination_vm", "protocol", "port", "scope", "risk")
RULES = (*RULE, "issuer", "expires", "reasons")
VMS = ("name", "segment", "vfn", "port", "mac", "addresses", "protected", "attached", "isolated", "rules")
VFNS = ("name", "dpid", "bridge", "connected", "entries", "enforced", "enforced_ratio", "rules", "missing")
NAMES = ("address", "name", "source", "first", "last", "expires")
EVIDENCE = ("time", "kind", "who", "what", "count")
VERDICTS = ("time", "vm", "address", "risk", "behaviours", "reasons")


def ask(verb: str, path: str, **fields: Any) -> Any:
    """One request; the HTTP library is loaded only now, so that `--help` is quick."""
    from cli import client

    body = fields if verb == "POST" else None
    return client.ask(verb, path, None if verb == "POST" else fields, body)


def show(answer: Any, as_json: bool, columns: Sequence[str] = ()) -> None:
    """Print an answer: JSON, a table of its rows, or a sheet of its fields."""
    from cli import tables

    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif isinstance(answer, list):
        click.echo(tables.table(answer, columns))
    elif isinstance(answer, Mapping):
        click.echo(tables.sheet(answer))
    else:
        click.echo(tables.text(answer))


@click.command()
@as_json
def status(as_json: bool) -> None:
    """How control, engine and analyzer are."""
    show(ask("GET", "/v1/status"), as_json)


@click.command()
@as_json
def vfns(as_json: bool) -> None:
    """The VFNs and how much of their policy is enforced."""
    show(ask("GET", "/v1/vfns"), as_json, VFNS)


@click.command()
@as_json
def vms(as_json: bool) -> None:
    """The VMs."""
    show(ask("GET", "/v1/vms"), as_json, VMS)


@click.command()
@click.argument("name")
@as_json
def vm(name: str, as_json: bool) -> None:
    """One VM."""
    show(ask("GET", f"/v1/vms/{quote(name, safe='')}"), as_json)


@click.command()
@click.argument("vm_name", metavar="VM")
@limit
@as_json
def names(vm_name: str, limit: int, as_json: bool) -> None:
    """Addresses and their names, as a VM was told them."""
    show(ask("GET", f"/v1/vms/{quote(vm_name, safe='')}/names", limit=limit), as_json, NAMES)


@click.command()
@limit
@as_json
def evidence(limit: int, as_json: bool) -> None:
    """Forged answers, and claims to others' addresses."""
    show(ask("GET", "/v1/evidence", limit=limit), as_json, EVIDENCE)


@click.command()
@limit
@as_json
def verdicts(limit: int, as_json: bool) -> None:
    """The latest verdicts of the analyzer."""
    show(ask("GET", "/v1/verdicts", limit=limit), as_json, VERDICTS)


@click.command()
@click.option("--state", help="Only rules in this state.")
@as_json
def rules(state: str | None, as_json: bool) -> None:
    """The segmentation rules."""
    show(ask("GET", "/v1/rules", state=state), as_json, RULES)


@click.command()
@click.argument("rule_id", metavar="RULE")
@as_json
def rule(rule_id: str, as_json: bool) -> None:
    """One segmentation rule with its reasons and VFNs."""
    show(ask("GET", f"/v1/rules/{quote(rule_id, safe='')}"), as_json)


@click.command()
@click.argument("vm_name", metavar="VM")
@click.option("--scope", type=click.Choice(["all", "other_segments"]), help="How far; all by default.")
@seconds
@reason
@as_json
def isolate(vm_name: str, scope: str | None, seconds: float | None, reason: str | None, as_json: bool) -> None:
    """Isolate a VM."""
    path = f"/v1/vms/{quote(vm_name, safe='')}/isolate"
    show(ask("POST", path, scope=scope, seconds=seconds, reason=reason), as_json)


@click.command()
@click.argument("source_ip")
@click.argument("vm_name", metavar="DESTINATION_VM")
@click.option("--port", type=click.IntRange(1, 65535), help="Destination port; all by default.")
@click.option("--protocol", type=click.Choice(["tcp", "udp", "icmp", "any"]), default="any", show_default=True)
@seconds
@reason
@as_json
def allow(
    *,
    source_ip: str,
    vm_name: str,
    port: int | None,
    protocol: str,
    seconds: float | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """Accept what an address or network sends to a VM."""
    fields = {"source_ip": source_ip, "destination_vm": vm_name, "port": port, "protocol": protocol}
    show(ask("POST", "/v1/rules", action="allow", **fields, seconds=seconds, reason=reason), as_json)


@click.command()
@click.argument("source_ip")
@seconds
@reason
@as_json
def deny(source_ip: str, seconds: float | None, reason: str | None, as_json: bool) -> None:
    """Drop everything from and to an outside address."""
    show(ask("POST", "/v1/rules", action="deny", source_ip=source_ip, seconds=seconds, reason=reason), as_json)


@click.command()
@click.argument("rule_id", metavar="RULE")
@as_json
def release(rule_id: str, as_json: bool) -> None:
    """Take a rule back."""
    show(ask("DELETE", f"/v1/rules/{quote(rule_id, safe='')}"), as_json)


COMMANDS: tuple[click.Command, ...] = (
    status, vfns, vms, vm, names, evidence, verdicts, rules, rule, isolate, allow, deny, release,
)  # fmt: skip
