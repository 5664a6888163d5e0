"""`dynseg audit`: reads and proves the audit log from its file, whether the engine runs or not."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

database = click.option(
    "--database", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its file; the node's by default."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")


@click.group()
def audit() -> None:
    """The append-only log of every detection, rule, refusal, installation and removal."""


@audit.command()
@database
@as_json
def verify(database: Path | None, as_json: bool) -> None:
    """Prove the hash chain from the first record to the last; exit status 1 when it is broken."""
    from policies import audit as log

    result = log.verify(_file(database))
    if as_json:
        click.echo(json.dumps(asdict(result), indent=2))
    elif result.error is None:
        click.echo(f"{result.count} records, unbroken; head {result.head}")
    else:
        click.echo(f"BROKEN: {result.error}", err=True)
    sys.exit(0 if result.error is None else 1)


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
