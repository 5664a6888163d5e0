"""The policy that people have laid down: its versions, which one is in force, and what became of the newest.

Checking a text takes seconds when it is long or reads long lists, so it is a function of its own (`draft`) that needs
nothing of the book, and may run aside while the book goes on. No messages and no switches here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from policies.acl import Mode, Policy
from policies.document import parse, parse_what_holds, reading_in
from policies.pipeline import lists
from policies.pipeline.heap import Heap
from policies.store import Entry, Store
from policies.versions import KeepingLists, PolicyVersion
from topology.model import Inventory

FILE = "policy"
"""What errors call the text of a request."""
_ENGINE = "engine"
_EMPTY = PolicyVersion(0, 0.0, "", "", {})


@dataclass(frozen=True)
class Draft:
    """A policy that means something in this network, not yet in force."""

    policy: Policy
    text: str
    lists: Mapping[str, bytes]
    """As `PolicyVersion.lists`."""


def draft(text: str, inventory: Inventory, folder: Path) -> Draft:
    """Check a text and read the lists that it names, relative to a folder.

    Raises:
        PolicyError: it is refused; names file, line, key and remedy.
    """
    read_list = KeepingLists(reading_in(folder))
    heap = Heap()
    with heap:
        policy = parse(text, inventory, read_list, file=FILE)
        lists.check(policy.lists.values())
        heap.made = _size(policy)
    return Draft(policy, text, read_list.packed)


@dataclass(frozen=True)
class _Held:
    version: PolicyVersion
    policy: Policy


class PolicyBook:
    """Versions are written down with their audit record before they are in force. Times are epoch seconds.

    Raises:
        PolicyError: the policy in the store can no longer be read.
    """

    def __init__(self, store: Store, inventory: Inventory, now: float) -> None:
        self._store = store
        self._inventory = inventory
        self.newest = 0
        """Number of the last version, in force or not."""
        self.left_out: tuple[str, ...] = ()
        """Rules of the version in force that this inventory leaves nothing for."""
        self._held = _Held(_EMPTY, Policy())
        self._recall(now)

    def _recall(self, now: float) -> None:
        """Put the last version in force that no switch has refused; the inventory may have changed since."""
        self.newest = self._store.newest_policy()
        version = self._store.policy_in_force()
        if version is None:
            self._held = _Held(_EMPTY, Policy())
            return
        heap = Heap()
        with heap:
            policy, gone = parse_what_holds(version.text, self._inventory, version.read_list, file=FILE)
            heap.made = _size(policy)
        self._held = _Held(version, replace(policy, version=version.number))
        self.left_out = tuple(str(error) for error in gone)
        if gone:
            body = {"version": version.number, "rules": [*self.left_out], "reason": "the inventory has changed"}
            self._write(now, _ENGINE, "policy_reduced", body)

    @property
    def policy(self) -> Policy:
        """What is to be enforced."""
        return self._held.policy

    @property
    def version(self) -> PolicyVersion:
        """Where it comes from; number 0: none was ever laid down."""
        return self._held.version

    @property
    def pending(self) -> bool:
        """Is it still to be confirmed by the switches?"""
        return self.version.number > 0 and self.version.enforced_at is None

    def accept(self, draft: Draft, actor: str, now: float) -> PolicyVersion:
        """Put a draft in force; the same again is the version that is in force already."""
        version = PolicyVersion(self.newest + 1, now, actor, draft.text, draft.lists)
        if version.digest == self.version.digest:
            return self.version
        body = {"version": version.number, "digest": version.digest, **counts(draft.policy)}
        self._write(now, actor, "policy", body, version)
        self._held = _Held(version, replace(draft.policy, version=version.number))
        self.newest, self.left_out = version.number, ()
        return version

    def confirm(self, vfns: Iterable[str], now: float) -> bool:
        """These VFNs, all that are connected, have been read back with it. Was that still to be told?"""
        if not self.pending:
            return False
        version = replace(self.version, enforced_at=now)
        body = {"version": version.number, "vfns": sorted(vfns), "seconds": round(now - version.created, 6)}
        self._write(now, _ENGINE, "policy_enforced", body, version)
        self._held = replace(self._held, version=version)
        return True

    def refuse(self, vfn: str, reason: str, rules: Iterable[str], now: float) -> None:
        """A switch does not take the version in force: the one before goes on."""
        version = replace(self.version, refused=f"VFN {vfn}: {reason}")
        body = {"version": version.number, "vfn": vfn, "reason": reason, "rules": sorted(rules)}
        self._write(now, _ENGINE, "policy_refused", body, version)
        self._recall(now)

    def _write(
        self, now: float, actor: str, kind: str, body: Mapping[str, Any], version: PolicyVersion | None = None
    ) -> None:
        self._store.write([Entry(now, actor, kind, body)], policy=version)


def _size(policy: Policy) -> int:
    """How many values a policy is made of, to speak of."""
    return len(policy.acls) + sum(len(one.nets) for one in policy.lists.values())


def counts(policy: Policy) -> dict[str, int]:
    """How large a policy is."""
    return {
        "rules": len(policy.acls),
        "observed": sum(acl.mode is Mode.OBSERVE for acl in policy.acls),
        "lists": len(policy.lists),
        "prefixes": sum(len(one.nets) for one in policy.lists.values()),
    }
