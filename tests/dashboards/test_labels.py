"""Words beside marks: none covers another, and none is invented."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dashboards.labels import HEAD, beside, fit

WORDS = st.sampled_from(["restricted", "isolated", "released", "limited"])
LEFT, RIGHT = 100.0, 1100.0


@given(st.lists(st.tuples(st.floats(LEFT, RIGHT), WORDS), max_size=12))
def test_labels_cover_neither_each_other_nor_marks(marks: list[tuple[float, str]]) -> None:
    """Each has its part of the line, within which are its marks; their words are those that were given."""
    labels = beside(marks, LEFT, RIGHT)
    assert all(one.right <= other.left for one, other in pairwise(labels))
    for label in labels:
        begin = label.x if label.anchor == "start" else label.left
        end = label.right if label.anchor == "start" else label.x
        assert LEFT <= begin <= end <= RIGHT
        assert not any(begin < place < end for place, _ in marks)
        assert set(label.text.replace(" … ", ", ").split(", ")) <= {word for _, word in marks}
        assert any(label.left <= place <= label.right for place, _ in marks)


@given(st.floats(LEFT, RIGHT), WORDS)
def test_a_mark_alone_has_its_word(place: float, word: str) -> None:
    """To its right, or to its left near the end of the line."""
    (label,) = beside([(place, word)], LEFT, RIGHT)
    assert label.text == word
    assert (label.x > place) is (label.anchor == "start")


def test_what_is_close_goes_to_either_side_before_it_stands_together() -> None:
    """A first mark's word stands to its left where there is room, else both words stand after both marks."""
    left, right = beside([(300.0, "restricted"), (330.0, "isolated")], LEFT, RIGHT)
    assert (left.text, left.anchor, right.text, right.anchor) == ("restricted", "end", "isolated", "start")
    (both,) = beside([(110.0, "restricted"), (140.0, "isolated")], LEFT, RIGHT)
    assert (both.text, both.anchor) == ("restricted, isolated", "start")
    (last,) = beside([(110.0, "restricted"), (150.0 - HEAD, "isolated")], LEFT, 220.0)
    assert last.text == "isolated", "where not even both have room"


@given(st.text(max_size=40), st.floats(20, 300))
def test_names_are_cut_in_their_middle(text: str, room: float) -> None:
    """Begin and end are those of the name, and it is no longer than its room."""
    cut = fit(text, room, 10.0, 1.0)
    assert len(cut) <= max(room / 10, 3)
    if cut != text:
        begin, end = cut.split("…", 1) if "…" not in text else (cut[:1], cut[-1:])
        assert text.startswith(begin)
        assert text.endswith(end)
