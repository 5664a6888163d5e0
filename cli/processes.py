"""Commands that are processes of their own: engine, analyzer, replay; and the settings they all read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
def engine() -> None:
    """Run the segmentation engine (control starts it by itself)."""
    from runtime.settings import load

    settings = load()
    from policies import process
    from policies.dryrun import DryRun
    from runtime import priority
    from ryu_apps.wire.codec import WireCodec

    priority.take(priority.SWITCH)
    tries = DryRun((sys.executable, "-m", "cli.main", "policy", "simulate"))
    sys.exit(process.run(settings, WireCodec(), dry_run=tries))


@click.command()
def analyzer() -> None:
    """Run the traffic analyzer (control starts it by itself)."""
    from runtime.settings import load

    settings = load()
    from analyzer import process
    from runtime import priority

    priority.take(priority.ORDINARY)
    sys.exit(process.run(settings))


@click.command()
def metrics() -> None:
    """Run the writer of points for dashboards (control starts it by itself when `metrics.url` is set)."""
    from runtime.settings import load

    settings = load()
    from dashboards.metrics import process
    from policies.service import package_version
    from runtime import priority

    priority.take(priority.ORDINARY)
    sys.exit(process.run(settings, package_version()))


@click.command()
@click.argument("test", type=EXISTING)
@click.option("--train", multiple=True, type=EXISTING, help="Recorded flows to learn from; may be given several times.")
@click.argument("more_train", nargs=-1, type=EXISTING)
@click.option("--internal", default="", metavar="CIDR,...", help="Networks of the VMs; private addresses by default.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the results.")
def replay(test: Path, train: tuple[Path, ...], more_train: tuple[Path, ...], internal: str, out: Path) -> None:
    """Analyze recorded flows (CSV, also .gz): scores.csv and rules.jsonl in the folder OUT.

    `--train A B C` and `--train A --train B` mean the same.
    """
    from analyzer import replay as recorded

    networks = [network.strip() for network in internal.split(",") if network.strip()]
    recorded.run(test, (*train, *more_train), networks, out)


@click.command()
def settings() -> None:
    """Show every setting: its key, current value and meaning."""
    from runtime.settings import load

    for key, value, meaning in _walk(load(), ""):
        click.echo(f"{key} = {value}")
        click.echo(f"    {meaning}")


def _walk(section: object, prefix: str) -> Iterator[tuple[str, str, str]]:
    """(dotted key, value, meaning) of a settings section and those within it."""
    from pydantic import BaseModel

    for name, information in type(section).model_fields.items():  # type: ignore[attr-defined]
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _walk(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "not set" if value is None else str(value), information.description or ""


COMMANDS = (engine, analyzer, metrics, replay, settings)
