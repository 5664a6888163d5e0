"""Help for a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Collection

_SHOWN = 12


def nearest(word: str, known: Collection[str]) -> str:
    """A remedy for a word that is not one of `known`: the nearest one, and what there is."""
    if not known:
        return "none is defined yet"
    close = difflib.get_close_matches(word, known, n=1)
    shown = sorted(known)[:_SHOWN]
    listed = ", ".join(shown) + (", ..." if len(known) > len(shown) else "")
    return f"did you mean `{close[0]}`? known: {listed}" if close else f"known: {listed}"
