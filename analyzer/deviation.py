"""How far rows are from what a model says of them: loops over columns that the compiler turns into vector instructions.

Rows come as (features, rows): a feature of all rows is in one place. They are taken in blocks whose intermediate
results stay in the processor's nearest cache.
"""

from __future__ import annotations

import numpy as np

from analyzer.compiled import compiled
from analyzer.flows import F4, Array

FARTHEST = 12.0
"""Standard deviations beyond which far is far."""
WORST = 3
"""A row is as unusual as its most deviating features: an attack moves some, not all."""
_BLOCK = 256
_ZERO = np.float32(0.0)
_HIGHEST, _LOWEST = np.float32(FARTHEST), np.float32(-FARTHEST)


@compiled
def scaled(columns: F4, centre: F4, scale: F4) -> F4:
    """Rows in standard deviations from the centre, within `FARTHEST`; 0 where the scale is infinite.

    Not a number counts as 0 before centring, like silence; what is infinite is far.
    """
    z = np.empty_like(columns)
    for j in range(len(columns)):
        if np.isinf(scale[j]):
            z[j] = _ZERO
        else:
            _scale(columns[j], centre[j], scale[j], z[j])
    return z


@compiled
def from_expected(z: F4, expected: F4) -> F4:
    """(rows,) mean of the `WORST` largest differences of each row from what was expected of it."""
    result, largest, rest = np.empty(z.shape[1], np.float32), _room(len(z)), np.empty(_BLOCK, np.float32)
    for begin in range(0, z.shape[1], _BLOCK):
        end = min(begin + _BLOCK, z.shape[1])
        largest[:] = _ZERO
        for j in range(len(z)):
            _rank(z[j, begin:end], expected[j, begin:end], largest, rest)
        _mean(largest, result[begin:end])
    return result


@compiled
def from_nearest(z: F4, products: F4, centres: F4) -> F4:
    """The same of the differences from the nearest of some centres.

    Args:
        z: rows.
        products: (centres, rows) of each centre and row.
        centres: (features, centres).
    """
    result, largest, rest = np.empty(z.shape[1], np.float32), _room(len(z)), np.empty(_BLOCK, np.float32)
    half = np.empty(centres.shape[1], np.float32)
    for k in range(len(half)):
        half[k] = (centres[:, k] ** 2).sum() / 2
    least, nearest, expected = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.uint32), np.empty(_BLOCK, np.float32)
    for begin in range(0, z.shape[1], _BLOCK):
        end = min(begin + _BLOCK, z.shape[1])
        least[:], nearest[:] = np.inf, 0
        for k in range(len(half)):
            _approach(products[k, begin:end], half[k], np.uint32(k), least, nearest)
        largest[:] = _ZERO
        for j in range(len(z)):
            _take(centres[j], nearest, expected)
            _rank(z[j, begin:end], expected, largest, rest)
        _mean(largest, result[begin:end])
    return result


@compiled
def _room(features: int) -> F4:
    """Room for the largest differences of a block's rows, the largest first."""
    return np.empty((min(WORST, features), _BLOCK), np.float32)


@compiled
def _scale(values: F4, centre: np.float32, scale: np.float32, z: F4) -> None:
    for i in range(len(values)):
        value = values[i] if values[i] == values[i] else _ZERO
        deviation = (value - centre) / scale
        deviation = min(_HIGHEST, deviation)
        z[i] = max(_LOWEST, deviation)


@compiled
def _approach(product: F4, half: np.float32, number: np.uint32, least: F4, nearest: Array) -> None:
    """Half the square of a row's distance from a centre, but for what is the same for all centres."""
    for i in range(len(product)):
        distance = half - product[i]
        closer = distance < least[i]
        least[i] = distance if closer else least[i]
        nearest[i] = number if closer else nearest[i]


@compiled
def _take(values: F4, places: Array, taken: F4) -> None:
    for i in range(len(places)):
        taken[i] = values[places[i]]


@compiled
def _rank(values: F4, expected: F4, largest: F4, rest: F4) -> None:
    """Put each difference in its place among the largest so far; the smallest of them falls out."""
    for i in range(len(values)):
        rest[i] = abs(values[i] - expected[i])
    for place in range(len(largest)):
        _exchange(rest, largest[place])


@compiled
def _exchange(rest: F4, largest: F4) -> None:
    """Whichever is larger into `largest`, the other into `rest`."""
    for i in range(len(rest)):
        one, other = rest[i], largest[i]
        largest[i] = max(other, one)
        rest[i] = min(one, other)


@compiled
def _mean(largest: F4, result: F4) -> None:
    result[:] = _ZERO
    for place in range(len(largest)):
        for i in range(len(result)):
            result[i] += largest[place, i]
    for i in range(len(result)):
        result[i] /= np.float32(len(largest))
