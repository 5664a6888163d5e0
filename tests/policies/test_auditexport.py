"""The audit log in the formats of others, and what they prove."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from policies import audit, auditcef, auditocsf
from policies.audit import GENESIS, AuditRow, canonical, digest
from policies.auditproof import prove as prove_lines

BODIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("started", {"pid": 7, "rules": 0}),
    ("detection", {"vm": "web1", "risk": 91.5, "reasons": ["scan: 300 ports"], "behaviour": "scan", "time": 9.5}),
    ("detection", {"address": "192.0.2.7", "risk": 51.0, "behaviour": "flood", "time": 9.5, "count": 3}),
    ("admitted", {"rule": "0123456789ab", "action": "isolate", "source_vm": "web1", "reasons": ["scan"]}),
    ("installed", {"vfn": "v1", "rules": ["0123456789ab"], "urgent": True}),
    ("installed", {"vfn": "v1", "rules": [], "urgent": False}),
    ("enforced", {"rule": "0123456789ab", "vfns": ["v1"], "seconds": 0.1}),
    ("failed", {"vfn": "v1", "rules": ["0123456789ab"], "reason": "table full", "errors": []}),
    ("refused", {"rule": "ba9876543210", "ground": "protected", "reason": "VM dns1 is protected"}),
    ("released", {"rule": "0123456789ab", "reason": "released by anna"}),
    ("removed", {"rule": "0123456789ab", "vfns": ["v1"], "hits": {"denied": 4}}),
    ("drift", {"vfn": "v1", "lost": 1, "strange": 0}),
    ("ratio", {"vfn": "v1", "enforced_ratio": 1.0, "entries": 7}),
    ("harm", {"version": 3, "decision": "rolled back", "reason": "21 ordinary flows", "examples": []}),
    ("policy", {"version": 3, "digest": "ab", "rules": 2, "reason": "a = b | c\n"}),
    ("policy_refused", {"version": 3, "vfn": "v1", "reason": "table full", "rules": []}),
    ("consent_granted", {"consent": "0123456789ab", "vm": "web1"}),
    ("consent_withdrawn", {"consent": "0123456789ab", "reason": "over"}),
    ("stopped", {"pid": 7}),
)


def prove(lines: Iterable[str], product: str = "1.2.3") -> audit.VerifyResult:
    return prove_lines(lines, product)


def chained(bodies: tuple[tuple[str, dict[str, Any]], ...], actor: str = "anna") -> list[AuditRow]:
    found, head = [], GENESIS
    for seq, (kind, body) in enumerate(bodies, 1):
        ts = 1_800_000_000.0 + seq / 3
        own = digest(head, seq, ts, actor, kind, canonical(body))
        found.append(AuditRow(seq, ts, actor, kind, body, head, own))
        head = own
    return found


ROWS = chained(BODIES)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@cache
def validator(class_uid: int) -> Draft202012Validator:
    """Of the published schema."""
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=auditocsf.VERSION))
    return Draft202012Validator(schema.get_class_schema(schema.lookup_class_name_from_uid(class_uid)))


def ocsf(row: AuditRow) -> str:
    return json.dumps(auditocsf.event_json(auditocsf.event(row, "1.2.3")))


def cef(row: AuditRow) -> str:
    return auditcef.line(row, "1.2.3", "node 1")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.seq}-{row.kind}")
def test_events_are_what_the_published_schema_asks_for(row: AuditRow) -> None:
    """Every required attribute, none that the class does not have, and numbers that agree with each other."""
    event = json.loads(ocsf(row))
    assert [error.message for error in validator(event["class_uid"]).iter_errors(event)] == []
    assert event["class_uid"] // 1000 == event["category_uid"]


def test_kinds_have_their_classes() -> None:
    """What was found, what was done about it, what people laid down, the engine's life, and the rest."""
    found = {row.kind: json.loads(ocsf(row)) for row in ROWS}
    classes = {kind: event["class_uid"] for kind, event in found.items()}
    assert {classes[kind] for kind in ("detection", "drift", "harm")} == {2004}
    assert {classes[kind] for kind in ("admitted", "enforced", "failed", "refused", "released", "removed")} == {7001}
    assert {classes[kind] for kind in ("policy", "policy_refused", "consent_granted", "consent_withdrawn")} == {3004}
    assert (classes["started"], classes["stopped"], classes["ratio"]) == (6002, 6002, 0)
    assert found["released"]["activity_id"] == 3
    assert found["refused"]["status_id"] == 2
    assert found["harm"]["severity_id"] == 4


def test_a_hold_says_whether_it_is_on() -> None:
    """In the sentence of either form."""
    for on, words in ((True, "anna: hold on (flood)"), (False, "anna: hold off (flood)")):
        assert auditocsf.in_words(AuditRow(1, 1.0, "anna", "hold", {"on": on, "reason": "flood"}, "", "")) == words


def test_severity_goes_by_risk() -> None:
    """91 of 100 is critical, 51 medium."""
    assert [auditocsf.severity(row) for row in ROWS[1:3]] == [5, 3]


@pytest.mark.parametrize("form", [ocsf, cef])
def test_an_export_proves_its_chain(form: Any) -> None:
    """Whole, or from some row on; what was altered, left out or moved is named with its line."""
    lines = [form(row) for row in ROWS]
    whole = prove(lines)
    assert (whole.count, whole.head, whole.error) == (len(ROWS), ROWS[-1].hash, None)
    assert prove(lines[4:]).ok
    assert prove([*lines[:3], "\n", *lines[3:]]).ok
    missing = prove([*lines[:4], *lines[5:]])
    assert (missing.count, missing.error) == (4, "line 5: row 6 does not continue row 4")
    altered = prove([lines[0], lines[1].replace("300 ports", "3 ports"), *lines[2:]])
    assert altered.error == "line 2: row 2 was altered"
    assert (prove(["nothing"]).error or "").startswith("line 1: no exported row")
    assert prove(["\n"]).count == 0


@pytest.mark.parametrize(
    ("form", "old", "new", "everywhere"),
    [
        (ocsf, '"message": "anna: ', '"message": "bert: ', False),
        (ocsf, '"risk_score": 92', '"risk_score": 2', False),
        (ocsf, '"body": {"vm": "web1"', '"body": {"vm": "web2"', True),
        (ocsf, '"time": 18', '"time": 17', True),
        (ocsf, '"unmapped"', '"added": 1, "unmapped"', False),
        (cef, "shost=web1", "shost=web2", True),
        (cef, "reason=", "msg=x reason=", False),
        (cef, "|10|", "|1|", False),
        (cef, "suser=anna", "suser=bert", True),
    ],
)
def test_words_around_a_record_cannot_be_altered(form: Any, old: str, new: str, everywhere: bool) -> None:
    """What people and tools read of a line is held against its record; what every version says is so in any version."""
    lines = [form(row) for row in chained((*BODIES[:2], ("hold", {"on": True, "reason": "flood"})))]
    assert any(old in line for line in lines)
    altered = [line.replace(old, new) for line in lines]
    assert "is told otherwise than it was recorded" in (prove(altered).error or "")
    assert prove(lines, "9.9.9").ok
    assert prove(altered, "9.9.9").ok is not everywhere


@pytest.mark.parametrize(
    ("address", "field"),
    [("192.0.2.7", "src=192.0.2.7"), ("2001:db8::1", "c6a2Label=Source IPv6 Address c6a2=2001:db8::1")],
)
def test_addresses_stand_in_the_field_of_their_family(address: str, field: str) -> None:
    """Of detections and of rules; a network is no address."""
    for key in ("address", "source_ip"):
        assert f" {field} " in cef(chained((("admitted", {key: address}),))[0])
    assert not re.search(
        r"src=|c6a2=", cef(chained((("admitted", {"source_ip": "192.0.2.0/24"}),))[0]).split("cs1=")[0]
    )


@given(st.text(), st.text(min_size=1), st.dictionaries(st.text(min_size=1), VALUES, max_size=5))
def test_whatever_a_row_says_it_is_one_line_and_comes_back(actor: str, kind: str, body: dict[str, Any]) -> None:
    """Bars, equal signs, backslashes and ends of lines in any place."""
    row = chained(((kind, body), (kind, {"reason": actor, "rule": kind, "vm": kind})), actor)[1]
    line = cef(row)
    assert "\n" not in line
    assert "\r" not in line
    found = auditcef.extension(line)
    assert found["cs1"] == audit.raw(row)
    assert found["suser"] == actor
    assert found["cs2"] == row.hash
    assert prove([line]).ok
    assert prove([ocsf(row)]).ok


@given(st.text())
def test_values_are_escaped_and_come_back(text: str) -> None:
    """No value ends early, or begins a key that is not there."""
    message = f"CEF:0|a|b|c|d|e|5|one={auditcef.escaped(text)} two=2"
    assert auditcef.extension(message) == {"one": text, "two": "2"}


def test_lines_are_syslog() -> None:
    """Priority, version, time with its zone, host, application, message id and structured data (RFC 5424)."""
    header = re.compile(
        r"<(\d{1,3})>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z node_1 dynseg - (\S+)"
        r' \[meta sequenceId="(\d+)"\] CEF:0\|dynseg\|dynseg\|1\.2\.3\|(\S+?)\|'
    )
    for row in ROWS:
        found = header.match(cef(row))
        assert found is not None
        assert (found[2], int(found[3]), found[4]) == (row.kind, row.seq, row.kind)
    critical = header.match(cef(ROWS[1]))
    assert critical is not None
    assert int(critical[1]) == 13 * 8 + 2
