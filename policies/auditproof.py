"""Proves the chain of an exported audit log, from its lines alone: OCSF or CEF, whole or from some row on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from policies.audit import GENESIS, VerifyResult
from policies.auditcef import extension


def prove(lines: Iterable[str]) -> VerifyResult:
    """What the lines prove; their head is that of the last row.

    An export that does not begin with the first row is proven from its first row on.
    """
    head: str | None = None
    count, expected = 0, 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        wrong, head_of, seq = _row(line, head, expected)
        if wrong is not None:
            return VerifyResult(count, head or GENESIS, f"line {number}: {wrong}")
        head, expected, count = head_of, seq + 1, count + 1
    return VerifyResult(count, head or GENESIS)


def _row(line: str, head: str | None, expected: int) -> tuple[str | None, str, int]:
    """(what is wrong, the row's hash, its number)."""
    try:
        record, claimed = _claimed(line)
        prev, seq, *_ = json.loads(record)
    except (ValueError, KeyError, TypeError) as error:
        return f"no exported row: {error}", "", 0
    own = hashlib.sha256(record.encode()).hexdigest()
    if own != claimed:
        return f"row {seq} was altered", "", 0
    if head is not None and (prev, seq) != (head, expected):
        return f"row {seq} does not continue row {expected - 1}", "", 0
    if seq == 1 and prev != GENESIS:
        return "row 1 says that another was before it", "", 0
    return None, own, int(seq)


def _claimed(line: str) -> tuple[str, str]:
    """The text that was hashed, and the hash that the line gives."""
    if line.lstrip().startswith("{"):
        event: dict[str, Any] = json.loads(line)
        return str(event["raw_data"]), str(event["metadata"]["uid"])
    found = extension(line.rstrip("\n"))
    return found["cs1"], found["externalId"]
