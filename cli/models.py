"""`dynseg models` and `dynseg train`: the versions of baselines on this node, and the classifier of known attacks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.asking import as_json, show

if TYPE_CHECKING:
    from analyzer.modelstore import ModelStore

COLUMNS = ("version", "made", "current", "anchor", "note", "problem")


@click.group()
def models() -> None:
    """Baselines of this node: their versions, and which one judges."""


@models.command("list")
@as_json
def list_(*, as_json: bool) -> None:
    """All versions that are kept, oldest first. The anchor is the frozen one that later ones are held against."""
    rows = []
    for version in _store().versions():
        said = version.manifest
        made = "" if said is None else datetime.fromtimestamp(said.created, UTC).strftime("%Y-%m-%d %H:%M:%S")
        row = {"version": version.number, "made": made, "current": version.current, "anchor": version.anchor}
        more = {} if said is None else {"training": said.training, "calibration": said.calibration}
        rows.append({**row, "note": "" if said is None else said.note, "problem": version.problem, **more})
    show(rows, as_json, COLUMNS)


@models.command()
@click.argument("version", type=click.IntRange(1))
@click.option("--anchor", is_flag=True, help="Make it the anchor, too: what traffic has become is right as it is.")
def rollback(version: int, *, anchor: bool) -> None:
    """Judge by this version from now on; a running analyzer takes it up within seconds."""
    _store().rollback(version, anchor=anchor)
    click.echo(f"baseline {version} is current" + (" and the anchor" if anchor else ""))


@models.command()
def key() -> None:
    """Print the public key of this node's models, for `analyzer.trusted_keys` of another."""
    from analyzer.models.signing import Signer
    from runtime.settings import load

    click.echo(Signer.of(load().model_key).public)


@click.command()
@click.argument("captures", nargs=-1, required=True, metavar="PATH[=CLASS]...")
@click.option("--internal", default="", metavar="CIDR,...", help="Networks of the VMs; private addresses by default.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the model; it must not exist.")
@click.option("--seed", default=7, show_default=True, help="Of every random choice.")
@click.option("--note", default="", help="For people who list models.")
def train(captures: tuple[str, ...], internal: str, out: Path, seed: int, note: str) -> None:
    """Train the classifier of known attacks on labelled captures.

    CAPTURES are CSV files in the common schema with `label` and `label_detail` (or folders with a `flows.csv.gz`),
    labelled logs of Zeek and argus (CTU-13), CSV files of CIC-IDS2017/2018 and of UNSW-NB15. Where a capture holds one
    attack only and does not name it, write its class behind it: `scan.csv=scan`.

    Each capture is left out in turn and named by a model that has not seen it: the table that says what was called what
    is printed, and written to OUT/confusion.json; so is what becomes of each class of attack when none was trained on.
    """
    from analyzer.models import known, labelled, samples, training
    from analyzer.models.signing import Signer
    from runtime.errors import ModelError
    from runtime.settings import load

    if out.exists():
        raise ModelError("is there already", file=out, remedy="name a folder that does not exist")
    networks = [network.strip() for network in internal.split(",") if network.strip()]
    parts = []
    for capture in captures:
        read = labelled.read(capture, networks)
        parts.append(samples.take(read, training.MOST, seed))
        click.echo(f"{read.name}: {len(read.batch)} flows, {len(parts[-1].rows)} of them to learn from", err=True)
    model = training.fit(parts, seed)
    confusion = training.across(parts, seed, lambda line: click.echo(line, err=True))
    shares, families = confusion.shares(), training.without_family(parts, seed)
    signer = Signer.of(load().model_key)
    known.save(out, training.with_calibration(model, shares), signer, training.digest(parts), note)
    told = [{"truth": truth, "said": said, "flows": count} for (truth, said), count in sorted(confusion.counts.items())]
    report = {
        "captures": [part.name for part in parts],
        "asked": confusion.captures,
        "confusion": told,
        "families": families,
        **shares,
    }
    (out / "confusion.json").write_text(json.dumps(report, indent=1) + "\n")
    click.echo(confusion.table())
    for name, share in shares.items():
        click.echo(f"{name}: {share:.1%}")
    for name, share in families.items():
        click.echo(f"no {name} trained on: {share:.1%} of its flows called an attack")
    click.echo(f"written to {out}, signed by {signer.public}")


def _store() -> ModelStore:
    from analyzer.models.signing import Signer
    from analyzer.modelstore import ModelStore
    from runtime.settings import load

    settings = load()
    return ModelStore(settings.models, Signer.of(settings.model_key), settings.analyzer.trusted_keys)


COMMANDS = (models, train)
