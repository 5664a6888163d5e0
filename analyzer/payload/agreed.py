"""The consents in force as the analyzer knows them: the last word about whether a packet may be looked at."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runtime.patterns import split


@dataclass(frozen=True)
class Agreed:
    """A consent in force."""

    id: str
    vms: frozenset[str]
    wanted: Mapping[str, frozenset[str]]
    """Rules that may be searched for, by file; none: all of the file."""
    digests: Mapping[str, str]
    until: float
    """Epoch seconds."""
    deadline: float
    """The same in steady seconds, as it was when this was told: a clock that is set back lengthens nothing."""

    def allows(self, vm: str, wall: float, steady: float) -> bool:
        """May what this VM says be searched now?"""
        return vm in self.vms and wall < self.until and steady < self.deadline

    def covers(self, file: str, rule: str) -> bool:
        """May this rule be searched for?"""
        rules = self.wanted.get(file)
        return rules is not None and (not rules or rule in rules)


class Consents:
    """Those that the engine has last told of. Without an engine they go on until they end by themselves."""

    def __init__(self) -> None:
        self._all: tuple[Agreed, ...] = ()

    def __len__(self) -> int:
        return len(self._all)

    def tell(self, consents: Iterable[Mapping[str, Any]], wall: float, steady: float) -> None:
        """Take over the engine's message `consents`.

        Raises:
            KeyError, TypeError, ValueError: it is not understood; then nothing may be looked at.
        """
        self._all = ()
        self._all = tuple(_agreed(one, wall, steady) for one in consents)

    def of(self, vm: str) -> tuple[Agreed, ...]:
        """Those that now allow to search what a VM says."""
        wall, steady = time.time(), time.monotonic()
        return tuple(one for one in self._all if one.allows(vm, wall, steady))

    def any_left(self) -> bool:
        """Does any allow anything now?"""
        wall, steady = time.time(), time.monotonic()
        return any(one.allows(vm, wall, steady) for one in self._all for vm in one.vms)


def together(consents: Iterable[Agreed]) -> list[tuple[dict[str, frozenset[str]], dict[str, str]]]:
    """What may be searched for by these, as few searches: (rules by file, digests by file).

    Several, where consents mean different contents of a file by its name.
    """
    searches: list[tuple[dict[str, frozenset[str]], dict[str, str]]] = []
    for consent in consents:
        for file, rules in consent.wanted.items():
            digest = consent.digests[file]
            wanted, digests = next((one for one in searches if one[1].get(file, digest) == digest), (None, None))
            if wanted is None or digests is None:
                wanted, digests = {}, {}
                searches.append((wanted, digests))
            known = wanted.get(file)
            everything = not rules or known == frozenset()
            wanted[file] = frozenset() if everything else rules | (known or frozenset())
            digests[file] = digest
    return searches


def _agreed(told: Mapping[str, Any], wall: float, steady: float) -> Agreed:
    wanted: dict[str, frozenset[str]] = {}
    for file, rule in map(split, told["patterns"]):
        if rule is None:
            wanted[file] = frozenset()
        elif wanted.get(file) != frozenset():
            wanted[file] = wanted.get(file, frozenset()) | {rule}
    digests = {str(file): str(digest) for file, digest in told["digests"].items()}
    if wanted.keys() - digests.keys():
        raise ValueError(f"consent {told['id']} names files without their digests")
    until = float(told["until"])
    return Agreed(str(told["id"]), frozenset(told["vms"]), wanted, digests, until, steady + (until - wall))
