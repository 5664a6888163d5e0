"""Results that are good as long as their inputs are the same objects."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

K = TypeVar("K")
T = TypeVar("T")


class Memory:
    """The last result for each name."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[tuple[object, ...], Any]] = {}

    def recall(self, name: Hashable, inputs: tuple[object, ...], make: Callable[[], T]) -> T:
        """The known result if its inputs were these objects, else what `make` gives.

        A new result that equals the known one is given up for it: so what follows from it is good, too.
        """
        known = self._known.get(name)
        if known is not None and len(known[0]) == len(inputs) and all(map(operator.is_, known[0], inputs)):
            return known[1]  # type: ignore[no-any-return]  # of the same name, hence of the same type
        result = make()
        if known is not None and known[1] == result:
            result = known[1]
        self._known[name] = (inputs, result)
        return result

    def forget(self, name: Hashable) -> None:
        """Nothing of that name will be asked for again soon."""
        self._known.pop(name, None)


class Made(dict[K, T]):
    """Results by name that are made when they are asked for, and are good until somebody takes them out."""

    def __init__(self, make: Callable[[K], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: K) -> T:
        result = self[name] = self._make(name)
        return result
