"""`dynseg report`: what happened in the network as one page, from the server of metrics or from this node's records."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.flows import Moment
from runtime.errors import DynsegError, MetricsError

if TYPE_CHECKING:
    from dashboards.network_report.model import NetworkReport, WouldDrop
    from runtime.settings import Settings
    from topology.model import Inventory

DAY = 86_400.0
METRICS, RECORDS = "metrics", "records"


@click.command()
@click.option("--since", type=Moment(), help="2026-11-22T10:00 (local; 10:00Z is UTC), 30m, 2h, 7d; 24h unless told.")
@click.option("--until", type=Moment(), help="Now unless told otherwise.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The page's file; - is standard output.",
)
@click.option(
    "--from",
    "source",
    type=click.Choice([METRICS, RECORDS]),
    help="Ask the server of metrics, or read this node's archive and audit log; the server if it is there.",
)
def report(since: float | None, until: float | None, out: Path, source: str | None) -> None:
    """Write what happened in the network as one page that needs nothing but itself.

    Risk over time with what was done, flows by what became of them, who talks to whom, what was denied, and what rules
    that are only observed would have dropped. The page tells times in UTC.
    """
    from dashboards.network_report.page import render
    from runtime import settings as node

    settings = node.load()
    end = time.time() if until is None else until
    begin = end - DAY if since is None else since
    if begin >= end:
        raise click.UsageError("--until is not later than --since")
    made = _made(settings, begin, end, source)
    if out == Path("-"):
        click.echo(render(made))
        return
    try:
        out.write_text(render(made), encoding="utf-8")
    except OSError as error:
        raise DynsegError(f"cannot be written: {error.strerror}", file=out, remedy="name another with --out") from error
    click.echo(f"{out}: {made.source}")


def _made(settings: Settings, since: float, until: float, source: str | None) -> NetworkReport:
    """From where it was asked for; else from the server if it answers, and from the records if not."""
    from dashboards.influxql import place_of
    from dashboards.network_report import metrics

    place = place_of(settings.metrics)
    if place is None and source == METRICS:
        raise MetricsError("no server of metrics is named", key="metrics.url", remedy="or say --from records")
    if place is not None and source != RECORDS:
        try:
            return metrics.report(place, since, until)
        except MetricsError as error:
            if source == METRICS:
                raise
            click.echo(f"dynseg: {error}; reading this node's records instead", err=True)
    return _of_records(settings, since, until)


def _of_records(settings: Settings, since: float, until: float) -> NetworkReport:
    from dashboards.network_report import records
    from topology import inventory as network

    if not settings.flow_archive.is_dir():
        return records.report(None, settings.database, since, until, (), "No flow has been recorded yet.")
    found, note = _would_drop(settings, network.load(settings.inventory), since, until)
    return records.report(settings.flow_archive, settings.database, since, until, found, note)


def _would_drop(
    settings: Settings, inventory: Inventory, since: float, until: float
) -> tuple[Sequence[WouldDrop], str]:
    """What the archive's flows would have met, were every rule of the policy in force that is observed enforced."""
    from cli.recorded import recorded
    from dashboards.network_report.model import WouldDrop
    from policies import snapshot
    from policies.acl import Mode
    from policies.document import parse_what_holds
    from policies.impact.tally import Outcome, Rules, Tally

    held = snapshot.read(settings.database)
    if held.version is None:
        return (), "No policy is in force."
    policy, _ = parse_what_holds(held.version.text, inventory, held.version.read_list)
    observed = sum(acl.mode is Mode.OBSERVE for acl in policy.acls)
    if not observed:
        return (), f"No rule of policy version {held.version.number} is only observed."
    enforced = replace(policy, acls=tuple(replace(acl, mode=Mode.ENFORCE) for acl in policy.acls))
    # Without the rules of the moment: who is cut off now was not when most of the flows went.
    tally = Tally(inventory, Rules(policy), Rules(enforced))
    for flows in recorded(settings.flow_archive, since, until):
        tally.add(flows)
    groups = sorted(
        (group for group in tally.result().groups if group.outcome is Outcome.DROPPED), key=lambda group: -group.flows
    )
    found = [
        WouldDrop(f"{group.source} → {group.destination} {group.service}", group.flows, group.packets, group.bytes)
        for group in groups
    ]
    rules = "1 observed rule" if observed == 1 else f"{observed} observed rules"
    return (
        found,
        f"Recorded flows judged anew by policy version {held.version.number}, as if its {rules} were enforced.",
    )
