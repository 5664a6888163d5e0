"""`dynseg policy simulate`: what a policy, or one rule, would have done to the flows of the archive."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.asking import as_json, show
from cli.flows import Moment

if TYPE_CHECKING:
    from policies.impact.tally import Rules
    from runtime.settings import Settings
    from topology.model import Inventory

DAY = 86400.0
GROUPS = ("from", "to", "service", "outcome", "flows", "packets", "bytes", "example")
_TEXT = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=_TEXT, required=False)
@click.option("--rule", help='One rule instead, beside what is in force: {"action": "isolate", "source_vm": "web1"}.')
@click.option("--since", type=Moment(), help="Flows that ended then or later: 2026-11-22T10:00, 30m, 2h, 7d; 24h ago.")
@click.option("--until", type=Moment(), help="Flows that ended before.")
@click.option("--against", type=_TEXT, help="Compare with this file, instead of what is in force on this node.")
@click.option("--archive", type=_FOLDER, help="Its folder; the node's by default.")
@click.option("--folder", type=_FOLDER, help="Where relative paths of lists begin; the file's own by default.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Groups to show at most.")
@click.option("--strict", is_flag=True, help="Exit status 2 if any flow would be dropped that passes now.")
@as_json
def simulate(
    *,
    file: Path | None,
    rule: str | None,
    since: float | None,
    until: float | None,
    against: Path | None,
    archive: Path | None,
    folder: Path | None,
    limit: int,
    strict: bool,
    as_json: bool,
) -> None:
    """Say what a policy file would have done to recorded flows, beside the policy in force. Changes nothing.

    For each pair of segments and service: how many flows pass as before, would be dropped, or are newly allowed, with
    one of them; and which rules nothing has met. Each flow is judged by the packet that opens it. Rules that were
    issued at run time are in force on both sides.
    """
    if (file is None) == (rule is None):
        raise click.UsageError("give a policy file, or --rule")
    from cli.recorded import recorded
    from policies.impact.tally import Outcome, Tally, impact_json
    from runtime import settings as node
    from topology import inventory as network

    settings = node.load()
    inventory = network.load(settings.inventory)
    now = time.time()
    begin = now - DAY if since is None else since
    before = _before(settings, inventory, against)
    after = _with_rule(rule, before, inventory, now) if rule else _read(file or Path(), inventory, folder, before, now)
    tally = Tally(inventory, before, after)
    for flows in recorded(archive or settings.flow_archive, begin, until):
        tally.add(flows)
    impact = tally.result()
    told = {"since": begin, "until": until, **impact_json(impact, limit)}
    show(told, as_json) if as_json else _tell(told)
    if strict and impact.flows(Outcome.DROPPED):
        sys.exit(2)


def _before(settings: Settings, inventory: Inventory, against: Path | None) -> Rules:
    """What is in force on this node, as its database says; or a file beside the rules of the moment."""
    from policies import snapshot
    from policies.acl import Policy
    from policies.document import parse_what_holds
    from policies.impact.tally import Rules

    found = snapshot.read(settings.database)
    issued = found.issued(inventory)
    if against is not None:
        return _read(against, inventory, None, Rules(Policy(), issued), None)
    if found.version is None:
        return Rules(Policy(), issued)
    policy, _ = parse_what_holds(found.version.text, inventory, found.version.read_list)
    return Rules(policy, issued)


def _read(path: Path, inventory: Inventory, folder: Path | None, beside: Rules, now: float | None) -> Rules:
    from policies.document import read, read_text, reading_in

    piped = str(path) == "-"
    text = sys.stdin.read() if piped else read_text(path)
    lists = reading_in(folder or (Path.cwd() if piped else path.parent))
    name = "policy" if piped else str(path)
    return replace(beside, policy=read(text, inventory, lists, file=name, now=now).policy)


def _with_rule(written: str, before: Rules, inventory: Inventory, now: float) -> Rules:
    """The rules in force and one more, in the form of `POST /v1/rules`.

    Raises:
        PolicyError: it is none, or means nothing here.
    """
    from policies.requests import rule_of
    from policies.snapshot import acls_of
    from policies.translate import translate
    from runtime.errors import PolicyError

    try:
        fields = json.loads(written)
    except ValueError as error:
        raise PolicyError(f"not JSON: {error}", key="--rule", remedy='write {"action": ...} in quotes') from error
    rule = rule_of(fields, "simulated", now)
    translate(rule, inventory)
    return replace(before, issued=(*before.issued, *acls_of([rule], inventory)))


def _tell(told: Mapping[str, Any]) -> None:
    summary = {key: told[key] for key in ("forged", "unknown")}
    vms = told["vms"]
    shown = ", ".join(vms[:12]) + (", ..." if len(vms) > 12 else "")
    show({**told["flows"], "VMs touched": f"{len(vms)}{f' ({shown})' if vms else ''}", **summary}, as_json=False)
    click.echo()
    show([{**group, "example": _example(group["example"])} for group in told["groups"]], False, GROUPS)
    if told["more"]:
        click.echo(f"and {told['more']} more; see --limit")
    if told["never_used"]:
        click.echo(f"\nrules that nothing has met: {', '.join(told['never_used'])}")


def _example(example: Mapping[str, Any] | None) -> str | None:
    if example is None:
        return None
    return f"{example['source']}:{example['source_port']} -> {example['destination']}:{example['port']}"
