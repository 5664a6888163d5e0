"""Words on a drawing, where nobody can ask a font how wide they are: cut to their room, and none covers another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

LETTER = 0.62
"""Width of a letter, of the font's size: what names need in DejaVu Sans, the widest of the fonts that pages ask for."""
BOLD = 0.7
HEAD = 6.0
"""Half the width of a mark's head, and some air."""
GAP = 8.0
"""From a mark to its words."""


def fit(text: str, room: float, size: float = 13.0, letter: float = LETTER) -> str:
    """As much of `text` as has room in so many units; what is left out is of its middle: names differ at the end."""
    most = max(int(room / (size * letter)), 3)
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[-end:]}"


@dataclass(frozen=True)
class Label:
    """Words beside one mark, or beside several that stand close together."""

    text: str
    x: float
    anchor: Literal["start", "end"]
    left: float
    """Begin and end of what it takes on the line, marks and words together."""
    right: float


@dataclass(frozen=True)
class _Group:
    first: float
    last: float
    words: Sequence[str]

    def with_(self, other: _Group) -> _Group:
        return _Group(self.first, max(self.last, other.last), tuple(dict.fromkeys((*self.words, *other.words))))


def beside(marks: Iterable[tuple[float, str]], left: float, right: float, size: float = 11.5) -> list[Label]:
    """Words to the right of their marks, or to the left where the right is taken; of marks too close, together.

    Args:
        marks: place on the line, and the word there; those of one place in the order in which they are to be read.
        left: where the line begins.
        right: where it ends.
        size: of the font, which is bold.

    Returns:
        Labels in order, none of which covers another's words or marks. Of words that have no room even together the
        first and the last stand there, or the last; what has no room at all is left out.
    """
    letter = size * BOLD
    done: list[tuple[_Group, Label]] = []
    for place, word in sorted(marks, key=lambda mark: mark[0]):
        group = _Group(place, place, (word,))
        label = _placed(group, left, right, letter)
        while done and done[-1][1].right > label.left:
            before, _ = done.pop()
            aside = _to_the_left(before, ", ".join(before.words), done[-1][1].right if done else left, letter)
            if aside is not None and aside.right <= label.left:
                done.append((before, aside))
                break
            group = before.with_(group)
            label = _placed(group, left, right, letter)
        done.append((group, label))
    return [label for _, label in done if label.text]


def _placed(group: _Group, left: float, right: float, letter: float) -> Label:
    words = group.words
    for text in (", ".join(words), f"{words[0]} … {words[-1]}", words[-1]):
        end = group.last + GAP + len(text) * letter
        if end <= right:
            return Label(text, group.last + GAP, "start", group.first - HEAD, end)
        if (aside := _to_the_left(group, text, left, letter)) is not None:
            return aside
    return Label("", group.last, "start", group.first - HEAD, group.last + HEAD)


def _to_the_left(group: _Group, text: str, left: float, letter: float) -> Label | None:
    begin = group.first - GAP - len(text) * letter
    return Label(text, group.first - GAP, "end", begin, group.last + HEAD) if begin >= left else None
