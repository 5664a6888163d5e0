"""Tables for people."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cli.tables import WIDEST, sheet, table, text

VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()))


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), max_size=5))
def test_every_row_has_a_line(rows: list[dict[str, object]]) -> None:
    """Whatever the values, a table has its headings and a line a row, none of a cell wider than allowed."""
    rows = [{key: value for key, value in row.items() if "\n" not in text(value)} for row in rows]
    lines = table(rows, "abc").split("\n")
    assert len(lines) == (1 + len(rows) if any(v is not None for row in rows for v in row.values()) else 1)
    assert all(len(line) <= 3 * WIDEST + 4 for line in lines)


def test_a_cell_is_one_line() -> None:
    """Whatever somebody has written into it."""
    assert table([{"a": "one\ntwo", "b": "x"}], ("a", "b")).splitlines()[1] == "one two  x"


def test_a_sheet_indents_what_is_within() -> None:
    """Mappings and lists of mappings stand under their key."""
    shown = sheet({"a": 1, "b": {"c": True}, "d": [{"e": 1.5, "f": None}], "g": {}})
    assert shown.splitlines() == ["a: 1", "b:", "  c: yes", "d:", "  e", "  1.5", "g: "]


def test_times_are_read_as_times() -> None:
    """Those of names, too, which were seen first and last."""
    shown = table([{"first": 1_800_000_000.5, "last": 1_800_000_001.5}], ("first", "last"))
    assert "e+09" not in shown
    assert shown.count("2027-01-1") == 2


def test_sentences_have_a_line_each() -> None:
    """Remarks and reasons; short words stay on one."""
    long = ["a remark " * 10, "short"]
    assert sheet({"remarks": long, "peers": ["a", "b"]}).splitlines() == [
        "remarks:",
        f"  {long[0]}",
        "  short",
        "peers: a; b",
    ]
