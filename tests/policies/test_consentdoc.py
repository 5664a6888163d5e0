"""Consent files: what is accepted, and what an error says."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.consentdoc import load, parse, utc
from runtime.errors import PolicyError

GOOD = """\
vm: web1
purpose: find leaked card numbers
patterns: [secrets, "malware:dropper"]
agreed_by: works council, minute 2026-11
from: 2026-11-23T08:00:00+01:00
until: 2026-11-24T08:00:00Z
"""


def test_a_consent_file_is_read(tmp_path: Path) -> None:
    """All keys, times with their zones."""
    path = tmp_path / "consent.yaml"
    path.write_text(GOOD)
    doc = load(path)
    assert (doc.vm, doc.segment, doc.patterns) == ("web1", None, ("secrets", "malware:dropper"))
    assert doc.start is not None
    assert (utc(doc.start), utc(doc.until)) == ("2026-11-23T07:00:00Z", "2026-11-24T08:00:00Z")
    assert parse("\n".join(f"{key}: {value}" for key, value in doc.fields().items())) == doc


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("vm: web1", "vmm: web1", ("c.yaml:1", "vmm: unknown key", "did you mean `vm`?")),
        ("vm: web1\n", "vm: web1\nsegment: web\n", ("c.yaml", "name either `vm` or `segment`")),
        ("vm: web1\n", "", ("c.yaml", "name either `vm` or `segment`")),
        ("2026-11-24T08:00:00Z", "2026-11-22T08:00:00Z", ("is not after `from`",)),
        ("2026-11-24T08:00:00Z", "tomorrow", ("c.yaml:6", "until", "'tomorrow' is no time")),
        ("2026-11-24T08:00:00Z", "2026-11-24T08:00:00", ("c.yaml:6", "until", "does not say its time zone")),
        ("2026-11-24T08:00:00Z", "1795680000000", ("c.yaml:6", "until", "is no time in seconds")),
        ("2026-11-24T08:00:00Z", "nan", ("c.yaml:6", "until", "is no time in seconds")),
        ("purpose: find leaked card numbers\n", "", ("purpose: missing", "add `purpose`")),
        ("purpose: find leaked card numbers", "purpose: '  '", ("c.yaml:2", "purpose", "says nothing")),
        ("agreed_by: works council, minute 2026-11", "agreed_by:", ("c.yaml:4", "agreed_by")),
        ("[secrets,", "[secrets, secrets,", ("c.yaml:3", "patterns", "named twice")),
        ("[secrets,", "[../secrets,", ("c.yaml:3", "patterns.0", "must be written as ^")),
        ('[secrets, "malware:dropper"]', "[]", ("c.yaml:3", "patterns")),
        ("vm: web1", "vm: web1\nvm: web2", ("c.yaml:2", "vm", "given twice")),
    ],
)
def test_a_wrong_one_is_refused_with_its_place(before: str, after: str, told: tuple[str, ...]) -> None:
    """File, line, key, and what to do."""
    with pytest.raises(PolicyError) as refused:
        parse(GOOD.replace(before, after), "c.yaml")
    for words in told:
        assert words in str(refused.value)
