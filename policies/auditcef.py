"""Rows of the audit log as syslog (RFC 5424) with a message in the Common Event Format (ArcSight CEF 0).

The extension `cs1` is the text whose SHA-256 is the row's hash (`cs2`), as in `policies.auditocsf`. So that it can be
proven, a long row's `cs1` is longer than the 4,000 characters that the format's dictionary gives it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address

from policies.audit import AuditRow, raw
from policies.auditocsf import in_words, severity

_FACILITY = 13
"""Log audit (RFC 5424, 6.2.1)."""
_LEVELS = {1: 6, 2: 5, 3: 4, 4: 3, 5: 2}
"""Severity of syslog (informational 6 .. critical 2) by that of OCSF."""
_CEF = {1: 1, 2: 3, 3: 5, 4: 8, 5: 10}
"""Severity of CEF (0..10)."""
_NIL = "-"
_KEY = re.compile(r"(?:^| )([A-Za-z0-9_.\-\[\]]+)=")
_HEAD = re.compile(r"CEF:0(?:\|(?:[^|\\]|\\.)*){6}\|")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def line(row: AuditRow, product: str, host: str) -> str:
    """One line, without its end.

    Args:
        product: version of dynseg.
        host: name of the machine, as syslog has it.
    """
    severe = severity(row)
    when = datetime.fromtimestamp(row.ts, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    name = _printable(host, 255) or _NIL
    data = f'[meta sequenceId="{row.seq % 2147483647 or 1}"]'
    header = f"<{_FACILITY * 8 + _LEVELS[severe]}>1 {when} {name} dynseg {_NIL} {_printable(row.kind, 32)} {data}"
    return f"{header} {message(row, product)}"


def message(row: AuditRow, product: str) -> str:
    """What stands behind the header of syslog."""
    severe = severity(row)
    parts = ("dynseg", "dynseg", product, row.kind, in_words(row)[:512])
    head = "|".join(("CEF:0", *(_head(part) for part in parts), str(_CEF[severe])))
    return f"{head}|{' '.join(f'{key}={escaped(value)}' for key, value in _extension(row))}"


def _extension(row: AuditRow) -> Iterator[tuple[str, str]]:
    body = row.body
    yield "rt", str(round(row.ts * 1000))
    yield "suser", row.actor
    yield "act", row.kind
    yield from _address(body.get("address") or body.get("source_ip"))
    for key, words in (("shost", "source_vm"), ("dvchost", "vfn"), ("deviceExternalId", "rule")):
        if body.get(words) is not None:
            yield key, str(body[words])
    if "source_vm" not in body and body.get("vm") is not None:
        yield "shost", str(body["vm"])
    if body.get("reason"):
        yield "reason", str(body["reason"])
    yield "cn1Label", "sequence"
    yield "cn1", str(row.seq)
    yield "cs1Label", "record"
    yield "cs1", raw(row)
    yield "cs2Label", "hash"
    yield "cs2", row.hash


def _address(text: object) -> Iterator[tuple[str, str]]:
    """The dictionary has a field of its own for IPv6, and none for networks."""
    try:
        address = ip_address(str(text))
    except ValueError:
        return
    if address.version == 4:
        yield "src", str(address)
    else:
        yield "c6a2Label", "Source IPv6 Address"
        yield "c6a2", str(address)


def _head(text: str) -> str:
    """A field before the extension: one line, in which backslashes and bars are escaped."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


def escaped(text: str) -> str:
    """A value of the extension: backslashes, equal signs and ends of lines are escaped."""
    found = text.replace("\\", "\\\\").replace("=", "\\=")
    return found.replace("\r", "\\r").replace("\n", "\\n")


def parts(line: str) -> tuple[str, str]:
    """(message, version of dynseg that it names) of a line, whatever stands before its message.

    Raises:
        ValueError: it is no such line.
    """
    head = _HEAD.search(line)
    if head is None:
        raise ValueError("no CEF message")
    return line[head.start() :], _plain(re.split(r"(?<!\\)\|", head[0])[3])


def extension(line: str) -> Mapping[str, str]:
    """The extension of a line, by key: the way back.

    Raises:
        ValueError: it is no such line.
    """
    head = _HEAD.search(line)
    if head is None:
        raise ValueError("no CEF message")
    rest = line[head.end() :]
    # An equal sign within a value has a backslash before it, so it ends no key.
    keys = list(_KEY.finditer(rest))
    ends = [key.start() for key in keys[1:]] + [len(rest)]
    return {key[1]: _plain(rest[key.end() : end]) for key, end in zip(keys, ends, strict=True)}


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), text)


def _printable(text: str, most: int) -> str:
    """As a field of the header of syslog: visible ASCII without spaces."""
    return "".join(one if "!" <= one <= "~" else "_" for one in text)[:most]
