"""Rows of the audit log as events of the Open Cybersecurity Schema Framework, version 1.5.0 (https://schema.ocsf.io).

| kinds | class |
|---|---|
| `detection`, `drift`, `harm` | Detection Finding (2004) |
| what happens to a segmentation rule | Remediation Activity (7001), its command being the rule |
| policy, consents, the hold | Entity Management (3004) |
| `started`, `stopped` | Application Lifecycle (6002) |
| anything else | Base Event (0) |

`raw_data` is the text whose SHA-256 is the row's hash, `metadata.uid` that hash, and `raw_data` begins with the hash of
the row before: so the chain can be proven from the export alone (`policies.auditproof`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from policies.audit import AuditRow, raw

VERSION = "1.5.0"
_ISOLATE, _RESTORE, _OTHER = 1, 3, 99
_SUCCESS, _FAILURE = 1, 2
_CREATE, _UPDATE, _DELETE = 1, 3, 4
_INFORMATIONAL, _LOW, _MEDIUM, _HIGH, _CRITICAL = 1, 2, 3, 4, 5
_SEVERE = ((85.0, _CRITICAL), (65.0, _HIGH), (50.0, _MEDIUM), (25.0, _LOW))
"""Severities by risk (0..100), from that risk on."""
_SUBJECTS = (("vm", "VM"), ("address", "address"), ("rule", "rule"), ("vfn", "VFN"), ("version", "policy"))
"""Keys of bodies, and what they name."""
_RESTORING = ("released", "expired", "expiring", "probation", "rolled_back", "removed", "calm", "rejected")
_FAILING = ("failed", "refused", "policy_refused", "consent_refused")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Product(_Part):
    """What reports."""

    name: str = "dynseg"
    vendor_name: str = "dynseg"
    version: str


class Metadata(_Part):
    """Where an event comes from."""

    version: str = VERSION
    product: Product
    uid: str
    """The row's hash."""
    sequence: int
    """The row's number."""
    log_name: str = "audit"
    event_code: str
    """The row's kind."""
    logged_time: int


class Event(_Part):
    """What every event has. Times are epoch milliseconds."""

    activity_id: int
    category_uid: int
    class_uid: int
    type_uid: int
    severity_id: int
    time: int
    message: str
    metadata: Metadata
    status_id: int | None = None
    status_detail: str | None = None
    raw_data: str
    unmapped: dict[str, Any]
    """Actor and body of the row."""


class FindingInfo(_Part):
    """What was found."""

    uid: str
    title: str
    desc: str | None = None
    types: list[str] = Field(default_factory=list)
    created_time: int


class Resource(_Part):
    """A VM, address, rule or VFN that it is about."""

    name: str
    type: str


class Evidence(_Part):
    """What it was found by."""

    data: dict[str, Any]


class DetectionFinding(Event):
    """Class 2004."""

    finding_info: FindingInfo
    is_alert: bool = True
    risk_score: int | None = None
    resources: list[Resource]
    evidences: list[Evidence]


class RemediationActivity(Event):
    """Class 7001."""

    command_uid: str


class Named(_Part):
    """Who did something, or to what."""

    name: str
    type: str | None = None
    version: str | None = None
    uid: str | None = None


class Actor(_Part):
    """Who did it."""

    user: Named


class EntityManagement(Event):
    """Class 3004."""

    entity: Named
    actor: Actor
    comment: str | None = None


class ApplicationLifecycle(Event):
    """Class 6002."""

    app: Product


def event(row: AuditRow, product: str) -> Event:
    """The event of a row; `product` is the version of dynseg that exports it."""
    kind, body = row.kind, row.body
    if kind in ("detection", "drift", "harm"):
        return _finding(row, product)
    if kind in ("started", "stopped"):
        about = Product(version=product)
        return _made(ApplicationLifecycle, 6, 2, 3 if kind == "started" else 4, row, product)(app=about)
    if kind.startswith(("policy", "consent", "inspect", "hold")):
        return _managed(row, product)
    rule = body.get("rule") or next(iter(body.get("rules") or ()), None)
    if rule is not None and kind != "ratio":
        activity = _RESTORE if kind in _RESTORING else _ISOLATE
        return _made(RemediationActivity, 7, 1, activity, row, product)(command_uid=str(rule))
    return _made(Event, 0, 0, _OTHER, row, product)()


def _finding(row: AuditRow, product: str) -> Event:
    body = row.body
    about = [Resource(name=str(body[key]), type=words) for key, words in _SUBJECTS if body.get(key) is not None]
    behaviour = str(body.get("behaviour") or row.kind)
    reasons = body.get("reasons") or [body.get("reason")]
    subject = about[0].name if about else "network"
    info = FindingInfo(
        uid=f"{behaviour}:{subject}",
        title=f"{behaviour} of {subject}",
        desc="; ".join(str(reason) for reason in reasons if reason) or None,
        types=[behaviour],
        created_time=_milliseconds(body.get("time", row.ts)),
    )
    own = {"finding_info": info, "resources": about, "evidences": [Evidence(data=dict(body))]}
    risk = body.get("risk")
    return _made(DetectionFinding, 2, 4, 1, row, product)(**own, risk_score=None if risk is None else round(risk))


def _managed(row: AuditRow, product: str) -> Event:
    body, kind = row.body, row.kind
    what = "consent" if kind.startswith(("consent", "inspect")) else "hold" if kind.startswith("hold") else "policy"
    uid, version = (None if body.get(key) is None else str(body[key]) for key in ("consent", "version"))
    entity = Named(name=what, type=what, uid=uid, version=version)
    activity = _UPDATE
    if kind in ("policy", "consent_granted"):
        activity = _CREATE
    elif kind in ("consent_withdrawn", "consent_expired"):
        activity = _DELETE
    actor = Actor(user=Named(name=row.actor))
    made = _made(EntityManagement, 3, 4, activity, row, product)
    return made(entity=entity, actor=actor, comment=body.get("reason") or None)


def _made(
    model: type[Event], category: int, number: int, activity: int, row: AuditRow, product: str
) -> Callable[..., Event]:
    """The model with what every event has filled in, for the rest."""
    uid = category * 1000 + number
    reason = row.body.get("reason")
    judged = model in (RemediationActivity, EntityManagement)
    return partial(
        model,
        activity_id=activity,
        category_uid=category,
        class_uid=uid,
        type_uid=uid * 100 + activity,
        severity_id=severity(row),
        time=_milliseconds(row.ts),
        message=in_words(row),
        metadata=Metadata(
            product=Product(version=product),
            uid=row.hash,
            sequence=row.seq,
            event_code=row.kind,
            logged_time=_milliseconds(row.ts),
        ),
        status_id=(_FAILURE if row.kind in _FAILING else _SUCCESS) if judged else None,
        status_detail=str(reason) if reason else None,
        raw_data=raw(row),
        unmapped={"actor": row.actor, "body": dict(row.body)},
    )


def severity(row: AuditRow) -> int:
    """1 (informational) to 5 (critical): by the risk, else by what has gone wrong."""
    risk = row.body.get("risk")
    if isinstance(risk, int | float) and risk > 0:
        return next((severe for least, severe in _SEVERE if risk >= least), _INFORMATIONAL)
    if row.kind in ("harm", "drift", "failed"):
        return _HIGH
    return _LOW if row.kind in _FAILING else _INFORMATIONAL


def in_words(row: AuditRow) -> str:
    """A short sentence about a row."""
    named = ("rule", "action", "vm", "source_vm", "source_ip", "address", "vfn", "consent", "version", "behaviour")
    told = " ".join(f"{key}={row.body[key]}" for key in named if row.body.get(key) is not None)
    if row.kind == "hold":
        told = "on" if row.body.get("on") else "off"
    reason = row.body.get("reason") or "; ".join(map(str, row.body.get("reasons") or ()))
    return " ".join(part for part in (f"{row.actor}: {row.kind}", told, f"({reason})" if reason else "") if part)


def event_json(found: Event) -> Mapping[str, Any]:
    """As a line of the export has it: what is not known is left out."""
    return found.model_dump(mode="json", exclude_none=True)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
