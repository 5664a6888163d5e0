"""`dynseg import`: recordings of others as flows that `dynseg replay` reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runtime.errors import DynsegError

if TYPE_CHECKING:
    from analyzer.importers.files import Imported

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
_CSV = (".csv", ".csv.gz")


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=EXISTING, metavar="FILE...")
@click.option("--internal", default="", metavar="CIDR,...", help="Networks of the VMs; private addresses by default.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="X.csv or X.csv.gz for all, or a folder for one each."
)
def import_(files: tuple[Path, ...], internal: str, out: Path) -> None:
    """Make flows of captures (pcap, pcapng) and logs (Zeek conn.log, argus binetflow), also gzipped.

    What cannot be read of a file is told and left out; a file that cannot be read at all makes the exit status 1.
    """
    from analyzer.importers import files as importers
    from analyzer.site import Site

    site = Site.of([network.strip() for network in internal.split(",") if network.strip()])
    found: dict[Path, Imported] = {}
    refused = False
    for file in dict.fromkeys(files):
        try:
            found[file] = importers.read(file, site)
        except DynsegError as error:
            click.echo(f"dynseg: {error}", err=True)
            refused = True
            continue
        _tell(file, found[file])
    targets = _targets(found, out)
    try:
        for target, members in targets.items():
            importers.write(target, [found[file].table for file in members])
    except OSError as error:
        raise DynsegError(f"cannot be written: {error.strerror}", file=error.filename or out) from error
    click.echo(f"{sum(len(imported.batch) for imported in found.values())} flows of {len(site.names) - 1} hosts inside")
    sys.exit(1 if refused else 0)


def _tell(file: Path, imported: Imported) -> None:
    for line in imported.faults.told():
        click.echo(f"dynseg: {line}", err=True)
    click.echo(f"{file}: {len(imported.batch)} flows, {sum(imported.faults.counts.values())} things left out")


def _targets(found: dict[Path, Imported], out: Path) -> dict[Path, list[Path]]:
    """Files to write, each with the files whose flows it takes."""
    if out.name.endswith(_CSV) and not out.is_dir():
        return {out: list(found)} if found else {}
    targets: dict[Path, list[Path]] = {}
    for file in found:
        stem = file.name.removesuffix(".gz")
        names = (f"{stem}{suffix}.csv.gz" for suffix in ("", *(f"-{number}" for number in range(2, len(found) + 2))))
        targets[next(out / name for name in names if out / name not in targets)] = [file]
    return targets
