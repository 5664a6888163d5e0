"""The table of the REST interface: who may ask what, and which process answers. Imports no Ryu."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.exposition import CONTENT_TYPE
from runtime.tokens import Role

Converter = Callable[[str], Any]


def _whole(lowest: int, highest: int) -> Converter:
    def convert(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and lowest <= int(text) <= highest):
            raise ValueError(f"a whole number from {lowest} to {highest}")
        return int(text)

    return convert


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e11:
        raise ValueError("seconds since 1970")
    return value


def _one_of(*words: str) -> Converter:
    def convert(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return text

    return convert


CALL_SECONDS = 5.0
DRY_RUN_SECONDS = 120.0
MAX_BODY = 1 << 20
_LIMIT = _whole(1, 1000)
_PORT = _whole(0, 65535)
_VERSION = _whole(1, 2**31 - 1)
_EXPLAIN: Mapping[str, Converter] = {
    "source": str,
    "destination": str,
    "protocol": _one_of("tcp", "udp", "sctp", "icmp"),
    "port": _PORT,
    "source_port": _PORT,
    "answer": _one_of("true", "false"),
    "source_address": str,
}
_AUDIT: Mapping[str, Converter] = {"after": _whole(0, 2**63 - 1), "limit": _LIMIT, "kind": str}


@dataclass(frozen=True)
class Route:
    """One row of the table in the documentation. Path parameters, query and body together are the call's params."""

    verb: str
    path: str
    role: Role
    process: str
    """`engine`, `analyzer`; `all`: both and control; `switches`: the engine, and control's local switches; `named`: the
    one in the path, `each`: every one, for what is done alike in all."""
    method: str
    query: Mapping[str, Converter] = field(default_factory=dict)
    seconds: float = CALL_SECONDS
    """How long the process may take to answer."""
    max_body: int = MAX_BODY
    """Bytes."""
    content: str = "application/json"
    """Type of a good answer; problems are always JSON."""
    locks: bool = False
    """Does the header `If-Match` say from which version a change was made (`base_version`)?"""

    @property
    def name(self) -> str:
        """What the URL mapper, which keeps texts only, knows it by."""
        return f"{self.verb} {self.path}"

    @property
    def takes_body(self) -> bool:
        """Does it read a JSON object?"""
        return self.verb in ("POST", "PUT")


ROUTES = (
    Route("GET", "/metrics", Role.VIEWER, "named", "exposition", content=CONTENT_TYPE),
    Route("GET", "/metrics/{process}", Role.VIEWER, "named", "exposition", content=CONTENT_TYPE),
    Route("GET", "/v1/log-level", Role.VIEWER, "each", "log_level"),
    Route("PUT", "/v1/log-level", Role.OPERATOR, "each", "log_level"),
    Route("GET", "/v1/status", Role.VIEWER, "all", "status"),
    Route("GET", "/v1/vfns", Role.VIEWER, "engine", "vfns"),
    Route("GET", "/v1/vms", Role.VIEWER, "engine", "vms"),
    Route("GET", "/v1/vms/{name}", Role.VIEWER, "engine", "vm"),
    Route("GET", "/v1/vms/{name}/restrictions", Role.VIEWER, "engine", "restrictions"),
    Route("GET", "/v1/vms/{vm}/flows", Role.VIEWER, "analyzer", "flows", {"limit": _LIMIT}),
    Route("GET", "/v1/vms/{name}/names", Role.VIEWER, "analyzer", "names", {"limit": _LIMIT}),
    Route("GET", "/v1/evidence", Role.VIEWER, "analyzer", "evidence", {"limit": _LIMIT}),
    Route("GET", "/v1/verdicts", Role.VIEWER, "analyzer", "verdicts", {"limit": _LIMIT}),
    Route("GET", "/v1/risk", Role.VIEWER, "analyzer", "risk", {"since": _seconds}),
    Route("GET", "/v1/rules", Role.VIEWER, "engine", "rules", {"state": str}),
    Route("GET", "/v1/rules/{id}", Role.VIEWER, "engine", "rule"),
    Route("GET", "/v1/policy", Role.VIEWER, "engine", "policy", {"version": _VERSION}),
    Route("GET", "/v1/policy/history", Role.VIEWER, "engine", "policy_history", {"limit": _LIMIT, "before": _VERSION}),
    Route(
        "GET", "/v1/policy/diff", Role.VIEWER, "engine", "policy_diff", {"from": _VERSION, "to": _VERSION}, seconds=30.0
    ),
    Route("GET", "/v1/hits", Role.VIEWER, "engine", "hits"),
    Route("GET", "/v1/harm", Role.VIEWER, "engine", "harm"),
    Route("GET", "/v1/explain", Role.VIEWER, "switches", "explain", _EXPLAIN, seconds=20.0),
    Route("GET", "/v1/audit", Role.VIEWER, "engine", "audit", _AUDIT),
    Route("GET", "/v1/consents", Role.VIEWER, "engine", "consents", {"all": _one_of("true", "false")}),
    Route("GET", "/v1/consents/{id}", Role.VIEWER, "engine", "consent"),
    Route("POST", "/v1/vms/{name}/isolate", Role.OPERATOR, "engine", "isolate"),
    Route("PUT", "/v1/policy", Role.OPERATOR, "engine", "lay_down", seconds=120.0, max_body=2 << 20, locks=True),
    Route(
        *("POST", "/v1/policy/simulate", Role.OPERATOR, "engine", "simulate"), seconds=DRY_RUN_SECONDS, max_body=2 << 20
    ),
    Route("POST", "/v1/policy/rollback", Role.OPERATOR, "engine", "rollback", seconds=120.0, locks=True),
    Route("POST", "/v1/rules", Role.OPERATOR, "engine", "create"),
    Route(
        *("DELETE", "/v1/rules/{id}", Role.OPERATOR, "engine", "release"),
        query={"reason": str, "false_alarm": _one_of("true", "false")},
    ),
    Route("POST", "/v1/rules/dry-run", Role.OPERATOR, "engine", "dry_run", seconds=DRY_RUN_SECONDS),
    Route("POST", "/v1/rules/{id}/approve", Role.OPERATOR, "engine", "approve"),
    Route("POST", "/v1/rules/{id}/reject", Role.OPERATOR, "engine", "reject"),
    Route("PUT", "/v1/hold", Role.OPERATOR, "engine", "hold"),
    Route("GET", "/v1/modes", Role.VIEWER, "engine", "modes"),
    Route("PUT", "/v1/modes", Role.OPERATOR, "engine", "set_modes"),
    Route("POST", "/v1/consents", Role.ADMIN, "engine", "grant", seconds=30.0),
    Route("DELETE", "/v1/consents/{id}", Role.OPERATOR, "engine", "withdraw", {"reason": str}),
)
BY_NAME = {route.name: route for route in ROUTES}
