"""Commands about consents to payload inspection: list them, lay one down, withdraw one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from cli.asking import as_json, ask, show

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
GRANT_SECONDS = 35.0
COLUMNS = ("id", "state", "in_force", "about", "patterns", "purpose", "agreed_by", "from", "until")


@click.group()
def consent() -> None:
    """Who has agreed that whose payload is searched, for what, and how long."""


@consent.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are over, too.")
@as_json
def list_(everything: bool, as_json: bool) -> None:
    """The consents."""
    rows = ask("GET", "/v1/consents", all="true" if everything else None)
    show(rows if as_json else [_row(row) for row in rows], as_json, COLUMNS)


@consent.command()
@click.argument("file", type=FILE)
@as_json
def grant(file: Path, as_json: bool) -> None:
    """Lay down the consent in a YAML file (see docs/payload.md). Needs a token of an admin."""
    from cli import client
    from policies import consentdoc
    from runtime.tokens import Role

    body = consentdoc.load(file).fields()
    answer = client.ask("POST", "/v1/consents", None, body, GRANT_SECONDS, Role.ADMIN)
    show(answer if as_json else _row(answer), as_json)


@consent.command()
@click.argument("consent_id", metavar="CONSENT")
@click.option("--reason", help="Why; stands in the audit log.")
@as_json
def withdraw(consent_id: str, reason: str | None, as_json: bool) -> None:
    """End a consent at once: nothing is copied or searched for it any more."""
    answer = ask("DELETE", f"/v1/consents/{quote(consent_id, safe='')}", reason=reason)
    show(answer if as_json else _row(answer), as_json)


def _row(consent: Mapping[str, Any]) -> dict[str, Any]:
    """A consent for people: whom it is about in one column, times as such."""
    from policies.consentdoc import utc

    about = f"VM {consent['vm']}" if consent["vm"] else f"segment {consent['segment']}"
    times = {"from": utc(consent["start"]), "until": utc(consent["until"])}
    return {**{key: value for key, value in consent.items() if key in COLUMNS}, "about": about, **times}
