"""What a name looks like: features of it that tell a tunnel or made-up names from those that people give."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from math import log2

_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gob", "gov", "gouv", "net", "or", "org", "ne", "nom", "mil"})
"""Labels under a country's domain that are nobody's own (`example.co.uk`)."""


@lru_cache(1 << 14)
def registered(name: str) -> str:
    """The domain that somebody has registered: two labels, three under a country's second level.

    An estimate: the list of all public suffixes changes every week, and for counting names below a domain it is enough.
    """
    labels = name.split(".")
    deep = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL
    return ".".join(labels[-3 if deep else -2 :])


@lru_cache(1 << 14)
def entropy(name: str) -> float:
    """Bits a character of what stands below the registered domain; 0 where nothing does."""
    below = name.removesuffix(registered(name)).replace(".", "")
    counts = Counter(below).values()
    return -sum(count / len(below) * log2(count / len(below)) for count in counts) if below else 0.0
