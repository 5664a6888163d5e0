"""`dynseg audit`: reads and proves the audit log from its file, whether the engine runs or not."""

from __future__ import annotations

import json
import socket
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from cli.asking import show
from cli.flows import Moment

if TYPE_CHECKING:
    from policies.audit import AuditRow
    from policies.auditreplay import Replayed

database = click.option(
    "--database", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its file; the node's by default."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
RULES = ("id", "state", "action", "about", "issuer", "created", "expires", "reasons")


@click.group()
def audit() -> None:
    """The append-only log of every detection, rule, refusal, installation and removal."""


@audit.command()
@database
@click.option(
    "--export",
    "exported",
    type=click.File(encoding="utf-8", errors="replace"),
    help="Prove the lines of an export instead; - is the input.",
)
@as_json
def verify(database: Path | None, exported: TextIO | None, as_json: bool) -> None:
    """Prove the hash chain from the first record to the last; exit status 1 when it is broken."""
    from policies import audit as log
    from policies.auditproof import prove
    from policies.service import package_version

    result = log.verify(_file(database)) if exported is None else prove(exported, package_version())
    if result.ok and not result.count:
        result = replace(result, error="there is no row in it, so nothing is proven")
    if as_json:
        click.echo(json.dumps(asdict(result), indent=2))
    elif result.error is None:
        click.echo(f"{result.count} records, unbroken; head {result.head}")
    else:
        click.echo(f"BROKEN: {result.error}", err=True)
    sys.exit(0 if result.error is None else 1)


@audit.command()
@database
@click.option("--format", "form", type=click.Choice(["ocsf", "cef"]), default="ocsf", show_default=True)
@click.option("--since", type=Moment(), help="From the first record of that time on: 2026-11-22T10:00, 30m, 2h, 7d.")
@click.option("--until", type=Moment(), help="Up to the last record of that time.")
def export(database: Path | None, form: str, since: float | None, until: float | None) -> None:
    """Print the records for others, one a line: OCSF events (JSON), or syslog (RFC 5424) with CEF.

    `dynseg audit verify --export` proves their chain.
    """
    from policies import audit as log
    from policies import auditcef, auditocsf
    from policies.service import package_version

    version, host = package_version(), socket.gethostname()

    def line(row: AuditRow) -> str:
        if form == "cef":
            return auditcef.line(row, version, host)
        return json.dumps(auditocsf.event_json(auditocsf.event(row, version)), separators=(",", ":"))

    for row in log.rows(_file(database), since, until):
        click.echo(line(row))


@audit.command()
@database
@click.option("--at", type=Moment(), help="When: 2026-11-22T10:00, or 30m, 2h, 7d ago; now by default.")
@as_json
def replay(database: Path | None, at: float | None, as_json: bool) -> None:
    """Rebuild from the records what was in force at a moment: rules, the policy's version, consents, the hold.

    Without --at it is also compared with what the database holds; exit status 1 if that is something else, or if the
    records' chain is broken up to that moment.
    """
    from policies import audit as log
    from policies.auditreplay import replay, replayed_json

    file = _file(database)
    found = replay(log.rows(file, until=at))
    told = replayed_json(found)
    wrong = _differences(found, file) if at is None else []
    broken = log.verify(file, at).error
    if as_json:
        show({**told, "broken": broken} | ({"differences": wrong} if at is None else {}), as_json)
    else:
        show({key: value for key, value in told.items() if key != "rules"}, as_json)
        click.echo()
        show(told["rules"], False, RULES)
    if broken is not None:
        click.echo(f"BROKEN: {broken}; what is shown rests on records that are not proven", err=True)
    for sentence in wrong:
        click.echo(f"DIFFERENT: {sentence}", err=True)
    sys.exit(1 if wrong or broken else 0)


def _differences(found: Replayed, file: Path) -> list[str]:
    """Where the database holds something else than the records say."""
    from policies import snapshot

    stored = snapshot.read(file)
    wrong = []
    version = 0 if stored.version is None else stored.version.number
    if version != found.version:
        wrong.append(f"the database holds version {version} of the policy, the records say {found.version}")
    rules: dict[str, Any] = {rule.id: rule for rule in stored.rules}
    for identity in sorted(rules.keys() | found.live.keys()):
        if identity not in found.live:
            wrong.append(f"rule {identity}: only in the database")
        elif identity not in rules:
            wrong.append(f"rule {identity}: only in the records")
        elif rules[identity] != found.live[identity]:
            wrong.append(f"rule {identity}: another in the database")
    return wrong


@audit.command("list")
@database
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only records after this number.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many.")
@click.option("--kind", help="Only records of this kind.")
@as_json
def list_records(database: Path | None, after: int, limit: int, kind: str | None, as_json: bool) -> None:
    """Show the records."""
    from cli import tables
    from policies import audit as log

    records = [asdict(record) for record in log.list(_file(database), after, limit, kind)]
    columns = ("seq", "ts", "actor", "kind", "body")
    click.echo(json.dumps(records, indent=2) if as_json else tables.table(records, columns))


def _file(named: Path | None) -> Path:
    from runtime import settings

    return named or settings.load().database
