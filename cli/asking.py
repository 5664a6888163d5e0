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

VMS = ("name", "segment", "vfn", "port", "mac", "addresses", "protected", "attached", "isolated", "rules")
VFNS = ("name", "dpid", "bridge", "connected", "entries", "enforced", "enforced_ratio", "rules", "missing")
NAMES = ("address", "name", "source", "first", "last", "expires")
EVIDENCE = ("time", "kind", "who", "what", "count")
VERDICTS = ("time", "vm", "address", "risk", "behaviours", "reasons")


def ask(verb: str, path: str, *, nulls: bool = False, **fields: Any) -> Any:
    """One request; the HTTP library is loaded only now, so that `--help` is quick. With `nulls` None is sent, too."""
    from cli import client

    in_body = verb in ("POST", "PUT")
    return client.ask(verb, path, None if in_body else fields, fields if in_body else None, nulls=nulls)


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


COMMANDS: tuple[click.Command, ...] = (
    status, vfns, vms, vm, names, evidence, verdicts,
)  # fmt: skip
