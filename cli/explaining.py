"""`dynseg hits` and `dynseg explain`: what rules have met, and why a packet passes or does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from cli.asking import as_json, ask, show

EXPLAIN_SECONDS = 50.0
HITS = ("rule", "kind", "action", "mode", "allowed", "answers", "denied", "observed", "bytes")
RESTRICTIONS = (
    *("rule", "kind", "tier", "mode", "direction", "other", "services", "denied"),
    *("issuer", "why", "since", "until", "hours", "vfns"),
)
VISITS = ("vfn", "by", "verdict", "table", "rules", "segment", "answer", "observed")


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
@click.argument("source", required=False)
@click.argument("destination", required=False)
@click.option("--vm", help="Instead of a packet: everything that now restricts this VM.")
@click.option("--protocol", type=click.Choice(["tcp", "udp", "sctp", "icmp"]), default="tcp", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=80, show_default=True, help="Of the destination.")
@click.option("--source-port", type=click.IntRange(0, 65535), default=50000, show_default=True)
@click.option("--answer", is_flag=True, help="The packet answers a connection that stands already.")
@click.option("--source-address", help="What the packet says of its sender, if that is not so.")
@as_json
def explain(
    *,
    source: str | None,
    destination: str | None,
    vm: str | None,
    protocol: str,
    port: int,
    source_port: int,
    answer: bool,
    source_address: str | None,
    as_json: bool,
) -> None:
    """Say which rule on which VFN decides about a packet, or with --vm what restricts a VM.

    SOURCE and DESTINATION are VMs or addresses.

    Exit status 1 if the policy, the table entries and the switches do not agree.
    """
    if vm is not None and source is None:
        rows = ask("GET", f"/v1/vms/{quote(vm, safe='')}/restrictions")
        show(rows if as_json else [{**row, "denied": row["hits"]["denied"]} for row in rows], as_json, RESTRICTIONS)
        return
    if source is None or destination is None or vm is not None:
        raise click.UsageError("name a source and a destination, or a VM with --vm")
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


COMMANDS: tuple[click.Command, ...] = (hits, explain)
