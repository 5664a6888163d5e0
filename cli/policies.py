"""`dynseg policy`: check a policy file, put it in force, look at its versions, and go back to one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import simulating
from cli.asking import as_json, ask, reason, show

if TYPE_CHECKING:
    from policies.schema import PolicyDoc

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
APPLY_SECONDS = 130.0
DIFF_SECONDS = 40.0
HISTORY = ("version", "state", "actor", "created", "enforced_at", "again", "refused")
HARM = ("time", "rule", "version", "decision", "flows", "budget", "missed_by", "services")
CHANGES = ("part", "name", "change", "before", "after")
base_version = click.option(
    "--base", "base_version", type=click.IntRange(min=0), help="Refuse it if another version than this is in force."
)


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

    found = load(file, inventory.load(settings.load().inventory), time.time())
    lists.check(found.policy.lists.values())
    show({**counts(found.policy), "remarks": list(found.remarks)}, as_json)


@policy.command("apply")
@click.argument("file", type=FILE)
@base_version
@reason
@as_json
def lay_down(file: Path, base_version: int | None, reason: str | None, as_json: bool) -> None:
    """Put a policy file in force. The engine reads the files of lists, beside it, on its own machine."""
    from cli import client
    from policies.document import read_text

    where = {"text": read_text(file), "folder": str(file.resolve().parent), "file": str(file)}
    body = {**where, "base_version": base_version, "reason": reason}
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


@policy.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most this many.")
@click.option("--before", type=click.IntRange(min=1), help="Only versions before this one.")
@as_json
def history(limit: int, before: int | None, as_json: bool) -> None:
    """List the versions of the policy, newest first: who laid them down, when, and what became of them."""
    show(ask("GET", "/v1/policy/history", limit=limit, before=before), as_json, HISTORY)


@policy.command()
@click.argument("one", metavar="A")
@click.argument("other", metavar="B", required=False)
@click.option("--text", "as_text", is_flag=True, help="Show the lines that differ, as `diff -u` does.")
@as_json
def diff(one: str, other: str | None, as_text: bool, as_json: bool) -> None:
    """Say what is different between two versions or files; without B, between A and the version in force."""
    told = _compared(one, other)
    if as_json:
        show(told, as_json)
    elif as_text:
        click.echo(told["text"], nl=False)
    else:
        show(told["changes"], as_json, CHANGES)
        for name in told["files"]:
            click.echo(f"the file {name} was another")


def _compared(one: str, other: str | None) -> Mapping[str, Any]:
    """The difference; control knows versions, files are read here."""
    from cli import client
    from policies.diff import difference, lines

    if one.isdigit() and (other is None or other.isdigit()):
        answer: Mapping[str, Any] = client.ask("GET", "/v1/policy/diff", {"from": one, "to": other}, None, DIFF_SECONDS)
        return answer
    (old_name, old, before), (new_name, new, after) = _read(one), _read(other)
    return {"changes": difference(before, after), "files": [], "text": lines(old, new, old_name, new_name)}


def _read(named: str | None) -> tuple[str, str, PolicyDoc]:
    """(what to call it, text, document) of a version, the one in force, or a file."""
    from policies.document import parse_document, read_text

    if named is None or named.isdigit():
        answer = ask("GET", "/v1/policy", version=named)
        text, name = answer["text"], f"version {answer['version']}"
    else:
        text, name = read_text(Path(named)), named
    return name, text, parse_document(text, name)


@policy.command()
@click.argument("version", type=click.IntRange(min=1))
@base_version
@reason
@as_json
def rollback(version: int, base_version: int | None, reason: str | None, as_json: bool) -> None:
    """Put an earlier version in force again, with its lists as they were: as a new version of its own."""
    from cli import client

    body = {"version": version, "base_version": base_version, "reason": reason}
    show(client.ask("POST", "/v1/policy/rollback", None, body, APPLY_SECONDS), as_json)


@policy.command()
@click.option("--version", type=click.IntRange(min=1), help="An earlier one; the one in force by default.")
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def export(version: int | None, form: str) -> None:
    """Print a version to be edited and applied again, refused then if another has come between.

    YAML is the text as it was laid down, JSON the same without its comments.
    """
    from policies.document import parse_document, rebased
    from policies.schema import plain

    answer = ask("GET", "/v1/policy", version=version)
    if form == "yaml":
        click.echo(rebased(answer["text"], answer["version"]), nl=False)
        return
    document = plain(parse_document(answer["text"])) | {"base_version": answer["version"]}
    click.echo(json.dumps(document, indent=2))


@policy.command()
def schema() -> None:
    """Print the JSON Schema of policy files, for editors that complete and check them."""
    from policies.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@policy.command()
@click.argument("name", required=False)
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="Fill in a parameter; several times.")
def template(name: str | None, values: tuple[str, ...]) -> None:
    """Print a policy for a common need, filled in; without NAME, what there is.

    It is checked against this node's network before it is printed.
    """
    from policies import templating
    from policies.document import read, reading_in
    from runtime import settings
    from topology import inventory

    if name is None:
        for known in templating.names():
            one = templating.load(known)
            click.echo(f"{known}: {one.about}")
            for key, parameter in one.parameters.items():
                usual = "" if parameter.default is None else f" ({parameter.default} by default)"
                click.echo(f"    {key}: {parameter.about}{usual}")
        return
    pairs = [value.partition("=") for value in values]
    if wrong := [key for key, given, _ in pairs if not given]:
        raise click.UsageError(f"--set {wrong[0]}: write NAME=VALUE")
    network = inventory.load(settings.load().inventory)
    text = templating.fill(templating.load(name), {key: value for key, _, value in pairs}, network)
    read(text, network, reading_in(Path.cwd()), file=f"template {name}", now=time.time())
    click.echo(text, nl=False)


@policy.command()
@as_json
def harm(as_json: bool) -> None:
    """List the rules and versions that kept ordinary traffic from passing, and what was done about them."""
    rows = ask("GET", "/v1/harm")
    show(rows if as_json else [{**row, "missed_by": ", ".join(row["missed_by"])} for row in rows], as_json, HARM)


@policy.command("import")
@click.argument("form", type=click.Choice(["k8s"]), expose_value=False)
@click.argument("file", type=FILE)
@click.option("--segment", help="To which policies without a namespace belong.")
def import_(file: Path, segment: str | None) -> None:
    """Print Kubernetes NetworkPolicies (k8s) as a policy; what has no meaning here is refused with its line.

    Where both egress and ingress allow something, this node's inventory says who may do both.
    """
    from policies.document import read_text
    from policies.kubernetes import convert
    from runtime import settings
    from topology import inventory

    known = settings.load().inventory
    network = inventory.load(known) if known.is_file() else None
    click.echo(convert(read_text(file), str(file), segment, network), nl=False)


policy.add_command(simulating.simulate)

COMMANDS: tuple[click.Command, ...] = (policy,)
