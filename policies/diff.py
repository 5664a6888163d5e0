"""What is different between two policies: by rule, service and list, whatever order and form they are written in."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from policies.schema import PolicyDoc, plain
from policies.versions import PolicyVersion

_PARTS = ("rules", "services", "lists")


def difference(before: PolicyDoc, after: PolicyDoc) -> list[dict[str, Any]]:
    """Rows of {part, name, change, before, after}; of what is changed, only the keys that are not the same."""
    old, new = (_parts(plain(doc)) for doc in (before, after))
    return [row for part in _PARTS for row in _rows(part, old[part], new[part])]


def between(before: PolicyVersion, after: PolicyVersion, docs: tuple[PolicyDoc, PolicyDoc]) -> dict[str, Any]:
    """The answer of `GET /v1/policy/diff`: the rows, lists' files that were others by then, and the texts' lines."""
    files = {
        name: [version.list_digests.get(name) for version in (before, after)]
        for name in sorted({*before.lists, *after.lists})
    }
    return {
        "from": before.number,
        "to": after.number,
        "changes": difference(*docs),
        "files": [name for name, (one, other) in files.items() if one != other],
        "text": lines(before.text, after.text, f"version {before.number}", f"version {after.number}"),
    }


def lines(before: str, after: str, old_name: str, new_name: str) -> str:
    """The lines of two texts that differ, as `diff -u` shows them."""
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), old_name, new_name, lineterm="")
    return "".join(f"{line}\n" for line in found)


def _parts(document: Mapping[str, Any]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Each part's members by name."""
    rules = {rule["name"]: rule for rule in document.get("rules", ())}
    services = {name: {"traffic": service} for name, service in document.get("services", {}).items()}
    return {"rules": rules, "services": services, "lists": document.get("lists", {})}


def _rows(
    part: str, old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    for name in [*old, *(name for name in new if name not in old)]:
        one, other = old.get(name), new.get(name)
        if one is None or other is None:
            yield {
                "part": part,
                "name": name,
                "change": "added" if one is None else "removed",
                "before": one,
                "after": other,
            }
        elif one != other:
            keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
            yield {
                "part": part,
                "name": name,
                "change": "changed",
                "before": {key: one.get(key) for key in keys},
                "after": {key: other.get(key) for key in keys},
            }
