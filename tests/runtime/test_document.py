"""Reading YAML: text stays text, every key has its line, and what could be a bomb is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import document
from runtime.errors import DynsegError, SettingsError


def test_scalars_stay_the_text_of_the_file() -> None:
    """YAML's own ideas about numbers, times and truth do not apply; only an empty value is None."""
    read = document.read("a: 10:20:30\nb: no\nc: 0x10\nd:\ne: ''\n", "f", SettingsError)
    assert read.data == {"a": "10:20:30", "b": "no", "c": "0x10", "d": None, "e": ""}


def test_lines_of_keys_items_and_what_is_missing() -> None:
    """A path leads to its line; one that is not there to its nearest ancestor's."""
    read = document.read("a:\n  b:\n    - x\n    - y\n", "f", SettingsError)
    assert [read.line(path) for path in [("a",), ("a", "b"), ("a", "b", 1), ("a", "c", "d")]] == [1, 2, 4, 1]
    assert read.line(("z",)) == 1


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\na: 2", 2, "given twice, first in line 1"),
        ("a: &x [1]\nb: *x", 2, "alias"),
        ("a: 1\n? [b]\n: 2", 2, "a key must be a word"),
        ("a: 1\n  b: 2", 2, "not YAML"),
        ("[" * 20 + "]" * 20, 1, "nested deeper"),
        ("a: 1\n---\nb: 2", 2, "a second document .*without `---`"),
        ("a:\n\tb: 1", 2, "not YAML.*spaces, not tabs"),
    ],
)
def test_what_is_refused_names_file_and_line(text: str, line: int, message: str) -> None:
    """Each refusal is the caller's kind of error, with the place."""
    with pytest.raises(SettingsError, match=message) as caught:
        document.read(text, "some.yaml", SettingsError)
    assert (caught.value.file, caught.value.line) == ("some.yaml", line)


def test_a_huge_text_is_refused_unread() -> None:
    """Sixteen million characters are no settings file."""
    with pytest.raises(DynsegError, match="longer than"):
        document.read("#" * (document.MAX_CHARACTERS + 1), "f", DynsegError)


@given(st.text(max_size=80))
def test_any_text_is_a_document_or_the_error_asked_for(text: str) -> None:
    """Nothing but the named error leaves the reader."""
    try:
        document.read(text, "f", SettingsError)
    except SettingsError:
        return
