"""Proves the chain of an exported audit log, from its lines alone: OCSF or CEF, whole or from some row on.

A line says its row twice: as the text that was hashed, and in the words of its format, which people and their tools
read. So those are held against the row, too: all of them where this version of dynseg made the line, as another may
word it otherwise, else who did what, when, and to what.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from policies import auditcef, auditocsf
from policies.audit import GENESIS, AuditRow, VerifyResult


@dataclass(frozen=True)
class _Claim:
    """What a line says."""

    record: str
    """The text that was hashed."""
    hash: str
    product: str
    """The version of dynseg that made it."""
    words: Any
    """All that it says."""


def prove(lines: Iterable[str], product: str) -> VerifyResult:
    """What the lines prove; their head is that of the last row.

    An export that does not begin with the first row is proven from its first row on; no lines prove no row.

    Args:
        product: this version of dynseg.
    """
    head: str | None = None
    count, expected = 0, 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        wrong, head_of, seq = _row(line, head, expected, product)
        if wrong is not None:
            return VerifyResult(count, head or GENESIS, f"line {number}: {wrong}")
        head, expected, count = head_of, seq + 1, count + 1
    return VerifyResult(count, head or GENESIS)


def _row(line: str, head: str | None, expected: int, product: str) -> tuple[str | None, str, int]:
    """(what is wrong, the row's hash, its number)."""
    is_ocsf = line.lstrip().startswith("{")
    try:
        claim = _of_ocsf(line) if is_ocsf else _of_cef(line)
        row = _parsed(claim)
    except (ValueError, KeyError, TypeError) as error:
        return f"no exported row: {error}", "", 0
    own = hashlib.sha256(claim.record.encode()).hexdigest()
    if own != claim.hash:
        return f"row {row.seq} was altered", "", 0
    if head is not None and (row.prev, row.seq) != (head, expected):
        return f"row {row.seq} does not continue row {expected - 1}", "", 0
    if row.seq == 1 and row.prev != GENESIS:
        return "row 1 says that another was before it", "", 0
    right, facts = (_ocsf_words, _ocsf_facts) if is_ocsf else (_cef_words, _cef_facts)
    should = right(row, claim.product)
    same = claim.words == should if claim.product == product else facts(claim.words) == facts(should)
    return None if same else f"row {row.seq} is told otherwise than it was recorded", own, row.seq


def _parsed(claim: _Claim) -> AuditRow:
    prev, seq, ts, actor, kind, body = json.loads(claim.record)
    return AuditRow(int(seq), ts, actor, kind, json.loads(body), prev, claim.hash)


def _of_ocsf(line: str) -> _Claim:
    event: dict[str, Any] = json.loads(line)
    about = event["metadata"]
    return _Claim(str(event["raw_data"]), str(about["uid"]), str(about["product"]["version"]), event)


def _ocsf_words(row: AuditRow, product: str) -> Any:
    # By way of JSON, as a line has been.
    return json.loads(json.dumps(auditocsf.event_json(auditocsf.event(row, product))))


def _ocsf_facts(event: Any) -> Any:
    about = event["metadata"]
    return event.get("unmapped"), event.get("time"), about.get("sequence"), about.get("event_code")


def _of_cef(line: str) -> _Claim:
    message, product = auditcef.parts(line.rstrip())
    found = auditcef.extension(message)
    return _Claim(found["cs1"], found["cs2"], product, message)


def _cef_words(row: AuditRow, product: str) -> Any:
    return auditcef.message(row, product)


def _cef_facts(message: Any) -> Any:
    found = auditcef.extension(message)
    return [found.get(key) for key in ("rt", "suser", "act", "shost", "src", "dvchost", "deviceExternalId", "cn1")]
