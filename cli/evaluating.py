"""`dynseg evaluate`: a page about what the analyzer is worth on labelled captures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from runtime.errors import DynsegError

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("captures", nargs=-1, metavar="PATH...")
@click.option("--learn", default=0.4, show_default=True, type=click.FloatRange(0.05, 0.95), help="Share learned from.")
@click.option("--internal", default="", metavar="CIDR,...", help="Networks of the VMs; private addresses by default.")
@click.option("--score", type=EXISTING, help="JSON of a run of score.py, for its table.")
@click.option("--confusion", type=EXISTING, help="confusion.json of `dynseg train`, for its table.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The page (HTML).")
def evaluate(
    captures: tuple[str, ...], learn: float, internal: str, score: Path | None, confusion: Path | None, out: Path
) -> None:
    """Judge labelled captures, and write ROC curves, calibration, false alarms and delays as one HTML page.

    Of each capture the benign flows of the first part are learned from, and the rest is judged, without any supervised
    model. Formats as for `dynseg train`. What cannot be judged is left out, which page and exit status tell.
    """
    from analyzer import evaluate as judged
    from analyzer.models import labelled
    from dashboards import evaluation

    if not captures and score is None:
        raise click.UsageError("name captures, or a run of score.py with --score")
    networks = [network.strip() for network in internal.split(",") if network.strip()]
    found, left_out = [], []
    for capture in captures:
        try:
            one = judged.evaluate(labelled.read(capture, networks), learn)
        except DynsegError as error:
            left_out.append(str(error))
            click.echo(f"left out: {error}", err=True)
            continue
        found.append(one)
        auc = "no AUC" if one.auc is None else f"AUC {one.auc:.3f}"
        calm = "" if one.learned else ", nothing benign to learn from"
        click.echo(f"{one.name}: {auc}, {one.acted} of {one.offenders} offenders acted on{calm}")
    command = f"dynseg evaluate --learn {learn:g} ({len(captures)} captures)"
    data = evaluation.Evaluation(found, left_out, _json(score), _json(confusion), command)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(evaluation.render(data))
    click.echo(f"written to {out}")
    if left_out:
        raise DynsegError(f"{len(left_out)} of {len(captures)} captures are left out")


def _json(file: Path | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        said = json.loads(file.read_text())
    except ValueError as error:
        raise DynsegError(f"is no JSON: {error}", file=file) from error
    if not isinstance(said, dict):
        raise DynsegError("holds no object", file=file)
    return said
