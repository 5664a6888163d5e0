"""Which attack cases are slow, as `docs/detection.md` declares it, and how soon each kind was acted on.

The declaration is about kinds of attack, not about cases: these families are slow; scans and guessing are where their
first flows begin slower than one in `SLOWEST` seconds. That is read off the captures' own labels.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import yaml

SLOW = frozenset({"inbound-scan", "rat-c2", "p2p-bot", "industrial", "lateral", "dns-tunnel", "malware-host"})
BY_PACE = frozenset({"scan", "brute-force"})
SLOWEST = 5.0
PACED = 20
"""So many of an attack's first flows tell its pace: within as many a fast one is to be acted on."""
FIRST_SECONDS, FIRST_FLOWS = 3600.0, 50
"""Slow attacks are to be acted on within their first hour or so many events."""
Case = Mapping[str, Any]
Paces = Mapping[str, float]
"""Seconds from one of an attack's first flows to the next, by case, of those that go by pace."""


def paces(traffic: Path) -> Paces:
    """Of the cases of the protocol beside `score.py`; none where that is absent."""
    if not (traffic / "score.py").is_file():
        return {}
    score = _module(traffic / "score.py")
    raw = yaml.safe_load((traffic / "protocol.yaml").read_text())["cases"]
    cases = [score.parse(score.Case, one, one["name"]) for one in raw if one["family"] in BY_PACE]
    return {case.name: _pace(score, case, traffic) for case in cases}


def slow(case: Case, paces: Paces) -> bool:
    """Is an attack case slow? One of a kind that goes by pace is not, where its pace is not known."""
    return case["family"] in SLOW or (case["family"] in BY_PACE and paces.get(case["name"], 0.0) > SLOWEST)


def apart(cases: Iterable[Case], paces: Paces) -> tuple[list[Case], list[Case]]:
    """The attacks among cases: fast ones, and slow ones."""
    attacks = [case for case in cases if case["attack"]]
    return [case for case in attacks if not slow(case, paces)], [case for case in attacks if slow(case, paces)]


def delay(cases: Sequence[Case], what: str) -> float | None:
    """Median `delay_s` or `delay_flows` of those that were acted on."""
    known = [case[what] for case in cases if case["acted"]]
    return float(median(known)) if known else None


def in_time(case: Case) -> bool:
    """Was a slow attack acted on soon enough?"""
    return bool(case["acted"]) and (case["delay_s"] <= FIRST_SECONDS or case["delay_flows"] <= FIRST_FLOWS)


def _pace(score: ModuleType, case: Any, traffic: Path) -> float:
    _, test, offenders = score.build(case, traffic)
    starts = sorted(score.attack_rows(case, test, offenders).start)[: PACED + 1]
    return (starts[-1] - starts[0]) / (len(starts) - 1) if len(starts) > 1 else 0.0


def _module(file: Path) -> ModuleType:
    """A program beside the project, as a module."""
    spec = importlib.util.spec_from_file_location(f"traffic_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module
