"""The REST interface: who may ask what of which process. Answers come from the engine and the analyzer."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ryu.app.wsgi import ControllerBase, Response, WSGIApplication

from runtime.errors import DynsegError, TransientError
from runtime.tokens import Token, find
from ryu_apps.peer import Answer, Peer
from ryu_apps.routes import BY_NAME, ROUTES, Route

LOG = logging.getLogger("dynseg.control.rest")


class RefusedError(DynsegError):
    """A request that is not carried out: HTTP status, what is wrong, what to do."""

    def __init__(self, status: int, message: str, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


@dataclass(frozen=True)
class Backend:
    """What stands behind the interface."""

    tokens: tuple[Token, ...]
    peers: Mapping[str, Peer]
    status: Callable[[Token], Mapping[str, Any]]
    explain: Callable[[Mapping[str, Any], Token, float], Answer]
    exposition: Callable[[str, Token], Answer]
    log_level: Callable[[Mapping[str, Any], Token], Answer]


def register(application: WSGIApplication, backend: Backend) -> None:
    """Put the routes into Ryu's WSGI application; every other path is answered in JSON, too."""
    for route in ROUTES:
        application.mapper.connect(
            route.name, route.path, controller=Api, route=route.name, conditions={"method": [route.verb]}
        )
    application.mapper.connect("elsewhere", "{path:.*}", controller=Api, route="")
    application.registory[Api.__name__] = backend


class Api(ControllerBase):
    """One request, from bearer token to JSON answer."""

    def __call__(self, request: Any) -> Response:
        """Answer `request` (webob); nothing escapes as a stack trace to the client."""
        try:
            answer = self._answer(request)
        except RefusedError as refused:
            answer = _problem(refused.status, refused)
        except TransientError as error:
            answer = _problem(503, error)
        except Exception:
            LOG.exception("%s %s failed", request.method, request.path)
            answer = _problem(500, DynsegError("control failed at this request", remedy="see control's log"))
        response = Response(status=answer.status, body=answer.text)
        response.headers["Content-Type"] = answer.content
        response.headers["Cache-Control"] = "no-store"
        if answer.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def _answer(self, request: Any) -> Answer:
        backend: Backend = self.data
        token = authenticate(backend.tokens, request.headers.get("Authorization", ""))
        route = BY_NAME.get(request.urlvars["route"])
        if route is None:
            raise _nowhere(request.method, request.path)
        if not token.role.covers(route.role):
            raise RefusedError(403, f"the token {token.name} is a {token.role}'s", f"show one of an {route.role}")
        params = {key: value for key, value in request.urlvars.items() if key not in ("route", "controller", "action")}
        params = _merge(params, read_query(route, request.GET))
        if route.takes_body:
            params = _merge(params, read_body(request, route.max_body))
        if route.locks and (match := request.headers.get("If-Match")) is not None:
            params = _merge(params, {"base_version": read_match(match)})
        if route.process == "all":
            return Answer(200, json.dumps(backend.status(token)).encode())
        if route.process == "switches":
            return backend.explain(params, token, route.seconds)
        if route.process == "each":
            return backend.log_level(params, token)
        if route.process == "named":
            answer = backend.exposition(str(params.get("process", "control")), token)
            return replace(answer, content=route.content) if answer.status == 200 else answer
        return backend.peers[route.process].call(route.method, params, token.name, token.role, route.seconds)


def authenticate(tokens: tuple[Token, ...], header: str) -> Token:
    """The token of an `Authorization` header.

    Raises:
        RefusedError: 401.
    """
    scheme, _, presented = header.partition(" ")
    token = find(tokens, presented.strip()) if scheme.lower() == "bearer" else None
    if token is None:
        raise RefusedError(401, "no valid token", "send `Authorization: Bearer TOKEN` with one of the tokens file")
    return token


def read_query(route: Route, query: Mapping[str, str]) -> dict[str, Any]:
    """The query as numbers and texts; unknown keys are refused.

    Raises:
        RefusedError: 400.
    """
    params: dict[str, Any] = {}
    for key, text in query.items():
        if key not in route.query:
            known = ", ".join(route.query) or "none"
            raise RefusedError(400, f"unknown query parameter {key!r}", f"known here: {known}")
        try:
            params[key] = route.query[key](text)
        except ValueError as error:
            raise RefusedError(400, f"query parameter {key!r} is wrong", f"it must be {error}") from error
    return params


def read_body(request: Any, longest: int) -> dict[str, Any]:
    """The JSON object in a request's body; no body is an empty object.

    Raises:
        RefusedError: 400, 411 or 413.
    """
    if "Transfer-Encoding" in request.headers:
        raise RefusedError(411, "a body without a length is not read", "send Content-Length")
    raw = request.body_file.read(longest + 1) if (request.content_length or 0) <= longest else None
    if raw is None or len(raw) > longest:
        raise RefusedError(413, "the body is too large", f"send at most {longest} bytes")
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is not JSON: {error}", "send one JSON object") from error
    if not isinstance(value, dict):
        raise RefusedError(400, "the body is no JSON object", 'send one, like {"reason": "..."}')
    return value


def read_match(header: str) -> int:
    """The version in a header `If-Match: "7"`.

    Raises:
        RefusedError: 400.
    """
    text = header.strip().strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise RefusedError(
            400, f"If-Match: {header} is no version of the policy", 'send its number, like If-Match: "7"'
        )
    return int(text)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _merge(params: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    for key in more:
        if key in params:
            raise RefusedError(400, f"{key!r} is given twice", "leave it out of query, body or header")
    return {**params, **more}


def _nowhere(method: str, path: str) -> RefusedError:
    if any(route.path == path for route in ROUTES):
        return RefusedError(405, f"{method} is not possible for {path}", "see the table in docs/architecture.md")
    return RefusedError(404, f"there is no {path}", "see the table in docs/architecture.md")


def _problem(status: int, error: DynsegError) -> Answer:
    return Answer.problem(status, error.message, error.remedy)
