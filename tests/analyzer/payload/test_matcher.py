"""Searching in a process of its own: what it finds, what it does not show, and when it is slow or dies."""

from __future__ import annotations

import os
import select
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer.payload import matcher as matchers
from analyzer.payload.key import load_or_create
from analyzer.payload.matcher import MOST_WAITING, Answer, Matcher
from analyzer.payload.worker import Searcher
from runtime import patterns
from runtime.errors import SettingsError

RULES = "rule card { strings: $a = /[0-9]{16}/ condition: $a }\nrule long { condition: filesize > 100 }"
SLOW = "rule slow { condition: for all i in (1..2000000000): (uint8(i % 190) < 200) }"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "patterns"
    made.mkdir()
    (made / "secrets.yar").write_text(RULES)
    (made / "slow.yar").write_text(SLOW)
    return made


@pytest.fixture
def matcher(folder: Path, tmp_path: Path) -> Iterator[Matcher[str]]:
    made: Matcher[str] = Matcher(folder, tmp_path / "payload.key")
    yield made
    made.close()


def search(matcher: Matcher[str], folder: Path, about: str, payload: bytes, file: str = "secrets", *rules: str) -> None:
    digest = patterns.load(folder, file).digest
    matcher.search(about, payload, {file: rules}, {file: digest}, time.monotonic())


def answer(matcher: Matcher[str], seconds: float = 15.0) -> Answer[str]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        select.select([matcher], [], [], 0.2)
        if found := matcher.answers():
            return found[0]
    pytest.fail("no answer")


def test_a_match_is_told_without_its_content(matcher: Matcher[str], folder: Path, tmp_path: Path) -> None:
    """Rule, place, a keyed hash that is the same for the same content and depends on the key."""
    search(matcher, folder, "p1", b"card=4111111111111111&x")
    first = answer(matcher)
    (match,) = first.matches
    assert (first.about, match.file, match.rule, match.offset) == ("p1", "secrets", "card", 5)
    search(matcher, folder, "p2", b"again 4111111111111111")
    (again,) = answer(matcher).matches
    assert (again.offset, again.hash) == (6, match.hash)
    key = (tmp_path / "payload.key").read_bytes()
    others = Searcher(folder, bytes(len(key)))
    (other,), _ = others.search(
        b"4111111111111111", {"secrets": ()}, {"secrets": patterns.load(folder, "secrets").digest}
    )
    assert other.hash != match.hash


def test_only_the_rules_that_are_wanted(matcher: Matcher[str], folder: Path) -> None:
    """A rule without patterns has no place."""
    search(matcher, folder, "p", b"4111111111111111" + bytes(100), "secrets", "long")
    (match,) = answer(matcher).matches
    assert (match.rule, match.offset, match.hash) == ("long", None, None)


def test_a_file_that_was_changed_is_not_used(matcher: Matcher[str], folder: Path) -> None:
    """What somebody has agreed to is its content."""
    digest = patterns.load(folder, "secrets").digest
    (folder / "secrets.yar").write_text("rule card { condition: true }")
    matcher.search("p", b"4111111111111111", {"secrets": ()}, {"secrets": digest}, time.monotonic())
    found = answer(matcher)
    assert found.matches == ()
    assert "not what was agreed to any more" in found.wrong["secrets"]


def test_a_slow_pattern_delays_nobody_who_does_not_search(matcher: Matcher[str], folder: Path) -> None:
    """Handing over never waits, what is too much is shed and counted, and the slow search ends by itself."""
    digests = {"secrets": patterns.load(folder, "secrets").digest}
    search(matcher, folder, "slow", b"ab" * 100, "slow")
    longest = 0.0
    for _ in range(MOST_WAITING + 10):
        began = time.monotonic()
        matcher.search("more", b"x", {"secrets": ()}, digests, began)
        longest = max(longest, time.monotonic() - began)
    assert longest < 0.2
    assert matcher.shed >= 10
    first = answer(matcher)
    assert first.about == "slow"
    assert "given up" in first.wrong["slow"]


def test_a_process_that_hangs_is_ended(matcher: Matcher[str], folder: Path) -> None:
    """What waited for it is counted; the next packet has a new process."""
    search(matcher, folder, "p", b"x")
    answer(matcher)
    assert matcher._child is not None
    os.kill(matcher._child.pid, signal.SIGSTOP)
    search(matcher, folder, "hangs", b"x")
    matcher.check(time.monotonic() + matchers.PATIENCE + 0.1)
    assert (matcher.given_up, matcher.running) == (1, False)
    search(matcher, folder, "next", b"x")
    assert answer(matcher).about == "next"


def test_a_process_that_dies_is_started_anew(matcher: Matcher[str], folder: Path) -> None:
    """Found out by its end of the line."""
    search(matcher, folder, "p", b"x")
    answer(matcher)
    assert matcher._child is not None
    os.kill(matcher._child.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while matcher.running and time.monotonic() < deadline:
        select.select([matcher], [], [], 0.2)
        assert matcher.answers() == []
    assert not matcher.running
    search(matcher, folder, "next", b"x")
    assert answer(matcher).about == "next"


def test_the_process_leaves_no_core(matcher: Matcher[str], folder: Path) -> None:
    """Its limit is 0, for good."""
    search(matcher, folder, "p", b"x")
    answer(matcher)
    assert matcher._child is not None
    limits = Path(f"/proc/{matcher._child.pid}/limits").read_text()
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]


def test_the_key_is_a_secret(tmp_path: Path) -> None:
    """Made once, for its owner only; refused when others could read it or it was cut."""
    path = tmp_path / "state" / "payload.key"
    key = load_or_create(path)
    assert load_or_create(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="0644"):
        load_or_create(path)
    path.chmod(0o600)
    path.write_bytes(key[:5])
    with pytest.raises(SettingsError, match="5 bytes"):
        load_or_create(path)
