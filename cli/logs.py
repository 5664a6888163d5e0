"""`dynseg log`: what the processes log, changed while they run; and the trail of one rule through their files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from cli.asking import as_json, ask, show
from runtime.errors import DynsegError

PROCESSES = ("control", "engine", "analyzer", "metrics")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "INHERIT")


@click.group()
def log() -> None:
    """Log levels, and the trail of a rule through the logs."""


@log.command()
@click.argument("level", required=False, type=click.Choice(LEVELS, case_sensitive=False))
@click.option("--process", type=click.Choice(PROCESSES), help="Only of this process; of all by default.")
@click.option("--logger", metavar="NAME", help="Only below this name, as in dynseg.engine; `dynseg` is all.")
@as_json
def level(level: str | None, process: str | None, logger: str | None, as_json: bool) -> None:
    """Show the levels, or set one: it holds until the process ends. INHERIT takes a logger's own level away."""
    path = "/v1/log-level"
    answer = ask("GET", path) if level is None else ask("PUT", path, level=level, process=process, logger=logger)
    if as_json:
        show(answer, as_json)
        return
    for name, told in answer.items():
        levels = told.get("levels", {"": told.get("error", "")})
        for one, value in levels.items():
            click.echo(f"{name:<10} {one:<32} {value}")


@log.command()
@click.argument("rule")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def trail(rule: str, files: tuple[Path, ...]) -> None:
    """Lines about RULE, and about the proposal that it came from, out of the logs, by their time.

    FILES are those of control, engine and analyzer, in either `log_format`; without any, the last two in `run_dir`.
    """
    from runtime.settings import load

    read = files or tuple(file for name in ("engine", "analyzer") if (file := load().run_dir / f"{name}.log").exists())
    lines = sorted((line for file in read for line in _lines(file)), key=lambda line: line.time)
    names_it = re.compile(rf"(?<![\w-]){re.escape(rule)}(?![\w-])")
    proposals = {line.proposal for line in lines if names_it.search(line.text)} - {None}
    shown = [line for line in lines if names_it.search(line.text) or line.proposal in proposals]
    if not shown:
        where = ", ".join(map(str, read)) or f"no log in {load().run_dir}"
        raise DynsegError(f"nothing is said of {rule} ({where})", remedy="`dynseg rules` has the ids; or name FILES")
    for line in shown:
        click.echo(line.text)


@dataclass(frozen=True)
class _Line:
    """A line of a log."""

    time: float
    """Epoch seconds."""
    proposal: str | None
    text: str


_FOR_PEOPLE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) [a-z]+ [A-Z]+ ")
_PROPOSAL = re.compile(r"\bproposal\b['\"]?[=:] ?(\d+)")


def _lines(file: Path) -> Iterator[_Line]:
    """Lines of a log, in either form; others, as of a trace or a start-up that failed, are left out."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in map(str.rstrip, lines):
            if (time := _time(line)) is not None:
                proposal = _PROPOSAL.search(line)
                yield _Line(time, None if proposal is None else proposal[1], line)


def _time(line: str) -> float | None:
    """When a line was written (for people: local time); None: it is none of ours."""
    try:
        if line.startswith("{"):
            return datetime.fromisoformat(json.loads(line)["time"]).timestamp()
        head = _FOR_PEOPLE.match(line)
        return None if head is None else datetime.fromisoformat(head[1]).timestamp()
    except (ValueError, KeyError, TypeError):
        return None
