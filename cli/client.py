"""One REST request of the command line: where control listens, which token, errors as one line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from runtime.errors import DynsegError
from runtime.settings import Settings, load
from runtime.tokens import Role
from runtime.tokens import load as load_tokens

ANSWER_SECONDS = 10.0
"""Longer than control itself waits for engine and analyzer."""


def ask(
    verb: str,
    path: str,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    seconds: float = ANSWER_SECONDS,
    role: Role = Role.OPERATOR,
    *,
    nulls: bool = False,
) -> Any:
    """The JSON answer of a request; fields that are None are left out.

    Args:
        nulls: None in the body means something, so it is sent.
        seconds: how long to wait for it.
        role: whose token to show, of those in the tokens file.

    Raises:
        DynsegError: control is not there, refuses, or answers with something else.
    """
    import httpx

    settings = load()
    host = f"[{settings.rest.listen}]" if ":" in settings.rest.listen else settings.rest.listen
    elsewhere = os.environ.get("DYNSEG_URL")
    url = elsewhere or f"http://{host}:{settings.rest.port}"
    try:
        answer = httpx.request(
            verb,
            url + path,
            params=_given(query),
            json=body if body is None or nulls else _given(body),
            headers={"Authorization": f"Bearer {_token(settings, role)}"},
            timeout=seconds,
            trust_env=bool(elsewhere),  # a proxy is not shown the token on its way to this machine
            verify=url.startswith("https:"),  # without TLS nobody vouches: reading whom to trust takes 30 ms
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        remedy = "start it with `ryu-manager ryu_apps/controller.py`, or set rest.listen, rest.port or DYNSEG_URL"
        raise DynsegError(f"control does not answer at {url}: {error}", remedy=remedy) from error
    try:
        value = answer.json()
    except ValueError as error:
        remedy = "see what listens there"
        raise DynsegError(f"{url} answers {answer.status_code}, but not as control does", remedy=remedy) from error
    if answer.is_error:
        fields = value if isinstance(value, dict) else {}
        raise DynsegError(
            str(fields.get("error", f"control answers {answer.status_code}")), remedy=fields.get("remedy") or None
        )
    return value


def _given(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (fields or {}).items() if value is not None}


def _token(settings: Settings, role: Role) -> str:
    if token := os.environ.get("DYNSEG_TOKEN"):
        return token
    path = settings.tokens_file
    if not path.exists():
        remedy = "set DYNSEG_TOKEN, or start control once: it makes the file"
        raise DynsegError("there is no token to show", file=path, remedy=remedy)
    tokens = load_tokens(path)
    able = [token for token in tokens if token.role.covers(role)]
    if not able:
        raise DynsegError(f"no token with the role {role}", file=path, remedy="add one, or set DYNSEG_TOKEN")
    return next((token for token in able if token.role is role), able[0]).token
