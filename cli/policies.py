"""Commands about the policy: check, apply and show it, what its rules have met, and why a packet passes or does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cli.asking import as_json, ask, show

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
APPLY_SECONDS = 130.0
EXPLAIN_SECONDS = 50.0
HITS = ("rule", "kind", "action", "mode", "allowed", "answers", "denied", "observed", "bytes")
VISITS = ("vfn", "by", "verdict", "table", "rules", "segment", "answer", "observed")


@click.group()
def policy() -> None:
    """What the network may do, as people lay it down."""


@policy.command()
@click.argument("file", type=FILE)
@as_json
def check(file: Path, as_json: bool) -> None:
    """Say whether a policy file means something in this node's network. Changes nothing."""
    from policies.document import load
    from policies.pipeline import lists
    from policies.policybook import counts
    from runtime import settings
    from topology import inventory

    found = load(file, inventory.load(settings.load().inventory))
    lists.check(found.lists.values())
    show(counts(found), as_json)


@policy.command("apply")
@click.argument("file", type=FILE)
@as_json
def lay_down(file: Path, as_json: bool) -> None:
    """Put a policy file in force. The engine reads the files of lists, beside it, on its own machine."""
    from cli import client
    from policies.document import read_text

    body = {"text": read_text(file), "folder": str(file.resolve().parent)}
    show(client.ask("PUT", "/v1/policy", None, body, APPLY_SECONDS), as_json)


@policy.command("show")
@click.option("--version", type=click.IntRange(min=1), help="An earlier one; the one in force by default.")
@as_json
def show_policy(version: int | None, as_json: bool) -> None:
    """Show the policy: its text, who laid it down, and whether every VFN has it."""
    answer = ask("GET", "/v1/policy", version=version)
    if as_json:
        show(answer, as_json)
        return
    text = answer.pop("text")
    show(answer, as_json)
    click.echo(f"\n{text}", nl=False)


@click.command()
@click.option("--vfn", help="Only what this VFN has counted.")
@as_json
def hits(vfn: str | None, as_json: bool) -> None:
    """Packets that each rule has met: let through, as answers too, denied, or (in observe) would have denied."""
    rows = ask("GET", "/v1/hits")
    show(rows if as_json else [_row(row, vfn) for row in rows], as_json, HITS)


def _row(row: Mapping[str, Any], vfn: str | None) -> dict[str, Any]:
    sums = row if vfn is None else row["vfns"].get(vfn, {})
    packets, octets = sums.get("packets", {}), sums.get("bytes", {})
    return {**{key: row[key] for key in ("rule", "kind", "action", "mode")}, **packets, "bytes": sum(octets.values())}


@click.command()
@click.argument("source")
@click.argument("destination")
@click.option("--protocol", type=click.Choice(["tcp", "udp", "sctp", "icmp"]), default="tcp", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=80, show_default=True, help="Of the destination.")
@click.option("--source-port", type=click.IntRange(0, 65535), default=50000, show_default=True)
@click.option("--answer", is_flag=True, help="The packet answers a connection that stands already.")
@click.option("--source-address", help="What the packet says of its sender, if that is not so.")
@as_json
def explain(
    *,
    source: str,
    destination: str,
    protocol: str,
    port: int,
    source_port: int,
    answer: bool,
    source_address: str | None,
    as_json: bool,
) -> None:
    """Say which rule on which VFN decides about a packet; source and destination are VMs or addresses.

    Exit status 1 if the policy, the table entries and the switches do not agree.
    """
    from cli import client

    query = {"source": source, "destination": destination, "protocol": protocol, "port": port}
    query |= {"source_port": source_port, "answer": str(answer).lower(), "source_address": source_address}
    told = client.ask("GET", "/v1/explain", query, None, EXPLAIN_SECONDS)
    if as_json:
        show(told, as_json)
    else:
        _tell(told)
    if not told["agree"]:
        for sentence in told["disagreements"]:
            click.secho(f"DISAGREEMENT: {sentence}", err=True, fg="red", bold=True)
        raise SystemExit(1)


def _tell(told: Mapping[str, Any]) -> None:
    show({key: value for key, value in told["policy"].items() if value not in (None, [])}, as_json=False)
    click.echo()
    show(told["vfns"], False, VISITS)


COMMANDS: tuple[click.Command, ...] = (policy, hits, explain)
